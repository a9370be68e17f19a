"""The rules of ``rules.dqdl``, held against the workload's contract.

The file holds one list of rules per source, ``Rules <source> = [ … ]``; ``Rules = [ … ]`` is the primary source's. What
is between the brackets is AWS Glue's Data Quality Definition Language (see ``dqdl``). Rules about rows quarantine the
rows that break them; rules about the table, and rules with a threshold, block the dataset. A missing value breaks
IsComplete, IsPrimaryKey and rules that say NULL, and no other rule about rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gapless_glue.contract import Contract, Source
from gapless_glue.dqdl.language import Analyzer, AnyRule, Condition, Keyword, Number, Rule, Ruleset, Text, leaves
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
        return all(leaf.type in ROW_TYPES for leaf in leaves(self.rule))

    @property
    def threshold(self) -> Condition | None:
        """The share of rows that must keep it, where it has one."""
        return self.rule.threshold if isinstance(self.rule, Rule) else None

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
    with _explained():
        ruleset = _read(text, contract)
        found = []
        for name, rules in ruleset.rules.items():
            source = contract.sources[name or contract.primary]
            for rule in rules:
                _check(rule, source, contract)
                found.append(SourceRule(source.name, rule))
        return found


def parse_analyzers(text: str, contract: Contract) -> dict[str, Sequence[Analyzer]]:
    """Reads what a file wants measured and not judged: source → analyzers.

    Raises:
        BadRules: As ``parse_rules``.
    """
    with _explained():
        ruleset = _read(text, contract)
        return {name or contract.primary: analyzers for name, analyzers in ruleset.analyzers.items()}


def of_source(rules: Sequence[SourceRule], source: str) -> list[SourceRule]:
    """Returns the rules of one source."""
    return [rule for rule in rules if rule.source == source]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DqdlError as error:
        raise BadRules(f"rules.dqdl {error}") from error


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
        if leaf.type == "ColumnValues" and leaf.condition is not None:
            _check_values(leaf, leaf.condition, source.type_of(leaf.parameters[0]))


def _check_columns(names: Sequence[str], rule: Rule | Analyzer, source: Source) -> None:
    for name in names:
        if name not in source.names:
            raise _error(rule, f"{rule.type}: source {source.name} has no column {name!r}", source.names)


def _check_alias(rule: Rule, contract: Contract) -> None:
    text = rule.parameters[1] if rule.type == "ReferentialIntegrity" else rule.parameters[0]
    alias = text.partition(".")[0]
    if alias not in contract.sources:
        raise _error(rule, f"{rule.type}: unknown source {alias!r}", list(contract.sources))


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
