"""How much memory a family of processes takes together."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from local.processes import descendants

_PROC = Path("/proc")


def proportional_bytes(pid: int) -> int:
    """Proportional set size of one process: shared pages count in part; 0 if it has gone or the system cannot tell."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("Pss:")), "0")
    return int(kilobytes) * 1024


def command_name(pid: int) -> str:
    """A short name of what a process runs: its program and, for Python, the module or script."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    names = [Path(word).name for word in words if word and not word.startswith("-")]
    return " ".join(names[:2])


@dataclass
class PeakMemory:
    """Samples the sum over some processes and all of their descendants, and keeps the largest.

    Used as a context manager; ``roots`` may grow while it runs.

    Args:
        roots: Process ids.
        seconds: Time between two samples.
    """

    roots: set[int]
    seconds: float = 0.25
    peak_bytes: int = 0
    at_peak: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            self.sample()

    def sample(self) -> int:
        """Take one sample; returns the sum in bytes."""
        sizes = {pid: proportional_bytes(pid) for pid in family(self.roots)}
        total = sum(sizes.values())
        if total > self.peak_bytes:
            self.peak_bytes = total
            self.at_peak = {f"{command_name(pid)} ({pid})": size for pid, size in sizes.items() if size > 0}
        return total


def family(roots: Iterable[int]) -> set[int]:
    """Processes and all of their descendants."""
    found = set(roots)
    for root in list(found):
        found.update(process.pid for process in descendants(root))
    return found
