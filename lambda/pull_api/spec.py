"""What is pulled, and how far it has been pulled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from gapless_lambda.landing import instant

MOST_DIGESTS = 5_000
"""Rows at one watermark that are remembered: an item of the table holds 400 KB."""


class BadAnswer(Exception):
    """An answer of the API is not what the workload file says that it is."""


@dataclass(frozen=True)
class Pagination:
    """How the API hands out its rows; see ``pagination`` in the workload file."""

    style: str
    parameter: str | None
    first: int
    size_parameter: str | None
    size: int
    next: str | None


@dataclass(frozen=True)
class Watermark:
    """What is new; see ``watermark`` in the workload file."""

    field: str
    parameter: str
    start: str
    kind: str

    def of(self, row: Mapping[str, Any]) -> str:
        """Give the value of a row, as text.

        Raises:
            BadAnswer: It has none, or none of its kind.
        """
        value = at(row, self.field)
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise BadAnswer(f"{self.field}: the watermark of a row must be a text or a number, was {shown(value)}")
        text = value if isinstance(value, str) else json.dumps(value)
        self.order(text)
        return text

    def order(self, text: str) -> Any:
        """Give what a value is compared by.

        Raises:
            BadAnswer: It is not of its kind.
        """
        try:
            if self.kind == "time":
                return instant(text)
            if self.kind == "number":
                number = Decimal(text)
                if number.is_finite():
                    return number
                raise ValueError(text)
        except (ValueError, InvalidOperation) as error:
            wanted = {"time": "a time with an offset such as 2013-05-01T00:00:00Z", "number": "a number"}[self.kind]
            raise BadAnswer(f"{self.field}: a watermark must be {wanted}, was {shown(text)}") from error
        return text


@dataclass(frozen=True)
class SecretHeader:
    """A secret header; ``secret`` is the name in Secrets Manager."""

    secret: str
    field: str | None
    header: str
    prefix: str


@dataclass(frozen=True)
class Pull:
    """One source that is pulled from an API; folders are prefixes of keys."""

    source: str
    format: str
    columns: Sequence[str]
    item: str
    incoming: str
    pulled: str
    files: str
    url: str
    rows: str | None
    fields: Mapping[str, str]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    pagination: Pagination
    watermark: Watermark | None
    secret: SecretHeader | None
    requests_per_second: float

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Pull:
        """Read what the construct wrote."""
        watermark, secret = content["watermark"], content["secret"]
        return cls(
            **{
                **content,
                "pagination": Pagination(**content["pagination"]),
                "watermark": Watermark(**watermark) if watermark else None,
                "secret": SecretHeader(**secret) if secret else None,
            }
        )


@dataclass(frozen=True)
class Position:
    """How far a source has been pulled.

    A *sweep* is one walk through all pages; without a watermark it fetches everything, with one what is new. Many APIs
    give the rows at the watermark again, and more of them may have come since: so those are told by their digests.

    Attributes:
        since: The watermark that the sweep asks for; None without watermark.
        cursor: Page number, offset, cursor or address of the next page; None at the start of a sweep.
        high: The greatest watermark that the sweep has seen.
        seen: Digests of the rows at ``since`` that have been fetched before.
        edge: Digests of the rows at ``high``.
    """

    since: str | None = None
    cursor: str | None = None
    high: str | None = None
    seen: tuple[str, ...] = ()
    edge: tuple[str, ...] = ()

    @classmethod
    def first(cls, pull: Pull) -> Position:
        """Give the position before the first pull."""
        return cls(since=pull.watermark.start if pull.watermark else None)

    @classmethod
    def load(cls, text: str) -> Position:
        """Read what ``dump`` wrote."""
        content = json.loads(text)
        return cls(**{**content, "seen": tuple(content["seen"]), "edge": tuple(content["edge"])})

    def dump(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    def start(self) -> Position:
        """Give the start of the sweep that this is a position of."""
        return Position(since=self.since, seen=self.seen)

    def fresh(self, rows: Iterable[Mapping[str, Any]], watermark: Watermark | None) -> Iterator[Mapping[str, Any]]:
        """Give the rows of a page that have not been fetched before.

        Raises:
            BadAnswer: A row has no watermark.
        """
        since = None if watermark is None or self.since is None else watermark.order(self.since)
        for row in rows:
            known = watermark is not None and watermark.order(watermark.of(row)) == since and digest(row) in self.seen
            if not known:
                yield row

    def after(self, rows: Iterable[Mapping[str, Any]], cursor: str | None, watermark: Watermark | None) -> Position:
        """Give the position after a page; after the last one, which has no cursor, that is the start of the next sweep.

        Raises:
            BadAnswer: A row has no watermark.
        """
        if watermark is None:
            return replace(self, cursor=cursor)
        high, edge = self.high, set(self.edge)
        for row in rows:
            value = watermark.of(row)
            if high is None or watermark.order(value) > watermark.order(high):
                high, edge = value, set()
            if watermark.order(value) == watermark.order(high):
                edge.add(digest(row))
        if cursor is not None:
            return replace(self, cursor=cursor, high=high, edge=tuple(sorted(edge)[:MOST_DIGESTS]))
        return self._next_sweep(high, edge, watermark)

    def _next_sweep(self, high: str | None, edge: set[str], watermark: Watermark) -> Position:
        if high is None or self.since is None or watermark.order(high) < watermark.order(self.since):
            return self.start()
        if watermark.order(high) == watermark.order(self.since):
            high, edge = self.since, edge | set(self.seen)
        return Position(since=high, seen=tuple(sorted(edge)[:MOST_DIGESTS]))


def digest(row: Mapping[str, Any]) -> str:
    """Give what tells a row from others with the same watermark."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]


def at(value: Any, path: str | None) -> Any:
    """Give what lies at a dotted path, None where there is nothing."""
    for step in path.split(".") if path else ():
        value = value.get(step) if isinstance(value, dict) else None
    return value


def shown(value: Any) -> str:
    """Give a value for a message, cut to a length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
