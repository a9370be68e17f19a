"""Rows that may be given to people: read from what was captured, and the least sure of them kept."""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from choose_rows.uncertainty import uncertainty
from constructs_lib.names.batch import canonical_json
from constructs_lib.names.relabelled import SOURCE, Sent
from gapless_lambda.captures import predictions_of
from gapless_lambda.landing import instant, written

RowKey = tuple[str, int]


@dataclass(frozen=True)
class Served:
    """A row with its answer, as it was captured."""

    inference_id: str
    position: int
    at: datetime
    asked: Mapping[str, Any]
    answered: Mapping[str, Any]


def served(line: str) -> list[Served]:
    """Give the rows of a captured line.

    Raises:
        ValueError, KeyError, TypeError: It is none, or has no inference id: nobody could tell its label.
    """
    exchange = json.loads(line)
    about, given = exchange["eventMetadata"], exchange["captureData"]["endpointInput"]
    text = base64.b64decode(given["data"]).decode("utf-8") if given["encoding"] == "BASE64" else given["data"]
    asked, answered = json.loads(text)["instances"], predictions_of(exchange)
    name, at = about["inferenceId"], instant(about["inferenceTime"])
    if not isinstance(name, str) or not all(isinstance(row, dict) for row in (*asked, *answered)):
        raise TypeError("instances and predictions must be objects, and the inference id a text")
    pairs = zip(asked, answered, strict=True)
    return [Served(name, position, at, row, said) for position, (row, said) in enumerate(pairs)]


def labelled(lines: Iterable[str]) -> tuple[set[str], set[RowKey]]:
    """Give the requests whose labels have come, and the rows that people have answered; other lines say nothing."""
    requests: set[str] = set()
    rows: set[RowKey] = set()
    for line in lines:
        try:
            about = json.loads(line)["eventMetadata"]
            name = str(about["eventId"])
        except (ValueError, KeyError, TypeError):
            continue
        if about.get("source") == SOURCE:
            rows.add((name, int(about["position"])))
        else:
            requests.add(name)
    return requests, rows


@dataclass(frozen=True)
class Window:
    """When rows were served, from the first instant on and before the second."""

    since: datetime
    until: datetime

    def rows_of(self, lines: Iterable[str], refused: Counter[str]) -> Iterator[Served]:
        """Give the rows of captured lines that were served in the window; lines that cannot be read are counted."""
        for line in lines:
            try:
                rows = served(line)
            except (ValueError, KeyError, TypeError) as error:
                refused[type(error).__name__] += 1
                continue
            yield from (row for row in rows if self.since <= row.at < self.until)


@dataclass
class Best:
    """The rows of which the model was least sure, each content once; which they are depends on no order of lines.

    Args:
        most: How many are kept.
    """

    most: int
    _heap: list[tuple[float, str, RowKey, Served]] = field(default_factory=list)
    _keys: set[RowKey] = field(default_factory=set)
    _contents: set[str] = field(default_factory=set)

    def add(self, row: Served, unsure: float) -> None:
        """Keep a row while it is among the least sure."""
        if len(self._heap) == self.most and unsure < self._heap[0][0]:
            return
        key, content = (row.inference_id, row.position), hashlib.sha256(canonical_json(row.asked)).hexdigest()
        if key in self._keys or content in self._contents:
            return
        entry = (unsure, content, key, row)
        if len(self._heap) == self.most:
            if entry[:3] < self._heap[0][:3]:
                return
            _, out_content, out_key, _ = heapq.heapreplace(self._heap, entry)
            self._keys.discard(out_key)
            self._contents.discard(out_content)
        else:
            heapq.heappush(self._heap, entry)
        self._keys.add(key)
        self._contents.add(content)

    def rows(self, run: str) -> list[Sent]:
        """Give what was kept, the least sure first."""
        return [
            Sent(row.inference_id, row.position, written(row.at), row.asked, row.answered, round(unsure, 6), run)
            for unsure, _, _, row in sorted(self._heap, key=lambda entry: entry[:3], reverse=True)
        ]


@dataclass(frozen=True)
class Wanted:
    """Which rows are chosen.

    Attributes:
        how, problem: As for :func:`uncertainty`.
        most: How many.
        requests, rows: What has a label.
        out: Rows that people have already.
    """

    how: str
    problem: str
    most: int
    requests: Collection[str]
    rows: Collection[RowKey]
    out: Collection[RowKey]

    def choose(self, found: Iterable[Served], others: Mapping[RowKey, Mapping[str, Any]], run: str) -> list[Sent]:
        """Give the rows to be labelled.

        Args:
            found: What was served.
            others: What another model said of rows, for ``spread``.
            run: The export.
        """
        best = Best(self.most)
        for row in found:
            key = (row.inference_id, row.position)
            if row.inference_id in self.requests or key in self.rows or key in self.out:
                continue
            unsure = uncertainty(self.how, self.problem, row.answered, others.get(key))
            if unsure is not None:
                best.add(row, unsure)
        return best.rows(run)
