"""Features of an application: the loan against price and income, and what the application says itself."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def features(sources: Mapping[str, DataFrame]) -> DataFrame:
    """Adds what is lent for each dollar of the price and of the yearly income; null where there is none."""
    applications = sources["applications"]
    for name, whole in (("loan_to_price", "price"), ("loan_to_income", "income")):
        applications = applications.withColumn(name, F.expr(f"CASE WHEN {whole} > 0 THEN loan / {whole} END"))
    return applications
