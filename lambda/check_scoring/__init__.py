"""Decides whether an input of rows is complete, and names the predictions that are to be made of it."""
