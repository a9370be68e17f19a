"""Logs a run of the model pipeline to MLflow."""
