"""Features of a flight from New York, as they are known before it departs.

The data job calls ``derive`` on the flights, takes away every column that is known only later (``known_later`` in
``workload.yaml``), and then calls ``features``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from gapless_glue.times import date_text_sql, local_to_utc, minute_of_day_sql

LATE_MINUTES = 15
NEW_YORK = "America/New_York"
NEW_YORK_OFFSET_HOURS = -5


def derive(flights: DataFrame) -> DataFrame:
    """Adds the scheduled departure (UTC) and whether the flight arrived late; null when it never arrived."""
    departure = local_to_utc("year", "month", "day", "sched_dep_time", time_zone=NEW_YORK)
    return flights.withColumn("scheduled_departure", departure).withColumn(
        "arrives_late", F.col("arr_delay") > LATE_MINUTES
    )


def features(sources: Mapping[str, DataFrame]) -> DataFrame:
    """Joins the five sources to one row per flight, in the flights' order of columns plus the features."""
    flights = with_schedule(sources["flights"])
    flights = with_weather(flights, sources["weather"])
    flights = with_destination(flights, sources["airports"])
    flights = with_plane(flights, sources["planes"])
    return with_airline(flights, sources["airlines"])


def with_schedule(flights: DataFrame) -> DataFrame:
    """Adds what the timetable says: weekday (1 is Sunday), local minutes of the day, and how busy the airport is."""
    hour = F.date_trunc("hour", F.col("scheduled_departure"))
    same_hour = Window.partitionBy("origin", "_hour")
    local_date = F.expr(f"try_cast({date_text_sql('year', 'month', 'day')} as date)")
    return (
        flights.withColumn("_hour", hour)
        .withColumn("departures_this_hour", F.count(F.lit(1)).over(same_hour))
        .withColumn("day_of_week", F.dayofweek(local_date))
        .withColumn("departure_minute", F.expr(minute_of_day_sql("sched_dep_time")))
        .withColumn("arrival_minute", F.expr(minute_of_day_sql("sched_arr_time")))
    )


def with_weather(flights: DataFrame, weather: DataFrame) -> DataFrame:
    """Adds the weather at the airport, observed at the full hour before the scheduled departure."""
    observed = weather.select(
        F.col("origin").alias("_weather_origin"),
        F.col("time_hour").alias("_weather_hour"),
        "temp",
        F.col("dewp").alias("dew_point"),
        F.col("humid").alias("humidity"),
        F.col("wind_dir").alias("wind_direction"),
        "wind_speed",
        "wind_gust",
        F.col("precip").alias("precipitation"),
        "pressure",
        F.col("visib").alias("visibility"),
    )
    here_and_then = (F.col("origin") == F.col("_weather_origin")) & (F.col("_hour") == F.col("_weather_hour"))
    return flights.join(observed, here_and_then, "left")


def with_destination(flights: DataFrame, airports: DataFrame) -> DataFrame:
    """Adds where the destination is and how long the flight is to take, corrected for its time zone."""
    destinations = airports.select(
        F.col("faa").alias("_dest"),
        F.col("lat").alias("dest_lat"),
        F.col("lon").alias("dest_lon"),
        F.col("tz").alias("_dest_offset_hours"),
    )
    joined = flights.join(destinations, F.col("dest") == F.col("_dest"), "left")
    shift = f"(_dest_offset_hours - ({NEW_YORK_OFFSET_HOURS})) * 60"
    minutes = F.expr(f"pmod(arrival_minute - departure_minute - {shift}, 1440)")
    return joined.withColumn("scheduled_minutes", minutes)


def with_plane(flights: DataFrame, planes: DataFrame) -> DataFrame:
    """Adds age, size and maker of the aircraft that is assigned to the flight."""
    assigned = planes.select(
        F.col("tailnum").alias("_tailnum"),
        F.col("year").alias("_built"),
        F.col("seats").alias("plane_seats"),
        F.col("manufacturer").alias("plane_manufacturer"),
    )
    joined = flights.join(assigned, F.col("tailnum") == F.col("_tailnum"), "left")
    return joined.withColumn("plane_age", F.col("year") - F.col("_built"))


def with_airline(flights: DataFrame, airlines: DataFrame) -> DataFrame:
    """Adds the airline's name."""
    names = airlines.select(F.col("carrier").alias("_carrier"), F.col("name").alias("airline"))
    return flights.join(names, F.col("carrier") == F.col("_carrier"), "left")
