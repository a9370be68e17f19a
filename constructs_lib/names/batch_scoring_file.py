"""``batch_scoring`` of ``workload.yaml``: files of rows are scored by batch transforms, on arrival or at set times."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.compute_file import MlInstance
from constructs_lib.names.file_parts import ColumnName, Part, TimeZone
from constructs_lib.names.ingestion_file import Schedule
from constructs_lib.names.problems import BINARY, CLUSTERING, MULTICLASS, PROJECTION, REGRESSION

MOST_MEGABYTES: Final = 100
"""What all requests that a machine works on may hold together: SageMaker's limit."""

INPUT: Final = "input"
"""The member of a scored row that holds what was asked."""

OUTPUT: Final = "SageMakerOutput"
"""The member beside it that holds the answer, as SageMaker calls it; a column of the catalogue has no capitals."""

_PREDICTIONS: Final[Mapping[str, str]] = {
    BINARY: "struct<probability:double,label:boolean>",
    MULTICLASS: "struct<probabilities:map<string,double>,label:string>",
    REGRESSION: "struct<value:double>",
    CLUSTERING: "struct<cluster:int,distance:double>",
    PROJECTION: "struct<projection:array<double>,error:double>",
}


class ScoringSchedule(Part):
    """When what has come is scored.

    Attributes:
        at: ``rate(1 day)`` or ``cron(0 4 * * ? *)``.
        time_zone: Where the clock of ``cron`` stands; it follows daylight saving.
        repeat: Whether the newest input is scored at each of these times, and only that: rows that stay until they are
            delivered anew, such as all customers. Default: every input is scored once.
    """

    at: Schedule
    time_zone: TimeZone = "UTC"
    repeat: bool = False


class BatchScoring(Part):
    """The model that serves scores files of rows; predictions are published like datasets, by a manifest.

    Attributes:
        on_new_data: Whether an input is scored as soon as its ``_score.json`` has landed.
        schedule: When inputs are scored that have not been. Default: at no set time.
        join: What of each row stands beside its prediction: its key and what is kept, or its features as well.
        keep: Columns of the input that are handed on beside these, as texts.
        instance_type, instance_count: The machines of a transform.
        max_runtime_minutes: How long a transform may take.
        strategy: ``single_record``: a request per row, which every model takes. ``multi_record``: as many rows as
            ``max_payload_mb`` allows, a JSON line each, for models that answer ``application/jsonlines``.
        max_payload_mb: How large a request may be.
        concurrent_requests: How many requests a machine works on at once.
    """

    on_new_data: bool = True
    schedule: ScoringSchedule | None = None
    join: Literal["key", "row"] = "row"
    keep: tuple[ColumnName, ...] = ()
    instance_type: MlInstance = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=20)] = 1
    max_runtime_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    strategy: Literal["single_record", "multi_record"] = "single_record"
    max_payload_mb: Annotated[int, Field(ge=1, le=MOST_MEGABYTES)] = 6
    concurrent_requests: Annotated[int, Field(ge=1, le=MOST_MEGABYTES)] = 1

    @model_validator(mode="after")
    def _is_ever_done(self) -> Self:
        if not self.on_new_data and self.schedule is None:
            raise ValueError("on_new_data: is false and there is no schedule, so nothing would ever be scored")
        together = self.max_payload_mb * self.concurrent_requests
        if together > MOST_MEGABYTES:
            raise ValueError(
                f"concurrent_requests: {self.concurrent_requests} requests of {self.max_payload_mb} MB are {together} "
                f"MB at once; SageMaker allows {MOST_MEGABYTES}"
            )
        return self

    def carried(self, key: Mapping[str, str], features: Mapping[str, str]) -> dict[str, str]:
        """Returns the columns that stand beside a prediction, name to Hive type."""
        own = {**key, **features} if self.join == "row" else dict(key)
        return {**own, **dict.fromkeys(self.keep, "string")}

    def table_columns(self, problem: str, key: Mapping[str, str], features: Mapping[str, str]) -> dict[str, str]:
        """Returns the columns of the table of predictions, name to Hive type."""
        carried = ",".join(f"{name}:{kind}" for name, kind in self.carried(key, features).items())
        prediction = _PREDICTIONS[problem]
        answer = prediction if self.strategy == "multi_record" else f"struct<predictions:array<{prediction}>>"
        return {INPUT: f"struct<{carried}>", OUTPUT.lower(): answer}


def check_batch_scoring(
    scoring: BatchScoring, *, key: Collection[str], features: Collection[str], target: Collection[str], is_script: bool
) -> None:
    """Checks what batch scoring says against the rest of the file.

    Args:
        key: Columns that name a row.
        features: Columns that a model sees.
        target: Columns that are predicted.
        is_script: Whether code of the workload's own reads requests.

    Raises:
        ValueError: A column is kept that is there anyhow or that is predicted, or the model reads no JSON lines.
    """
    for column in scoring.keep:
        if column in key or column in features:
            raise ValueError(f"batch_scoring.keep: column {column!r} is part of every row; name others only")
        if column in target:
            raise ValueError(f"batch_scoring.keep: column {column!r} is what is predicted")
    twice = [column for column in scoring.keep if scoring.keep.count(column) > 1]
    if twice:
        raise ValueError(f"batch_scoring.keep: column {twice[0]!r} is given twice")
    if scoring.strategy == "multi_record" and not is_script:
        raise ValueError(
            "batch_scoring.strategy: multi_record sends JSON lines, which only code of the workload's own may read "
            "(allowed here: single_record)"
        )
