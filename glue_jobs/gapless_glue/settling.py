"""Settling: rows with the same key are versions of one thing, and the newest one is true.

Which row stays depends on the rows alone: the newest by the source's own time; of equally new ones the first in the
batch's canonical order. A row that is refused for another reason takes no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, WindowSpec
from pyspark.sql import functions as F

from gapless_glue.contract import Settle, Source
from gapless_glue.dataset import instant_column

SUPERSEDED = "superseded by a newer row of the same key"
REPEATED = "repeats a row of the same key and time"


def settled_rows(reasons: Mapping[str, int]) -> int:
    """Counts the rows that settling set aside, from rows per reason; none of them has another reason."""
    return reasons.get(SUPERSEDED, 0) + reasons.get(REPEATED, 0)


def late_reasons(source: Source, as_of: datetime) -> list[Column]:
    """The reason of a row that comes too late, null for any other; nothing where the source sets no limit."""
    settle = source.settle
    if settle is None or settle.late_after_days is None:
        return []
    oldest = instant_column(as_of - timedelta(days=settle.late_after_days))
    reason = f"late: {settle.by} is more than {settle.late_after_days} days before as_of"
    return [F.when(F.col(f"t_{settle.by}") < oldest, F.lit(reason))]


def newest_first(settle: Settle | None) -> list[Column]:
    """How rows with the same key are ordered; a row without the time is the oldest. Nothing without settling."""
    return [] if settle is None else [F.col(f"t_{settle.by}").desc_nulls_last()]


def why_set_aside(settle: Settle, order: WindowSpec) -> Column:
    """The reason of a row that is not the first of its key, in this order."""
    time = F.col(f"t_{settle.by}")
    return F.when(time.eqNullSafe(F.first(time).over(order)), F.lit(REPEATED)).otherwise(F.lit(SUPERSEDED))
