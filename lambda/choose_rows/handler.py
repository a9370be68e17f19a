"""Chooses served rows for people to label: those of which the model was least sure and that have no label yet.

Called once a day with an event that has a ``time``, or with ``{"as_of"}``; the result is ``{"run", "rows",
"manifest_uri", "tasks_uri"}``, the last two ``none`` where there is nothing to label. Looks at rows that are old enough
to have had their label, and at none that people have already.

Writes below ``relabelling/``, in this order: ``asked/<number>.jsonl`` with everything of the rows, which makes them
out; ``out/<run>/rows.…`` with what people may see, and ``out/<run>/tasks.manifest``; ``out/<run>/manifest.json``. The
run is named by its instant: who calls again for the same gets the same rows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from choose_rows.candidates import RowKey, Wanted, Window, labelled
from choose_rows.export import SUFFIXES, columns, render, tasks
from constructs_lib.names import metrics
from constructs_lib.names.relabelled import ASKED, IN, LABEL, OUT, Sent, run_of
from gapless_lambda.captures import captured, lines_of, listed
from gapless_lambda.clients import client
from gapless_lambda.figures import publish
from gapless_lambda.landing import instant, written
from gapless_lambda.log import get_logger
from gapless_lambda.numbered import Numbered
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

LATEST = 400
"""So many exports are looked through for rows that are out: more than a year of days."""

NONE = "none"

log = get_logger(__name__)


class Chosen(TypedDict):
    """What was chosen."""

    run: str
    rows: int
    manifest_uri: str
    tasks_uri: str


@dataclass(frozen=True)
class Settings:
    """The environment; ``challenger`` is the variant whose numbers are compared with, ``none`` without one."""

    stage: str
    workload: str
    endpoint_name: str
    variant: str
    challenger: str
    capture_uri: str
    outcomes_uri: str
    relabelling_uri: str
    options_uri: str


class Chooser:
    """Chooses for one instant."""

    def __init__(self, settings: Settings, as_of: datetime) -> None:
        self._s3 = client("s3")
        self._settings = settings
        self._base = parse_uri(settings.relabelling_uri)
        self._options: dict[str, Any] = read_json(self._s3, parse_uri(settings.options_uri))
        self._as_of = as_of
        self._run = run_of(written(as_of))
        until = as_of - timedelta(days=self._options["label_delay_days"])
        self._window = Window(until - timedelta(days=self._options["look_back_days"]), until)
        self._asked = Numbered(self._s3, self._place(f"{ASKED}/"))
        self._refused: Counter[str] = Counter()

    def choose(self) -> Chosen:
        """Choose, and write everything."""
        self._asked.add(self._lines)
        rows = [row for row in self._sent() if row.run == self._run]
        if not rows:
            return Chosen(run=self._run, rows=0, manifest_uri=NONE, tasks_uri=NONE)
        content = render(rows, self._options["shown"], self._options["format"])
        file = self._put(f"rows.{SUFFIXES[self._options['format']]}", content)
        jobs = self._put("tasks.manifest", tasks(rows, self._options["shown"]))
        manifest = self._put("manifest.json", self._manifest(rows, file, content))
        return Chosen(run=self._run, rows=len(rows), manifest_uri=str(manifest), tasks_uri=str(jobs))

    def _lines(self) -> bytes | None:
        """The rows of this run, as lines; None when it has some already, or finds none."""
        sent = list(self._sent())
        if any(row.run == self._run for row in sent):
            return None
        due = run_of(written(self._as_of - timedelta(days=self._options["due_days"])))
        requests, rows = labelled(self._outcomes())
        wanted = Wanted(
            how=self._options["uncertainty"],
            problem=self._options["problem"],
            most=self._options["max_rows"],
            requests=requests,
            rows=rows,
            out={row.key for row in sent if row.run > due},
        )
        self._refused.clear()
        found = self._window.rows_of(self._captured(self._settings.variant), self._refused)
        chosen = wanted.choose(found, self._others(), self._run)
        return b"".join(row.line() for row in chosen) if chosen else None

    def _sent(self) -> Iterator[Sent]:
        for address in self._asked.newest_first(LATEST):
            for line in self._asked.read(address).splitlines():
                yield Sent(**json.loads(line))

    def _outcomes(self) -> Iterator[str]:
        base = parse_uri(self._settings.outcomes_uri)
        for found in listed(self._s3, base.bucket, base.key):
            if found.written >= self._window.since:
                yield from lines_of(self._s3, base.bucket, found.key)

    def _others(self) -> dict[RowKey, Mapping[str, Any]]:
        if self._settings.challenger == NONE:
            return {}
        rows = self._window.rows_of(self._captured(self._settings.challenger), self._refused)
        return {(row.inference_id, row.position): row.answered for row in rows}

    def _captured(self, variant: str) -> Iterator[str]:
        base = parse_uri(self._settings.capture_uri)
        return captured(self._s3, base, self._settings.endpoint_name, variant, self._window.since, self._window.until)

    def _manifest(self, rows: Sequence[Sent], file: Address, content: bytes) -> bytes:
        manifest = {
            "run": self._run,
            "as_of": written(self._as_of),
            "file": str(file),
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "rows": len(rows),
            "columns": columns(self._options["shown"]),
            "label": {"column": LABEL, **{name: self._options[name] for name in ("target_type", "labels", "range")}},
            "served": {"from": written(self._window.since), "before": written(self._window.until)},
            "uncertainty": self._options["uncertainty"],
            "due": written(self._as_of + timedelta(days=self._options["due_days"])),
            "answer_below": str(self._place(f"{IN}/")),
        }
        return json.dumps(manifest, sort_keys=True).encode()

    def _put(self, name: str, content: bytes) -> Address:
        address = self._place(f"{OUT}/{self._run}/{name}")
        self._s3.put_object(Bucket=address.bucket, Key=address.key, Body=content)
        return address

    def _place(self, name: str) -> Address:
        return Address(self._base.bucket, f"{self._base.key}{name}")

    @property
    def refused(self) -> dict[str, int]:
        """Kind of error → captured lines that could not be read."""
        return dict(self._refused)


def handler(event: Mapping[str, Any], context: Any) -> Chosen:  # noqa: ARG001
    """Choose rows for the instant of the event."""
    settings = read_settings(Settings)
    chooser = Chooser(settings, instant(event["as_of"] if "as_of" in event else event["time"]))
    chosen = chooser.choose()
    publish(client("cloudwatch"), settings.stage, settings.workload, {metrics.ROWS_OUT_FOR_LABELS: chosen["rows"]})
    log.info("rows chosen", extra={**chosen, "refused_lines": chooser.refused})
    return chosen
