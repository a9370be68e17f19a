"""What children use of the machine, under the names of the metrics by which people size machines on AWS.

Processor time and resident memory are read from ``/proc``, for whole sessions, since every child leads one: twice a
second while something runs that will end, every five seconds while there are only servers. A child that has gone
before it was looked at has no figures, and neither has any where there is no ``/proc``; one that was looked at for less
than half a second has none of its processors, since ticks of a hundredth of a second say little of so short a time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger("gapless.usage")

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SESSION, _TIMES, _RESIDENT = 3, slice(11, 15), 21
"""Where ``/proc/<pid>/stat`` has them after the name, see proc(5): times of the process and of children that ended."""

_LOOK_SECONDS = 0.5
_LOOK_AT_SERVERS_SECONDS = 5.0
_PUBLISH_SECONDS = 10.0

Datum = dict[str, Any]
Publish = Callable[[str, list[Datum]], None]


@dataclass(frozen=True)
class Figure:
    """A metric.

    Args:
        name: As CloudWatch has it.
        factor: What a processor in use, or a byte, is worth in its unit.
        unit: CloudWatch's.
        dimensions: Where it differs from the other one of a child.
    """

    name: str
    factor: float
    unit: str = "Percent"
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """What is published of a child.

    Args:
        namespace: Of its metrics.
        dimensions: Of its metrics.
        processors: The metric of the processors that it keeps busy, on average.
        memory: The metric of its memory, at the most; None where nobody knows how much its machine would have.
        serves: Whether it runs until it is stopped.
    """

    namespace: str
    dimensions: Mapping[str, str]
    processors: Figure
    memory: Figure | None
    serves: bool = False


@dataclass(frozen=True)
class Taken:
    """What a session of processes has used until now, and uses now."""

    processor_seconds: float
    memory_bytes: int


@dataclass
class _Watched:
    measure: Measure
    since: float
    until: float
    last: float = 0.0
    busy: float = 0.0
    most: int = 0


class UsageMeter:
    """Looks at children while they run, and publishes what they use every ten seconds and at their end."""

    def __init__(
        self,
        publish: Publish,
        look: Callable[[], Mapping[int, Taken]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish = publish
        self._look = look or sessions
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._changed = threading.Event()
        self._stopped = False

    def start(self) -> None:
        """Look from now on, in a thread of its own."""
        threading.Thread(target=self._run, name="usage", daemon=True).start()

    def stop(self) -> None:
        """Publish nothing more: the server goes down."""
        self._stopped = True

    def watch(self, pid: int, measure: Measure) -> None:
        """Look at a child from now on; it leads a session."""
        now = self._clock()
        with self._lock:
            self._watched[pid] = _Watched(measure, now, now)
        self._changed.set()

    def forget(self, pid: int) -> None:
        """Look no more, and publish what is left to say."""
        with self._lock:
            watched = self._watched.pop(pid, None)
        if watched is not None:
            self._tell([watched])

    def sample(self) -> None:
        """Look once, and publish what is due."""
        taken = self._look()
        now = self._clock()  # only now: what was used during the look was used in a time that has passed
        due = []
        with self._lock:
            for pid, watched in self._watched.items():
                if pid not in taken:
                    continue
                _add(watched, taken[pid], now)
                if now - watched.since >= _PUBLISH_SECONDS:
                    due.append(_Watched(watched.measure, watched.since, now, busy=watched.busy, most=watched.most))
                    watched.since, watched.busy, watched.most = now, 0.0, 0
        self._tell(due)

    def _run(self) -> None:
        while True:
            self._changed.wait(self._pause())
            self._changed.clear()
            self.sample()

    def _pause(self) -> float | None:
        with self._lock:
            if not self._watched:
                return None
            serve = all(each.measure.serves for each in self._watched.values())
        return _LOOK_AT_SERVERS_SECONDS if serve else _LOOK_SECONDS

    def _tell(self, due: Iterable[_Watched]) -> None:
        data: defaultdict[str, list[Datum]] = defaultdict(list)
        for watched in due:
            data[watched.measure.namespace] += list(_data(watched))
        for namespace, found in data.items():
            if self._stopped:
                return
            try:
                self._publish(namespace, found)
            except Exception:  # as on AWS, a job does not fail because its metrics are lost
                log.warning("%d metrics of %s were lost", len(found), namespace, exc_info=True)


def _add(watched: _Watched, taken: Taken, now: float) -> None:
    """Time counts once: of a process that ends during a look it is missing, and in the next it is its parent's."""
    watched.busy += max(0.0, taken.processor_seconds - watched.last)
    watched.last = max(watched.last, taken.processor_seconds)
    watched.most = max(watched.most, taken.memory_bytes)
    watched.until = now


def _data(watched: _Watched) -> Iterable[Datum]:
    seconds = watched.until - watched.since
    if seconds <= 0 or watched.most == 0:
        return
    measure = watched.measure
    if seconds >= _LOOK_SECONDS:
        yield _datum(measure, measure.processors, watched.busy / seconds)
    if measure.memory is not None:
        yield _datum(measure, measure.memory, watched.most)


def _datum(measure: Measure, figure: Figure, amount: float) -> Datum:
    dimensions = {**measure.dimensions, **figure.dimensions}
    return {
        "MetricName": figure.name,
        "Value": amount * figure.factor,
        "Unit": figure.unit,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }


def _processes() -> list[str]:
    if not _PROC.is_dir():
        return []
    with os.scandir(_PROC) as entries:
        return [entry.name for entry in entries if entry.name.isdigit()]


def sessions() -> dict[int, Taken]:
    """What each session of processes on this machine takes, by the process that leads it."""
    seconds: defaultdict[int, float] = defaultdict(float)
    memory: defaultdict[int, int] = defaultdict(int)
    for process in _processes():
        try:
            with open(f"{_PROC}/{process}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - a path takes twice as long
                text = file.read()
        except OSError:
            continue  # it has gone meanwhile
        fields = text.rpartition(b")")[2].split()
        if len(fields) <= _RESIDENT:
            continue
        session = int(fields[_SESSION])
        seconds[session] += sum(map(int, fields[_TIMES])) / _TICKS
        memory[session] += int(fields[_RESIDENT]) * _PAGE
    return {session: Taken(seconds[session], memory[session]) for session in seconds}
