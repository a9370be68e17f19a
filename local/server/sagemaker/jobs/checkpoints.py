"""Checkpoints of training jobs: what lies in S3 comes into the container, and what the container writes goes to S3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from local.server.sagemaker import s3_data
from local.server.sagemaker.jobs.runner import DATA_ERRORS, JobFailed
from local.server.sagemaker.platform import log

_EVERY_SECONDS = 0.1


class Checkpoints:
    """The folder of one container, and its place in S3. As on AWS, files are put and never deleted there."""

    def __init__(self, s3: Any, uri: str, folder: Path) -> None:
        self._s3, self._uri, self._folder = s3, uri, folder
        self._stored: dict[Path, tuple[int, int]] = {}

    def restore(self) -> None:
        """Fetch what there is; a first run finds nothing.

        Raises:
            JobFailed: The job's role may not read it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            if s3_data.holds_objects(self._s3, self._uri):
                s3_data.download_prefix(self._s3, self._uri, self._folder)
        except DATA_ERRORS as error:
            raise JobFailed(f"ClientError: Checkpoint download failed:{error}") from error
        self._stored = {path: _stamp(path) for path in self._files()}

    def store(self) -> int:
        """Put what is new or has changed; returns how many files that were.

        Raises:
            JobFailed: The job's role may not write it.
        """
        address, count = s3_data.Address.parse(self._uri), 0
        for path in self._files():
            try:
                stamp = _stamp(path)
                if self._stored.get(path) == stamp:
                    continue
                s3_data.upload_file(self._s3, path, address.join(path.relative_to(self._folder).as_posix()), None)
            except FileNotFoundError:
                continue  # the container has renamed or deleted it meanwhile
            except DATA_ERRORS as error:
                raise JobFailed(f"ClientError: Checkpoint upload failed:{error}") from error
            self._stored[path] = stamp
            count += 1
        return count

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.rglob("*") if path.is_file())


class CheckpointSync:
    """Puts the checkpoints of a job's containers into S3 while they run, and once more when they have ended.

    Args:
        checkpoints: Of every container.
        interrupt: Called once as soon as something new has been stored: the machines are taken away. Default: never.

    Attributes:
        interrupted: Whether it was called.
    """

    def __init__(self, checkpoints: Sequence[Checkpoints], interrupt: Callable[[], None] | None = None) -> None:
        self.interrupted = False
        self._checkpoints = checkpoints
        self._interrupt = interrupt
        self._ended = threading.Event()
        self._problem: JobFailed | None = None
        self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)

    def __enter__(self) -> Self:
        if self._checkpoints:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._checkpoints:
            self._thread.join()

    def finish(self) -> None:
        """Store what came last.

        Raises:
            JobFailed: It cannot be stored, or could not be while the job ran.
        """
        self.__exit__()
        if self._problem is not None:
            raise self._problem
        for each in self._checkpoints:
            each.store()

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            try:
                stored = sum(each.store() for each in self._checkpoints)
            except JobFailed as problem:
                self._problem = problem
                return
            except OSError:
                log.exception("checkpoints could not be read")
                continue
            if stored and self._interrupt is not None and not self.interrupted:
                self.interrupted = True
                self._interrupt()


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
