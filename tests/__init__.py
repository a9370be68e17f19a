"""The tests; a package, so that none of the same name that a library brings along is taken for it."""
