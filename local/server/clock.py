"""The clock of the account: the machine's, or one that was set.

What services date, they date by it: executions and their states, events, set times, metrics and alarms, captured
requests, jobs, models, objects. It may stand at another day and goes on from there as fast as the machine's.

Whatever holds between two programs of this machine goes by the machine's own clock: signatures and sessions, TLS,
messages of queues and how long they are hidden, lines of logs. Functions and jobs have the machine's clock as well; by
what they decide comes to them as an instant.

How far it is from the machine's clock stands in a file, so that it can be moved while the server runs.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

from local.server import hooks

NAME = "clock"
"""The file in the state directory."""


class WentBackwards(ValueError):
    """What was dated would lie in the future."""


class Clock:
    """A clock whose distance from the machine's is kept in a file; without the file it is the machine's."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    def now(self) -> float:
        """Epoch seconds."""
        return time.time() + self._offset()

    def begin(self, moment: dt.datetime) -> None:
        """Set it for the first time; one that was set before stays as it is."""
        if self._file is not None and not self._file.exists():
            self._write(moment)

    def move(self, moment: dt.datetime) -> None:
        """Set it to a later instant.

        Raises:
            WentBackwards: The instant is earlier than now.
        """
        if moment.timestamp() < self.now():
            now = dt.datetime.fromtimestamp(self.now(), dt.UTC)
            raise WentBackwards(f"the clock says {_text(now)} and cannot be set to {_text(moment)}, which is earlier")
        self._write(moment)

    def _offset(self) -> float:
        try:
            return 0.0 if self._file is None else float(self._file.read_text())
        except FileNotFoundError:
            return 0.0

    def _write(self, moment: dt.datetime) -> None:
        assert self._file is not None  # noqa: S101 - who sets a clock has its file
        draft = self._file.with_suffix(".draft")
        draft.write_text(repr(moment.timestamp() - time.time()))
        draft.replace(self._file)


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_TICK_SECONDS = 1
"""How often rules with set times are looked at, so that what has become due by setting the clock comes soon."""

_clock = Clock()


def follow(file: Path) -> None:
    """Go by the clock of a file from now on, in this module's functions and in what ministack dates."""
    global _clock
    _clock = Clock(file)
    hooks.replace("core.responses:datetime", _Datetime())
    hooks.replace("services.cloudwatch:time", _Time())
    hooks.replace("services.eventbridge:_now_ts", now)
    hooks.replace("services.scheduler:_now", now)
    hooks.replace("services.eventbridge:_SCHEDULER_TICK_INTERVAL", _TICK_SECONDS)


def now() -> float:
    """What time it is in the account, in epoch seconds."""
    return _clock.now()


def moment() -> dt.datetime:
    """What time it is in the account, in UTC."""
    return dt.datetime.fromtimestamp(now(), dt.UTC)


class _Time:
    """The module ``time`` for a module of ministack."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return now()


class _Datetime:
    """The class ``datetime`` for a module of ministack."""

    def __getattr__(self, name: str) -> Any:
        return getattr(dt.datetime, name)

    def now(self, tz: dt.tzinfo | None = None) -> dt.datetime:
        return dt.datetime.fromtimestamp(now(), tz)
