import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from publish_views import Options, parse_options, version_rows, view_statements

VIEWS = {"by_channel": {"sql": "SELECT channel, count(*) FROM {features} GROUP BY channel ;", "refresh_hours": 6}}


def any_options(**changed: str) -> Options:
    values = {
        "table": "glue_catalog.dev_curated.orders_history_1f2e3d4c",
        "view_prefix": "glue_catalog.dev_curated.orders_",
        "views_uri": "s3://assets/views.json",
        "curated_uri": "s3://curated/orders/v1/",
        "version": "v1",
    }
    return Options(**{**values, **changed})


def test_a_view_is_made_once_over_the_table_and_refreshed_every_time() -> None:
    made, refreshed = view_statements(any_options(), VIEWS)
    name = made.split()[6]
    definition, query = made.split(" AS ")
    assert definition == f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} SCHEDULE REFRESH EVERY 6 HOURS"
    assert query == "SELECT channel, count(*) FROM glue_catalog.dev_curated.orders_history_1f2e3d4c GROUP BY channel"
    assert refreshed == f"REFRESH MATERIALIZED VIEW {name}"
    assert name.startswith("glue_catalog.dev_curated.orders_by_channel_")


@pytest.mark.parametrize(
    "changed",
    [{"sql": "SELECT channel FROM {features}", "refresh_hours": 6}, {**VIEWS["by_channel"], "refresh_hours": 7}],
)
def test_another_definition_is_another_view(changed: dict[str, object]) -> None:
    before, after = (view_statements(any_options(), views)[1] for views in (VIEWS, {"by_channel": changed}))
    assert before != after


def test_rows_come_in_the_columns_and_types_of_the_table_with_their_version(
    spark: SparkSession, tmp_path: Path
) -> None:
    spark.sql(
        "SELECT CAST(1 AS INT) items, CAST('x' AS STRING) channel, CAST(1 AS BIGINT) amount, 'v0' version"
    ).createOrReplaceTempView("history_rows")
    rows = {"amount": [7], "channel": ["web"], "items": [3], "more": [dt.date(2024, 1, 1)]}
    pq.write_table(pa.table(rows), tmp_path / "part.parquet")
    options = any_options(table="history_rows", curated_uri=f"file://{tmp_path}/", version="v9")
    found = version_rows(spark, options)
    assert found.dtypes == [("items", "int"), ("channel", "string"), ("amount", "bigint"), ("version", "string")]
    assert [tuple(row) for row in found.collect()] == [(3, "web", 7, "v9")]


def test_ignores_what_glue_adds_to_the_arguments() -> None:
    given = any_options()
    argv = [part for name, value in vars(given).items() for part in (f"--{name}", value)]
    assert parse_options([*argv, "--JOB_NAME", "x", "--datalake-formats", "iceberg"]) == given
