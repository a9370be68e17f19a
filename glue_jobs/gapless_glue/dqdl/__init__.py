"""The Data Quality Definition Language of AWS Glue: a parser that needs nothing but Python, and an evaluator on Spark.

``parser`` reads a document and refuses it with line and column; ``evaluate`` gives the verdict of every rule on data
frames; ``rows`` tells which rows a rule refuses; ``render`` writes rules as text again.
"""
