"""What ``workload.yaml`` says of serving: how a model answers, on which machines, and how a new one takes over."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from constructs_lib.names.api_file import Api
from constructs_lib.names.compute_file import MlInstance
from constructs_lib.names.experiment_file import Experiment
from constructs_lib.names.file_parts import Part
from constructs_lib.names.serving_modes import WITHOUT, RealTime, Scaling, ServingMode

BakeMinutes = Annotated[int, Field(ge=1, le=60)]

LONGEST_BAKES_MINUTES: Final = 7 * 60
"""All bake times of one deployment: SageMaker gives up after eight hours, of which one is for moving the fleet."""


class AllAtOnce(Part):
    """The new fleet takes all traffic at once; the old one is kept for the bake time."""

    strategy: Literal["all_at_once"] = "all_at_once"
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step."""
        return 1.0


class Canary(Part):
    """A share of the fleet takes traffic first; the rest follows when no alarm went off during the bake time."""

    strategy: Literal["canary"] = "canary"
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step."""
        return self.share


class Linear(Part):
    """The same share of the fleet follows in every step, each of which is watched for the bake time."""

    strategy: Literal["linear"] = "linear"
    step: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step."""
        return self.step

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        _check_bakes(ceil(round(1 / self.step, 9)), self.bake_minutes)
        return self


class Rolling(Part):
    """Instances are replaced in batches, each of which is watched for the bake time; no second fleet is paid for."""

    strategy: Literal["rolling"] = "rolling"
    batch: Annotated[float, Field(ge=0.05, le=0.5)] = 0.5
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step."""
        return self.batch

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        _check_bakes(ceil(round(1 / self.batch, 9)), self.bake_minutes)
        return self


class ABTest(Part):
    """Champion and challenger answer side by side until a statistical test or the time decides.

    Attributes:
        share: The challenger's share of the traffic.
        max_hours: After so many hours without a decision the champion stays.
        bake_minutes: How long alarms are watched after each of the changes that begin and end the test.
    """

    strategy: Literal["ab"] = "ab"
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    max_hours: Annotated[int, Field(ge=1, le=336)] = 168
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step."""
        return self.share


class Shadow(Part):
    """The challenger gets copies of requests, and its answers reach nobody, until they have been compared.

    Attributes:
        sample_percent: How many of 100 requests are copied.
        max_hours: After so many hours without a decision the champion stays.
        bake_minutes: How long alarms are watched after each of the changes that begin and end the comparison.
    """

    strategy: Literal["shadow"] = "shadow"
    sample_percent: Annotated[int, Field(ge=1, le=100)] = 100
    max_hours: Annotated[int, Field(ge=1, le=336)] = 24
    bake_minutes: BakeMinutes = 5

    @property
    def first_share(self) -> float:
        """Share of the traffic that a new model has in the first step; a shadow answers nobody."""
        return 1.0


ROLLOUTS: Final[dict[str, type[Part]]] = {
    "all_at_once": AllAtOnce,
    "canary": Canary,
    "linear": Linear,
    "rolling": Rolling,
    "ab": ABTest,
    "shadow": Shadow,
}
BY_INSTANCES: Final = ("canary", "linear", "rolling")
"""Strategies that move traffic by shares of the instances, so that one instance is too few."""

_NO_INSTANCES = "moves traffic by shares of the instances, and a serverless endpoint has none"
_ONE_VARIANT = "needs a second variant, and a serverless endpoint has one only"
_NO_TRAFFIC = "moves requests from one model to another, and a batch transform serves none: the next run takes the new"
_REFUSED: Final[Mapping[tuple[str, str], str]] = {
    ("serverless", "canary"): _NO_INSTANCES,
    ("serverless", "linear"): _NO_INSTANCES,
    ("serverless", "rolling"): "replaces instances in batches, and a serverless endpoint has none",
    ("serverless", "ab"): _ONE_VARIANT,
    ("serverless", "shadow"): _ONE_VARIANT,
    ("asynchronous", "ab"): "counts outcomes by the variant that answered, which an asynchronous answer does not name",
    ("asynchronous", "shadow"): "copies requests that are answered at once, and asynchronous ones are not",
    ("multi_model", "shadow"): "is not done by SageMaker for endpoints of several models (its page of exclusions)",
    **{("batch", strategy): _NO_TRAFFIC for strategy in ROLLOUTS if strategy != "all_at_once"},
}
"""Pairs of mode and strategy that cannot be, with the reason; every other pair can."""


def refusal(mode: str, strategy: str) -> str | None:
    """Says why a mode of serving and a strategy do not go together; nothing when they do."""
    reason = _REFUSED.get((mode, strategy))
    return None if reason is None else f"{strategy} {reason}"


def allowed_strategies(mode: str) -> list[str]:
    """The strategies that go together with a mode."""
    return [strategy for strategy in ROLLOUTS if refusal(mode, strategy) is None]


def _check_bakes(steps: int, bake_minutes: int) -> None:
    if steps * bake_minutes > LONGEST_BAKES_MINUTES:
        most = LONGEST_BAKES_MINUTES // steps
        raise ValueError(
            f"bake_minutes: {steps} steps of {bake_minutes} minutes are more than the {LONGEST_BAKES_MINUTES} that "
            f"SageMaker can be given; allowed: 1 to {most}, or larger steps"
        )


def _strategy_only(value: Any) -> Any:
    return {"strategy": value} if isinstance(value, str) else value


Rollout = Annotated[
    AllAtOnce | Canary | Linear | Rolling | ABTest | Shadow,
    Field(discriminator="strategy"),
]


class Serving(Part):
    """The endpoint: how a model answers, on what, how a new one takes over, and when its figures raise an alarm.

    Attributes:
        mode: How the model answers: at once, on demand, or later; see ``serving_modes``.
        instance_type, instance_count: The machines; without meaning where the mode has none.
        scaling: How the number of machines follows the requests. Default: it does not.
        latency_alarm_ms: The 99th percentile of the model's latency, in milliseconds, above which an alarm goes off.
        refused_alarm_share: Share of the requests that the model may refuse (4xx) before an alarm goes off.
        prediction_shift: How far predictions may move in a rollout before an alarm takes it back: the largest distance
            between the shares of predictions up to a value, 0 to 1. Default: it is not watched.
        capture_percent: How many of 100 requests are kept with their answers, where the mode can keep them.
        probation_hours: How long after a rollout labels that come later may take the new model back. Default: never.
        api: A REST API in front of the endpoint. Default: only callers with SageMaker's own permission ask.
        experiment: How a test of two models on real requests is judged. Default: by the defaults of its keys where the
            rollout is such a test, otherwise there is none.
    """

    mode: ServingMode = RealTime()
    instance_type: MlInstance = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=50)] = 1
    scaling: Scaling | None = None
    rollout: Annotated[Rollout, BeforeValidator(_strategy_only)] = AllAtOnce()
    latency_alarm_ms: Annotated[int, Field(ge=1, le=60_000)] = 500
    refused_alarm_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    prediction_shift: Annotated[float, Field(gt=0, le=1)] | None = None
    capture_percent: Annotated[int, Field(ge=0, le=100)] = 100
    probation_hours: Annotated[int, Field(ge=1, le=720)] | None = None
    api: Api | None = None
    experiment: Experiment | None = None

    @property
    def captured_percent(self) -> int:
        """How many of 100 requests the endpoint itself keeps: none where SageMaker cannot."""
        return self.capture_percent if self.captures else 0

    @property
    def captures(self) -> bool:
        """Whether the endpoint itself can keep requests: not where SageMaker cannot."""
        return self.mode.kind in ("real_time", "multi_model")

    @property
    def captured_by_api(self) -> bool:
        """Whether the API's function keeps requests with their answers: it does where SageMaker cannot."""
        return self.api is not None and self.mode.kind == "serverless" and self.capture_percent > 0

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        kind = self.mode.kind
        reason = refusal(kind, self.rollout.strategy)
        if reason is not None:
            allowed = ", ".join(allowed_strategies(kind))
            raise ValueError(f"rollout: {reason}; allowed with mode {kind}: {allowed}")
        for name in ("instance_type", "instance_count", "capture_percent", "scaling"):
            if name == "capture_percent" and kind == "serverless" and self.api is not None:
                continue
            if name in self.model_fields_set and name in WITHOUT[kind]:
                raise ValueError(f"{name}: {WITHOUT[kind][name]}; leave it out with mode {kind}")
        if self.scaling is not None:
            self.scaling.check(kind, self.instance_count)
        return self

    @model_validator(mode="after")
    def _has_instances_to_share(self) -> Self:
        if self.rollout.strategy in BY_INSTANCES and self.instance_count < 2:
            raise ValueError(
                f"instance_count: a rollout by {self.rollout.strategy} needs at least two instances, was "
                f"{self.instance_count}; "
                "allowed: 2 to 50, or rollout: all_at_once"
            )
        return self

    @model_validator(mode="after")
    def _compares_what_is_captured(self) -> Self:
        if isinstance(self.rollout, Shadow) and self.capture_percent == 0:
            raise ValueError("capture_percent: a shadow is compared by what is captured, was 0; allowed: 1 to 100")
        return self

    @model_validator(mode="after")
    def _watches_what_is_captured(self) -> Self:
        if self.prediction_shift is not None and self.captured_percent == 0:
            raise ValueError(
                f"prediction_shift: what the endpoint captures is compared, was {self.prediction_shift} with mode "
                f"{self.mode.kind} and capture_percent {self.capture_percent}; allowed with mode real_time or "
                "multi_model and capture_percent 1 to 100"
            )
        return self

    @property
    def judging(self) -> Experiment | None:
        """How tests of two models are judged: with the rollout's own share where the file does not say another."""
        if not isinstance(self.rollout, ABTest | Shadow):
            return self.experiment
        given = self.experiment.model_dump(exclude_unset=True) if self.experiment is not None else {}
        share = self.rollout.share if isinstance(self.rollout, ABTest) else 0.5
        return Experiment(**{"challenger_share": share, "smallest_share": min(0.1, share), **given})
