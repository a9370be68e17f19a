"""How a state fails, and how an execution is interrupted."""

from __future__ import annotations

import threading
import time
import weakref


class StateError(Exception):
    """A state failed with an error name and a cause, which retriers and catchers match."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


class Interrupted(Exception):
    """The work was called off from outside: nothing catches this, it only unwinds."""


class Signal:
    """Tells work, and the work inside it, to stop.

    ``wait`` sleeps until then or until ``seconds`` have passed, so nothing that waits has to be waited for. Whoever
    works for an inner signal holds on to it; one that nobody holds is forgotten.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._inner: weakref.WeakSet[Signal] = weakref.WeakSet()
        self._lock = threading.Lock()

    def inner(self) -> Signal:
        """A signal for a part of the work; setting this one sets it too."""
        part = Signal()
        with self._lock:
            if self._event.is_set():
                part._event.set()
            else:
                self._inner.add(part)
        return part

    def set(self) -> None:
        """Call the work off."""
        with self._lock:
            self._event.set()
            parts = list(self._inner)
        for part in parts:
            part.set()

    def is_set(self) -> bool:
        """Whether the work was called off."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Interrupted`` if the work was called off."""
        if self._event.is_set():
            raise Interrupted

    def wait(self, seconds: float | None) -> None:
        """Sleep; with ``None``, until the work is called off.

        Raises:
            Interrupted: The work was called off before or meanwhile.
        """
        if self._event.wait(seconds):
            raise Interrupted


class Deadline:
    """A point in time after which a task has timed out; ``None`` means never."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, zero when it has passed, ``None`` when there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise ``States.Timeout`` when it has passed."""
        if self._end is not None and time.monotonic() >= self._end:
            raise StateError("States.Timeout", f"the task ran longer than {self.seconds} s")
