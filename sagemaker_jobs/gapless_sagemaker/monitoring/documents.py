"""What the monitor found, in the formats of Amazon SageMaker Model Monitor.

Its Developer Guide publishes them under "Schema for Statistics", "Schema for Constraints" and "Schema for Violations",
so whoever reads Model Monitor's files reads these. ``kll`` has the buckets and no sketch: bins are counted exactly.
Violations have ``details`` beside, and checks that Model Monitor has not, such as ``range_check``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from gapless_sagemaker.monitoring.checks import Finding
from gapless_sagemaker.monitoring.limits import Limits, finite
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch, ValueSketch

MOST_DOMAIN: Final = 50
BUCKETS: Final = 10
_VERSION: Final = 0

Document = dict[str, Any]


def statistics(columns: Mapping[str, Sketch], rows: int, withheld: Collection[str] = ()) -> Document:
    """Give ``statistics.json``.

    Args:
        columns: Feature → sketch of what was served.
        rows: How many rows there were.
        withheld: Features whose values are not shown; they are counted.
    """
    features = [
        _numbers(name, each) if isinstance(each, NumberSketch) else _values(name, each, shown=name not in withheld)
        for name, each in columns.items()
    ]
    return {"version": _VERSION, "dataset": {"item_count": rows}, "features": features}


def _common(sketch: Sketch) -> Document:
    return {"num_present": sketch.present, "num_missing": sketch.missing}


def _numbers(name: str, sketch: NumberSketch) -> Document:
    figures: Document = {"common": _common(sketch)}
    if sketch.present:
        figures |= {
            "mean": sketch.mean,
            "sum": sketch.total,
            "std_dev": sketch.deviation,
            "min": sketch.least,
            "max": sketch.most,
            "distribution": {"kll": {"buckets": _buckets(sketch)}},
        }
    kind = "Integral" if sketch.whole else "Fractional"
    return {"name": name, "inferred_type": kind, "numerical_statistics": figures}


def _buckets(sketch: NumberSketch) -> list[Document]:
    """Give a few buckets between the smallest and the greatest number, cut where bins end."""
    points = np.append(sketch.edges, sketch.most)
    cuts = np.unique(np.linspace(0, len(points), BUCKETS + 1).round().astype(int))
    found = []
    lower = sketch.least
    for first, last in pairwise(cuts.tolist()):
        upper = float(min(max(points[last - 1], lower), sketch.most)) if last < len(points) else sketch.most
        found.append({"lower_bound": lower, "upper_bound": upper, "count": int(sketch.counts[first:last].sum())})
        lower = upper
    return found


def _values(name: str, sketch: ValueSketch, *, shown: bool) -> Document:
    counted = {**sketch.counts, **sketch.new}
    buckets = [
        {"value": value, "count": counted[value]} for value in sorted(counted, key=lambda each: (-counted[each], each))
    ]
    return {
        "name": name,
        "inferred_type": "String",
        "string_statistics": {
            "common": _common(sketch),
            "distinct_count": len(counted),
            **({"distribution": {"categorical": {"buckets": buckets[:MOST_DOMAIN]}}} if shown else {}),
        },
    }


def constraints(columns: Mapping[str, Sketch], limits: Limits, withheld: Collection[str] = ()) -> Document:
    """Give ``constraints.json`` of a baseline; arguments as for ``statistics``."""
    return {
        "version": _VERSION,
        "features": [_constraint(name, sketch, shown=name not in withheld) for name, sketch in columns.items()],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 0.99,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": limits.matters["l_infinity"],
                "comparison_method": "Robust",
            },
        },
    }


def _constraint(name: str, sketch: Sketch, *, shown: bool) -> Document:
    rows = sketch.present + sketch.missing
    common = {"name": name, "completeness": sketch.present / rows if rows else 0.0}
    if isinstance(sketch, NumberSketch):
        kind = "Integral" if sketch.whole else "Fractional"
        return {**common, "inferred_type": kind, "num_constraints": {"is_non_negative": sketch.least >= 0}}
    few = shown and not sketch.others and len(sketch.known) <= MOST_DOMAIN
    domain = {"string_constraints": {"domains": sorted(sketch.known)}} if few else {}
    return {**common, "inferred_type": "String", **domain}


def violations(findings: Iterable[Finding]) -> Document:
    """Give ``constraint_violations.json``."""
    return {
        "violations": [
            {
                "feature_name": each.column,
                "constraint_check_type": each.check,
                "description": each.text,
                "details": {
                    "measured": finite(each.measured),
                    "allowed": finite(each.allowed),
                    "distances": {
                        name: {part: finite(value) for part, value in parts.items()}
                        for name, parts in each.distances.items()
                    },
                },
            }
            for each in findings
        ]
    }
