"""Finds out whether a registered model is the one that was signed."""
