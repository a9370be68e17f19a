"""Writes rules as DQDL text again, for AWS Glue.

What is added to the published language is taken away: every source gets a document of its own, without a comma after
the last rule. A data job for which missing values break IsComplete only (``skip_missing``, see ``rows``) says so to AWS
Glue by where clauses, so that both give the same verdicts. A ruleset of the Data Catalog knows neither labels nor
analyzers nor rules that compare with earlier results; those it has to do without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gapless_glue.dqdl.language import (
    Analyzer,
    AnyRule,
    Arithmetic,
    Call,
    Clock,
    Composite,
    Condition,
    Day,
    Duration,
    Keyword,
    Now,
    Number,
    Operand,
    Size,
    Text,
    depends_on_history,
)

SKIPPING: Final = ("ColumnValues", "ColumnLength", "ColumnDataType", "DataFreshness")
"""Rule types that missing values break, or may break, on AWS Glue."""


def document(rules: Sequence[AnyRule], analyzers: Sequence[Analyzer] = (), *, skip_missing: bool = False) -> str:
    """Returns the document of one table, as AWS Glue takes it; empty when there is neither rule nor analyzer.

    Args:
        rules: The rules of the table.
        analyzers: What is measured besides.
        skip_missing: Whether missing values are to break IsComplete only.
    """
    texts = [rule_text(with_missing_skipped(rule) if skip_missing else rule) for rule in rules]
    parts = []
    if texts:
        parts.append(_listed("Rules", texts))
    if analyzers:
        parts.append(_listed("Analyzers", [_called(item.type, item.parameters) for item in analyzers]))
    return "\n".join(parts)


def for_catalogue(rules: Sequence[AnyRule]) -> tuple[str, list[AnyRule]]:
    """Returns the document of a ruleset of the Data Catalog, and the rules that it must do without.

    Args:
        rules: The rules of one table; missing values break IsComplete only.
    """
    kept = [replace(rule, labels={}) for rule in rules if not depends_on_history(rule)]
    return document(kept, skip_missing=True), [rule for rule in rules if depends_on_history(rule)]


def with_missing_skipped(rule: AnyRule) -> AnyRule:
    """Returns a rule that looks only at rows with a value, where it does not itself speak of missing values."""
    if isinstance(rule, Composite):
        return replace(rule, parts=tuple(with_missing_skipped(part) for part in rule.parts))
    condition = rule.condition
    if rule.type not in SKIPPING or condition is None or Keyword("NULL") in condition.operands:
        return rule
    name = rule.parameters[0].replace("`", "``")
    there = f"`{name}` is not null"
    return replace(rule, where=there if rule.where is None else f"({rule.where}) and {there}")


def rule_text(rule: AnyRule) -> str:
    """Returns the text of a rule, with its labels."""
    return _unlabelled(rule) + _labels(rule.labels)


def _unlabelled(rule: AnyRule) -> str:
    if isinstance(rule, Composite):
        return f" {rule.operator} ".join(f"({_unlabelled(part)})" for part in rule.parts)
    parts = [_called(rule.type, rule.parameters)]
    if rule.condition is not None:
        parts.append(_condition(rule.condition))
    if rule.where is not None:
        parts.append(f"where {_quoted(rule.where)}")
    if rule.threshold is not None:
        parts.append(f"with threshold {_condition(rule.threshold)}")
    parts += [f"with {name} = {_quoted(value)}" for name, value in rule.tags.items()]
    return " ".join(parts)


def _called(name: str, parameters: Sequence[str]) -> str:
    return " ".join([name, *[_quoted(parameter) for parameter in parameters]])


def _listed(section: str, texts: Sequence[str]) -> str:
    lines = ",\n".join(f"    {text}" for text in texts)
    return f"{section} = [\n{lines}\n]\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = ", ".join(f"{_quoted(name)}={_quoted(value)}" for name, value in labels.items())
    return f" labels=[{pairs}]"


def _condition(condition: Condition) -> str:
    operands = [_operand(operand) for operand in condition.operands]
    negated = "not " if condition.negated else ""
    if condition.operator == "between":
        return f"{negated}between {operands[0]} and {operands[1]}"
    if condition.operator == "in":
        return f"{negated}in [{','.join(operands)}]"
    return f"{negated}{condition.operator} {operands[0]}"


def _operand(operand: Operand) -> str:
    if isinstance(operand, Number):
        return operand.text
    if isinstance(operand, Call):
        return f"{operand.name}({','.join(_operand(argument) for argument in operand.arguments)})"
    if isinstance(operand, Arithmetic):
        return f"({_operand(operand.left)} {operand.operator} {_operand(operand.right)})"
    if isinstance(operand, Now):
        return f"(now() {'+' if operand.sign > 0 else '-'} {_operand(operand.moved)})" if operand.moved else "now()"
    if isinstance(operand, Duration | Size):
        return f"{operand.amount} {operand.unit}"
    if isinstance(operand, Text):
        return _quoted(operand.value)
    return operand.name if isinstance(operand, Keyword) else _quoted(_moment(operand))


def _moment(operand: Day | Clock) -> str:
    return operand.text


def _quoted(text: str) -> str:
    """A text in quotes; a backslash is doubled only where it would be read with what follows it."""
    doubled = re.sub(r"\\(?=[\"\\]|$)", r"\\\\", text)
    escaped = doubled.replace('"', '\\"')
    return f'"{escaped}"'
