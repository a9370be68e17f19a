"""``relabelling`` of ``workload.yaml``: which served rows people label, where, and what they may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import ColumnName, Part, shown, unknown
from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION

Uncertainty = Literal["margin", "entropy", "spread"]
Label = Annotated[str, Field(min_length=1, max_length=100)]

OF_CLASSES: Final[tuple[Uncertainty, ...]] = ("margin", "entropy")
BOTH: Final = ("true", "false")
"""What people answer where the target is a yes or a no."""

_FUNCTION = r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_:-]+$"
_TEAM = r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:workteam/[A-Za-z0-9/-]+$"


class GroundTruth(Part):
    """A labelling job of SageMaker Ground Truth for every export; AWS has closed the service to new customers.

    Attributes:
        work_team: ARN of the team that labels.
        prepares: ARN of the function that makes a task of a row, AWS's own ``PRE-TextMultiClass`` or one that does
            the same.
        consolidates: ARN of the function that makes one label of several people's, ``ACS-TextMultiClass`` or one that
            does the same.
        title, instruction: What people are told.
        workers_per_row: How many people label a row.
        task_minutes: How long one of them may take.
        max_days: After how many days what has not been labelled is given up.
    """

    work_team: Annotated[str, Field(pattern=_TEAM)]
    prepares: Annotated[str, Field(pattern=_FUNCTION)]
    consolidates: Annotated[str, Field(pattern=_FUNCTION)]
    title: Annotated[str, Field(pattern=r"^[ -~]{1,128}$")] = "Label rows"
    instruction: Annotated[str, Field(pattern=r"^[ -~]{1,255}$")] = "Choose the label that is right for the row"
    workers_per_row: Annotated[int, Field(ge=1, le=9)] = 1
    task_minutes: Annotated[int, Field(ge=1, le=480)] = 10
    max_days: Annotated[int, Field(ge=1, le=10)] = 5


class Relabelling(Part):
    """Served rows that nobody has labelled and of which the model was least sure are given to people once a day.

    Attributes:
        max_rows: How many rows an export has, at most.
        uncertainty: ``margin``: how near the two likeliest classes are; ``entropy``: how even all are; ``spread``: how
            far champion and challenger are apart. Default: ``margin`` for classes; a number has only ``spread``.
        label_delay_days: Rows that are younger may still get their label, and are not asked for.
        look_back_days: For so many days before that, rows are looked at.
        due_days: For so long a row is out; then it may be asked for again.
        show: Sensitive columns that people may see nevertheless.
        format: Of the exported file, ``csv`` or ``json_lines``. Answers come in either.
        labels: What people may answer for one of several classes. Default: the classes that the model knows.
        range: The least and the largest number that people may answer. Default: every number.
        destination: ``folder`` puts a file there; ``ground_truth`` has a labelling job made of it as well.
        ground_truth: The labelling job.
    """

    max_rows: Annotated[int, Field(ge=1, le=5000)] = 200
    uncertainty: Uncertainty | None = None
    label_delay_days: Annotated[int, Field(ge=0, le=365)] = 7
    look_back_days: Annotated[int, Field(ge=1, le=31)] = 7
    due_days: Annotated[int, Field(ge=1, le=365)] = 14
    show: tuple[ColumnName, ...] = ()
    format: Literal["csv", "json_lines"] = "csv"
    labels: tuple[Label, ...] = ()
    range: tuple[float, float] | None = None
    destination: Literal["folder", "ground_truth"] = "folder"
    ground_truth: GroundTruth | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        twice = [each for each in self.labels if self.labels.count(each) > 1]
        if twice:
            raise ValueError(f"labels: {twice[0]!r} is given twice")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range: must be the least and the largest number, was {shown(list(self.range))}")
        if self.destination == "ground_truth" and self.ground_truth is None:
            raise ValueError("ground_truth: is required for destination: ground_truth")
        if self.destination == "folder" and self.ground_truth is not None:
            raise ValueError("ground_truth: has no meaning for destination: folder")
        return self

    def measured_by(self, problem: str) -> Uncertainty:
        """How unsure a model is of a row."""
        if self.uncertainty is not None:
            return self.uncertainty
        return "spread" if problem == REGRESSION else "margin"

    def answers(self, problem: str) -> tuple[str, ...]:
        """The labels that people choose from; none where these are not known beforehand."""
        return BOTH if problem == BINARY else self.labels


def check_relabelling(
    asked: Relabelling,
    *,
    problem: str,
    sensitive: Sequence[str],
    captured: bool,
    shadowed: bool,
    without_code: bool,
) -> None:
    """Checks what is asked for against the rest of the file.

    Args:
        problem: What is predicted.
        sensitive: Features with the name of a sensitive column.
        captured: Whether requests are kept with their answers.
        shadowed: Whether challengers answer the same requests as the champion.
        without_code: Whether a recipe or flow makes the features.

    Raises:
        ValueError: It does not fit; the message starts with the path.
    """
    if problem not in (BINARY, MULTICLASS, REGRESSION):
        raise ValueError(
            f"relabelling: problem: {problem} has no labels (allowed: {BINARY}, {MULTICLASS}, {REGRESSION})"
        )
    if not captured:
        raise ValueError(
            "relabelling: takes rows from what was captured, and nothing is (allowed with serving.mode: real_time, or "
            "serverless with an api, and serving.capture_percent: 1 to 100)"
        )
    if without_code:
        raise ValueError(
            "relabelling: does not go together with preparation.features: rows that come of answers would be missing "
            "where a recipe or flow makes them (allowed: features.py)"
        )
    _check_uncertainty(asked, problem, shadowed=shadowed)
    for column in asked.show:
        if column not in sensitive:
            raise ValueError(f"relabelling.show: {unknown(column, sensitive, 'sensitive feature')}")
    if asked.labels and problem != MULTICLASS:
        raise ValueError(f"relabelling.labels: are of problem: {MULTICLASS}, was {problem}")
    if asked.range is not None and problem != REGRESSION:
        raise ValueError(f"relabelling.range: is of problem: {REGRESSION}, was {problem}")
    if asked.destination == "ground_truth" and not asked.answers(problem):
        allowed = "folder" if problem == REGRESSION else "folder, or ground_truth with labels"
        raise ValueError(
            f"relabelling.destination: a labelling job needs the labels to choose from (allowed here: {allowed})"
        )


def _check_uncertainty(asked: Relabelling, problem: str, *, shadowed: bool) -> None:
    by = asked.measured_by(problem)
    if problem != REGRESSION and by not in OF_CLASSES:
        raise ValueError(
            f"relabelling.uncertainty: {by} is of problem: {REGRESSION} (allowed: {', '.join(OF_CLASSES)})"
        )
    if problem == REGRESSION and by != "spread":
        raise ValueError(f"relabelling.uncertainty: a number has no {by} (allowed: spread)")
    if by == "spread" and not shadowed:
        raise ValueError(
            "relabelling.uncertainty: one model's number does not say how unsure it is; spread needs a challenger "
            "that answers the same requests (allowed: serving.rollout.strategy: shadow)"
        )


def relabelling_options(
    asked: Relabelling, *, problem: str, target: Mapping[str, str], features: Mapping[str, str], hidden: Sequence[str]
) -> dict[str, Any]:
    """Returns what the functions must know, as JSON types.

    Args:
        target: The target and its type.
        features: Feature → type.
        hidden: Features that people must not see unless they are named.
    """
    ((_, kind),) = target.items()
    return {
        "problem": problem,
        "target_type": kind,
        "shown": [name for name in features if name not in hidden or name in asked.show],
        "uncertainty": asked.measured_by(problem),
        **asked.model_dump(
            mode="json",
            include={"max_rows", "label_delay_days", "look_back_days", "due_days", "format", "labels", "range"},
        ),
    }
