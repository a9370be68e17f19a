"""Features of a day in Seattle, as they are known on the evening before it.

The data job calls ``derive`` on the days, takes away every column that is known only later, and then calls
``features``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

DAYS_OF_A_YEAR = 365.25


def derive(days: DataFrame) -> DataFrame:
    """Adds when the day began, and how warm it became."""
    return days.withColumn("began_at", F.col("date").cast("timestamp")).withColumn("warmest", F.col("temp_max"))


def features(sources: Mapping[str, DataFrame]) -> DataFrame:
    """Joins each day with what was measured until the evening before it."""
    return with_evening_before(with_season(sources["days"]), sources["observations"])


def with_season(days: DataFrame) -> DataFrame:
    """Adds where in the year a day lies, as a point on a circle: 31 December is next to 1 January."""
    angle = F.dayofyear("date") * (2 * 3.141592653589793 / DAYS_OF_A_YEAR)
    return days.withColumn("season_cosine", F.cos(angle)).withColumn("season_sine", F.sin(angle))


def with_evening_before(days: DataFrame, observations: DataFrame) -> DataFrame:
    """Adds the measurements of the day before, and the mean of the highest temperatures of the week before."""
    week = Window.orderBy("date").rowsBetween(-6, 0)
    known = observations.withColumn("week_temp_max", F.avg("temp_max").over(week)).select(
        F.date_add("date", 1).alias("_known_on"),
        F.col("temp_max").alias("last_temp_max"),
        F.col("temp_min").alias("last_temp_min"),
        F.col("precipitation").alias("last_precipitation"),
        F.col("wind").alias("last_wind"),
        F.col("weather").alias("last_weather"),
        "week_temp_max",
    )
    return days.join(known, F.col("date") == F.col("_known_on"), "left")
