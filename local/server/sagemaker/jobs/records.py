"""Records of a batch transform: taken apart, filtered, and joined with their answers (``DataProcessing``).

The paths are the part of JSONPath that SageMaker documents: ``$``, ``$.a.b``, ``$['a']``, ``$['a','b']``, and for CSV
``$[2]``, ``$[1:]`` and ``$[0,2]``. An answer is put under ``SageMakerOutput`` of a JSON object, beside
``SageMakerInput`` where the record is no object, and behind the cells of CSV.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.store import Document

OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"
_STEP = re.compile(r"\.(?P<name>[A-Za-z_][\w-]*)|\[(?P<names>'[^']*'(?:\s*,\s*'[^']*')*)\]|\[(?P<cells>[\d:,\s-]+)\]")
_JSON_TYPES = ("application/json", "application/jsonlines")


class NotJoined(Exception):
    """A record or an answer is not of the form that its type promises; the text says why."""


@dataclass(frozen=True)
class Path:
    """A JSONPath.

    Attributes:
        steps: Names of members, one or several, or positions as they are written.
    """

    steps: tuple[tuple[str, ...] | str, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path.

        Raises:
            ServiceError: It is none, or holds operators that SageMaker does not know (``ValidationException``).
        """
        if not text.startswith("$"):
            raise invalid(f"the JSONPath must start with $, was {text!r}")
        steps: list[tuple[str, ...] | str] = []
        at = 1
        while at < len(text):
            matched = _STEP.match(text, at)
            if matched is None:
                raise invalid(f"the JSONPath {text!r} is not supported from {text[at:]!r} on")
            if matched["name"] is not None:
                steps.append((matched["name"],))
            elif matched["names"] is not None:
                steps.append(tuple(re.findall(r"'([^']*)'", matched["names"])))
            else:
                steps.append(matched["cells"].strip())
            at = matched.end()
        return cls(tuple(steps))

    def of(self, value: Any) -> Any:
        """What the path finds in a value; several names give an object, several positions a list.

        Raises:
            NotJoined: It finds nothing.
        """
        for step in self.steps:
            value = _cells(value, step) if isinstance(step, str) else _members(value, step)
        return value


def _members(value: Any, names: Sequence[str]) -> Any:
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise NotJoined(f"the record has no {', '.join(names)}")
    return value[names[0]] if len(names) == 1 else {name: value[name] for name in names}


def _cells(value: Any, step: str) -> Any:
    if not isinstance(value, list):
        raise NotJoined(f"the record is no list, and [{step}] asks for positions")
    try:
        if ":" in step:
            first, _, last = step.partition(":")
            return value[int(first) if first else None : int(last) if last else None]
        positions = [int(position) for position in step.split(",")]
        return value[positions[0]] if len(positions) == 1 else [value[position] for position in positions]
    except (ValueError, IndexError) as error:
        raise NotJoined(f"the record has no [{step}]") from error


@dataclass(frozen=True)
class Form:
    """How records are read and written: as JSON or as CSV."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    is_json: bool


def _read_json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise NotJoined(f"not JSON: {error}") from error


def _read_csv(line: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(line.decode())), [])


def _write_csv(cells: Any) -> bytes:
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow(cells if isinstance(cells, list) else [cells])
    return target.getvalue().encode()


JSON_FORM = Form(_read_json, lambda value: json.dumps(value, ensure_ascii=False).encode(), is_json=True)
CSV_FORM = Form(_read_csv, _write_csv, is_json=False)


def _form(where: str, content_type: str | None) -> Form:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in _JSON_TYPES:
        return JSON_FORM
    if kind == "text/csv":
        return CSV_FORM
    raise invalid(f"DataProcessing needs {where} to be one of {', '.join((*_JSON_TYPES, 'text/csv'))}, not {kind!r}")


@dataclass(frozen=True)
class Processing:
    """What becomes of records and answers.

    Attributes:
        takes, gives: Forms of records and of answers.
        asked: What of a record the model is sent.
        joins: Whether an answer is put beside its record.
        kept: What of the two is written.
    """

    takes: Form
    gives: Form
    asked: Path
    joins: bool
    kept: Path

    @classmethod
    def parse(cls, job: Document) -> Processing | None:
        """Read what a job asks for; ``None`` when it asks for nothing.

        Raises:
            ServiceError: The parts of the request do not fit together.
        """
        asked = job.get("DataProcessing")
        if not asked:
            return None
        source, output = job["TransformInput"], job["TransformOutput"]
        joins = asked.get("JoinSource", "None") == "Input"
        if source.get("SplitType", "None") != "Line":
            raise unsupported("DataProcessing of a transform job that does not split its input by line")
        if joins and output.get("AssembleWith", "None") != "Line":
            raise invalid("JoinSource Input needs AssembleWith to be the SplitType of the input, Line")
        takes, gives = _form("ContentType", source.get("ContentType")), _form("Accept", output.get("Accept"))
        if joins and takes.is_json != gives.is_json:
            raise invalid("JoinSource Input needs answers of the records' type: JSON or CSV")
        return cls(
            takes,
            gives,
            Path.parse(asked.get("InputFilter", "$")),
            joins,
            Path.parse(asked.get("OutputFilter", "$")),
        )

    def request(self, record: bytes) -> bytes:
        """What the model is sent of a record, as a line."""
        return self.takes.write(self.asked.of(self.takes.read(record))) + b"\n"

    def result(self, record: bytes, answer: bytes) -> bytes:
        """What is written for a record, as a line."""
        found = self.gives.read(answer)
        if self.joins:
            found = self._joined(self.takes.read(record), found)
        return self.gives.write(self.kept.of(found)) + b"\n"

    def _joined(self, record: Any, answer: Any) -> Any:
        if not self.takes.is_json:
            return [*record, *answer]
        if isinstance(record, dict):
            return {**record, OUTPUT: answer}
        return {INPUT: record, OUTPUT: answer}
