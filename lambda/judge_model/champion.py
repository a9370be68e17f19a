"""``champion``: on the same rows the candidate is better than the model approved last, or hardly worse.

The evaluation has compared both by a paired test. The rule holds when the bound that the candidate's advantage exceeds
(but for a share ``level`` of all test splits) is above minus the ``margin``: with a margin of 0 the candidate is better
by more than chance, with a margin above 0 it is not worse by more than that, a test of non-inferiority. Few rows give
wide bounds; then the champion stays. While there is no champion, or where none is required, the rule holds.
"""

from __future__ import annotations

from judge_model.rules import BadGate, Document, Rule, figure, higher_is_better


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:
    """Judge the one comparison.

    Raises:
        BadGate: The margin is negative, or a figure is missing.
    """
    metric, wanted = gate["metric"], gate["champion"]
    higher = higher_is_better(problem, metric)
    margin = figure(wanted, "margin", "the gate's champion")
    if margin < 0:
        raise BadGate(f"margin of the gate's champion negative: {margin}; allowed is 0 or more")
    champion = evaluation["champion"]
    if champion is None:
        return [_rule(None, None, True, "there is no champion yet")]
    comparison = champion["comparison"].get(metric)
    if comparison is None:
        reason = f"{metric} of candidate and champion cannot be compared on these {evaluation['rows']} rows"
        return [_decided(_rule(0 - margin, None, False, reason), wanted)]
    where = "the comparison with the champion"
    bounds = {side: figure(comparison, side, where) for side in ("difference", "low", "high")}
    advantage, least = (bounds["difference"], bounds["low"]) if higher else (-bounds["difference"], -bounds["high"])
    told = "better" if advantage >= 0 else "worse"
    asked = "must be above 0" if margin == 0 else f"must be above {-margin:.4f}"
    reason = (
        f"{metric} is {figure(evaluation['metrics'], metric, 'the candidate'):.4f}, the champion's on the same rows "
        f"{figure(champion['metrics'], metric, 'the champion'):.4f}: {abs(advantage):.4f} {told}; the advantage is at "
        f"least {least:.4f} ({comparison['test']}, level {comparison['level']:g}, p = {comparison['p_value']:.2g}) and "
        f"{asked}"
    )
    return [_decided(_rule(0 - margin, least, least > -margin, reason), wanted)]


def _rule(limit: float | None, value: float | None, passed: bool, reason: str) -> Rule:
    return {"rule": "champion", "limit": limit, "value": value, "passed": passed, "reason": reason}


def _decided(rule: Rule, wanted: Document) -> Rule:
    """Let a rule hold that is not required, and say so."""
    if wanted["required"]:
        return rule
    return {**rule, "passed": True, "reason": f"not required; {rule['reason']}"}
