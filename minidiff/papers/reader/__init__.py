"""Code beside its equations, for people: `minidiff.read`."""
