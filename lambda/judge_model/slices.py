"""``slices``: on every slice with enough rows the metric that decides may reach the workload's limit, if there is one.

A slice breaks the rule when the limit lies beyond the better end of its interval: of many slices some look bad by
chance. There is a rule per slice; one with too few rows, or without an interval, holds, and says so.
"""

from __future__ import annotations

from judge_model.rules import Document, Rule, at, figure, higher_is_better, reaches, within


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:
    """Judge every slice."""
    if "slices" not in gate:
        return []
    limit = figure(gate["slices"], "floor", "the gate's slices")
    higher = higher_is_better(problem, gate["metric"])
    return [_slice(each, gate["metric"], limit, higher=higher) for each in evaluation["slices"]]


def _slice(part: Document, metric: str, limit: float, *, higher: bool) -> Rule:
    name = f"{part['column']}: {part['slice']}"
    interval = part["interval"]
    if not part["enough"]:
        return _rule(limit, None, True, f"{name} has {part['rows']} rows, too few to judge")
    if interval is None:
        return _rule(limit, None, True, f"{name} cannot be judged: {metric} has no interval on its {part['rows']} rows")
    value = figure(part["metrics"], metric, f"slice {name}")
    best = figure(interval, "high" if higher else "low", f"the interval of slice {name}")
    reason = (
        f"{metric} on {name} is {value:.4f}{within(interval)} of {part['rows']} rows; "
        f"allowed is an interval that reaches {at(limit, higher=higher)}"
    )
    return _rule(limit, value, reaches(best, limit, higher=higher), reason)


def _rule(limit: float, value: float | None, passed: bool, reason: str) -> Rule:
    return {"rule": "slices", "limit": limit, "value": value, "passed": passed, "reason": reason}
