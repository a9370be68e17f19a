"""Features that are made without code: the job hands rows over to a recipe or a flow, and takes back what came out.

The job runs twice. The first run ends by ``hand_over``; the second one, of the same attempt, begins by ``take_over``,
and ``write_returned`` stands where the features of ``features.py`` are written otherwise. What goes across lies in the
curated zone under ``handover/``, below the attempt's own path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import canonical_json
from gapless_glue import store
from gapless_glue.bundle import Bundle
from gapless_glue.contract import Column as ContractColumn
from gapless_glue.contract import Contract
from gapless_glue.dataset import (
    DROPPED,
    EVENT_TIME,
    ROW_ID,
    TARGET,
    count_dropped,
    files_for,
    known_in_time,
    named_target,
    primary_rows,
)
from gapless_glue.errors import BadBundle, BadFeatures, RowsLost, TakenOver, TooFewRows

SUCCESS_MARKER = "mapreduce.fileoutputcommitter.marksuccessfuljobs"
"""Spark's setting of whether a folder gets an empty file ``_SUCCESS``, which is no Parquet."""


@dataclass(frozen=True)
class Handover:
    """What the second run must know of the first.

    Attributes:
        validation: The validation's part of the report.
        dropped: Rows of the primary source per reason for dropping them; None stands for those that were handed over.
        figures: What report and manifest say besides.
        seconds: Seconds per phase of the first run.
    """

    validation: Mapping[str, Any]
    dropped: Mapping[str | None, int]
    figures: Mapping[str, Any]
    seconds: Mapping[str, float]


def hand_over(
    contract: Contract,
    bundle: Bundle,
    tables: Mapping[str, DataFrame],
    as_of: datetime,
    folder_uri: str,
    more: Callable[[DataFrame], DataFrame] = lambda primary: primary,
) -> dict[str | None, int]:
    """Writes what features may be made of, one folder per source: of the primary source the usable rows.

    Args:
        tables: Source → validated rows.
        folder_uri: Where the folders go.
        more: Adds columns to the primary source's rows. Default: none.

    Returns:
        Rows of the primary source per reason for dropping them; None stands for those that were handed over.

    Raises:
        BadBundle: ``features.py`` makes features as well, or does not derive what the contract says.
        TooFewRows: No row can be used.
    """
    if bundle.features is not None:
        raise BadBundle(f"features.py has a function features, and workload.yaml gives its place to {_maker(contract)}")
    primary = more(primary_rows(contract, bundle, tables[contract.primary], as_of))
    dropped = count_dropped(primary)
    if not dropped.get(None):
        raise TooFewRows(f"no row of the batch can be used: {json.dumps(dropped)}")
    usable = primary.filter(F.col(DROPPED).isNull()).drop(DROPPED)
    for name, rows in (known_in_time(contract, tables) | {contract.primary: usable}).items():
        rows.write.mode("overwrite").option(SUCCESS_MARKER, "false").parquet(f"{folder_uri}{name}")
    return dropped


def write_handover(dataset_uri: str, handover: Handover) -> None:
    """Says that the rows were handed over; the last object that the first run writes."""
    content = {
        "validation": handover.validation,
        "dropped": [{"reason": reason, "rows": rows} for reason, rows in handover.dropped.items()],
        "figures": handover.figures,
        "seconds": handover.seconds,
    }
    store.store_of(dataset_uri).write(f"{dataset_uri}handover.json", canonical_json(content))


def take_over(dataset_uri: str) -> Handover:
    """Reads what the first run left; each handover is taken once, so that two runs never write the same attempt.

    Raises:
        BadFeatures: There is no handover.
        TakenOver: Another run has it.
    """
    try:
        content = json.loads(store.read(f"{dataset_uri}handover.json"))
    except FileNotFoundError as error:
        raise BadFeatures(f"nothing was handed over at {dataset_uri}") from error
    if not store.store_of(dataset_uri).create(f"{dataset_uri}taken_over.json", b"{}"):
        raise TakenOver(f"another run goes on with {dataset_uri}; redrive the execution to begin anew")
    return Handover(
        validation=content["validation"],
        dropped={each["reason"]: each["rows"] for each in content["dropped"]},
        figures=content["figures"],
        seconds=content["seconds"],
    )


def write_returned(
    spark: SparkSession, contract: Contract, handed_uri: str, returned_uri: str, rows: int, folder_uri: str
) -> None:
    """Writes the features that came back, with time and target of the rows that were handed over.

    Args:
        handed_uri: Where the first run put the sources.
        returned_uri: Where the recipe or the flow put its Parquet files, however deep.
        rows: How many rows of the primary source were handed over.
        folder_uri: Where to write.

    Raises:
        BadFeatures: Nothing came back, a feature is absent, or a value does not read as the feature's type.
        RowsLost: A row did not come back, came back more than once, or nobody knows it.
    """
    handed = spark.read.parquet(f"{handed_uri}{contract.primary}").select(ROW_ID, EVENT_TIME, TARGET)
    returned = _read_returned(spark, contract, returned_uri)
    _check_rows(contract, handed, returned, rows)
    _check_values(contract, returned)
    features = [F.expr(_cast(column)).alias(column.name) for column in contract.features]
    joined = handed.join(
        returned.select(F.col(ROW_ID).alias("_returned_id"), *features), F.expr(f"{ROW_ID} = _returned_id")
    )
    names = [F.col(column.name) for column in contract.features]
    dataset = joined.select(*names, *named_target(contract), EVENT_TIME, ROW_ID)
    dataset.coalesce(files_for(rows)).write.mode("overwrite").parquet(folder_uri)


def _read_returned(spark: SparkSession, contract: Contract, returned_uri: str) -> DataFrame:
    found = store.store_of(returned_uri).list(returned_uri)
    files = [uri for uri in found if not uri.rpartition("/")[2].startswith(("_", "."))]
    if not files:
        raise BadFeatures(f"{_maker(contract)} gave no file at {returned_uri}")
    try:
        returned = spark.read.parquet(*files)
        columns = returned.columns
    except PySparkException as error:
        raise BadFeatures(f"what {_maker(contract)} gave is not Parquet: {_first_line(error)}") from error
    absent = [name for name in (ROW_ID, *(column.name for column in contract.features)) if name not in columns]
    if absent:
        raise BadFeatures(f"what {_maker(contract)} gave has no column {', '.join(absent)}")
    return returned


def _check_rows(contract: Contract, handed: DataFrame, returned: DataFrame, rows: int) -> None:
    ids = handed.select(F.col(ROW_ID).alias("id"), F.lit(1).alias("sent"), F.lit(0).alias("came")).unionAll(
        returned.select(F.col(ROW_ID).cast("string").alias("id"), F.lit(0).alias("sent"), F.lit(1).alias("came"))
    )
    counted = ids.groupBy("id").agg(F.sum("sent").alias("sent"), F.sum("came").alias("came"))
    found = counted.agg(
        _total("sent").alias("handed"),
        _total("came").alias("returned"),
        _total("case when sent > came then sent - came else 0 end").alias("missing"),
        _total("case when sent > 0 and came > sent then came - sent else 0 end").alias("repeated"),
        _total("case when sent = 0 then came else 0 end").alias("unknown"),
        _total("case when sent > 1 then 1 else 0 end").alias("ambiguous"),
    ).first()
    figures = found.asDict() if found is not None else {}
    wrong = {name: figures[name] for name in ("missing", "repeated", "unknown", "ambiguous") if figures[name]}
    if wrong or figures["handed"] != rows:
        told = ", ".join(f"{count} {name}" for name, count in wrong.items()) or "none of them wrong"
        raise RowsLost(
            f"{rows} rows of {contract.primary} were handed to {_maker(contract)}, {figures['returned']} came back "
            f"({told}); every {ROW_ID} has to come back once"
        )


def _check_values(contract: Contract, returned: DataFrame) -> None:
    unread = [
        _total(f"case when `{each.name}` is not null and {_cast(each)} is null then 1 else 0 end")
        for each in contract.features
    ]
    try:
        counted = returned.agg(*(each.alias(f"c{number}") for number, each in enumerate(unread))).first()
    except PySparkException as error:
        raise BadFeatures(f"what {_maker(contract)} gave cannot be cast: {_first_line(error)}") from error
    figures: Sequence[int] = list(counted) if counted is not None else []
    wrong = [
        f"{column.name} ({count} values are not {column.type})"
        for column, count in zip(contract.features, figures, strict=True)
        if count
    ]
    if wrong:
        raise BadFeatures(f"what {_maker(contract)} gave does not read as declared: {', '.join(wrong)}")


def _total(condition: str) -> Column:
    return F.coalesce(F.expr(f"sum({condition})"), F.lit(0))


def _cast(column: ContractColumn) -> str:
    return f"try_cast(`{column.name}` as {column.type})"


def _maker(contract: Contract) -> str:
    return {"databrew_recipe": "the recipe", "data_wrangler_flow": "the flow"}[contract.features_by or ""]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
