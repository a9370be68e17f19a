"""What SageMaker Model Monitor and Clarify found in a window, measured and told as the platform's own monitor does it.

The Amazon SageMaker AI Developer Guide publishes the formats under "Schema for Statistics", "Schema for Violations",
"Model quality metrics", "Bias drift violations", "Feature attribution drift violations" and "Analysis results".

What the formats do not hold stays unknown: the share of rows with another type is in no figure, only in a description
of no promised form; distributions of texts are whole only while every value has a bucket; who was asked when is in
none of them, so there are no seasons.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from gapless_sagemaker.monitoring import checks
from gapless_sagemaker.monitoring.attributions import LEAST, check_attributions
from gapless_sagemaker.monitoring.baseline import Baseline
from gapless_sagemaker.monitoring.families import worst_of
from gapless_sagemaker.monitoring.limits import Limits
from gapless_sagemaker.monitoring.quality import Wanted
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch, ValueSketch

DATA, QUALITY, BIAS, ATTRIBUTIONS = "data", "quality", "bias", "attributions"
KINDS: Final = (DATA, QUALITY, BIAS, ATTRIBUTIONS)
"""SageMaker's kinds of monitors, as the names of their schedules end."""

LOOKS_AT: Final[Mapping[str, tuple[str, ...]]] = {
    DATA: ("schema", "completeness", "drift"),
    QUALITY: ("quality",),
    BIAS: ("bias",),
    ATTRIBUTIONS: ("attributions",),
}
"""Kind to the families of checks that it looks at."""

_FAMILY_OF: Final = {checks.COMPLETENESS: "completeness", checks.DRIFT: "drift"}
"""Checks of columns to their families; all others are about the schema."""

_OF_TYPE: Final = re.compile(r"Only (\d+(?:\.\d+)?)% of data is")
"""How Model Monitor's descriptions tell which share of the values has the type."""

WITHHELD: Final = "the column is sensitive, what was found is in the run's results"

Document = Mapping[str, Any]


class BadResults(Exception):
    """A result of a monitor is not what its format says."""


@dataclass(frozen=True)
class Violation:
    """One broken check.

    Args:
        family: The family that it counts for.
        column, check, text: As the monitor tells it.
        measured: What was measured; None where no figure says it.
    """

    family: str
    column: str
    check: str
    text: str
    measured: float | None

    def document(self, withheld: Collection[str]) -> dict[str, Any]:
        """Give it as JSON types, without what may tell values of a sensitive column."""
        text = WITHHELD if self.family in LOOKS_AT[DATA] and self.column in withheld else self.text
        return {
            "column": self.column,
            "check": self.check,
            "measured": self.measured,
            "allowed": None,
            "text": text,
        }


@dataclass
class Results:
    """What the monitors of a window wrote, and what is measured by it.

    Args:
        baseline: What they compared with.
        documents: Kind to file name to content, of the kinds that have looked.
        now: Feature to sketch of what was served, of the features whose distribution is whole.
    """

    baseline: Baseline
    documents: Mapping[str, Mapping[str, Document]]
    now: dict[str, Sketch] = field(default_factory=dict)

    @classmethod
    def read(cls, folders: Mapping[str, Path], baseline: Baseline) -> Results:
        """Read the results of each kind from its folder.

        Raises:
            BadResults: One is no JSON object, or lacks a part that its format has.
        """
        documents = {
            kind: {path.name: _read(path) for path in sorted(folder.glob("*.json"))} for kind, folder in folders.items()
        }
        results = cls(baseline, documents)
        with _of_its_format("statistics.json of columns"):
            results.now = results._sketches()
        return results

    def of(self, kind: str, name: str) -> Document:
        """Give one document; an empty one where it was not written."""
        return self.documents.get(kind, {}).get(name, {})

    # --- columns -----------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int | None:
        """How many rows were served; None where nobody looked at columns."""
        count = self.of(DATA, "statistics.json").get("dataset", {}).get("item_count")
        return int(count) if count is not None else None

    @property
    def features(self) -> dict[str, Document]:
        """The statistics of each column."""
        return {each["name"]: each for each in self.of(DATA, "statistics.json").get("features", [])}

    def columns(self, limits: Limits) -> dict[str, dict[str, dict[str, float]]]:
        """Give the distances of each feature, without limits: those that count are the monitor's own."""
        return {
            name: {
                key: {"value": each["value"]}
                for key, each in checks.distances(self.baseline.columns[name], now, limits, len(self.now)).items()
            }
            for name, now in self.now.items()
        }

    def _sketches(self) -> dict[str, Sketch]:
        found = {}
        for name, feature in self.features.items():
            before = self.baseline.columns.get(name)
            if before is not None and (sketch := sketch_of(feature, before)) is not None:
                found[name] = sketch
        return found

    def _share(self, name: str, check: str, text: str) -> float | None:
        """Give the share of rows that a check of a column is about; None where nothing says it."""
        feature = self.features.get(name)
        match check:
            case checks.MISSING_COLUMN:
                return 1.0
            case checks.EXTRA_COLUMN:
                return _shares(feature)[0] if feature is not None else 1.0
            case checks.COMPLETENESS if feature is not None:
                return _shares(feature)[1]
            case checks.DATA_TYPE:
                found = _OF_TYPE.search(text)
                return 1.0 - float(found[1]) / 100 if found is not None else None
            case checks.NEW_VALUES:
                sketch = self.now.get(name)
                return sketch.unknown / sketch.present if isinstance(sketch, ValueSketch) and sketch.present else None
        return None

    # --- answers -----------------------------------------------------------------------------------------------------

    def quality(self, problem: str, wanted: Wanted) -> dict[str, Any] | None:
        """Give how good answers were, as the platform's own monitor does; None where nobody looked."""
        statistics = self.of(QUALITY, "statistics.json")
        section = statistics.get(f"{problem}_metrics")
        if section is None:
            return None
        with _of_its_format("statistics.json of answers"):
            metrics = {
                name: float(each["value"])
                for name, each in section.items()
                if isinstance(each, Mapping) and _is_number(each.get("value"))
            }
        return {
            "rows": int(statistics.get("dataset", {}).get("item_count", 0)),
            "metrics": metrics,
            "intervals": {},
            "metric": wanted.metric,
            "reached": wanted.reached,
            "allowed": wanted.allowed,
        }

    def bias(self) -> dict[str, Any] | None:
        """Give the bias metrics of each group; None where nobody looked."""
        facets = self.of(BIAS, "analysis.json").get("post_training_bias_metrics", {}).get("facets")
        if facets is None:
            return None
        with _of_its_format("analysis.json of bias"):
            listed = [
                {
                    "name": f"{column}={group['value_or_threshold']}",
                    "column": column,
                    "group": group["value_or_threshold"],
                    "post_training": {
                        each["name"]: each["value"] for each in group["metrics"] if _is_number(each.get("value"))
                    },
                }
                for column, groups in facets.items()
                for group in groups
            ]
        return {"facets": listed}

    def attributions(self) -> dict[str, Any] | None:
        """Give what features weigh, and NDCG of their order; None where nobody looked."""
        labels = self.of(ATTRIBUTIONS, "analysis.json").get("explanations", {}).get("kernel_shap", {})
        with _of_its_format("analysis.json of attributions"):
            found = [
                check_attributions(self.baseline.importance, each["global_shap_values"], LEAST)[0]
                for each in labels.values()
            ]
        return min(found, key=lambda each: float(each["ndcg"])) if found else None

    # --- what is broken ----------------------------------------------------------------------------------------------

    def violations(self) -> list[Violation]:
        """Give every broken check, in the order of kinds."""
        return [found for kind in KINDS for found in self._violations(kind)]

    def _violations(self, kind: str) -> Iterator[Violation]:
        for each in self.of(kind, "constraint_violations.json").get("violations", []):
            check, text = str(each.get("constraint_check_type")), str(each.get("description", ""))
            column = str(each.get("feature_name") or each.get("facet") or each.get("metric_name") or "all")
            family = _FAMILY_OF.get(check, "schema") if kind == DATA else LOOKS_AT[kind][0]
            measured = self._share(column, check, text) if kind == DATA else self._reached(kind, each)
            yield Violation(family, column, check, text, measured)

    def _reached(self, kind: str, violation: Document) -> float | None:
        if kind != BIAS:
            return None
        for facet in (self.bias() or {"facets": []})["facets"]:
            if (facet["column"], facet["group"]) == (violation.get("facet"), violation.get("facet_value")):
                value: float | None = facet["post_training"].get(violation.get("metric_name"))
                return value
        return None

    def families(self, violations: Sequence[Violation], looked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Give ``{"violations": count, "worst": value or None}`` of each family that was looked at.

        Args:
            violations: What is broken.
            looked: Family to what was measured in it, where that is what counts.
        """
        counts = Counter(each.family for each in violations)
        found = {}
        for family in (family for kind in KINDS if kind in self.documents for family in LOOKS_AT[kind]):
            shares = [each.measured for each in violations if each.family == family and each.measured is not None]
            measured = looked[family] if family in looked else (shares if shares or not counts[family] else None)
            worst = worst_of(family, measured, shares) if measured is not None else None
            found[family] = {"violations": counts[family], "worst": worst}
        return found


@contextmanager
def _of_its_format(name: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadResults(f"{name} has another format: {error!r}") from error


def sketch_of(feature: Document, before: Sketch) -> Sketch | None:
    """Give what was served of a feature in the bins of its baseline; None where its statistics do not tell.

    A number in level ``i`` of a KLL sketch stands for ``2**i`` rows.
    """
    numbers, texts = feature.get("numerical_statistics"), feature.get("string_statistics")
    if isinstance(before, NumberSketch) and numbers is not None:
        return _numbers(numbers, before)
    if isinstance(before, ValueSketch) and texts is not None:
        return _values(texts, before)
    return None


def _numbers(figures: Document, before: NumberSketch) -> NumberSketch | None:
    levels = figures.get("distribution", {}).get("kll", {}).get("sketch", {}).get("data")
    if not levels:
        return None
    now = before.empty()
    values = np.concatenate([np.asarray(level, dtype=np.float64) for level in levels])
    weights = np.concatenate([np.full(len(level), 2.0**place) for place, level in enumerate(levels)])
    counts = np.bincount(np.searchsorted(now.edges, values), weights, len(now.edges) + 1)
    now.counts = counts.astype(np.float64)
    now.missing = int(figures["common"]["num_missing"])
    now.least, now.most = float(figures["min"]), float(figures["max"])
    if len(now.edges):
        now.below = int(weights[values < now.edges[0]].sum())
        now.short = float((np.maximum(now.edges[0] - values, 0.0) * weights).sum())
        now.over = float((np.maximum(values - now.edges[-1], 0.0) * weights).sum())
    return now


def _values(figures: Document, before: ValueSketch) -> ValueSketch | None:
    buckets = figures.get("distribution", {}).get("categorical", {}).get("buckets")
    present = int(figures["common"]["num_present"])
    if buckets is None or sum(int(each["count"]) for each in buckets) < present:
        return None
    now, known = before.empty(), frozenset(before.known)
    for each in buckets:
        if each["value"] in known:
            now.counts[each["value"]] = int(each["count"])
        else:
            now.new[each["value"]] += int(each["count"])
    now.missing = int(figures["common"]["num_missing"])
    return now


def _shares(feature: Document) -> tuple[float, float]:
    """Give the shares of rows with a value, and without one."""
    common = (feature.get("numerical_statistics") or feature.get("string_statistics") or {}).get("common", {})
    present, missing = int(common.get("num_present", 0)), int(common.get("num_missing", 0))
    rows = present + missing
    return (present / rows, missing / rows) if rows else (0.0, 0.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(path: Path) -> Document:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadResults(f"{path.parent.name}/{path.name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadResults(f"{path.parent.name}/{path.name}: given {type(found).__name__}; allowed is an object")
    return found
