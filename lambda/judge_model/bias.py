"""``bias``: each metric that the workload names lies within its bounds, for every facet that it is asked of.

Metrics that need no model are judged on the rows that it was trained on, all others on the held-back test split. A rule
that is judged by the interval is broken only when the whole interval is out of bounds. A metric without a value breaks
its rule: what is asked for has to be shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from judge_model.rules import Document, Rule, within


def judge(evaluation: Document, gate: Document, problem: str) -> list[Rule]:  # noqa: ARG001
    """Judge each rule for each facet."""
    return [judged for rule in gate["bias"] for judged in _of_rule(rule, evaluation["bias"])]


def _of_rule(rule: Document, bias: Document | None) -> Iterator[Rule]:
    if bias is None:
        yield _verdict(rule, None, False, f"{rule['metric']} has no value: the evaluation looked at no facet")
        return
    trained = {facet["name"]: facet for facet in bias["training"]}
    for facet in bias["facets"]:
        if rule.get("facet", facet["column"]) == facet["column"]:
            before = trained.get(facet["name"], facet)
            yield _of_facet(rule, before if rule["metric"] in before["pre_training"] else facet)


def _of_facet(rule: Document, facet: Document) -> Rule:
    metric, name = rule["metric"], facet["name"]
    value = {**facet["pre_training"], **facet["post_training"]}.get(metric)
    if value is None:
        why = facet["reason"] or "it is not defined on these rows"
        return _verdict(rule, None, False, f"{metric} of {name} has no value: {why}")
    interval = facet["intervals"].get(metric)
    if rule["judged_by"] == "interval" and interval is None:
        return _verdict(rule, value, False, f"{metric} of {name} is {value:.4f} and has no interval to be judged by")
    rows = f"{facet['group_rows']} of {facet['rows']} rows"
    reason = f"{metric} of {name} is {value:.4f}{within(interval)} by {rows}; allowed is {_bounds(rule)}"
    return _verdict(rule, value, _holds(rule, value, interval), reason)


def _holds(rule: Document, value: float, interval: Document | None) -> bool:
    low, high = value, value
    if rule["judged_by"] == "interval" and interval is not None:
        low, high = interval["low"], interval["high"]
    return bool(high >= rule.get("at_least", -math.inf) and low <= rule.get("at_most", math.inf))


def _bounds(rule: Document) -> str:
    low, high = rule.get("at_least"), rule.get("at_most")
    if low is None or high is None:
        told = f"at most {high:g}" if low is None else f"at least {low:g}"
    else:
        told = f"{low:g} to {high:g}"
    return f"an interval that reaches {told}" if rule["judged_by"] == "interval" else told


def _verdict(rule: Document, value: float | None, passed: bool, reason: str) -> Rule:
    """Give the rule with the bound that the value is beyond or nearest to."""
    bounds = [rule[name] for name in ("at_least", "at_most") if name in rule]
    limit = min(bounds, key=lambda bound: abs(bound - value)) if value is not None else bounds[0]
    return {"rule": "bias", "limit": limit, "value": value, "passed": passed, "reason": reason}
