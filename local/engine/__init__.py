"""Runs deployed Spark scripts on this machine. ``boot.py`` is started by path, in the interpreter of the jobs."""
