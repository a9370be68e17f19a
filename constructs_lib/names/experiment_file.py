"""``serving.experiment`` of ``workload.yaml``: how a test of two models on real requests is judged."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from constructs_lib.names.file_parts import Part
from constructs_lib.names.problems import PROBLEMS


class Experiment(Part):
    """A challenger is promoted or stopped by what came true of the requests that it and the champion answered.

    Attributes:
        level: The probability that a model that is no better is promoted, or one that is no worse stopped, however
            often one looks.
        min_outcomes: Outcomes that each model needs before the challenger can be promoted.
        max_days: Days after which the experiment stops, decided or not.
        smallest_share: No model gets a smaller share of the requests; the smaller it may be, the more outcomes are
            needed.
        challenger_share: The challenger's share of the requests where these do not say it: where no ``sticky_by`` of
            the API assigns them.
        worthless: Losses that are known to differ by less stop the experiment. Default: they do not.
        error_margin: By how much the challenger's share of failed calls may be larger.
        slow_margin: By how much its share of slow answers may be larger, where answers are timed.
        slow_ms: Answers that take longer are slow.
        clip: For numbers: the absolute error that counts as 1, as every larger one does.
    """

    level: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    min_outcomes: Annotated[int, Field(ge=1)] = 500
    max_days: Annotated[float, Field(gt=0, le=60)] = 14
    smallest_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    challenger_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    worthless: Annotated[float, Field(gt=0, lt=1)] | None = None
    error_margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    slow_margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    slow_ms: Annotated[float, Field(gt=0)] = 500
    clip: Annotated[float, Field(gt=0)] = 1.0

    def rules(self) -> dict[str, Any]:
        """What the judging function is told."""
        content = self.model_dump(mode="json", exclude={"level"})
        return {"alpha": self.level, **content}


def check_experiment(experiment: Experiment, problem: str) -> None:
    """Checks an experiment against the rest of the file.

    Raises:
        ValueError: The problem has no outcomes, or shares do not go together; the message starts with the path.
    """
    if not PROBLEMS[problem].targets:
        raise ValueError(f"serving.experiment: has no meaning for problem: {problem}, of which no outcome is told")
    least = experiment.smallest_share
    if not least <= experiment.challenger_share <= 1 - least:
        raise ValueError(
            f"serving.experiment.challenger_share: must be between smallest_share ({least:g}) and its rest "
            f"({1 - least:g}), was {experiment.challenger_share:g}"
        )
    if problem == "regression" and "clip" not in experiment.model_fields_set:
        raise ValueError("serving.experiment.clip: is required for problem: regression, in the target's unit")
