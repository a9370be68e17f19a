"""Checks by family: the worst value and the number of violations of each, which become one metric each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gapless_sagemaker.monitoring import attributions, bias, checks, quality
from gapless_sagemaker.monitoring.checks import Finding, worst

SCHEMA, COMPLETENESS, DRIFT, PREDICTIONS = "schema", "completeness", "drift", "predictions"
QUALITY, BIAS, ATTRIBUTIONS = "quality", "bias", "attributions"

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    SCHEMA: (
        checks.MISSING_COLUMN,
        checks.EXTRA_COLUMN,
        checks.DATA_TYPE,
        checks.RANGE,
        checks.NEW_VALUES,
    ),
    COMPLETENESS: (checks.COMPLETENESS,),
    DRIFT: (checks.DRIFT,),
    PREDICTIONS: (checks.PREDICTION_DRIFT,),
    QUALITY: (quality.QUALITY,),
    BIAS: (bias.BIAS_DRIFT,),
    ATTRIBUTIONS: (attributions.ATTRIBUTION_DRIFT,),
}
"""Family → the checks in it."""


def families(findings: Iterable[Finding], looked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give ``{"violations": count, "worst": value or None}`` of every family that was looked at.

    Args:
        findings: What was found.
        looked: Family → what was measured in it; a family that could not be looked at is not in it.
    """
    found: dict[str, list[float]] = {family: [] for family in FAMILIES if family in looked}
    for each in findings:
        for family, measured in found.items():
            if each.check in FAMILIES[family]:
                measured.append(each.measured)
    return {
        family: {"violations": len(measured), "worst": worst_of(family, looked[family], measured)}
        for family, measured in found.items()
    }


def worst_of(family: str, measured: Any, broken: Sequence[float]) -> float | None:
    """The largest PSI of a distribution; the metric that decides; NDCG; of the others the largest share found.

    Args:
        family: The family.
        measured: What was measured in it.
        broken: What was measured by each broken check of it.
    """
    match family:
        case "drift" | "predictions":
            return worst(measured, "psi")
        case "quality":
            value: float | None = measured["metrics"].get(measured["metric"])
            return value
        case "attributions":
            return float(measured["ndcg"])
    return max(broken, default=0.0)
