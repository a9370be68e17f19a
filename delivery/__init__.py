"""What builds of the delivery pipelines run, from a checkout; each step is ``python -m delivery.<step>``."""
