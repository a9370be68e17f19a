"""Pulls what is new from an HTTP API into the incoming folder of a source.

Invoked by its queue, which a schedule feeds. What has been pulled, and from where to go on, is one item of the runs
table. A step of the protocol:

1. rows are fetched from the recorded position on and written, as one file, to ``pulled/``, where nobody looks;
2. one conditional write records the position after them and the name of the file: from here on the step counts;
3. the file is copied to ``incoming/``, which that write then no longer asks for.

Of two calls at once one wins step 2, and the other's file is deleted. Whoever finds a file that may not have been
handed over does step 3 first; a file that a batch has taken since is known by its digest among ``files/``. So no row is
lost, and none is handed over twice, wherever a call dies. An API that gives a row twice is another matter: the rows of
a source are told apart by its key when they are validated.

With a watermark a step is at most ``MOST_ROWS`` rows and the next step goes on from there; without one it is a whole
sweep, so that a file always has everything.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gapless_lambda.clients import client
from gapless_lambda.landing import exists, file_name
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.s3 import parse_uri, read_json
from gapless_lambda.settings import read_settings
from pull_api.api import CURSOR_GONE, Api, ApiRefused, Clock
from pull_api.rows import Rows
from pull_api.spec import Position, Pull, SecretHeader
from pull_api.state import File, Overtaken, Pulled, PullState

MOST_ROWS = 50_000
"""Rows of one step, where there is a watermark to go on from."""

ENOUGH_SECONDS = 60.0
"""With less time than this no further page is asked for."""

log = get_logger(__name__)


class SweepTooLong(Exception):
    """Everything cannot be fetched in the time that one call has, and there is no watermark to go on from."""


class BadSecret(Exception):
    """The secret does not hold what the workload file says."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; what is pulled is a JSON object in S3."""

    pull_uri: str
    landing_bucket: str
    state_table: str


class Puller:
    """Pulls one source, step by step, until there is nothing new or no time."""

    def __init__(self, settings: Settings, pull: Pull, api: Api, seconds_left: Callable[[], float]) -> None:
        self._s3 = client("s3")
        self._state = PullState(client("dynamodb"), settings.state_table, pull)
        self._bucket = settings.landing_bucket
        self._pull = pull
        self._api = api
        self._seconds_left = seconds_left

    def pull(self) -> int:
        """Pull to the end of the sweep, or until there is no time; give the number of rows that were handed over.

        Raises:
            ApiRefused, ApiUnavailable, BadAnswer: As the API does; steps that were done before stay done.
            Overtaken: Another call goes on from the same position.
            SweepTooLong: There is no time for a whole sweep without watermark.
        """
        done = self._state.read()
        if done.unpublished is not None:
            self._publish(done, done.unpublished)
            done = self._state.read()
        total = 0
        while True:
            done, rows, finished = self._step(done)
            total += rows
            if finished or self._seconds_left() < ENOUGH_SECONDS:
                return total

    def _step(self, before: Pulled) -> tuple[Pulled, int, bool]:
        with tempfile.TemporaryDirectory() as folder:
            rows = Rows(Path(folder), self._pull.fields)
            position, finished = self._fetch(before.position, rows)
            path, sha256 = rows.render(self._pull.format, self._pull.columns)
            if not rows.count or sha256 == before.last:
                if position == before.position:
                    return before, 0, finished
                return self._state.commit(before, position, None), 0, finished
            name = f"{before.sequence + 1:08}-{sha256}"
            file = File(file_name(name, self._pull.format, ".gz"), sha256)
            self._s3.upload_file(str(path), self._bucket, self._pull.pulled + file.name)
        try:
            after = self._state.commit(before, position, file)
        except Overtaken:
            self._discard(file)
            raise
        self._publish(after, file)
        return replace(after, unpublished=None), rows.count, finished

    def _fetch(self, position: Position, rows: Rows) -> tuple[Position, bool]:
        """Fetch pages until the sweep ends, there are enough rows or there is no time."""
        try:
            page = self._api.page(position)
        except ApiRefused as error:
            if position.cursor is None or error.status not in CURSOR_GONE:
                raise
            log.warning("the API no longer knows where the last call stopped", extra={"error": str(error)})
            position = position.start()
            page = self._api.page(position)
        while True:
            for row in position.fresh(page.rows, self._pull.watermark):
                rows.add(row)
            position = position.after(page.rows, page.cursor, self._pull.watermark)
            if page.cursor is None:
                return position, True
            in_time = self._seconds_left() >= ENOUGH_SECONDS
            if self._pull.watermark is None and not in_time:
                raise SweepTooLong(
                    f"{rows.count} rows were fetched when time ran out; give {self._pull.source} a watermark, "
                    "larger pages or more requests per second"
                )
            if self._pull.watermark is not None and (rows.count >= MOST_ROWS or not in_time):
                return position, False
            page = self._api.page(position)

    def _publish(self, step: Pulled, file: File) -> None:
        taken = self._pull.files + file_name(file.sha256, self._pull.format, file.name)
        if not exists(self._s3, self._bucket, taken):
            source = {"Bucket": self._bucket, "Key": self._pull.pulled + file.name}
            self._s3.copy(source, self._bucket, self._pull.incoming + file.name)
        self._state.published(step)
        self._discard(file)

    def _discard(self, file: File) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=self._pull.pulled + file.name)


def read_secret(header: SecretHeader) -> str:
    """Read the value of a secret header.

    Raises:
        BadSecret: The secret is binary, or lacks the field.
    """
    found = client("secretsmanager").get_secret_value(SecretId=header.secret)
    text = found.get("SecretString")
    if text is None:
        raise BadSecret(f"secret {header.secret} must be a text, it is binary")
    if header.field is None:
        return str(text)
    try:
        return str(json.loads(text)[header.field])
    except (ValueError, KeyError, TypeError) as error:
        raise BadSecret(f"secret {header.secret} must be a JSON object with the key {header.field!r}") from error


def pull_once(settings: Settings, clock: Clock, seconds_left: Callable[[], float]) -> int:
    """Pull what is new now; see :meth:`Puller.pull`."""
    pull = Pull.parse(read_json(client("s3"), parse_uri(settings.pull_uri)))
    secret = read_secret(pull.secret) if pull.secret is not None else None
    rows = Puller(settings, pull, Api(pull, secret, clock, seconds_left), seconds_left).pull()
    log.info("pulled", extra={"source": pull.source, "rows": rows})
    return rows


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:
    """Pull once for each message; one that finds another call at work has nothing to do."""
    settings = read_settings(Settings)

    def act(_: Any) -> None:
        try:
            pull_once(settings, Clock(), lambda: context.get_remaining_time_in_millis() / 1000)
        except Overtaken:
            log.info("another call pulls")

    return each_message(event, act, log)
