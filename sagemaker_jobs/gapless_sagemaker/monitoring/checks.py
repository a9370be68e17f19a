"""The checks of a window of served rows against its baseline; each gives findings with what was measured and allowed.

Names of checks are those of Amazon SageMaker Model Monitor's ``constraint_violations.json`` where it has one.

| check | finds |
|---|---|
| ``missing_column_check``, ``extra_column_check`` | a feature that no row has; one that the model does not know |
| ``completeness_check`` | more rows without a value than the baseline had |
| ``data_type_check`` | rows with a value of another type |
| ``range_check`` | numbers outside of all that the baseline had, in more rows than the tails of it explain |
| ``categorical_values_check`` | values that the baseline does not have |
| ``baseline_drift_check`` | a distribution that has moved; by which distances, is in the finding |
| ``prediction_drift_check`` | the same of the model's answers |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from gapless_sagemaker.monitoring.distances import (
    Floats,
    chi_square,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    largest_difference,
    psi,
)
from gapless_sagemaker.monitoring.limits import Limits, Sizes, by_chance, finite, two_shares
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch, ValueSketch, pooled

MISSING_COLUMN: Final = "missing_column_check"
EXTRA_COLUMN: Final = "extra_column_check"
COMPLETENESS: Final = "completeness_check"
DATA_TYPE: Final = "data_type_check"
RANGE: Final = "range_check"
NEW_VALUES: Final = "categorical_values_check"
DRIFT: Final = "baseline_drift_check"
PREDICTION_DRIFT: Final = "prediction_drift_check"

CHECKS: Final = (MISSING_COLUMN, EXTRA_COLUMN, COMPLETENESS, DATA_TYPE, RANGE, NEW_VALUES, DRIFT, PREDICTION_DRIFT)

FEWEST_ROWS: Final = 100
"""With fewer rows, of the baseline or of now, distributions are not compared: a handful tells nothing."""


@dataclass(frozen=True)
class Tolerance:
    """What shares of a column's rows may be, before a finding is made of it and chance is asked.

    Args:
        missing: By how much the share of missing values may be above the baseline's.
        wrong_type: Share of rows with another type.
        out_of_range: Share of rows outside of the baseline's range.
        new_values: Share of rows with a value that the baseline does not have.
    """

    missing: float = 0.05
    wrong_type: float = 0.0
    out_of_range: float = 0.01
    new_values: float = 0.01


@dataclass(frozen=True)
class Finding:
    """One broken check of one column.

    Args:
        column: The feature, or the part of the prediction.
        check: One of :data:`CHECKS`.
        measured, allowed: Of what the check measures.
        text: Both in words, without any value out of the rows.
        distances: Distance → ``{"value", "matters", "chance"}``, of drift.
    """

    column: str
    check: str
    measured: float
    allowed: float
    text: str
    distances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Give the finding as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Compared:
    """One column, then and now.

    Args:
        name: The column.
        before, now: Its sketches.
        rows: Rows of the window, whether they have the column or not.
    """

    name: str
    before: Sketch
    now: Sketch
    rows: int


def check_columns(
    before: Mapping[str, Sketch],
    now: Mapping[str, Sketch],
    *,
    rows: int,
    absent: Mapping[str, int],
    extra: Mapping[str, int],
    limits: Limits,
    tolerance: Tolerance,
) -> tuple[list[Finding], dict[str, dict[str, Any]]]:
    """Check every feature.

    Args:
        before, now: Sketches by feature.
        rows: Rows of the window.
        absent: Feature → rows that do not have it at all.
        extra: Column that is no feature → rows that have it.

    Returns:
        The findings, and per feature what was measured: distance → ``{"value", "matters", "chance"}``.
    """
    findings: list[Finding] = []
    measured: dict[str, dict[str, Any]] = {}
    alpha = limits.share(len(before))
    for name, sketch in before.items():
        compared = Compared(name, sketch, now[name], rows)
        if rows and absent.get(name, 0) == rows:
            findings.append(Finding(name, MISSING_COLUMN, 1.0, 0.0, f"{name} is missing in all {rows} rows"))
            continue
        findings += _check_values(compared, alpha, tolerance)
        measured[name] = distances(sketch, now[name], limits, len(before))
        findings += drift(name, measured[name], DRIFT)
    for name, count in extra.items():
        text = f"{name} is in {count} of {rows} rows and no feature of the model"
        findings.append(Finding(name, EXTRA_COLUMN, count / rows if rows else 0.0, 0.0, text))
    return findings, measured


def check_predictions(
    before: Mapping[str, Sketch], now: Mapping[str, Sketch], limits: Limits
) -> tuple[list[Finding], dict[str, dict[str, Any]]]:
    """Check the distribution of the model's answers."""
    measured = {name: distances(sketch, now[name], limits, len(before)) for name, sketch in before.items()}
    return [found for name in before for found in drift(name, measured[name], PREDICTION_DRIFT)], measured


# --- values ----------------------------------------------------------------------------------------------------------


def _check_values(compared: Compared, alpha: float, tolerance: Tolerance) -> Iterator[Finding]:
    before, now = compared.before, compared.now
    yield from _completeness(compared, alpha, tolerance.missing)
    given = now.present + now.wrong
    if given and now.wrong / given > tolerance.wrong_type:
        share = now.wrong / given
        text = f"{compared.name} has another type in {now.wrong} of {given} rows"
        yield Finding(compared.name, DATA_TYPE, share, tolerance.wrong_type, text)
    if isinstance(before, NumberSketch) and isinstance(now, NumberSketch):
        yield from _range(compared.name, before, now, alpha, tolerance.out_of_range)
    if isinstance(before, ValueSketch) and isinstance(now, ValueSketch):
        yield from _new_values(compared.name, before, now, alpha, tolerance.new_values)


def _completeness(compared: Compared, alpha: float, allowed: float) -> Iterator[Finding]:
    before, now = compared.before, compared.now
    then = (before.missing, before.missing + before.present + before.wrong)
    today = (now.missing, now.missing + now.present + now.wrong)
    if not then[1] or not today[1]:
        return
    shares = then[0] / then[1], today[0] / today[1]
    if shares[1] - shares[0] > allowed and two_shares(then, today) < alpha:
        text = f"{compared.name} is missing in {shares[1]:.1%} of the rows, in {shares[0]:.1%} of the baseline's"
        yield Finding(compared.name, COMPLETENESS, shares[1], shares[0] + allowed, text)


def _range(name: str, before: NumberSketch, now: NumberSketch, alpha: float, allowed: float) -> Iterator[Finding]:
    """Numbers above the last edge, the baseline's greatest, or below the first one, its smallest."""
    if not before.present or not now.present:
        return
    outside = float(now.counts[-1]) + now.below
    share = outside / now.present
    if share > allowed and two_shares((0, before.present), (outside, now.present)) < alpha:
        text = f"{name} lies outside of the baseline's range in {share:.1%} of the rows"
        yield Finding(name, RANGE, share, allowed, text)


def _new_values(name: str, before: ValueSketch, now: ValueSketch, alpha: float, allowed: float) -> Iterator[Finding]:
    """Values that the baseline does not name; where it has rare ones, only what goes beyond their share is new."""
    if not before.present or not now.present:
        return
    rare, share = before.others / before.present, now.unknown / now.present
    p_value = two_shares((before.others, before.present), (now.unknown, now.present))
    if share - rare > allowed and p_value < alpha:
        count = len(now.new)
        text = f"{name} has values that the baseline does not have, at least {count}, in {share:.1%} of the rows"
        yield Finding(name, NEW_VALUES, share, rare + allowed, text)


# --- distributions ---------------------------------------------------------------------------------------------------


def distances(before: Sketch, now: Sketch, limits: Limits, columns: int) -> dict[str, dict[str, float]]:
    """Measure how far a column has moved.

    Returns:
        Distance → ``{"value", "matters", "chance"}``; nothing while there are too few rows.
    """
    if before.present < FEWEST_ROWS or now.present < FEWEST_ROWS:
        return {}
    if isinstance(before, NumberSketch) and isinstance(now, NumberSketch):
        found = _of_numbers(before, now)
    elif isinstance(before, ValueSketch) and isinstance(now, ValueSketch):
        found = _of_values(before.vector(), now.vector())
    else:
        raise TypeError(f"sketches of two kinds: {before.kind} and {now.kind}")
    alpha = limits.share(columns * len(found))
    return {
        name: {
            "value": value,
            "matters": limits.matters[name],
            "chance": by_chance(_CHANCE_OF.get(name, name), Sizes(counts[0], counts[1], alpha)) * unit,
        }
        for name, (value, counts, unit) in found.items()
    }


Counts = tuple[Floats, Floats]

_CHANCE_OF: Final = {"wasserstein": "kolmogorov_smirnov"}
"""Area between two distribution functions is at most the range times their largest difference."""


def _of_numbers(before: NumberSketch, now: NumberSketch) -> dict[str, tuple[float, Counts, float]]:
    fine, coarse = (before.counts, now.counts), pooled(before.counts, now.counts)
    found: dict[str, tuple[float, Counts, float]] = {
        "psi": (psi(*coarse), coarse, 1.0),
        "kolmogorov_smirnov": (kolmogorov_smirnov(*fine), fine, 1.0),
        "jensen_shannon": (jensen_shannon(*coarse), coarse, 1.0),
        "cramers_v": (_v(coarse), coarse, 1.0),
    }
    if before.deviation:
        spread = (max(before.most, now.most) - min(before.least, now.least)) / before.deviation
        found["wasserstein"] = (before.moved(now) / before.deviation, fine, spread)
    return found


def _of_values(before: Floats, now: Floats) -> dict[str, tuple[float, Counts, float]]:
    counts = (before, now)
    return {
        "psi": (psi(*counts), counts, 1.0),
        "jensen_shannon": (jensen_shannon(*counts), counts, 1.0),
        "l_infinity": (largest_difference(*counts), counts, 1.0),
        "cramers_v": (_v(counts), counts, 1.0),
    }


def _v(counts: Counts) -> float:
    statistic, _ = chi_square(*counts)
    return cramers_v(statistic, float(counts[0].sum() + counts[1].sum()))


def drift(name: str, measured: Mapping[str, Mapping[str, float]], check: str) -> Iterator[Finding]:
    """Give the finding of a column that has moved by any distance, the one that is farthest above its limit."""
    broken = {key: each for key, each in measured.items() if each["value"] > max(each["matters"], each["chance"])}
    if not broken:
        return
    worst = max(broken, key=lambda key: broken[key]["value"] / max(broken[key]["matters"], broken[key]["chance"]))
    value, allowed = broken[worst]["value"], max(broken[worst]["matters"], broken[worst]["chance"])
    text = f"{name} has moved: {worst} {value:.3f}, allowed {allowed:.3f}; by {', '.join(sorted(broken))}"
    yield Finding(name, check, value, allowed, text, measured)


def worst(measured: Mapping[str, Mapping[str, Mapping[str, float]]], distance: str) -> float | None:
    """Give the largest value of one distance over all columns; None while nothing was measured."""
    values = [each[distance]["value"] for each in measured.values() if distance in each]
    return finite(max(values)) if values else None
