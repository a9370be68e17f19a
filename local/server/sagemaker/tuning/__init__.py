"""Hyperparameter tuning: trials are training jobs, and Optuna says what to try."""
