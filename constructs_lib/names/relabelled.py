"""What people have answered of rows that the model was unsure of: where it lies, and which answers hold at an instant.

Ships with the functions and the jobs; needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constructs_lib.names.batch import canonical_json, parse_instant

FOLDER = "relabelling"
"""Folder of the workload's artefacts; the other names are folders below it."""

OUT, IN, ASKED, ANSWERED, QUARANTINE, RESULTS, LABELLED = (
    "out",
    "in",
    "asked",
    "answered",
    "quarantine",
    "results",
    "labelled",
)

NO_ANSWERS = "none"
"""Stands for the address of answers where there are none."""

SOURCE = "relabelling"
"""What a line among the outcomes says in ``eventMetadata.source`` when it is an answer of people."""

RUN, INFERENCE_ID, POSITION = "_run", "_inference_id", "_position"
PREDICTION, UNCERTAINTY, LABEL = "_prediction", "_uncertainty", "_label"
"""Columns of the file that people get, beside the features, whose names never begin like this."""

ATTRIBUTE = "answer"
"""What a labelling job calls the label in its output."""


@dataclass(frozen=True)
class Answer:
    """A label that somebody has given to a row that was served.

    Attributes:
        inference_id, position: Of the request, and of the row in it.
        at: When the row was served, ISO 8601 with an offset.
        asked: Feature → value, as the model saw it.
        label: True, false, a number or a text.
        labelled_at: When the label came, ISO 8601 with an offset.
        run: The export that the row was in.
    """

    inference_id: str
    position: int
    at: str
    asked: Mapping[str, Any]
    label: Any
    labelled_at: str
    run: str

    @property
    def row_id(self) -> str:
        """The row's name in a dataset."""
        return row_id(self.inference_id, self.position)


def row_id(inference_id: str, position: int) -> str:
    """Returns the name of a served row: the inference id, with ``#<position>`` behind the first row of a request."""
    return inference_id if position == 0 else f"{inference_id}#{position}"


def written(answers: Iterable[Answer]) -> bytes:
    """Returns answers as JSON lines."""
    return b"".join(canonical_json(vars(answer)) + b"\n" for answer in answers)


def read_answers(content: bytes) -> list[Answer]:
    """Returns the answers that :func:`written` wrote, in their order."""
    return [Answer(**json.loads(line)) for line in content.splitlines() if line]


def holding(answers: Sequence[Answer], as_of: str) -> list[Answer]:
    """Returns the answers that hold at an instant, by the rows' names: of several for a row the latest one."""
    until = parse_instant(as_of)
    newest: dict[str, Answer] = {}
    for answer in answers:
        at = parse_instant(answer.labelled_at)
        known = newest.get(answer.row_id)
        if at <= until and (known is None or at >= parse_instant(known.labelled_at)):
            newest[answer.row_id] = answer
    return [newest[name] for name in sorted(newest)]


def answers_digest(answers: Sequence[Answer]) -> str:
    """Returns the SHA-256 of answers that hold, in hex; nothing where none do."""
    return hashlib.sha256(written(answers)).hexdigest() if answers else ""


@dataclass(frozen=True)
class Sent:
    """A row that is given to people.

    Attributes:
        inference_id, position, at, asked: As of an :class:`Answer`.
        answered: The model's prediction.
        uncertainty: How unsure the model was; more is less sure.
        run: The export.
    """

    inference_id: str
    position: int
    at: str
    asked: Mapping[str, Any]
    answered: Mapping[str, Any]
    uncertainty: float
    run: str

    @property
    def key(self) -> tuple[str, int]:
        """What the row is told apart by."""
        return self.inference_id, self.position

    def line(self) -> bytes:
        """Returns the row as a line of JSON."""
        return canonical_json(vars(self)) + b"\n"


def run_of(as_of: str) -> str:
    """Returns the name of the export of an instant, ``20130501T042300Z``; later instants sort later."""
    return parse_instant(as_of).strftime("%Y%m%dT%H%M%SZ")
