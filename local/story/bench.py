"""Where the containers of a story run: trainings, searches and models that answer for themselves."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from local.server.children import Children
from local.server.host import Credentials, Runner, Settings

JOB_PYTHON: Final = Path(sys.executable)
"""Runs whatever is Python in a container."""

NOBODY: Final = Credentials("nobody", "")
"""What containers act with, which the network is off for."""


class Bench(Runner):
    """Runs containers as the local AWS does, without one behind them: logs are files. All threads may use it.

    Args:
        folder: Everything is below it; what containers see as ``/opt/ml`` goes with them.
    """

    def __init__(self, folder: Path) -> None:
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        settings = Settings(folder, scratch, 0, "", Path(os.devnull), JOB_PYTHON)
        self._started = Children()
        self._writing = threading.Lock()
        super().__init__(settings, self._started, lambda _namespace, _data: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._started.close()

    def log_of(self, group: str, stream: str) -> Path:
        """The file of a log stream."""
        return self.settings.state_dir / "logs" / group / f"{stream}.log"

    def put_logs(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a file."""
        path = self.log_of(group, stream)
        with self._writing:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
