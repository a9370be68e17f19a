"""Managed MLflow on the local server: real MLflow servers as child processes, started by the first call."""
