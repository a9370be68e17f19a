"""Reads DQDL, after the published grammar (https://docs.aws.amazon.com/glue/latest/dg/dqdl.html).

One thing is added: ``Rules weather = [ … ]`` and ``Analyzers weather = [ … ]`` belong to the source ``weather``.
A comma after the last rule is taken. Where the published grammar leaves open how ``and`` and ``or`` bind without
parentheses, the document is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final, TypeVar

from gapless_glue.dqdl.catalogue import DATA_TYPES, FUNCTIONS, RULE_TYPES, WATCHED, RuleType
from gapless_glue.dqdl.language import (
    COMPARISONS,
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
    Numeric,
    Operand,
    Rule,
    Ruleset,
    Size,
    Text,
    is_dynamic,
    leaves,
)
from gapless_glue.dqdl.tokens import DqdlError, Token, text_between, tokens_of

SECTIONS: Final = ("Metadata", "DataSources", "DefaultLabels", "Rules", "Analyzers")
UNITS: Final = ("minutes", "hours", "days")
SIZES: Final = ("B", "KB", "MB", "GB", "TB")
KEYWORDS: Final = {
    "NULL": "NULL",
    "null": "NULL",
    "EMPTY": "EMPTY",
    "empty": "EMPTY",
    "WHITESPACES_ONLY": "WHITESPACES_ONLY",
    "whitespaces_only": "WHITESPACES_ONLY",
}
AND: Final = ("and", "AND")
OR: Final = ("or", "OR")
OF: Final = ("of", "OF")
RESERVED: Final = (*AND, *OR, *OF, "between", "in", "not", "matches", "with", "where", "labels")
CONDITIONS: Final = (*COMPARISONS, "between", "in", "matches", "not")
DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})( AM| PM)?", re.ASCII)
MOST_LABELS: Final = 10

WANTED: Final = {
    "number": "a number",
    "text": 'a "text"',
    "date": 'a "date", a "time" or now()',
    "duration": "a duration such as 3 days",
    "size": "a size such as 5 MB",
}

Item = TypeVar("Item")


def parse(text: str, *, may_be_empty: bool = False) -> Ruleset:
    """Reads a document.

    Args:
        text: The document.
        may_be_empty: Whether a document without any rule or analyzer will do; AWS Glue refuses one.

    Raises:
        DqdlError: The document is not DQDL, with the place, what stands there and what might.
    """
    return _Parser(text).document(may_be_empty)


def check_supported(ruleset: Ruleset) -> None:
    """Looks for rule types and tags that are DQDL and cannot be evaluated here.

    Raises:
        DqdlError: There is one; the message has its name and the reason.
    """
    for rules in ruleset.rules.values():
        for rule in rules:
            for leaf in leaves(rule):
                kind = RULE_TYPES[leaf.type]
                if kind.refused is not None:
                    what = f"rule type {leaf.type} cannot be evaluated: {kind.refused}"
                    raise DqdlError(what, leaf.line, leaf.column, leaf.type)
                for tag in leaf.tags:
                    if tag not in kind.tags:
                        what = f"tag {tag} of {leaf.type} cannot be evaluated"
                        raise DqdlError(what, leaf.line, leaf.column, tag, kind.tags)


def parse_supported(text: str, *, may_be_empty: bool = False) -> Ruleset:
    """Reads a document of which every rule can be evaluated.

    Raises:
        DqdlError: The document is not DQDL, or has a rule type that cannot be evaluated here.
    """
    ruleset = parse(text, may_be_empty=may_be_empty)
    check_supported(ruleset)
    return ruleset


class _Parser:
    """Recursive descent: one method for each part of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens_of(text))
        self._at = 0
        self._variables: dict[str, tuple[Text, ...]] = {}
        self._default_labels: Mapping[str, str] = {}

    # the document

    def document(self, may_be_empty: bool) -> Ruleset:
        metadata = self._section("Metadata", self._metadata) or {}
        primary, additional = self._section("DataSources", self._data_sources) or (None, ())
        while self._next.kind == "word" and self._next.text not in ("Rules", "Analyzers"):
            self._declaration()
        rules = self._named_lists("Rules", self._rule)
        analyzers = self._named_lists("Analyzers", self._analyzer)
        if self._next.text == "Rules":
            raise self._error("Rules must come before Analyzers")
        if self._next.kind != "end":
            raise self._unexpected("Rules" if not rules else "Analyzers" if not analyzers else "the end")
        if not may_be_empty and not any(rules.values()) and not any(analyzers.values()):
            raise self._error("a document needs a rule or an analyzer, this one has none", ("Rules", "Analyzers"))
        return Ruleset(metadata, primary, additional, rules, analyzers)

    def _section(self, name: str, content: Callable[[], Item]) -> Item | None:
        if self._next.text != name:
            return None
        self._advance()
        self._take("=")
        return content()

    def _declaration(self) -> None:
        """A variable, or the labels that every rule has."""
        name = self._advance()
        if self._next.text != "=":
            raise self._unexpected("=")
        self._advance()
        if name.text == "DefaultLabels":
            self._default_labels = self._labels()
            return
        if name.text in SECTIONS:
            raise self._error(f"section {name.text} must come first", ("Rules", "Analyzers"), name)
        if not re.fullmatch(r"[A-Za-z_]\w*", name.text, re.ASCII):
            raise self._error(f"{name.text!r} cannot name a variable", ("letters, digits and _",), name)
        if name.text in self._variables:
            raise self._error(f"variable {name.text} is declared twice", (), name)
        listed = self._next.text == "["
        values = self._listed(self._quoted) if listed else [self._quoted()]
        self._variables[name.text] = tuple(Text(value) for value in values)

    def _metadata(self) -> dict[str, str]:
        pairs = self._dictionary(("Version",))
        return {name: self._single(name, values) for name, values in pairs.items()}

    def _data_sources(self) -> tuple[str | None, tuple[str, ...]]:
        pairs = self._dictionary(("Primary", "AdditionalDataSources"))
        primary = pairs.get("Primary")
        return (None if primary is None else self._single("Primary", primary)), tuple(
            pairs.get("AdditionalDataSources", ())
        )

    def _single(self, name: str, values: Sequence[str]) -> str:
        if len(values) != 1:
            raise self._error(f"{name} takes one text, got {len(values)}")
        return values[0]

    def _dictionary(self, allowed: Sequence[str]) -> dict[str, list[str]]:
        """Reads ``{ "name": "text", "name": ["text", …] }``."""
        self._take("{")
        pairs: dict[str, list[str]] = {}
        while True:
            name = self._next
            key = self._quoted()
            if key not in allowed or key in pairs:
                raise self._error(f"{'a second' if key in pairs else 'unknown'} entry {key!r}", allowed, name)
            self._take(":")
            pairs[key] = self._listed(self._quoted) if self._next.text == "[" else [self._quoted()]
            if self._next.text != ",":
                break
            self._advance()
        self._take("}")
        return pairs

    def _named_lists(self, section: str, item: Callable[[], Item]) -> dict[str | None, tuple[Item, ...]]:
        """Reads ``Rules = [ … ]`` and ``Rules name = [ … ]`` as often as they come."""
        found: dict[str | None, tuple[Item, ...]] = {}
        while self._next.text == section and self._next.kind == "word":
            self._advance()
            place = self._next
            name = self._advance().text if self._next.kind == "word" else None
            if name in found:
                whose = f"source {name} has" if name else "there are"
                raise self._error(f"{whose} two lists of {section.lower()}", (), place)
            self._take("=")
            found[name] = tuple(self._listed(item, may_be_empty=True))
        return found

    def _listed(self, item: Callable[[], Item], may_be_empty: bool = False) -> list[Item]:
        """Reads ``[ item, item ]``; a comma after the last item is taken."""
        self._take("[")
        items: list[Item] = []
        while self._next.text != "]" or (not items and not may_be_empty):
            items.append(item())
            if self._next.text != "]":
                self._take(",", also="]")
        self._take("]")
        return items

    def _labels(self) -> dict[str, str]:
        place = self._next
        pairs = self._listed(self._label)
        labels = dict(pairs)
        if len(labels) < len(pairs) or len(labels) > MOST_LABELS:
            raise self._error(f"at most {MOST_LABELS} labels, each name once", (), place)
        return labels

    def _label(self) -> tuple[str, str]:
        name = self._quoted()
        self._take("=")
        return name, self._quoted()

    # rules

    def _rule(self) -> AnyRule:
        """Reads a rule or a composite, with its labels."""
        rule = self._composite()
        own: Mapping[str, str] = {}
        if self._next.text == "labels":
            self._advance()
            self._take("=")
            own = self._labels()
        return replace(rule, labels={**self._default_labels, **own})

    def _composite(self) -> AnyRule:
        start = self._at
        if self._next.text != "(":
            return self._plain_rule()
        parts = [self._enclosed()]
        joined_by: set[str] = set()
        while self._next.text in AND + OR:
            joined_by.add(self._advance().text.lower())
            if len(joined_by) > 1:
                raise self._error("and is mixed with or: parentheses must say which comes first", ("( … )",))
            parts.append(self._enclosed())
        if not joined_by:
            return parts[0]
        first = self._tokens[start]
        return Composite(joined_by.pop(), tuple(parts), {}, self._since(start), first.line, first.column)

    def _enclosed(self) -> AnyRule:
        self._take("(")
        rule = self._composite()
        self._take(")")
        return rule

    def _plain_rule(self) -> Rule:
        start, name = self._at, self._next
        kind = self._rule_type()
        if kind.only_analyzer:
            raise self._error(f"{name.text} is an analyzer, not a rule", self._types(False), name)
        parameters = self._parameters(name, kind)
        condition = self._condition_of(name, kind)
        where = self._where(name, kind)
        threshold, tags = self._tags(name, kind)
        rule = Rule(
            name.text, parameters, condition, where, threshold, tags, {}, self._since(start), name.line, name.column
        )
        self._check_rule(rule, name)
        return rule

    def _rule_type(self) -> RuleType:
        name = self._next
        if name.kind not in ("word", "number"):
            raise self._unexpected("a rule")
        if name.text not in RULE_TYPES:
            raise self._error(f"unknown rule {name.text!r}", self._types(False), name)
        self._advance()
        return RULE_TYPES[name.text]

    @staticmethod
    def _types(analyzers: bool) -> list[str]:
        return sorted(
            name for name, kind in RULE_TYPES.items() if (kind.analyzer if analyzers else not kind.only_analyzer)
        )

    def _parameters(self, name: Token, kind: RuleType) -> tuple[str, ...]:
        """Reads parameters, each a quoted text, a bare word or a variable, with ``of`` or ``and`` before it."""
        parameters = []
        while True:
            connected = self._next.text in OF + AND
            token = self._tokens[self._at + 1] if connected else self._next
            bare = token.kind == "word" and token.text not in RESERVED
            if not (bare or token.kind in ("text", "variable") or (connected and token.kind == "number")):
                break
            if connected:
                self._advance()
            parameters.append(self._parameter())
        if len(parameters) < kind.least or (kind.most is not None and len(parameters) > kind.most):
            what = f"{name.text} takes {kind.parameters}, got {len(parameters)}"
            raise self._error(f"{what}, then {self._next.text!r}", (), name)
        return tuple(parameters)

    def _parameter(self) -> str:
        token = self._next
        if token.kind == "text":
            return self._quoted()
        if token.kind != "variable":
            return self._advance().text
        values = self._variable()
        return self._single(token.text, [value.value for value in values])

    def _variable(self) -> tuple[Text, ...]:
        token = self._advance()
        if token.text[1:] not in self._variables:
            raise self._error(f"unknown variable {token.text}", [f"${name}" for name in self._variables], token)
        return self._variables[token.text[1:]]

    def _where(self, name: Token, kind: RuleType) -> str | None:
        place = self._next
        if place.text != "where":
            return None
        if not kind.where:
            raise self._error(f"{name.text} takes no where", (), place)
        self._advance()
        clause = self._quoted()
        if not clause.strip():
            raise self._error("the where clause is empty", ("an SQL condition in quotes",), place)
        return clause

    def _tags(self, name: Token, kind: RuleType) -> tuple[Condition | None, dict[str, str]]:
        threshold: Condition | None = None
        tags: dict[str, str] = {}
        while self._next.text == "with":
            self._advance()
            tag = self._next
            if tag.kind not in ("word", "text"):
                raise self._unexpected("threshold", "the name of a tag")
            key = self._quoted() if tag.kind == "text" else self._advance().text
            if key == "threshold":
                if not kind.threshold or threshold is not None:
                    what = "has two thresholds" if threshold is not None else "takes no threshold"
                    raise self._error(f"{name.text} {what}", (), tag)
                threshold = self._condition(("number",))
            else:
                self._take("=")
                tags[key] = self._quoted() if self._next.kind == "text" else self._take_kind("number").text
        return threshold, tags

    def _check_rule(self, rule: Rule, name: Token) -> None:
        kind = RULE_TYPES[rule.type]
        if rule.condition is not None and not kind.dynamic:
            self._refuse_dynamic(rule.condition, rule.type, name)
        if rule.condition is not None and rule.threshold is not None and rule.type == "CustomSql":
            raise self._error("CustomSql takes a condition or a threshold, not both", (), name)
        if rule.type == "FileMatch" and (rule.condition is None) != (len(rule.parameters) == 2):
            raise self._error("FileMatch takes two paths, or a list of checksums", (), name)
        if rule.type == "ColumnDataType":
            self._check_data_types(rule, name)
        if rule.type == "DetectAnomalies":
            self._check_watched(rule, name)

    def _check_data_types(self, rule: Rule, name: Token) -> None:
        if rule.condition is None or rule.condition.operator == "matches":
            raise self._error("ColumnDataType takes =, != or in", DATA_TYPES, name)
        for operand in rule.condition.operands:
            if not isinstance(operand, Text) or operand.value.capitalize() not in DATA_TYPES:
                found = operand.value if isinstance(operand, Text) else str(operand)
                raise self._error(f"ColumnDataType: unknown type {found!r}", DATA_TYPES, name)

    def _check_watched(self, rule: Rule, name: Token) -> None:
        metric, *parameters = rule.parameters
        if metric not in WATCHED:
            raise self._error(f"DetectAnomalies cannot watch {metric!r}", list(WATCHED), name)
        kind = RULE_TYPES[WATCHED[metric]]
        if len(parameters) < kind.least or (kind.most is not None and len(parameters) > kind.most):
            raise self._error(f"DetectAnomalies: {metric} takes {kind.parameters}, got {len(parameters)}", (), name)

    def _refuse_dynamic(self, condition: Condition, whose: str, place: Token) -> None:
        if any(is_dynamic(operand) for operand in condition.operands):
            raise self._error(f"{whose} cannot depend on earlier results", (), place)

    # analyzers

    def _analyzer(self) -> Analyzer:
        start, name = self._at, self._next
        if name.text not in self._types(True):
            raise self._error(f"unknown analyzer {name.text!r}", self._types(True), name)
        kind = self._rule_type()
        if kind.refused is not None:
            raise self._error(f"analyzer {name.text} cannot be evaluated: {kind.refused}", (), name)
        parameters = self._parameters(name, kind)
        if self._next.text not in (",", "]"):
            raise self._unexpected(",", "]")
        return Analyzer(name.text, parameters, self._since(start), name.line, name.column)

    # conditions

    def _condition_of(self, name: Token, kind: RuleType) -> Condition | None:
        there = self._next.text in CONDITIONS
        if not kind.kinds:
            if there:
                raise self._error(f"{name.text} answers yes or no and takes no condition", (), self._next)
            return None
        if not there:
            if kind.optional:
                return None
            raise self._unexpected(*CONDITIONS, what=f"{name.text} takes a condition")
        return self._condition(kind.kinds)

    def _condition(self, kinds: Sequence[str]) -> Condition:
        place = self._next
        negated = place.text == "not"
        if negated:
            self._advance()
        sign = self._next.text
        if sign not in CONDITIONS or sign == "not" or (negated and sign in COMPARISONS):
            raise self._unexpected(*(("between", "in", "matches") if negated else CONDITIONS))
        self._advance()
        operands = self._operands(sign, kinds)
        return self._classified(sign, operands, negated, kinds, place)

    def _operands(self, sign: str, kinds: Sequence[str]) -> tuple[Operand, ...]:
        if sign == "between":
            low = self._operand(kinds)
            if self._next.text not in AND:
                raise self._unexpected("and")
            self._advance()
            return (low, self._operand(kinds))
        if sign == "in":
            if self._next.kind == "variable":
                return self._variable()
            return tuple(self._listed(lambda: self._operand(kinds)))
        if self._next.kind == "variable" and "text" in kinds:
            token = self._next
            return (Text(self._single(token.text, [value.value for value in self._variable()])),)
        return (self._operand(kinds),)

    def _classified(
        self, sign: str, operands: tuple[Operand, ...], negated: bool, kinds: Sequence[str], place: Token
    ) -> Condition:
        """Finds the kind of a condition by its operator and operands."""
        for kind in kinds:
            found = _as_kind(kind, sign, operands)
            if found is not None:
                return Condition(kind, sign, found, negated)
        wanted = " or ".join(WANTED[kind] for kind in kinds)
        what = f"{sign} takes {wanted} here, and all of one kind, got {self._since(self._tokens.index(place))!r}"
        raise self._error(what, (), place)

    def _operand(self, kinds: Sequence[str]) -> Operand:
        token = self._next
        if token.kind == "text":
            return Text(self._quoted())
        if token.text in KEYWORDS:
            return Keyword(KEYWORDS[self._advance().text])
        if token.text == "now" or (token.text == "(" and self._tokens[self._at + 1].text == "now"):
            return self._now()
        if token.kind == "number" and "duration" in kinds:
            return self._duration()
        if token.kind == "number" and "size" in kinds:
            return self._size()
        if token.kind in ("number", "word") or token.text in ("-", "("):
            return self._sum()
        if token.kind == "variable":
            raise self._error(f"variable {token.text} is a text and cannot stand for a number", (), token)
        raise self._unexpected(*[WANTED[kind] for kind in kinds])

    def _now(self) -> Now:
        if self._next.text == "now":
            self._call_of_now()
            return Now()
        self._take("(")
        self._call_of_now()
        if self._next.text not in ("+", "-"):
            raise self._unexpected("+", "-")
        sign = 1 if self._advance().text == "+" else -1
        moved = self._duration()
        self._take(")")
        return Now(sign, moved)

    def _call_of_now(self) -> None:
        for text in ("now", "(", ")"):
            self._take(text)

    def _duration(self) -> Duration:
        amount = self._whole_number()
        if self._next.text not in UNITS:
            raise self._unexpected(*UNITS)
        return Duration(amount, self._advance().text)

    def _size(self) -> Size:
        amount = self._whole_number()
        if self._next.text in SIZES:
            return Size(amount, self._advance().text)
        if self._next.kind == "word" and self._next.text not in RESERVED:
            raise self._unexpected(*SIZES)
        return Size(amount, "B")

    def _whole_number(self) -> int:
        token = self._take_kind("number")
        if "." in token.text:
            raise self._error(f"expected a whole number, found {token.text}", (), token)
        return int(token.text)

    def _sum(self) -> Numeric:
        left = self._product()
        while self._next.text in ("+", "-"):
            left = Arithmetic(self._advance().text, left, self._product())
        return left

    def _product(self) -> Numeric:
        left = self._factor()
        while self._next.text in ("*", "/"):
            left = Arithmetic(self._advance().text, left, self._factor())
        return left

    def _factor(self) -> Numeric:
        token = self._next
        if token.text == "-":
            self._advance()
            return Number(f"-{self._take_kind('number').text}")
        if token.kind == "number":
            return Number(self._advance().text)
        if token.text == "(":
            self._advance()
            inner = self._sum()
            self._take(")")
            return inner
        if token.kind == "word":
            return self._call()
        raise self._unexpected("a number", *FUNCTIONS)

    def _call(self) -> Call:
        name = self._advance()
        if name.text not in FUNCTIONS:
            raise self._error(f"unknown function {name.text!r}", FUNCTIONS, name)
        self._take("(")
        arguments: list[Numeric] = []
        while self._next.text != ")":
            arguments.append(self._sum())
            if self._next.text != ")":
                self._take(",", also=")")
        self._take(")")
        return Call(name.text, tuple(arguments))

    # tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _take(self, text: str, also: str | None = None) -> None:
        if self._next.text != text or self._next.kind in ("text", "end"):
            raise self._unexpected(*[text, also] if also else [text])
        self._advance()

    def _take_kind(self, kind: str) -> Token:
        if self._next.kind != kind:
            raise self._unexpected(f"a {kind}")
        return self._advance()

    def _quoted(self) -> str:
        if self._next.kind != "text":
            raise self._unexpected("a text in quotes")
        return self._advance().value

    def _since(self, start: int) -> str:
        return text_between(self._text, self._tokens[start : self._at])

    def _unexpected(self, *allowed: str, what: str | None = None) -> DqdlError:
        found = f"found {self._next.text!r}" if self._next.kind != "end" else "found the end"
        return self._error(f"{what}, {found}" if what else found, allowed)

    def _error(self, what: str, allowed: Sequence[str] = (), place: Token | None = None) -> DqdlError:
        token = place or self._next
        return DqdlError(what, token.line, token.column, token.text, allowed)


def _as_kind(kind: str, sign: str, operands: tuple[Operand, ...]) -> tuple[Operand, ...] | None:
    """Returns operands as those of a kind of condition, or nothing when the kind has no such condition."""
    if not operands:
        return None
    if kind == "text":
        fits = sign in ("=", "!=", "in") and all(isinstance(operand, Text | Keyword) for operand in operands)
        return operands if fits or (sign == "matches" and isinstance(operands[0], Text)) else None
    if sign == "matches":
        return None
    if kind == "date":
        return _as_dates(sign, operands)
    wanted = {"number": Number | Call | Arithmetic, "duration": Duration, "size": Size}[kind]
    nulls = kind == "number" and sign in ("=", "!=", "in")
    fits = all(isinstance(operand, wanted) or (nulls and operand == Keyword("NULL")) for operand in operands)
    return operands if fits else None


def _as_dates(sign: str, operands: tuple[Operand, ...]) -> tuple[Operand, ...] | None:
    dates: list[Operand] = []
    for operand in operands:
        found = _as_date(operand.value) if isinstance(operand, Text) else operand
        null = sign in ("=", "!=", "in") and found == Keyword("NULL")
        if found is None or not (null or isinstance(found, Day | Clock | Now)):
            return None
        dates.append(found)
    return tuple(dates)


def _as_date(text: str) -> Day | Clock | None:
    """Reads ``2024-02-29``, ``9:30 AM`` or ``21:45``; nothing for any other text."""
    if DAY.fullmatch(text):
        try:
            date.fromisoformat(text)
        except ValueError:
            return None
        return Day(text)
    match = CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, half = int(match[1]), int(match[2]), match[3]
    if minute > 59 or (half and not 1 <= hour <= 12) or hour > 23:
        return None
    return Clock(text, hour if half is None else hour % 12 + (12 if half == " PM" else 0), minute)
