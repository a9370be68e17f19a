"""Decides whether a landed batch is complete, and names the dataset that is to be made of it."""
