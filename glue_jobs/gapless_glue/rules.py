"""The rules of ``rules.dqdl``, held against the workload's contract.

The file holds one list of rules per source, ``Rules <source> = [ … ]``; ``Rules = [ … ]`` is the primary source's. What
is between the brackets is AWS Glue's Data Quality Definition Language (see ``dqdl``). Rules about rows quarantine the
rows that break them; rules about the table, and rules with a threshold, block the dataset. A missing value breaks
IsComplete, IsPrimaryKey, ReferentialIntegrity and rules that say NULL, and no other rule about rows.

CustomSql that selects rows, and ReferentialIntegrity, are rules about rows as well: they look at the rows that are
valid otherwise, and at the valid rows of other sources. Which rows a dataset holds never depends on earlier results, so
that one version is always the same rows: a rule whose condition depends on them is about the table, whatever its type.

This module and all that it imports need nothing but Python: synthesis refuses by it what the job would refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gapless_glue.contract import Contract, Source
from gapless_glue.dqdl.dynamic import has_dynamic_condition, results_read
from gapless_glue.dqdl.history import BadConditionError, NoHistoryError, number_of
from gapless_glue.dqdl.language import (
    Analyzer,
    AnyRule,
    Condition,
    Keyword,
    Number,
    Rule,
    Ruleset,
    Text,
    is_dynamic,
    leaves,
)
from gapless_glue.dqdl.parser import parse_supported
from gapless_glue.dqdl.tokens import DqdlError
from gapless_glue.errors import BadRules

ROW_TYPES: Final = ("IsComplete", "ColumnValues", "ColumnLength", "ColumnDataType", "DataFreshness")
KEY_TYPES: Final = ("IsUnique", "IsPrimaryKey")
COLUMN_TYPES: Final = (
    *ROW_TYPES,
    *KEY_TYPES,
    "ColumnCorrelation",
    "Completeness",
    "DistinctValuesCount",
    "Entropy",
    "Mean",
    "StandardDeviation",
    "Sum",
    "UniqueValueRatio",
    "Uniqueness",
    "Variance",
)
"""Types whose parameters are columns of the source."""
ALIAS_TYPES: Final = ("DatasetMatch", "RowCountMatch", "SchemaMatch", "ReferentialIntegrity")
MOST_RESULTS: Final = 1000
LONGEST_LINE: Final = 160
PRIMARY: Final = "primary"
"""What a rule calls its own source."""
NUMBERS: Final = ("int", "bigint", "double")

ALL_COLUMNS: Final = "AllColumns"


@dataclass(frozen=True)
class SourceRule:
    """One rule of one source; ``text`` is the rule as it is shown in reasons and reports."""

    source: str
    rule: AnyRule

    @property
    def text(self) -> str:
        return self.rule.text

    @property
    def is_about_rows(self) -> bool:
        """Whether the rows that break it are quarantined."""
        if isinstance(self.rule, Rule) and self.rule.type in KEY_TYPES:
            return True
        if self.looks_around:
            return True
        return all(leaf.type in ROW_TYPES for leaf in leaves(self.rule)) and not has_dynamic_condition(self.rule)

    @property
    def looks_around(self) -> bool:
        """Whether a row is judged by other rows: of its own source or of others."""
        rule = self.rule
        if not isinstance(rule, Rule):
            return False
        return rule.type == "ReferentialIntegrity" or (rule.type == "CustomSql" and rule.condition is None)

    @property
    def threshold(self) -> Condition | None:
        """The share of rows that must keep it, where it has one."""
        if not isinstance(self.rule, Rule):
            return None
        return self.rule.condition if self.rule.type == "ReferentialIntegrity" else self.rule.threshold

    @property
    def blocks(self) -> bool:
        """Whether no dataset is made when it fails."""
        return not self.is_about_rows or self.threshold is not None


def parse_rules(text: str, contract: Contract) -> list[SourceRule]:
    """Reads all rules of a file, checked against the contract.

    Raises:
        BadRules: The text is not DQDL, has a rule that cannot be evaluated, or names an unknown source or column; the
            message has line and column.
    """
    with _explained(text):
        ruleset = _read(text, contract)
        found = []
        for name, rules in ruleset.rules.items():
            source = contract.sources[name or contract.primary]
            for rule in rules:
                _check(rule, source, contract)
                found.append(SourceRule(source.name, rule))
        judging_order(contract.sources, found)
        return found


def parse_analyzers(text: str, contract: Contract) -> dict[str, Sequence[Analyzer]]:
    """Reads what a file wants measured and not judged: source → analyzers.

    Raises:
        BadRules: As ``parse_rules``.
    """
    with _explained(text):
        ruleset = _read(text, contract)
        return {name or contract.primary: analyzers for name, analyzers in ruleset.analyzers.items()}


def of_source(rules: Sequence[SourceRule], source: str) -> list[SourceRule]:
    """Returns the rules of one source."""
    return [rule for rule in rules if rule.source == source]


def judging_order(sources: Iterable[str], rules: Sequence[SourceRule]) -> list[str]:
    """Returns the sources in an order in which each comes after those that its rows are held against.

    Raises:
        DqdlError: Two sources are held against each other; the message has a rule of theirs.
    """
    names = list(sources)
    ordered: list[str] = []
    waiting = {name: _held_against(name, names, rules) for name in names}
    while waiting:
        ready = [name for name, others in waiting.items() if not set(others) - set(ordered)]
        if not ready:
            name, others = next(iter(waiting.items()))
            other, rule = next((other, rule) for other, rule in others.items() if other not in ordered)
            what = f"{rule.text}: rows of {name} are held against {other}, and rows of {other} in turn against {name}"
            raise _error(rule.rule, what)
        ordered += ready[:1]
        waiting.pop(ready[0])
    return ordered


def _held_against(source: str, sources: Sequence[str], rules: Sequence[SourceRule]) -> dict[str, SourceRule]:
    """The other sources that rows of a source are held against, each with a rule that does so."""
    own = [rule for rule in of_source(rules, source) if rule.looks_around]
    return {name: rule for rule in own for name in sources if name != source and name in _named(rule.rule)}


def _named(rule: AnyRule) -> set[str]:
    """The words of a rule that may name a source: for CustomSql, every word of the statement."""
    if not isinstance(rule, Rule):
        return set()
    if rule.type == "ReferentialIntegrity":
        return {rule.parameters[1].partition(".")[0]}
    return set(re.findall(r"\w+", rule.parameters[0].lower()))


@contextmanager
def _explained(text: str) -> Iterator[None]:
    """Says of what is refused in which line of the file it stands."""
    try:
        yield
    except DqdlError as error:
        lines = text.splitlines()
        line = lines[error.line - 1].strip() if error.line <= len(lines) else ""
        shown = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …"
        raise BadRules(f"rules.dqdl {error}" + (f", in: {shown}" if line else "")) from error


def _read(text: str, contract: Contract) -> Ruleset:
    """Reads a file and looks at the names of its lists and of what they measure."""
    ruleset = parse_supported(text, may_be_empty=True)
    for lists in (ruleset.rules, ruleset.analyzers):
        _check_sources(lists, contract)
    for name, analyzers in ruleset.analyzers.items():
        for analyzer in analyzers:
            if analyzer.type in (*COLUMN_TYPES, "AllStatistics") and analyzer.parameters[0] != ALL_COLUMNS:
                _check_columns(analyzer.parameters, analyzer, contract.sources[name or contract.primary])
    return ruleset


def _check_sources(lists: Mapping[str | None, Sequence[AnyRule] | Sequence[Analyzer]], contract: Contract) -> None:
    for name, items in lists.items():
        line, column = (items[0].line, items[0].column) if items else (1, 1)
        if name is not None and name not in contract.sources:
            raise DqdlError(f"unknown source {name!r}", line, column, name, list(contract.sources))
    if None in lists and contract.primary in lists:
        raise DqdlError(f"source {contract.primary} has two lists", 1, 1, contract.primary)


def _check(rule: AnyRule, source: Source, contract: Contract) -> None:
    if ";" in rule.text:
        raise _error(rule, f"{rule.text}: a rule must not have a ; in it, reasons are joined by it")
    for leaf in leaves(rule):
        if leaf.type in COLUMN_TYPES:
            _check_columns(leaf.parameters, leaf, source)
        if leaf.type == "DetectAnomalies" and leaf.parameters[0] in COLUMN_TYPES:
            _check_columns(leaf.parameters[1:], leaf, source)
        if leaf.type in ALIAS_TYPES:
            _check_alias(leaf, contract)
        if leaf.type == "ReferentialIntegrity":
            _check_reference(leaf, source, contract)
        if leaf.type == "ColumnValues" and leaf.condition is not None:
            _check_values(leaf, leaf.condition, source.type_of(leaf.parameters[0]))
        _check_history(leaf)


def _check_history(rule: Rule) -> None:
    """Looks whether what a rule makes of earlier results is a number, however many there will be."""
    try:
        wanted = results_read(rule)
        if wanted > MOST_RESULTS:
            raise BadConditionError(f"last takes at most {MOST_RESULTS}, got {wanted}")
        results = [math.sqrt(number) for number in range(2, max(wanted, 1) + 2)]
        for condition in (rule.condition, rule.threshold):
            for operand in condition.operands if condition is not None else ():
                if is_dynamic(operand):
                    number_of(operand, results)
    except (BadConditionError, NoHistoryError) as error:
        raise _error(rule, f"{rule.text}: {error}") from error


def _check_columns(names: Sequence[str], rule: Rule | Analyzer, source: Source) -> None:
    for name in names:
        if name not in source.names:
            raise _error(rule, f"{rule.type}: source {source.name} has no column {name!r}", source.names)


def _check_alias(rule: Rule, contract: Contract) -> None:
    text = rule.parameters[1] if rule.type == "ReferentialIntegrity" else rule.parameters[0]
    alias = text.partition(".")[0]
    if alias not in (*contract.sources, PRIMARY):
        raise _error(rule, f"{rule.type}: unknown source {alias!r}", [*contract.sources, PRIMARY])


def _check_reference(rule: Rule, source: Source, contract: Contract) -> None:
    """Looks whether the columns on both sides are there and can be compared."""
    alias, own, other = reference_of(rule)
    known = source if alias == PRIMARY else contract.sources[alias]
    _check_columns(own, rule, source)
    _check_columns(other, rule, known)
    if len(own) != len(other) or not own:
        raise _error(rule, f"{rule.text}: {len(own)} columns are held against {len(other)}")
    for left, right in zip(own, other, strict=True):
        kinds = (source.type_of(left), known.type_of(right))
        if kinds[0] != kinds[1] and not set(kinds) <= set(NUMBERS):
            raise _error(rule, f"{rule.text}: {left} is of type {kinds[0]}, {right} of type {kinds[1]}")


def reference_of(rule: Rule) -> tuple[str, list[str], list[str]]:
    """Returns what a ReferentialIntegrity rule says: the other source, the own columns and those over there."""
    alias, _, wanted = rule.parameters[1].partition(".")
    return alias, _listed(rule.parameters[0]), _listed(wanted.removeprefix("{").removesuffix("}"))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_values(rule: Rule, condition: Condition, kind: str) -> None:
    """Looks whether a column's values can be compared with those of the rule."""
    if condition.operator == "matches" and kind != "string":
        raise _error(rule, f"{rule.text}: a column of type {kind} cannot be matched", ["string"])
    for operand in condition.operands:
        if isinstance(operand, Keyword) and (kind == "string" or operand.name == "NULL"):
            continue
        if condition.kind == "number":
            fits = kind in NUMBERS
        elif condition.kind == "date":
            fits = kind in ("date", "timestamp", "string")
        else:
            fits = kind not in NUMBERS and not isinstance(operand, Keyword)
        if not fits:
            raise _error(rule, f"{rule.text}: the column is of type {kind}, was compared with {_shown(operand)}")


def _shown(operand: object) -> str:
    if isinstance(operand, Text):
        return repr(operand.value)
    if isinstance(operand, Number):
        return operand.text
    return operand.name if isinstance(operand, Keyword) else type(operand).__name__.lower()


def _error(rule: AnyRule | Analyzer, what: str, allowed: Sequence[str] = ()) -> DqdlError:
    return DqdlError(what, rule.line, rule.column, rule.text, allowed)
