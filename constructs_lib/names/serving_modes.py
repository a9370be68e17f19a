"""``serving.mode`` and ``serving.scaling``: how a model answers, and how its machines follow the requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from constructs_lib.names.file_parts import ColumnName, Part, TimeZone
from constructs_lib.names.ingestion_file import Schedule
from constructs_lib.names.segments import FALLBACK, Routing

TopicArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$")]
ActionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class RealTime(Part):
    """A request is answered at once, by machines that are always there."""

    kind: Literal["real_time"] = "real_time"


class Serverless(Part):
    """A request is answered at once, by compute that is there while it is needed; the first one waits for it to start.

    SageMaker neither captures what a serverless endpoint is asked nor runs it inside a network.

    Attributes:
        memory_mb: Memory of what answers; processing power comes with it.
        max_concurrency: So many requests are answered at once; one more is refused.
        provisioned_concurrency: So many are answered without a start; that costs while idle. Default: none.
    """

    kind: Literal["serverless"] = "serverless"
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    max_concurrency: Annotated[int, Field(ge=1, le=200)] = 5
    provisioned_concurrency: Annotated[int, Field(ge=1, le=200)] | None = None

    @model_validator(mode="after")
    def _provides_no_more_than_it_allows(self) -> Self:
        if self.provisioned_concurrency is not None and self.provisioned_concurrency > self.max_concurrency:
            raise ValueError(
                f"provisioned_concurrency: {self.provisioned_concurrency} is more than max_concurrency, "
                f"{self.max_concurrency}"
            )
        return self


class Asynchronous(Part):
    """A request waits in a queue and is answered by an object in S3; machines may go when nothing waits.

    Attributes:
        concurrent_requests: How many requests a machine works on at once.
        success_topic: ARN of the SNS topic that is told of each answer. Default: nobody is. Whoever is on call is told
            of each failure.
    """

    kind: Literal["asynchronous"] = "asynchronous"
    concurrent_requests: Annotated[int, Field(ge=1, le=1000)] = 4
    success_topic: TopicArn | None = None


SegmentValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class MultiModel(Part):
    """A request is answered at once, by the model of its segment; the models of all segments are one version.

    Attributes:
        segment: The feature that says which model answers, a text.
        values: Its values that have a model of their own; each is the name of a file, of letters, digits, ``_``, ``.``
            and ``-``. Every other value, and none, is answered by the fallback model.
        min_rows: With fewer rows of training a value is left to the fallback model.
    """

    kind: Literal["multi_model"] = "multi_model"
    segment: ColumnName
    values: Annotated[tuple[SegmentValue, ...], Field(min_length=2, max_length=100)]
    min_rows: Annotated[int, Field(ge=20, le=1_000_000)] = 200

    @model_validator(mode="after")
    def _names_a_value_once(self) -> Self:
        twice = [value for value in self.values if self.values.count(value) > 1]
        if twice:
            raise ValueError(f"values: {twice[0]!r} is given twice")
        return self

    @property
    def routing(self) -> Routing:
        """Which model is asked."""
        return Routing(self.segment, self.values)

    def training_json(self) -> str:
        """Returns what a training script must know: feature, values, the name of the fallback, and ``min_rows``."""
        content = {**self.routing.content(), "fallback": FALLBACK, "min_rows": self.min_rows}
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    def slicing(self) -> dict[str, Any]:
        """Returns how the evaluation cuts the rows, so that a bad model of one segment is seen."""
        return {"column": self.segment, "values": list(self.values), "bins": None}


MODES: Final[dict[str, type[Part]]] = {
    "real_time": RealTime,
    "serverless": Serverless,
    "asynchronous": Asynchronous,
    "multi_model": MultiModel,
}

_NO_MACHINES = "a serverless endpoint has no machines"
WITHOUT: Final[Mapping[str, Mapping[str, str]]] = {
    "real_time": {},
    "serverless": {
        "instance_type": _NO_MACHINES,
        "instance_count": _NO_MACHINES,
        "capture_percent": "SageMaker captures nothing of a serverless endpoint",
        "scaling": "a serverless endpoint scales by itself",
    },
    "asynchronous": {
        "capture_percent": "SageMaker captures nothing of it; requests and answers are in S3 anyhow",
    },
    "multi_model": {},
}
"""Mode to the keys of ``serving`` that it has no use for, each with the reason."""


NOT_OFFERED: Final[Mapping[str, str]] = {
    "inference_components": "the models of such an endpoint share its fleet, its alarms and its role",
}
"""Modes of SageMaker that there are none of here, each with the reason."""


def _kind_only(value: Any) -> Any:
    kind = value.get("kind") if isinstance(value, Mapping) else value
    if isinstance(kind, str) and kind in NOT_OFFERED:
        raise ValueError(f"{kind} is not offered: {NOT_OFFERED[kind]}; allowed: {', '.join(MODES)}")
    return {"kind": value} if isinstance(value, str) else value


ServingMode = Annotated[
    Annotated[RealTime | Serverless | Asynchronous | MultiModel, Field(discriminator="kind")],
    BeforeValidator(_kind_only),
]


def _set_time(text: str) -> str:
    if re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", text):
        return text
    raise ValueError(f"must be at(2030-01-31T08:00:00), rate(…) or cron(…), was {text!r}")


class SetSize(Part):
    """From a set time on there are so many machines at least and at most, until the next set time.

    Attributes:
        at: ``cron(0 8 ? * MON-FRI *)``, ``rate(1 day)`` or ``at(2030-01-31T08:00:00)``.
        time_zone: Where the clock stands; it follows daylight saving.
        min, max: The bounds from then on; what is left out stays as it is.
    """

    at: Schedule | Annotated[str, AfterValidator(_set_time)]
    time_zone: TimeZone = "UTC"
    min: Annotated[int, Field(ge=0, le=50)] | None = None
    max: Annotated[int, Field(ge=1, le=50)] | None = None

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("min: or max must be given, or nothing would change")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max, {self.max}")
        return self


TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "real_time": ("requests_per_minute", "cpu_percent"),
    "asynchronous": ("waiting_requests",),
    "multi_model": ("requests_per_minute", "cpu_percent"),
}
"""Mode to what its scaling may follow."""

_FOLLOWED: Final = tuple(dict.fromkeys(name for names in TARGETS.values() for name in names))


class Scaling(Part):
    """How the number of machines follows the requests; a deployment never sets it back.

    Attributes:
        min, max: There are so many machines at least and at most; none at least where the mode is asynchronous.
        requests_per_minute: So many requests per machine and minute are meant to be (real time).
        cpu_percent: So many per cent of a machine's processors are meant to be busy (real time).
        waiting_requests: So many requests per machine are meant to wait (asynchronous).
        scale_out_seconds, scale_in_seconds: How long nothing changes after machines have come, and before some go.
        set_times: Name to bounds that hold from a set time on.
    """

    min: Annotated[int, Field(ge=0, le=50)] = 1
    max: Annotated[int, Field(ge=1, le=50)]
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    cpu_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    waiting_requests: Annotated[float, Field(gt=0)] | None = None
    scale_out_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    scale_in_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    set_times: dict[ActionName, SetSize] = Field(default={})

    @property
    def follows(self) -> tuple[str, float] | None:
        """What the number of machines follows and the value that is aimed at; nothing where it has set times only."""
        given = {name: getattr(self, name) for name in _FOLLOWED}
        return next(((name, float(value)) for name, value in given.items() if value is not None), None)

    def check(self, kind: str, instance_count: int) -> None:
        """Checks it against the rest of ``serving``.

        Raises:
            ValueError: The bounds are out of order, or what is followed is not what the mode has.
        """
        if self.min > self.max:
            raise ValueError(f"scaling.min: {self.min} is more than max, {self.max}")
        if kind != "asynchronous" and 0 in (self.min, *(size.min for size in self.set_times.values())):
            raise ValueError(
                f"scaling.min: an endpoint of mode {kind} keeps a machine at least, was 0; allowed: 1 to 50, or mode: "
                "asynchronous (inference components, which SageMaker can take to zero as well, are not offered)"
            )
        if not self.min <= instance_count <= self.max:
            raise ValueError(
                f"scaling.max: the endpoint begins with instance_count machines, {instance_count}, which have to be "
                f"from min to max, {self.min} to {self.max}"
            )
        given = [name for name in _FOLLOWED if getattr(self, name) is not None]
        allowed = TARGETS[kind]
        for name in (name for name in given if name not in allowed):
            raise ValueError(f"scaling.{name}: has no meaning with mode {kind} (allowed: {', '.join(allowed)})")
        if len(given) > 1:
            raise ValueError(f"scaling.{given[1]}: one thing can be followed, {given[0]} is given as well")
        if not given and not self.set_times:
            raise ValueError(f"scaling.{allowed[0]}: nothing says what is followed (allowed: {', '.join(allowed)})")
