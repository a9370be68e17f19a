"""What a window of served rows is compared with: the rows that the model was trained on, by calendar month.

A baseline keeps a sketch of each feature per calendar month of the event time, so that one document serves every
season: served rows of June are compared with earlier Junes where the dataset has them, and with all rows otherwise. It
keeps the model's own answers to the test split and how good they were as well, which later answers are held against.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.monitoring.sketch import Sketch, ValueSketch, learn, read_sketch

FORMAT: Final = 1
EVENT_TIME: Final = "_event_time"
FEWEST_ROWS: Final = 1_000
"""A season with fewer rows in the dataset is compared with all of them."""

Reference = Literal["all", "season"]


class BadBaseline(Exception):
    """A baseline cannot be made or read."""


@dataclass
class Baseline:
    """Sketches by column, for all rows and per calendar month.

    Args:
        columns: Feature → sketch of all rows.
        months: Month, 1 to 12 → feature → sketch.
        predictions: Part of a prediction → sketch of the model's answers to the test split.
        metrics: How good these answers were: metric → value, and ``interval`` of the one that decides.
        importance: Feature → mean absolute attribution, the greatest first.
        dataset: The version that it was made of.
    """

    columns: dict[str, Sketch]
    months: dict[int, dict[str, Sketch]] = field(default_factory=dict)
    predictions: dict[str, Sketch] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)
    dataset: str = ""

    def reference(self, months: Iterable[int], kind: Reference) -> tuple[dict[str, Sketch], str]:
        """Give what to compare with, and what to call it.

        Args:
            months: Calendar months of the served rows.
            kind: All rows, or those of the same months while there are enough of them.
        """
        wanted = sorted(set(months))
        if kind == "season" and wanted and all(month in self.months for month in wanted):
            found = {name: sketch.empty() for name, sketch in self.columns.items()}
            for month in wanted:
                for name, sketch in self.months[month].items():
                    found[name].merge(sketch)
            rows = max((sketch.present + sketch.missing for sketch in found.values()), default=0)
            if rows >= FEWEST_ROWS:
                return found, f"months {', '.join(map(str, wanted))} of the dataset"
        return self.columns, "all rows of the dataset"

    def document(self) -> dict[str, Any]:
        """Give the baseline as JSON types."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "columns": {name: sketch.document() for name, sketch in self.columns.items()},
            "months": {
                str(month): {name: sketch.document() for name, sketch in columns.items()}
                for month, columns in self.months.items()
            },
            "predictions": {name: sketch.document() for name, sketch in self.predictions.items()},
            "metrics": self.metrics,
            "importance": self.importance,
        }


def make_baseline(tables: Iterable[pa.Table], features: Sequence[str], dataset: str = "") -> Baseline:
    """Learn the features of a dataset's rows.

    Args:
        tables: The rows; ``_event_time`` says when they were, where they have it.
        features: Their columns that a model is asked with.

    Raises:
        BadBaseline: There are no rows, or a feature is missing.
    """
    table = pa.concat_tables(list(tables))
    if not table.num_rows:
        raise BadBaseline("the dataset has no rows")
    missing = [name for name in features if name not in table.column_names]
    if missing:
        raise BadBaseline(f"features missing in the dataset: {', '.join(missing)}")
    learnt = {name: learn(table[name]) for name in features}
    columns = {name: sketch for name, sketch in learnt.items() if sketch is not None}
    return Baseline(columns, _by_month(table, columns), dataset=dataset)


def _by_month(table: pa.Table, columns: Mapping[str, Sketch]) -> dict[int, dict[str, Sketch]]:
    if EVENT_TIME not in table.column_names or not pa.types.is_timestamp(table.schema.field(EVENT_TIME).type):
        return {}
    months = pc.month(table[EVENT_TIME])
    found: dict[int, dict[str, Sketch]] = {}
    for month in sorted(pc.unique(months.drop_null()).to_pylist()):
        rows = table.filter(pc.equal(months, month))
        found[month] = {name: sketch.empty() for name, sketch in columns.items()}
        for name, sketch in found[month].items():
            sketch.add(rows[name])
            if isinstance(sketch, ValueSketch):
                sketch.settle()
    return found


def read_baseline(path: Path) -> Baseline:
    """Read what :meth:`Baseline.document` wrote.

    Raises:
        BadBaseline: It is of another format.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise BadBaseline(f"{path.name}: given format {content.get('format')}; allowed is {FORMAT}: make it anew")
    return Baseline(
        columns={name: read_sketch(each) for name, each in content["columns"].items()},
        months={
            int(month): {name: read_sketch(each) for name, each in columns.items()}
            for month, columns in content["months"].items()
        },
        predictions={name: read_sketch(each) for name, each in content["predictions"].items()},
        metrics=content["metrics"],
        importance=content["importance"],
        dataset=content["dataset"],
    )
