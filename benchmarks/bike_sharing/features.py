"""Features of an hour: the calendar and the weather, as they are."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def derive(hours: DataFrame) -> DataFrame:
    """Adds when the hour began; the key cannot be the event time as well."""
    return hours.withColumn("began_at", F.col("date_time"))
