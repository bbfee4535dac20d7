"""What the lessons import beside the package itself."""
