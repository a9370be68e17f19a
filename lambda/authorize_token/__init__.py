"""Checks the token with which an API is asked."""
