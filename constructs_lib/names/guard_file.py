"""What ``workload.yaml`` says of the training guard: by which rules a training is watched, and stopped."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from constructs_lib.names.file_parts import Part, shown

Steps = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(gt=0, le=1_000_000)]


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression, was {shown(text)}: {error}") from error
    if groups != 1:
        raise ValueError(f"must have one group, around the number, was {shown(text)} with {groups}")
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_pattern)]


class NotDecreasing(Part):
    """Stops when the training loss has not fallen by the share ``by`` for ``steps`` points."""

    steps: Steps = 50
    by: Annotated[float, Field(gt=0, lt=1)] = 0.001


class Exploding(Part):
    """Stops when a loss is not finite, or the training loss is more than ``times`` its best value."""

    times: Annotated[float, Field(gt=1, le=1_000_000)] = 10.0


class Overfitting(Part):
    """Stops when the validation loss was not better for ``steps`` points and is worse by the share ``by``."""

    steps: Steps = 50
    by: Positive = 0.1


class Dead(Part):
    """Stops when no loss was reported for ``minutes`` minutes."""

    minutes: Annotated[float, Field(gt=0, le=10_000)] = 30.0


class ClassImbalance(Part):
    """Stops before anything is learnt when the rarest class has less than this share of the training rows."""

    smallest_share: Annotated[float, Field(gt=0, le=0.5)] = 0.01


class Rules(Part):
    """The rules that count; null switches one off.

    Attributes:
        class_imbalance: Judged by scripts that tell the guard their classes. Default: off.
    """

    not_decreasing: NotDecreasing | None = NotDecreasing()
    exploding: Exploding | None = Exploding()
    overfitting: Overfitting | None = Overfitting()
    dead: Dead | None = Dead()
    class_imbalance: ClassImbalance | None = None


class LogPatterns(Part):
    """How the losses stand in the job's log: regular expressions with one group, around the number.

    Default: as XGBoost writes log loss.
    """

    loss: Pattern = r"train-logloss:([0-9.eE+-]+|nan|inf)"
    validation_loss: Pattern | None = r"validation-logloss:([0-9.eE+-]+|nan|inf)"


class Guard(Part):
    """Watches every training of the workload, and stops one that gets nowhere.

    Attributes:
        watch: ``script``: the training script calls the guard itself. ``log``: the platform reads the job's log.
            ``debugger``: SageMaker Debugger does; only in accounts that have it.
        rules: By which rules.
        log: Where the losses stand in the log, for ``watch: log``.
    """

    watch: Literal["script", "log", "debugger"] = "script"
    rules: Rules = Rules()
    log: LogPatterns = LogPatterns()

    @model_validator(mode="after")
    def _can_be_judged(self) -> Guard:
        if self.watch != "log" and self.log != LogPatterns():
            raise ValueError(f"log: is read by watch: log only, was {self.watch}")
        if self.watch == "log" and self.rules.class_imbalance is not None:
            raise ValueError("rules.class_imbalance: no log tells of classes; allowed: watch: script or debugger")
        return self

    def rules_json(self) -> str:
        """Returns the rules as canonical JSON, rule to settings, without those that do not count."""
        document: dict[str, Any] = self.rules.model_dump(mode="json", exclude_none=True)
        return json.dumps(document, sort_keys=True, separators=(",", ":"))
