"""What the jobs share: opening model archives safely, loading a model through its own code, reporting failures."""
