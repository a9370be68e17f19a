"""Features of an order: what was ordered, where the customer lives, and how the orders before it went."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def features(tables: Mapping[str, DataFrame]) -> DataFrame:
    """Joins the customer's region to every order."""
    return tables["orders"].join(tables["customers"].select("customer", "region"), "customer", "left")


def customer_habits_records(tables: Mapping[str, DataFrame]) -> DataFrame:
    """What is known of a customer from the morning after an order on: whether it was late is not known before."""
    until_here = Window.partitionBy("customer").orderBy("day").rowsBetween(Window.unboundedPreceding, 0)
    day = F.date_trunc("day", F.col("ordered_at")).alias("day")
    late, in_a_shop = F.col("late").cast("int"), F.col("channel") == "shop"
    days = (
        tables["orders"]
        .groupBy("customer", day)
        .agg(F.count(F.lit(1)).alias("orders"), F.sum(late).alias("late"), F.max(in_a_shop.cast("int")).alias("shop"))
    )
    orders = F.sum("orders").over(until_here)
    return days.select(
        "customer",
        (F.col("day") + F.expr("interval '1' day")).alias("known_at"),
        orders.alias("orders_before"),
        (F.sum("late").over(until_here) / orders).alias("late_share"),
        (F.max("shop").over(until_here) == 1).alias("in_a_shop"),
    )
