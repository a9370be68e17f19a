"""``floor``: a metric of the candidate reaches the workload's limit.

At least the limit for a metric of which more is better, at most the limit for any other. What is judged is the figure
on the test split; its interval stands in the reason. There is a rule for the metric that decides, unless it has no
limit, and one for each further metric that has one.
"""

from __future__ import annotations

from judge_model.rules import Document, Rule, at, figure, higher_is_better, reaches, within


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:
    """Judge every floor."""
    floors = {**({gate["metric"]: gate["floor"]} if "floor" in gate else {}), **gate["floors"]}
    limits = {metric: figure(floors, metric, "the gate's floors") for metric in floors}
    return [_floor(evaluation, metric, limit, problem) for metric, limit in limits.items()]


def _floor(evaluation: Document, metric: str, limit: float, problem: str) -> Rule:
    higher = higher_is_better(problem, metric)
    allowed = f"allowed is {at(limit, higher=higher)}"
    if metric not in evaluation["metrics"]:
        reason = f"{metric} is not defined on these rows; {allowed}"
        return {"rule": "floor", "limit": limit, "value": None, "passed": False, "reason": reason}
    value = figure(evaluation["metrics"], metric, "the candidate's metrics")
    reason = f"{metric} is {value:.4f}{within(evaluation['intervals'].get(metric))}; {allowed}"
    passed = reaches(value, limit, higher=higher)
    return {"rule": "floor", "limit": limit, "value": value, "passed": passed, "reason": reason}
