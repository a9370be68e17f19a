"""Two profiles held against each other: which columns came, went and changed, and by how much.

How far a column has moved is its population stability index over bins of the earlier profile, PSI = Σ (a - e) ln(a / e)
with the share e of a bin then and a now (Siddiqi, "Credit Risk Scorecards", 2006; above 0.25 is a shift). With n rows
then and m now, PSI of rows of the same kind is about (1/n + 1/m) times a chi-square of as many degrees of freedom as
there are bins but one (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of
Risk Model Validation 14, 2020). So few rows need a larger shift before anyone is warned.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from gapless_glue.profile.bins import OTHER
from gapless_glue.profile.findings import finding
from gapless_glue.profile.pairs import MOST_CATEGORIES

SHIFT = 0.25
SURE = 3.09
"""Standard normal quantile of 99.9 %: chance alone warns of one column in a thousand."""
NOTABLE_SHARE = 0.05
NOTABLE_VALUE_SHARE = 0.01
HALF = 0.5

Document = Mapping[str, Any]


def compare(before: Document, now: Document) -> dict[str, Any]:
    """Returns what changed from one profile to another, as JSON types, with warnings as ``findings`` has them.

    Args:
        before: The earlier profile, as ``profile`` made it.
        now: The later one.
    """
    old, new = before["columns"], now["columns"]
    same = [name for name in new if name in old and new[name]["type"] == old[name]["type"]]
    columns = {name: _compare_column(old[name], new[name], before, now) for name in same}
    compared = {
        "rows": [before["rows"], now["rows"]],
        "target": _compare_target(before, now),
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "retyped": {
            name: [old[name]["type"], new[name]["type"]] for name in new if name in old and name not in columns
        },
        "columns": columns,
    }
    return {**compared, "warnings": list(_warnings(compared))}


def _compare_column(old: Document, new: Document, before: Document, now: Document) -> dict[str, Any]:
    shares = [old["missing_share"], new["missing_share"]]
    counts = _number_counts(old, new, before, now) if "quantiles" in old else _value_counts(old, new)
    found: dict[str, Any] = {
        "missing_share": shares,
        "missing_changed": _changed(shares, [before["rows"], now["rows"]]),
        "psi": None,
        "psi_limit": None,
        **_moved(counts),
    }
    return found if "quantiles" in old else {**found, **_changed_values(old, new)}


def _compare_target(before: Document, now: Document) -> dict[str, Any]:
    """Shares of what holds; of a number or class whether it has moved, as of a column."""
    old, new = before["target"], now["target"]
    found = {"name": new["name"], "share": [old["share"], new["share"]]}
    if old["name"] != new["name"]:
        return found
    kinds = [{"quantiles", "values"} & target.keys() for target in (old, new)]
    if kinds == [{"quantiles"}, {"quantiles"}]:
        return found | _moved(_number_counts(old, new, before, now))
    return found | _moved(_value_counts(old, new)) if kinds == [{"values"}, {"values"}] else found


def _moved(counts: tuple[list[float], list[float]] | None) -> dict[str, Any]:
    return {} if counts is None else {"psi": psi(*counts), "psi_limit": shift_limit(*counts)}


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """Returns the population stability index of counts in the same bins; half a row is added to each bin."""
    total_before, total_now = sum(before) + HALF * len(before), sum(now) + HALF * len(now)
    index = 0.0
    for count_before, count_now in zip(before, now, strict=True):
        expected, actual = (count_before + HALF) / total_before, (count_now + HALF) / total_now
        index += (actual - expected) * math.log(actual / expected)
    return index


def shift_limit(before: Sequence[float], now: Sequence[float]) -> float:
    """Returns the index above which counts differ both noticeably and by more than chance.

    The chi-square quantile is Wilson and Hilferty's ("The distribution of chi-square", PNAS 17, 1931).
    """
    degrees = max(1, len(before) - 1)
    part = 2 / (9 * degrees)
    quantile = degrees * (1 - part + SURE * math.sqrt(part)) ** 3
    return max(SHIFT, quantile * (1 / sum(before) + 1 / sum(now)))


def _number_counts(
    old: Document, new: Document, before: Document, now: Document
) -> tuple[list[float], list[float]] | None:
    """Rows per bin, of bins that end at the earlier profile's tenths; two more lie outside of all it had."""
    if not old["quantiles"] or not new["quantiles"]:
        return None
    found = []
    for column, whole in ((old, before), (new, now)):
        rows = round((1 - column["missing_share"]) * whole["sample_rows"])
        cumulated = _cumulated(column["quantiles"], old["quantiles"][0::10])
        found.append([rows * (high - low) for low, high in pairwise([0.0, *cumulated, 1.0])])
    return (found[0], found[1]) if sum(found[0]) and sum(found[1]) else None


def _cumulated(quantiles: Sequence[float], edges: Sequence[float]) -> list[float]:
    """The share of values below the first edge, then those up to each edge.

    What is beyond the outer edges is one part in a hundred at least, or nothing: the outer percentiles say where the
    extremes are, and not how many rows are near them.
    """
    below = _share(quantiles, bisect_left(quantiles, edges[0]), edges[0])
    up_to = [_share(quantiles, bisect_right(quantiles, edge), edge) for edge in sorted(set(edges))]
    step = 1 / (len(quantiles) - 1)
    return [below if below >= step else 0.0, *up_to[:-1], up_to[-1] if up_to[-1] <= 1 - step else 1.0]


def _share(quantiles: Sequence[float], place: int, value: float) -> float:
    """The share of values that lie before ``value``, which belongs at a place among the percentiles."""
    if place in (0, len(quantiles)):
        return float(place > 0)
    low, high = quantiles[place - 1], quantiles[place]
    return (place - 1 + (value - low) / (high - low)) / (len(quantiles) - 1)


def _value_counts(old: Document, new: Document) -> tuple[list[float], list[float]] | None:
    """Rows per value, of the earlier profile's most frequent values; all others together."""
    kept = [item["value"] for item in old["values"] if item["value"] != OTHER][:MOST_CATEGORIES]
    found = []
    for column in (old, new):
        rows = {item["value"]: item["rows"] for item in column["values"]}
        known = [float(rows.get(value, 0)) for value in kept]
        found.append([*known, sum(rows.values()) - sum(known)])
    return (found[0], found[1]) if sum(found[0]) and sum(found[1]) else None


def _changed_values(old: Document, new: Document) -> dict[str, Any]:
    """Values that came and went, and which share of the rows they have.

    A value that may have been among the rare ones before, or be among them now, is not listed unless it is frequent.
    """
    came, went = _only_in(new, old), _only_in(old, new)
    return {
        "new_values": [item["value"] for item in came],
        "new_share": _share_of(came, new),
        "vanished_values": [item["value"] for item in went],
        "vanished_share": _share_of(went, old),
    }


def _only_in(one: Document, other: Document) -> list[Document]:
    listed = {item["value"] for item in other["values"]}
    total = sum(item["rows"] for item in one["values"])
    least = NOTABLE_VALUE_SHARE * total if OTHER in listed else 0
    return [
        item
        for item in one["values"]
        if item["value"] not in listed and item["value"] != OTHER and item["rows"] >= least
    ]


def _share_of(items: Sequence[Document], column: Document) -> float:
    total = sum(item["rows"] for item in column["values"])
    return sum(item["rows"] for item in items) / total if total else 0.0


def _changed(shares: Sequence[float | None], rows: Sequence[int]) -> bool:
    """Whether two shares differ notably and by more than chance (two proportions, pooled)."""
    before, now = shares
    if before is None or now is None or abs(now - before) < NOTABLE_SHARE:
        return False
    together = (before * rows[0] + now * rows[1]) / sum(rows)
    deviation = math.sqrt(together * (1 - together) * (1 / rows[0] + 1 / rows[1]))
    return abs(now - before) > SURE * deviation


def _warnings(compared: Document) -> Iterator[dict[str, Any]]:
    yield from _target_warnings(compared["target"], compared["rows"])
    for name in compared["added"]:
        yield finding("added", f"{name} is new", name)
    for name in compared["removed"]:
        yield finding("removed", f"{name} is gone", name)
    for name, (old, new) in compared["retyped"].items():
        yield finding("retyped", f"{name} was {old} and is {new}", name)
    for name, column in compared["columns"].items():
        yield from _column_warnings(name, column)


def _target_warnings(target: Document, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    name = target["name"]
    if "psi" in target:
        if target["psi"] > target["psi_limit"]:
            yield finding("target_moved", f"{name} has moved (PSI {target['psi']:.2f})", name)
    elif _changed(target["share"], rows):
        old, new = target["share"]
        yield finding("target_moved", f"{name} held in {old:.1%} of the rows and now in {new:.1%}", name)


def _column_warnings(name: str, column: Document) -> Iterator[dict[str, Any]]:
    if column["psi"] is not None and column["psi"] > column["psi_limit"]:
        text = (
            f"{name} has moved (PSI {column['psi']:.2f}, chance and small shifts stay below {column['psi_limit']:.2f})"
        )
        yield finding("moved", text, name)
    if column["missing_changed"]:
        old, new = column["missing_share"]
        yield finding("missing_changed", f"{name} was missing in {old:.1%} of the rows and now in {new:.1%}", name)
    for kind, told in (("new", "new values now have"), ("vanished", "values that are gone had")):
        share, values = column.get(f"{kind}_share", 0.0), column.get(f"{kind}_values", [])
        if share >= NOTABLE_VALUE_SHARE:
            # how many, and not which: warnings go into execution histories, which are not governed as the rows are
            yield finding(f"{kind}_values", f"{name}: {len(values)} {told} {share:.1%} of the rows", name)
