"""Starts the job that pulls a database."""
