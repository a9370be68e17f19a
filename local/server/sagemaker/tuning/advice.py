"""Asks the adviser, a child process that has Optuna."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.server.host import Host
from local.server.sagemaker.children import Sandbox, command
from local.server.sagemaker.jobs.runner import JobFailed
from local.server.sagemaker.store import Document

PROGRAM = Path(__file__).with_name("adviser.py")
_TAIL_CHARACTERS = 500


class Advice:
    """One adviser, for as long as a tuning runs."""

    def __init__(self, host: Host, sandbox: Sandbox, env: dict[str, str], search: Document) -> None:
        self._host = host
        self._search = search
        self._log = sandbox.folder / "adviser.log"
        with self._log.open("wb") as log:
            self._process = host.spawn(
                command(host.settings.job_python, ["python", str(PROGRAM)]),
                env=env,
                cwd=sandbox.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.kill(self._process, 0)

    def ask(self, trials: list[Document]) -> Document:
        """What the next trial is to be told: ``{"hyperparameters", "attrs"}``."""
        return self._answer({"trials": trials, "ask": len(trials)})

    def judge(self, trials: list[Document], number: int) -> Document:
        """Whether a trial is to be stopped: ``{"stop", "judged", "attrs"}``."""
        return self._answer({"trials": trials, "judge": number})

    def _answer(self, question: dict[str, Any]) -> Document:
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - they are pipes, see spawn
        try:
            process.stdin.write(json.dumps({"search": self._search, **question}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            said = self._log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
            raise JobFailed(f"InternalServerError: the adviser has ended: {said}")
        answer: Document = json.loads(line)
        return answer
