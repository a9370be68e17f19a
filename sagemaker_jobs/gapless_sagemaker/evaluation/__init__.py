"""What the evaluation of a model consists of, one module each."""
