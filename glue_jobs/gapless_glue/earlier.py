"""What earlier datasets measured, for rules that compare with it.

History is what was published: the reports of the datasets whose ``as_of`` lies strictly before the run's own, in the
order of ``as_of``. A run that made no dataset leaves none, and neither does a dataset whose report is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gapless_glue import store
from gapless_glue.dqdl.dynamic import results_read
from gapless_glue.index import Entry, read_index
from gapless_glue.rules import SourceRule

Series = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Earlier:
    """The measures of earlier datasets.

    Attributes:
        versions: The datasets, oldest first.
        measures: For each of them, source → series → value.
    """

    versions: Sequence[str] = ()
    measures: Sequence[Mapping[str, Mapping[str, float]]] = field(default_factory=tuple)

    def of_source(self, source: str) -> dict[str, list[float]]:
        """Returns a source's history: series → values, oldest first; a dataset without the series is left out."""
        found: dict[str, list[float]] = {}
        for measured in self.measures:
            for name, value in measured.get(source, {}).items():
                found.setdefault(name, []).append(value)
        return found


def read_earlier(datasets_uri: str, *, before: str, rules: Sequence[SourceRule]) -> Earlier:
    """Returns as many of the newest earlier datasets as the rules look at; reads nothing where they look at none.

    Args:
        datasets_uri: The workload's folder of datasets, with a ``/`` at its end.
        before: The run's ``as_of``, ISO 8601 with an offset.
        rules: The workload's rules.
    """
    newest = max((results_read(rule.rule) for rule in rules), default=0)
    if not newest:
        return Earlier()
    found = _newest_reports(datasets_uri, before, newest)
    return Earlier(list(found), [report["phases"]["validation"]["metrics"] for report in found.values()])


def _newest_reports(datasets_uri: str, before: str, newest: int) -> dict[str, dict[str, Any]]:
    """The reports of the newest datasets that still have one: version → report, oldest first."""
    looked_at = newest
    while True:
        entries = read_index(datasets_uri, before=before, newest=looked_at)
        reports = {entry.version: report for entry in entries if (report := _report(entry)) is not None}
        if len(reports) >= newest or len(entries) < looked_at:
            return dict(list(reports.items())[-newest:])
        looked_at *= 2


def _report(entry: Entry) -> dict[str, Any] | None:
    """A dataset's report, or nothing when it was removed since."""
    try:
        report: dict[str, Any] = json.loads(store.read(entry.report_uri))
    except FileNotFoundError:
        return None
    return report
