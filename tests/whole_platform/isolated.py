"""Runs a script where no socket opens and the clock stands elsewhere: ``isolated.py SECONDS SCRIPT``."""

import datetime
import runpy
import sys
import time
from pathlib import Path

import pytest_socket

shift = float(sys.argv[1])
really_now, really_datetime = time.time, datetime.datetime


class ShiftedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "ShiftedDatetime":
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> "ShiftedDatetime":
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


time.time = lambda: really_now() + shift
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = ShiftedDatetime  # type: ignore[misc]
pytest_socket.disable_socket(allow_unix_socket=False)

script = sys.argv[2]
sys.argv = [script]
sys.path.insert(0, str(Path(script).parent))
runpy.run_path(script, run_name="__main__")
