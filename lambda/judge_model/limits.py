"""``limits``: the model is small and quick enough to be served.

What could not be measured breaks its rule.
"""

from __future__ import annotations

from judge_model.rules import Document, Rule


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:  # noqa: ARG001
    """Judge each limit that the workload sets."""
    limits, measured = gate.get("limits", {}), evaluation["limits"]
    latency = measured["latency_ms"]
    figures = {
        "latency_p99_ms": (None if latency is None else latency["p99"], "one request takes", "ms in 99 of 100 cases"),
        "bytes": (measured["bytes"], "the unpacked archive has", "bytes"),
    }
    return [_rule(limits[name], *figures[name]) for name in figures if name in limits]


def _rule(limit: float, value: float | None, what: str, unit: str) -> Rule:
    allowed = f"allowed is at most {limit:,.10g}"
    if value is None:
        reason = f"what {what} is not known, since the model does not run inside the evaluation; {allowed}"
        return {"rule": "limits", "limit": limit, "value": None, "passed": False, "reason": reason}
    shown = f"{value:,d}" if isinstance(value, int) else f"{value:.2f}"
    reason = f"{what} {shown} {unit}; {allowed}"
    return {"rule": "limits", "limit": limit, "value": value, "passed": value <= limit, "reason": reason}
