"""What ``workload.yaml`` says of the gate: what a model must reach before it is registered."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from constructs_lib.names.fairness_file import BiasRule, Limits
from constructs_lib.names.file_parts import Part, unknown
from constructs_lib.names.problems import GUESSING, PROBLEMS

METRICS = sorted({metric for problem in PROBLEMS.values() for metric in problem.metrics})

Metric = Annotated[str, WithJsonSchema({"type": "string", "enum": METRICS})]


class ChampionRule(Part):
    """How a model is compared with the approved one, on the same rows, by a paired test.

    Attributes:
        required: Whether it decides; otherwise the comparison is shown only.
        level: How often chance alone may let a model pass that is no better than allowed, at most.
        margin: By how much, in units of the metric, the model may be worse at most. 0: it must be better.
    """

    required: bool = True
    level: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    margin: Annotated[float, Field(ge=0)] = 0.0


class CalibrationRule(Part):
    """How far predictions may be from what is observed.

    Attributes:
        max_error: The largest expected calibration error; of a regression in units of the target.
    """

    max_error: Annotated[float, Field(gt=0)]


class SlicesRule(Part):
    """What the model must reach on each slice that has enough rows.

    Attributes:
        floor: The value of the gate's metric; a ceiling for a metric of which less is better. A slice breaks the rule
            when its whole interval lies on the wrong side.
    """

    floor: float


class Gate(Part):
    """What a model must reach on the held-back test split before it is registered.

    Attributes:
        metric: The metric that decides, one of the problem's. Default: ``auc``, ``mcc``, ``r2``, ``mean_distance`` or
            ``mean_error``, by the problem.
        floor: The value that it must reach; a ceiling for a metric of which less is better. Default: what guessing
            reaches for ``auc``, ``mcc`` and ``r2``; none for other metrics.
        floors: The same for further metrics. Default: none.
        champion: How it must compare with the approved model on the same rows. Default: it must be better.
        calibration: How far predictions may be from what is observed. Default: as far as they are.
        slices: What it must reach on each of ``evaluation.slices``. Default: nothing.
        bias: Bias metrics of ``evaluation.facets`` that must lie within bounds. Default: none.
        limits: How quick and small it must be. Default: as it is.
    """

    metric: Metric | None = None
    floor: float | None = None
    floors: dict[Metric, float] = Field(default={})
    champion: ChampionRule = ChampionRule()
    calibration: CalibrationRule | None = None
    slices: SlicesRule | None = None
    bias: tuple[BiasRule, ...] = ()
    limits: Limits | None = None

    def check(self, problem: str) -> None:
        """Looks whether models of the problem can be judged by it.

        Raises:
            ValueError: They cannot; the message starts with the path of the key.
        """
        metrics, what = PROBLEMS[problem].metrics, f"metric of {problem}"
        if self.metric is not None and self.metric not in metrics:
            raise ValueError(f"gate.metric: {unknown(self.metric, metrics, what)}")
        for metric in self.floors:
            if metric not in metrics:
                raise ValueError(f"gate.floors.{metric}: {unknown(metric, metrics, what)}")
            if metric == self.deciding(problem):
                raise ValueError(f"gate.floors.{metric}: is the metric that decides; give its limit by floor")
        if self.calibration is not None and not PROBLEMS[problem].targets:
            raise ValueError(f"gate.calibration: has no meaning for problem: {problem}, which has no target")

    def deciding(self, problem: str) -> str:
        """Returns the metric that decides."""
        return self.metric if self.metric is not None else PROBLEMS[problem].metric

    def judged(self, problem: str) -> dict[str, Any]:
        """Returns the gate as it is judged, as JSON types, defaults filled in; what is not asked for is not there."""
        metric = self.deciding(problem)
        floor = self.floor if self.floor is not None else GUESSING.get(metric)
        limit = {} if floor is None else {"floor": floor}
        return {**self.model_dump(mode="json", exclude_none=True), "metric": metric, **limit}
