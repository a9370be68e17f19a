"""Windows of past weeks: each adds its own sketches to those of the windows before it, and hands them on.

A window is compared with the sum of the last weeks' windows of the same model. Its file holds the earlier ones as well,
so that the next window needs this one file and no list. Edges and known values are the baseline's and are written only
once. A window that is looked at again replaces its earlier self.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gapless_sagemaker.monitoring.baseline import FEWEST_ROWS, Baseline
from gapless_sagemaker.monitoring.sketch import Sketch, ValueSketch, read_sketch

FILE: Final = "window.json"
_OF_BASELINE: Final = ("edges", "known")
"""Parts of a sketch that are the baseline's."""

Columns = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class PastWindow:
    """What is kept of a window.

    Args:
        as_of: The end of the window, ISO 8601 in UTC.
        rows: How many rows it has.
        columns, predictions: Column to its sketch without what is the baseline's, as JSON types.
    """

    as_of: str
    rows: int
    columns: Columns
    predictions: Columns

    @classmethod
    def of(cls, as_of: str, rows: int, columns: Mapping[str, Sketch], predictions: Mapping[str, Sketch]) -> PastWindow:
        """Give what is kept of a window."""
        return cls(as_of, rows, _shortened(columns), _shortened(predictions))

    def document(self) -> dict[str, Any]:
        """Give the window as JSON types."""
        return {"as_of": self.as_of, "rows": self.rows, "columns": self.columns, "predictions": self.predictions}


def read_past(folder: Path | None) -> list[PastWindow]:
    """Read the windows in the file of an earlier one, itself among them; without a folder there are none."""
    if folder is None or not (folder / FILE).exists():
        return []
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return [
        PastWindow(each["as_of"], each["rows"], each["columns"], each["predictions"])
        for each in content.get("past", ())
    ]


def kept(past: Iterable[PastWindow], own: PastWindow, weeks: int) -> list[PastWindow]:
    """Give the windows that the next ones may need, this one among them: what is too old for the newest one goes."""
    found = {each.as_of: each for each in past} | {own.as_of: own}
    newest = max(map(moment, found))
    return [found[as_of] for as_of in sorted(found, key=moment) if newest - moment(as_of) <= dt.timedelta(weeks=weeks)]


def reference_of(
    past: Iterable[PastWindow], as_of: str, weeks: int, baseline: Baseline
) -> tuple[dict[str, Sketch], dict[str, Sketch], str] | None:
    """Add up the windows of the weeks before a window.

    Args:
        past: Windows of the same model.
        as_of: The end of the window that is looked at; windows that end then or later are left out.
        weeks: How many weeks count.
        baseline: Whose bins they were counted in.

    Returns:
        Features and predictions, and what to call them; None while there are too few rows.
    """
    end = moment(as_of)
    used = [each for each in past if dt.timedelta(0) < end - moment(each.as_of) <= dt.timedelta(weeks=weeks)]
    rows = sum(each.rows for each in used)
    if rows < FEWEST_ROWS:
        return None
    columns = _added(baseline.columns, [each.columns for each in used])
    predictions = _added(baseline.predictions, [each.predictions for each in used])
    return columns, predictions, f"{len(used)} windows of the last {weeks} weeks, {rows} rows"


def moment(text: str) -> dt.datetime:
    """Give an instant; without an offset it is UTC."""
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _added(bins: Mapping[str, Sketch], windows: Iterable[Columns]) -> dict[str, Sketch]:
    found = {name: sketch.empty() for name, sketch in bins.items()}
    for window in windows:
        for name, sketch in found.items():
            if name in window:
                sketch.merge(read_sketch({**_parts_of_baseline(bins[name]), **window[name]}))
    for sketch in found.values():
        if isinstance(sketch, ValueSketch):
            sketch.settle()
    return found


def _shortened(columns: Mapping[str, Sketch]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in sketch.document().items() if key not in _OF_BASELINE}
        for name, sketch in columns.items()
    }


def _parts_of_baseline(sketch: Sketch) -> dict[str, Any]:
    return {key: value for key, value in sketch.document().items() if key in _OF_BASELINE}
