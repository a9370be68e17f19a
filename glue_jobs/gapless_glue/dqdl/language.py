"""What a document says, as values: rules, conditions and operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text)


@dataclass(frozen=True)
class Call:
    """A function of earlier results, ``avg(last(5))``."""

    name: str
    arguments: tuple[Numeric, ...]


@dataclass(frozen=True)
class Arithmetic:
    """Two numbers joined by ``+``, ``-``, ``*`` or ``/``."""

    operator: str
    left: Numeric
    right: Numeric


Numeric = Number | Call | Arithmetic


@dataclass(frozen=True)
class Text:
    """A quoted text."""

    value: str


@dataclass(frozen=True)
class Keyword:
    """``NULL``, ``EMPTY`` or ``WHITESPACES_ONLY``."""

    name: str


@dataclass(frozen=True)
class Duration:
    """So many minutes, hours or days."""

    amount: int
    unit: str

    @property
    def length(self) -> timedelta:
        return timedelta(**{self.unit: self.amount})


@dataclass(frozen=True)
class Now:
    """The moment of the evaluation, perhaps moved; ``sign`` is 1 for later and -1 for earlier."""

    sign: int = 1
    moved: Duration | None = None


@dataclass(frozen=True)
class Day:
    """A date, ``2024-02-29``."""

    text: str


@dataclass(frozen=True)
class Clock:
    """A time of the day of the evaluation, as it was written: ``9:30 AM`` or ``21:45``."""

    text: str
    hour: int
    minute: int


@dataclass(frozen=True)
class Size:
    """A number of B, KB, MB, GB or TB."""

    amount: int
    unit: str


Operand = Number | Call | Arithmetic | Text | Keyword | Duration | Now | Day | Clock | Size


@dataclass(frozen=True)
class Condition:
    """What a measured value, or each value of a column, must be.

    Args:
        kind: ``number``, ``text``, ``date``, ``duration`` or ``size``.
        operator: One of ``COMPARISONS``, ``between`` (which excludes both ends), ``in`` or ``matches``.
        operands: One operand; two for ``between``; any number for ``in``.
        negated: Whether ``not`` precedes ``between``, ``in`` or ``matches``.
    """

    kind: str
    operator: str
    operands: tuple[Operand, ...]
    negated: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule.

    Args:
        type: The rule type, ``IsComplete`` for example.
        parameters: Columns, a statement, an alias: what the type takes.
        condition: What is compared; nothing for types that answer yes or no.
        where: SQL that says which rows count.
        threshold: Which share of rows must keep the rule; nothing: all.
        tags: The other ``with name = value``.
        labels: The rule's labels, over the document's default labels.
        text: The rule as it was written, without labels.
        line: Where it starts.
        column: Where it starts.
    """

    type: str
    parameters: tuple[str, ...] = ()
    condition: Condition | None = None
    where: str | None = None
    threshold: Condition | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Composite:
    """Rules joined by ``and`` or ``or``."""

    operator: str
    parts: tuple[AnyRule, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    line: int = 0
    column: int = 0


AnyRule = Rule | Composite


@dataclass(frozen=True)
class Analyzer:
    """A measurement without a verdict."""

    type: str
    parameters: tuple[str, ...] = ()
    text: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Ruleset:
    """A document.

    Args:
        metadata: What the ``Metadata`` section says.
        primary: Name of the data source that ``DataSources`` calls primary.
        additional: Names of the other data sources.
        rules: Name of a source → its rules, in order; None stands for ``Rules = […]`` without a name.
        analyzers: Name of a source → its analyzers.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    primary: str | None = None
    additional: tuple[str, ...] = ()
    rules: Mapping[str | None, tuple[AnyRule, ...]] = field(default_factory=dict)
    analyzers: Mapping[str | None, tuple[Analyzer, ...]] = field(default_factory=dict)


def leaves(rule: AnyRule) -> Iterator[Rule]:
    """Yields the rules that a rule is made of: itself, or the parts of a composite."""
    if isinstance(rule, Rule):
        yield rule
        return
    for part in rule.parts:
        yield from leaves(part)


def is_dynamic(operand: Operand) -> bool:
    """Tells whether an operand depends on earlier results."""
    if isinstance(operand, Arithmetic):
        return is_dynamic(operand.left) or is_dynamic(operand.right)
    return isinstance(operand, Call)


def depends_on_history(rule: AnyRule) -> bool:
    """Tells whether the verdict of a rule depends on earlier results."""
    for leaf in leaves(rule):
        conditions = [condition for condition in (leaf.condition, leaf.threshold) if condition is not None]
        if leaf.type == "DetectAnomalies" or any(is_dynamic(one) for each in conditions for one in each.operands):
            return True
    return False
