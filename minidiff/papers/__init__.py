"""The papers behind the code: the bibliography, the pairs of equation and statement, and what checks and shows them."""
