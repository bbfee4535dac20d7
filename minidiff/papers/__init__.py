"""The papers behind the code: the bibliography, the pairs of equation and statement, what checks them and what shows them."""
