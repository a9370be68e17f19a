"""``calibration``: the expected calibration error stays below the workload's limit, if there is one."""

from __future__ import annotations

from judge_model.rules import BadGate, Document, Rule, figure


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:
    """Judge the calibration.

    Raises:
        BadGate: There is a limit, and the evaluation says nothing of calibration.
    """
    if "calibration" not in gate:
        return []
    if evaluation["calibration"] is None:
        raise BadGate(f"calibration of {problem} is not measured; allowed is a gate without it")
    limit = figure(gate["calibration"], "max_error", "the gate's calibration")
    value = figure(evaluation["calibration"], "error", "the calibration")
    groups = evaluation["calibration"]["groups"]
    reason = f"predictions are off by {value:.4f} on average of {groups} groups; allowed is at most {limit:.4f}"
    return [{"rule": "calibration", "limit": limit, "value": value, "passed": value <= limit, "reason": reason}]
