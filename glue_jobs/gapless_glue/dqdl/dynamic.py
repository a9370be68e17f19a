"""What of a rule depends on earlier results, and by which names its results are kept for later ones.

A metric has the name that AWS Glue publishes. Where several rules of a table share that name, CustomSql with two
statements for example, each has a series of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gapless_glue.dqdl.catalogue import WATCHED
from gapless_glue.dqdl.history import LEAST_HISTORY, number_of
from gapless_glue.dqdl.language import AnyRule, Arithmetic, Call, Condition, Number, Operand, Rule, is_dynamic, leaves
from gapless_glue.dqdl.render import rule_text

MOST_HISTORY: Final = 100
"""How many earlier results DetectAnomalies looks at, at most: the newest."""
SHARES: Final = (".Compliance", ".ReferentialIntegrity")
"""Ends of the names of metrics that several rules about a column or a table may share."""


def has_dynamic_condition(rule: AnyRule) -> bool:
    """Tells whether a condition on values, other than a threshold, depends on earlier results."""
    return any(any(map(is_dynamic, leaf.condition.operands)) for leaf in leaves(rule) if leaf.condition is not None)


def results_read(rule: AnyRule) -> int:
    """How many of the newest earlier results a rule looks at; 0 for a rule that looks at none."""
    return max((_read(leaf) for leaf in leaves(rule)), default=0)


def results_needed(rule: AnyRule) -> int:
    """How many earlier results there must be for a rule to mean what it says; 0 where it needs none."""
    return max((_needed(leaf) for leaf in leaves(rule)), default=0)


def missing_history(rule: AnyRule, names: Iterable[str], history: Mapping[str, Sequence[float]]) -> str | None:
    """Says what a rule lacks of the earlier results that it needs; nothing where it lacks none.

    Args:
        rule: The rule.
        names: The series that it was measured as.
        history: Series → earlier values.
    """
    needed = results_needed(rule)
    short = {name: len(history.get(name, ())) for name in names if len(history.get(name, ())) < needed}
    if not short:
        return None
    name, count = min(short.items(), key=lambda item: item[1])
    return f"{name}: {count} earlier results, {needed} are needed"


def watched(rule: Rule) -> Rule:
    """Returns the measurement that a DetectAnomalies rule watches, as a rule without a condition."""
    metric, *parameters = rule.parameters
    return Rule(WATCHED[metric], tuple(parameters), text=rule.text, line=rule.line, column=rule.column)


def series(rule: Rule, metric: str) -> str:
    """Returns the name by which a rule's metric is kept: the metric's own, where no other rule of the table has it."""
    if rule.type == "DetectAnomalies":
        return series(watched(rule), metric)
    if rule.type == "CustomSql":
        return f"{metric} {_digest(' '.join(rule.parameters[0].split()))}"
    if metric.partition(" where ")[0].endswith(SHARES):
        return f"{metric} {_digest(rule_text(replace(rule, condition=_kept(rule), threshold=None, labels={})))}"
    return metric


def _kept(rule: Rule) -> Condition | None:
    """The condition, where it says what is measured and not which share is enough."""
    return None if rule.type == "ReferentialIntegrity" else rule.condition


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _conditions(rule: Rule) -> list[Condition]:
    return [condition for condition in (rule.condition, rule.threshold) if condition is not None]


def _calls(rule: Rule) -> list[Call]:
    return [call for condition in _conditions(rule) for operand in condition.operands for call in _calls_in(operand)]


def _calls_in(operand: Operand) -> list[Call]:
    """The calls in an operand, and in their arguments."""
    if isinstance(operand, Arithmetic):
        return _calls_in(operand.left) + _calls_in(operand.right)
    if isinstance(operand, Call):
        return [operand, *[call for argument in operand.arguments for call in _calls_in(argument)]]
    return []


def _read(rule: Rule) -> int:
    if rule.type == "DetectAnomalies":
        return MOST_HISTORY
    wanted = [call.arguments[0] if call.arguments else Number("1") for call in _calls(rule) if call.name == "last"]
    return max((int(number_of(number)) for number in wanted), default=0)


def _needed(rule: Rule) -> int:
    if rule.type == "DetectAnomalies":
        return LEAST_HISTORY
    calls = _calls(rule)
    places = [int(number_of(call.arguments[1])) + 1 for call in calls if call.name == "index"]
    return max([1, *places]) if calls else 0
