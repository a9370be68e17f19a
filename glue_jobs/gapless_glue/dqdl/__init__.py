"""The Data Quality Definition Language of AWS Glue: a parser that needs nothing but Python, and an evaluator on Spark.

``parser`` reads a document and refuses it with line and column; ``evaluate`` gives the verdict of every rule on data
frames; ``rows`` tells which rows a rule refuses; ``render`` writes rules as text again.

Verdicts are those of AWS Glue's open reference (awslabs/deequ) but for these:

- ``matches`` holds for a value that matches as a whole, the empty text included, and ``not matches`` for any other
  value that is there. The reference never matches an empty text, and negates only a match at the start.
- Times are compared as instants. The reference cuts ``now() - 3 hours`` down to a day.
- A column of text is read as numbers or times where a rule compares with these, and ColumnDataType takes whole numbers,
  decimal numbers and dates in plain forms only, so that every engine reads them alike.
- DetectAnomalies is a method of our own, see ``history.expected_range``; with too few earlier results it is skipped.
- Rules about files and the analyzer Distribution are refused by name.
"""
