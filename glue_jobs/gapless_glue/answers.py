"""Labels that people have given to served rows, on their way into a dataset.

A row of the dataset whose ``_row_id`` is that of an answered row takes the answer as its target. An answered row that
the dataset does not have becomes one of its rows: features as the model saw them, the time at which it was served.

Where datasets accumulate, rows that an earlier batch brought lie in days that are written already. So only answers that
the parent did not have are looked for among them, and the days of their rows are written anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import parse_instant
from constructs_lib.names.relabelled import NO_ANSWERS, Answer, answers_digest, holding, read_answers
from gapless_glue import store
from gapless_glue.contract import Contract
from gapless_glue.dataset import (
    DROPPED,
    EVENT_TIME,
    NOT_YET,
    ROW_ID,
    TOO_OLD,
    dataset_columns,
    window_start,
)
from gapless_glue.days import Days, days_with, read_rows

OTHER_TYPE = "the label is not of the target's type"

_OWN = "_own"
_GIVEN = "_given_"


@dataclass(frozen=True)
class Answers:
    """The answers that hold at ``as_of``.

    Attributes:
        uri: Where they are.
        digest: Of all that hold; part of the dataset's version. Empty where none do.
        used: Those whose rows are in the window.
        unused: Reason → answers that are not used.
    """

    uri: str
    digest: str
    used: Sequence[Answer]
    unused: Mapping[str, int]

    def told(self, corrected: int) -> dict[str, Any]:
        """What report and manifest say; nothing where no answer holds."""
        return self.told_of({"corrected": corrected, "added": len(self.used) - corrected})

    def told_of(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """What report and manifest say, with these figures; nothing where no answer holds."""
        if not self.digest:
            return {}
        return {"answers": {"uri": self.uri, "digest": self.digest, **counts, "unused": dict(self.unused)}}

    def new_since(self, earlier: Answers) -> list[Answer]:
        """Returns the answers in use that were not, or were others, among earlier ones."""
        known = {answer.row_id: answer for answer in earlier.used}
        return [answer for answer in self.used if known.get(answer.row_id) != answer]


NOTHING = Answers(NO_ANSWERS, "", (), {})


def load_answers(uri: str, contract: Contract, as_of: str) -> Answers:
    """Reads the answers that hold at an instant, and sorts out those whose rows are not in the window."""
    if uri == NO_ANSWERS:
        return NOTHING
    found = holding(read_answers(store.read(uri)), as_of)
    reasons = [_why_unused(contract, parse_instant(as_of), answer) for answer in found]
    used = [answer for answer, reason in zip(found, reasons, strict=True) if reason is None]
    unused = Counter(reason for reason in reasons if reason is not None)
    return Answers(uri, answers_digest(found), used, dict(sorted(unused.items())))


def _why_unused(contract: Contract, as_of: datetime, answer: Answer) -> str | None:
    at, start = parse_instant(answer.at), window_start(contract, as_of)
    if at >= as_of:
        return NOT_YET
    if start is not None and at < start:
        return TOO_OLD
    (target,) = contract.target_columns
    return None if isinstance(answer.label, bool) == (target.type == "boolean") else OTHER_TYPE


def count_corrected(spark: SparkSession, answers: Answers, primary: DataFrame) -> int:
    """Counts the answers to rows that the dataset has anyway.

    Args:
        primary: Rows of the primary source with ``_row_id`` and why they are dropped.
    """
    if not answers.used:
        return 0
    kept = primary.filter(F.col(DROPPED).isNull()).select(ROW_ID)
    return int(kept.join(_names(spark, answers.used), ROW_ID, "left_semi").count())


def put_in(spark: SparkSession, contract: Contract, answers: Answers, rows: DataFrame) -> DataFrame:
    """Puts answers into the rows of a dataset; where there are none, the rows stay as they are."""
    if not answers.used:
        return rows
    return _joined(contract, rows, _as_rows(spark, contract, answers.used), "full_outer")


@dataclass(frozen=True)
class Answered:
    """The rows of a batch with people's answers in them, and other rows that are to be written anew for their answers.

    Attributes:
        rows: All of them, with the columns of a dataset.
        corrected: How many take the target of an answer.
        added: How many came of answers.
        others: How many of the rows are none of the batch's own.
    """

    rows: DataFrame
    corrected: int
    added: int
    others: int


def put_in_days(
    spark: SparkSession, contract: Contract, answers: Answers, new: Sequence[Answer], own: DataFrame, days: Days
) -> Answered:
    """Puts answers into the rows of a batch, and new ones into rows of earlier days or beside them.

    A row of the batch takes the place of an earlier one with its id, so the answer is its own.

    Args:
        contract: The workload's.
        answers: All that hold: rows of the batch may be answered already.
        new: Those that the days do not have.
        own: The rows of the batch, without repeated ids; read several times.
        days: The days until now that are in the window.
    """
    if not answers.used:
        return Answered(own, 0, 0, 0)
    ids, given = own.select(ROW_ID), _as_rows(spark, contract, answers.used)
    batch = _joined(contract, own, given, "left")
    corrected = int(ids.join(_names(spark, answers.used), ROW_ID, "left_semi").count())
    if not new:
        return Answered(batch, corrected, 0, 0)
    names = _names(spark, new).join(ids, ROW_ID, "left_anti")
    touched = days_with(spark, contract, days, names)
    found = read_rows(spark, contract, touched) if touched else own.limit(0)
    stored = found.join(names, ROW_ID, "left_semi")
    of_others = _as_rows(spark, contract, new).join(ids, F.col(_GIVEN + ROW_ID) == F.col(ROW_ID), "left_anti")
    others = _joined(contract, stored, of_others, "full_outer")
    known, all_others = int(stored.count()), int(others.count())
    named = int(stored.select(ROW_ID).distinct().count())
    return Answered(batch.unionByName(others), corrected + named, all_others - known, all_others)


def _names(spark: SparkSession, answers: Sequence[Answer]) -> DataFrame:
    return spark.createDataFrame([[answer.row_id] for answer in answers], f"`{ROW_ID}` string")


def _joined(contract: Contract, rows: DataFrame, given: DataFrame, how: str) -> DataFrame:
    both = rows.withColumn(_OWN, F.lit(True)).join(given, F.col(ROW_ID) == F.col(_GIVEN + ROW_ID), how)
    return both.select(*[_chosen(contract, column.name) for column in dataset_columns(contract)])


def _chosen(contract: Contract, name: str) -> Column:
    """The target is the answer's where there is one; all else is the answer's only where the row has none."""
    own, given = F.col(name), F.col(_GIVEN + name)
    if name == contract.target:
        return F.coalesce(given, own).alias(name)
    return F.when(F.col(_OWN).isNull(), given).otherwise(own).alias(name)


def _as_rows(spark: SparkSession, contract: Contract, answers: Sequence[Answer]) -> DataFrame:
    """Answers as rows of the dataset; a value that is not of its column's type is missing."""
    columns = dataset_columns(contract)
    cells = [[_text(_value(contract, answer, column.name)) for column in columns] for answer in answers]
    names = [_GIVEN + column.name for column in columns]
    texts = spark.createDataFrame(cells, ", ".join(f"`{name}` string" for name in names))
    return texts.select(
        *[
            F.expr(f"try_cast(`{name}` as {column.type})").alias(name)
            for name, column in zip(names, columns, strict=True)
        ]
    )


def _value(contract: Contract, answer: Answer, name: str) -> Any:
    own = {EVENT_TIME: parse_instant(answer.at), ROW_ID: answer.row_id, contract.target: answer.label}
    return own.get(name, answer.asked.get(name))


def _text(value: Any) -> str | None:
    """A value as the text that a cast reads."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
