"""Puts records that a stream could not deliver on it once more."""
