"""Exposures and outcomes, joined by inference id on the function's disk, so that memory stays small.

The first exposure and the first outcome of an inference id count, later ones do not. Evidence comes in the order in
which outcomes were told, so that a later look sees what an earlier one saw and more after it. Where requests were
assigned by a unit, the first outcome of each unit and arm counts: units were drawn at random, not requests.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from judge_experiment.records import Exposure, Outcome

_SCHEMA = """
create table exposures (
    id text primary key, challenger integer not null, unit text, share real, slow integer, predictions text not null
) without rowid;
create table outcomes (number integer primary key, id text unique not null, outcomes text not null);
"""
_JOINED = """
select e.challenger, e.unit, e.share, e.predictions, o.outcomes
from outcomes o join exposures e on e.id = o.id order by o.number
"""


@dataclass(frozen=True)
class Judged:
    """An exposure with its outcome, as text."""

    challenger: bool
    unit: str | None
    share: float | None
    predictions: str
    outcomes: str


@dataclass(frozen=True)
class Counts:
    """Exposures of one arm, and those of them that took too long, out of those that were measured."""

    exposures: int
    measured: int
    slow: int


class Evidence:
    """One experiment's exposures and outcomes.

    Args:
        path: A file that does not exist.
        slow_ms: Answers that took longer are slow.
    """

    def __init__(self, path: Path, *, slow_ms: float) -> None:
        self._slow_ms = slow_ms
        self._database = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = off", "synchronous = off", "cache_size = -32000", "temp_store = file"):
            self._database.execute(f"pragma {setting}")
        self._database.executescript(_SCHEMA)
        self._database.execute("begin")

    def expose(self, exposure: Exposure, *, champion: str, challenger: str, is_challenger: bool) -> None:
        """Takes an exposure."""
        weights = [exposure.shares.get(name) for name in (champion, challenger)]
        known = [weight for weight in weights if weight is not None]
        share = known[1] / sum(known) if len(known) == 2 and sum(known) > 0 else None
        latency = exposure.latency_ms
        slow = None if latency is None else int(latency > self._slow_ms)
        row = (exposure.inference_id, int(is_challenger), exposure.unit, share, slow, json.dumps(exposure.predictions))
        self._database.execute("insert or ignore into exposures values (?, ?, ?, ?, ?, ?)", row)

    def tell(self, outcome: Outcome) -> None:
        """Takes an outcome."""
        self._database.execute(
            "insert or ignore into outcomes (id, outcomes) values (?, ?)",
            (outcome.inference_id, json.dumps(outcome.values)),
        )

    def judged(self) -> Iterator[Judged]:
        """Gives exposures with their outcomes, in the order in which these were told."""
        for challenger, unit, share, predictions, outcomes in self._database.execute(_JOINED):
            yield Judged(bool(challenger), unit, share, predictions, outcomes)

    def first_of_units(self) -> Iterator[Judged]:
        """Gives the first of each unit and arm only; what has no unit is one by itself."""
        self._database.execute("create temp table seen (unit text, challenger integer, primary key (unit, challenger))")
        try:
            for each in self.judged():
                if each.unit is not None:
                    marked = self._database.execute(
                        "insert or ignore into seen values (?, ?)", (each.unit, int(each.challenger))
                    )
                    if not marked.rowcount:
                        continue
                yield each
        finally:
            self._database.execute("drop table seen")

    def counts(self, *, challenger: bool) -> Counts:
        """Counts the exposures of an arm."""
        found = self._database.execute(
            "select count(*), count(slow), coalesce(sum(slow), 0) from exposures where challenger = ?",
            (int(challenger),),
        ).fetchone()
        return Counts(*found)

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()
