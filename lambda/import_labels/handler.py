"""Takes in what people have answered of served rows.

Invoked by its queue, whose messages are S3's events of files below ``relabelling/in/``, or by a state machine with
``{"uri", "time"}`` of what a labelling job wrote; the result is ``{"file", "rows", "accepted", "refused", "reasons",
"labels"}``. Every row of a file is accepted, or refused with a reason and kept.

Writes, in this order: ``quarantine/<sha256>.jsonl``, the refused rows; ``answered/<number>.jsonl``, all answers there
have ever been, with those of the file that say something new; the labels among the outcomes; ``results/<sha256>.json``.
The file's digest names what comes of it, so a file that comes twice, or in the middle of which a call died, changes
nothing more. A later file with another label of a row does: both are kept, and the later one holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constructs_lib.names import metrics
from constructs_lib.names.relabelled import (
    ANSWERED,
    ASKED,
    QUARANTINE,
    RESULTS,
    SOURCE,
    Answer,
    Sent,
    holding,
    read_answers,
)
from constructs_lib.names.relabelled import written as lines_of
from gapless_lambda.clients import client
from gapless_lambda.figures import publish
from gapless_lambda.landing import exists, instant, written
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.numbered import Numbered
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings
from import_labels.judging import EMPTY, Judged, Place, Rules, judge, place_of
from import_labels.judging import Refused as RefusedRow
from import_labels.reading import Given, read

LATEST = 400
"""So many exports are looked through for the rows of a file."""

ANSWERED_AT = "answered-at"
"""Metadata of a file: when it was answered, where that is not when it came."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """The environment of the function."""

    stage: str
    workload: str
    outcomes_uri: str
    relabelling_uri: str
    options_uri: str


class Importer:
    """Takes in one file."""

    def __init__(self, settings: Settings) -> None:
        self._s3 = client("s3")
        self._settings = settings
        self._base, self._outcomes = parse_uri(settings.relabelling_uri), parse_uri(settings.outcomes_uri)
        options = read_json(self._s3, parse_uri(settings.options_uri))
        self._rules = Rules(**{name: options[name] for name in ("problem", "target_type", "labels", "range")})
        self._answered = Numbered(self._s3, self._place(f"{ANSWERED}/"))

    def take_in(self, file: Address, time: str) -> dict[str, Any]:
        """Take in a file; give what became of its rows.

        Args:
            file: Where it is.
            time: When it came.

        Raises:
            BadFile: It is none of answers.
            ValueError: It says of itself a time that is none.
        """
        found = self._s3.get_object(Bucket=file.bucket, Key=file.key)
        content: bytes = found["Body"].read()
        labelled_at = written(instant(found["Metadata"].get(ANSWERED_AT, time)))
        digest = hashlib.sha256(content).hexdigest()
        result = self._place(f"{RESULTS}/{digest}.json")
        if exists(self._s3, result.bucket, result.key):
            known: dict[str, Any] = read_json(self._s3, result)
            return known
        given = read(file.key, content)
        asked = self._asked(given)
        judged = judge(given, asked, self._rules)
        if judged.refused:
            self._put(self._place(f"{QUARANTINE}/{digest}.jsonl"), quarantined(file, judged))
        answers = [answer_of(asked[place], label, labelled_at) for place, label in judged.labels.items()]
        self._answered.add(lambda: self._with_new(answers))
        if answers:
            self._put(Address(self._outcomes.bucket, f"{self._outcomes.key}{SOURCE}/{digest}.jsonl"), told(answers))
        summary = {
            "file": str(file),
            "rows": len(given),
            "accepted": judged.accepted,
            "refused": len(judged.refused),
            "reasons": judged.reasons(),
            "labels": len(answers),
            "labelled_at": labelled_at,
        }
        self._count(judged)
        self._put(result, json.dumps(summary, sort_keys=True).encode())
        return summary

    def _asked(self, given: list[Given]) -> dict[Place, Sent]:
        """What was given out in the runs that the file names; newer exports are looked at first."""
        runs = {run for run in map(run_named, given) if run is not None}
        exports, found = Numbered(self._s3, self._place(f"{ASKED}/")), dict[Place, Sent]()
        for address in exports.newest_first(LATEST) if runs else ():
            rows = [Sent(**json.loads(line)) for line in exports.read(address).splitlines()]
            found |= {(row.run, *row.key): row for row in rows if row.run in runs}
            runs -= {row.run for row in rows}
            if not runs:
                break
        return found

    def _with_new(self, answers: list[Answer]) -> bytes | None:
        """All answers with those that say something new, as lines; None when none does."""
        newest = self._answered.newest_first(1)
        content = self._answered.read(newest[0]) if newest else b""
        new = news_of(answers, read_answers(content))
        return content + lines_of(new) if new else None

    def _count(self, judged: Judged) -> None:
        wrong = sum(reason != EMPTY for _, reason in judged.refused)
        values = {metrics.LABELS_ACCEPTED: judged.accepted, metrics.LABELS_REFUSED: wrong}
        publish(client("cloudwatch"), self._settings.stage, self._settings.workload, values)

    def _put(self, address: Address, content: bytes) -> None:
        self._s3.put_object(Bucket=address.bucket, Key=address.key, Body=content)

    def _place(self, name: str) -> Address:
        return Address(self._base.bucket, f"{self._base.key}{name}")


def news_of(answers: Sequence[Answer], before: Sequence[Answer]) -> list[Answer]:
    """Give those of the answers of one file that are not known, and whose rows had not the same label until then."""
    if not answers:
        return []
    known = {(each.row_id, json.dumps(each.label), each.labelled_at) for each in before}
    labels = {each.row_id: json.dumps(each.label) for each in holding(before, answers[0].labelled_at)}
    return [
        each
        for each in answers
        if (each.row_id, json.dumps(each.label), each.labelled_at) not in known
        and labels.get(each.row_id) != json.dumps(each.label)
    ]


def run_named(row: Given) -> str | None:
    """Give the run that a row names; None when it does not say which row it is."""
    try:
        return place_of(row.content)[0]
    except RefusedRow:
        return None


def answer_of(row: Sent, label: Any, labelled_at: str) -> Answer:
    """Give the answer to a row."""
    return Answer(row.inference_id, row.position, row.at, row.asked, label, labelled_at, row.run)


def quarantined(file: Address, judged: Judged) -> bytes:
    """Give the refused rows as they came, with the reasons, as JSON lines."""
    rows = [
        {"file": str(file), "line": given.line, "row": given.content, "reason": reason}
        for given, reason in judged.refused
    ]
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows).encode()


def told(answers: list[Answer]) -> bytes:
    """Give labels as outcomes, in the format of SageMaker's ground truth, and by whom and when they were given."""
    lines = [
        {
            "groundTruthData": {"data": json.dumps(answer.label), "encoding": "JSON"},
            "eventMetadata": {
                "eventId": answer.inference_id,
                "position": answer.position,
                "source": SOURCE,
                "labelledAt": answer.labelled_at,
            },
            "eventVersion": "0",
        }
        for answer in answers
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse | dict[str, Any]:  # noqa: ARG001
    """Take in the file of every message, or the one that a machine names."""
    importer = Importer(read_settings(Settings))
    if "Records" not in event:
        return _take_in(importer, parse_uri(event["uri"]), event["time"])

    def act(body: Mapping[str, Any]) -> None:
        detail = body["detail"]
        _take_in(importer, Address(detail["bucket"]["name"], detail["object"]["key"]), body["time"])

    return each_message(event, act, log)


def _take_in(importer: Importer, file: Address, time: str) -> dict[str, Any]:
    summary = importer.take_in(file, time)
    log.info("answers taken in", extra={"summary": summary})
    return summary
