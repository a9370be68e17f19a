"""Features of an order: what was ordered, and where the customer lives."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame


def features(tables: Mapping[str, DataFrame]) -> DataFrame:
    """Joins the customer's region to every order."""
    return tables["orders"].join(tables["customers"].select("customer", "region"), "customer", "left")
