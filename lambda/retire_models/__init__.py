"""Deletes models that nobody needs any more, and removes what jobs have left behind."""
