"""The guard inside a training script.

Usage, in whatever trains::

    guard = Guard.of_job()
    guard.check_classes({"late": 1200, "on time": 8800})
    for epoch in range(epochs):
        ...
        guard.watch(loss=train_loss, validation_loss=validation_loss)   # raises TrainingStopped

or, with XGBoost, ``callbacks=[xgboost_callback(guard, "logloss")]``. A job whose workload asks for no guard has no
rules: then nothing is ever stopped. A thread ends the process when no point has come for too long, since a loop that
hangs calls nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gapless_guard.rules import Finding, Rules, Tracker

VARIABLE = "GAPLESS_GUARD"
"""Environment variable of the job that holds the rules, as JSON."""

_LOOKS_PER_LIMIT = 20


class TrainingStopped(Exception):
    """The guard has stopped the training; the message is the rule and what was seen."""


class Guard:
    """Watches one training in its own process.

    Args:
        rules: What counts.
        failure_file: Where the reason is left when the process has to be ended: SageMaker reads it there.
    """

    def __init__(self, rules: Rules, failure_file: Path = Path("/opt/ml/output/failure")) -> None:
        self._rules, self._failure_file = rules, failure_file
        self._tracker = Tracker(at=time.monotonic())
        self._lock = threading.Lock()
        self._over = threading.Event()
        if rules.dead is not None:
            threading.Thread(target=self._look_after, args=(rules.dead.minutes * 60,), daemon=True).start()

    @classmethod
    def of_job(cls, environment: Mapping[str, str] = os.environ) -> Guard:
        """Give the guard that this job's workload asks for.

        Raises:
            BadRules: The job's rules cannot be read.
        """
        output = environment.get("SM_OUTPUT_DIR", "/opt/ml/output")
        return cls(Rules.parse_text(environment.get(VARIABLE, "")), Path(output) / "failure")

    def check_classes(self, counts: Mapping[str, int]) -> None:
        """Judge the training rows by their classes, class to number of rows, before anything is learnt.

        Raises:
            TrainingStopped: The rarest class is too rare.
        """
        _stop_if(self._rules.judge_classes(counts))

    def watch(self, *, loss: float, validation_loss: float | None = None) -> None:
        """Judge one point: a round, an epoch, an evaluation.

        Args:
            loss: The training loss, better when smaller.
            validation_loss: The validation loss, where there is one.

        Raises:
            TrainingStopped: A rule is broken.
        """
        with self._lock:
            finding = self._tracker.see(self._rules, time.monotonic(), loss, validation_loss)
        _stop_if(finding)

    def done(self) -> None:
        """Say that no more points will come, though the process goes on (to write the model, say)."""
        self._over.set()

    def _look_after(self, limit_seconds: float) -> None:
        while not self._over.wait(limit_seconds / _LOOKS_PER_LIMIT):
            with self._lock:
                finding = self._tracker.dead(self._rules, time.monotonic())
            if finding is not None:
                self._end_process(finding)
                return

    def _end_process(self, finding: Finding) -> None:
        reason = f"TrainingStopped: {finding}"
        self._failure_file.parent.mkdir(parents=True, exist_ok=True)
        self._failure_file.write_text(reason, encoding="utf-8")
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _stop_if(finding: Finding | None) -> None:
    if finding is not None:
        raise TrainingStopped(str(finding))


def xgboost_callback(guard: Guard, metric: str, *, train: str = "train", validation: str = "validation") -> Any:
    """Give a callback for ``xgboost.train`` that shows each round to a guard.

    Args:
        guard: The guard.
        metric: The loss among the evaluation metrics, such as ``logloss`` or ``rmse``.
        train, validation: What the evaluation sets are called; the second need not be there.
    """
    from xgboost.callback import TrainingCallback  # other frameworks' images have none

    class Watching(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            held_back = evals_log.get(validation, {}).get(metric)
            guard.watch(loss=evals_log[train][metric][-1], validation_loss=held_back[-1] if held_back else None)
            return False

        def after_training(self, model: Any) -> Any:
            guard.done()
            return model

    return Watching()
