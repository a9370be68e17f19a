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
def held_back() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP act at the end of the block, so that nothing is begun and forgotten in between.

    A child that is started in the block gets its signals as ever. For the main thread only.
    """
    arrived: list[int] = []
    numbers = (signal.SIGINT, *_ASKED)
    before = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


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
