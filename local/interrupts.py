"""End a command in good order when somebody asks for it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKED = (signal.SIGTERM, signal.SIGHUP)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def leave_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind the program like Ctrl-C does, so that whatever it has started is ended."""
    for number in _ASKED:
        signal.signal(number, _leave)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold off Ctrl-C, SIGTERM and SIGHUP while things are taken down."""
    numbers = (signal.SIGINT, *_ASKED)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
