"""What a profile warns of: leaks, columns that say nothing or say the same, a target that is out of balance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LEAK_STRENGTH = 0.95
MISSING_STRENGTH = 0.8
CLOCK_CORRELATION = 0.95
TWIN = 0.999
RAREST_SHARE = 0.01

Document = Mapping[str, Any]
MEASURES = {"pearson": "correlation", "cramers_v": "Cramér's V"}


def findings(described: Document) -> list[dict[str, Any]]:
    """Returns the warnings as ``{"kind", "columns", "text"}``: the target's, then each column's, then of pairs."""
    found = [*_about_target(described)]
    for name, column in described["columns"].items():
        found += _about_column(name, column, described)
    for pair in described["pairs"]:
        if abs(pair["value"]) >= TWIN:
            found.append(_about_twins(pair))
    return found


def finding(kind: str, text: str, *columns: str) -> dict[str, Any]:
    """Returns one warning."""
    return {"kind": kind, "columns": list(columns), "text": text}


def _about_target(described: Document) -> Iterator[dict[str, Any]]:
    target = described["target"]
    name, share = target["name"], target["share"]
    if share is None:
        return
    if "quantiles" in target:
        if target["min"] == target["max"]:
            yield finding("one_class", f"{name} has the same value in every row", name)
    elif "values" in target:
        yield from _about_classes(name, target["values"], described["rows"])
    elif share in (0.0, 1.0):
        yield finding("one_class", f"{name} is {str(share == 1.0).lower()} in every row", name)
    elif min(share, 1 - share) < RAREST_SHARE:
        yield finding("rare_class", f"{name} holds in {share:.2%} of the rows only: one of its classes is rare", name)


def _about_classes(name: str, values: Sequence[Document], total: int) -> Iterator[dict[str, Any]]:
    rare = [item for item in values if item["rows"] < RAREST_SHARE * total]
    if len(values) == 1:
        yield finding("one_class", f"{name} has the same value in every row", name)
    elif rare:
        share = sum(item["rows"] for item in rare) / total
        text = f"{len(rare)} of {len(values)} classes of {name} are rare: together they have {share:.2%} of the rows"
        yield finding("rare_class", text, name)


def _about_column(name: str, column: Document, described: Document) -> Iterator[dict[str, Any]]:
    if column["missing"] == described["rows"]:
        yield finding("empty", f"{name} has no value in any row", name)
        return
    if column["distinct"] <= 1 and not column["missing"]:
        yield finding("constant", f"{name} has the same value in every row", name)
        return
    if column["identifies"]:
        yield finding("identifier", f"{name} has a value of its own in nearly every row: does it name the row?", name)
    yield from _about_leaks(name, column, described["target"])
    clock = column.get("clock")
    if clock is not None and abs(clock) >= CLOCK_CORRELATION:
        text = f"{name} follows the event time (correlation {clock:.3f}): the newest rows have values never seen before"
        yield finding("clock", text, name)


def _about_leaks(name: str, column: Document, target: Document) -> Iterator[dict[str, Any]]:
    strength, missing = column["strength"], column["missing_strength"]
    if strength is not None and strength == 1.0:
        what = "whether the target is above its median" if "quantiles" in target else "the target"
        yield finding("copy", f"{name} decides {what} in every row: is it the target by another name?", name)
    elif strength is not None and strength >= LEAK_STRENGTH:
        told = f"{name} alone tells the target almost surely (strength {strength:.3f})"
        yield finding("leak", f"{told}: is it known before the event?", name)
    if missing is not None and missing >= MISSING_STRENGTH:
        told = f"whether {name} is missing tells the target (strength {missing:.3f})"
        yield finding("missing_leak", f"{told}: is it filled in after the event?", name)


def _about_twins(pair: Document) -> dict[str, Any]:
    left, right, measure = pair["left"], pair["right"], MEASURES[pair["measure"]]
    text = f"{left} and {right} say nearly the same ({measure} {pair['value']:.3f}): is one of them enough?"
    return finding("twins", text, left, right)
