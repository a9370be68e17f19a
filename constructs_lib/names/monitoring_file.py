"""``monitoring`` of ``workload.yaml``: how often what was served is looked at, and from when on a change counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.fairness_file import Explanations, Facet
from constructs_lib.names.file_parts import Part, Share

Backend = Literal["builtin", "model_monitor", "clarify"]
Distance = Literal["psi", "kolmogorov_smirnov", "jensen_shannon", "l_infinity", "wasserstein", "cramers_v"]
Limit = Annotated[float, Field(gt=0)]

MEASURED: Final[Mapping[str, Collection[str]]] = {
    "binary_classification": ("accuracy", "auc", "f1", "precision", "recall"),
    "multiclass_classification": ("accuracy",),
    "regression": ("mae", "r2", "rmse"),
}
"""Kind of problem to those metrics of a gate that Model Monitor measures as well."""

SCORES: Final[Mapping[str, str]] = {"binary_classification": "probability", "regression": "value"}
"""Kind of problem to the part of a prediction that Clarify explains."""

LOOKS_AT: Final[Mapping[str, tuple[str, ...]]] = {
    "DataQuality": ("schema", "completeness", "drift"),
    "ModelQuality": ("quality",),
    "ModelBias": ("bias",),
    "ModelExplainability": ("attributions",),
}
"""SageMaker's kind of monitor to the families of checks that it looks at."""

MOST_ROLLBACK_VERSIONS: Final = 3
"""A processing job of SageMaker takes ten inputs, of which the monitor has seven without earlier versions."""

_OWN_ONLY: Final = ("alpha", "matters", "reference", "rollback_by_score", "rollback_versions", "tolerance", "weeks")


class Tolerance(Part):
    """Shares of a column's rows, below which nothing is said.

    Attributes:
        missing: By how much the share of missing values may be above the dataset's.
        wrong_type: Share of rows with a value of another type.
        out_of_range: Share of rows with a number outside of all that the dataset had.
        new_values: Share of rows with a value that the dataset does not have.
    """

    missing: Annotated[float, Field(ge=0, le=1)] = 0.05
    wrong_type: Annotated[float, Field(ge=0, le=1)] = 0.0
    out_of_range: Annotated[float, Field(ge=0, le=1)] = 0.01
    new_values: Annotated[float, Field(ge=0, le=1)] = 0.01


class Monitoring(Part):
    """A look at everything that was served in a window of time, against the dataset behind the serving model.

    Attributes:
        backend: Who looks. ``builtin``: the platform's own jobs. ``model_monitor``: SageMaker Model Monitor, at columns
            and answers. ``clarify``: Model Monitor, and SageMaker Clarify at bias and attributions. AWS has closed both
            services to new customers, so the stage has to say that its account has them.
        every: The window: the UTC day, or the hour, that has just ended.
        reference: ``season`` compares with rows of the same calendar months, while the dataset has enough of them;
            ``all`` with every row; ``weeks`` with what the same model was asked in the last weeks, if enough.
        weeks: How many weeks these are.
        alpha: How often a report on rows that have not changed may name anything.
        matters: Distance → the least value that counts; others keep their defaults.
        tolerance: Of shares of rows.
        margin: By how much the metric of the gate may be worse than on the test split.
        floor: What that metric may not fall below (a ceiling where less is better). Default: there is none.
        bias_margin: By how much farther from parity a bias metric may be than on the test split.
        rollback_by_score: Where answers are worse than they have to be, versions that served before are scored on the
            same rows; the best that is better is proposed to people, or goes back into service. Default: nobody looks.
        rollback_versions: How many of them are scored at most, those that served last; a version that was rejected or
            deleted since does not count.
    """

    backend: Backend = "builtin"
    every: Literal["day", "hour"] = "day"
    reference: Literal["season", "all", "weeks"] = "season"
    weeks: Annotated[int, Field(ge=1, le=13)] = 4
    alpha: Annotated[Share, Field(le=0.2)] = 0.01
    matters: dict[Distance, Limit] = Field(default={})
    tolerance: Tolerance = Tolerance()
    margin: Annotated[float, Field(ge=0)] = 0.02
    floor: float | None = None
    bias_margin: Annotated[float, Field(ge=0)] = 0.1
    rollback_by_score: Literal["propose", "perform"] | None = None
    rollback_versions: Annotated[int, Field(ge=1, le=MOST_ROLLBACK_VERSIONS)] = MOST_ROLLBACK_VERSIONS

    @model_validator(mode="after")
    def _is_what_the_backend_knows(self) -> Self:
        given = [name for name in _OWN_ONLY if name in self.model_fields_set]
        if not self.is_own and given:
            raise ValueError(
                f"{given[0]}: only the builtin backend has it, was given with backend: {self.backend} "
                "(allowed there: every, margin, floor, bias_margin)"
            )
        if self.rollback_by_score is None and "rollback_versions" in self.model_fields_set:
            raise ValueError(
                "rollback_versions: has an effect only with rollback_by_score (allowed there: propose, perform)"
            )
        return self

    @property
    def is_own(self) -> bool:
        """Whether the platform's own jobs look."""
        return self.backend == "builtin"

    def options(self) -> dict[str, Any]:
        """What the job must know, as JSON types."""
        excluded = {"every", "rollback_by_score", "rollback_versions", *(("backend",) if self.is_own else ())}
        return self.model_dump(mode="json", exclude=excluded)


def kinds_of(problem: str, *, facets: bool, explained: bool) -> tuple[str, ...]:
    """Returns SageMaker's kinds of monitors for a workload.

    Args:
        problem: Kind of problem.
        facets: Whether Clarify looks at bias.
        explained: Whether Clarify looks at attributions.
    """
    return (
        "DataQuality",
        *(("ModelQuality",) if problem in MEASURED else ()),
        *(("ModelBias",) if facets else ()),
        *(("ModelExplainability",) if explained else ()),
    )


def why_never(
    family: str, monitoring: Monitoring, *, problem: str, captures: bool, facets: Collection[Facet]
) -> str | None:
    """Says why the alarm of a family can never go off; None where it can.

    Args:
        family: ``drift``, ``quality`` or ``bias``.
        monitoring: What is asked for.
        problem: Kind of problem.
        captures: Whether anything keeps what was asked and answered.
        facets: Of the evaluation.
    """
    if not captures:
        return f"backend: {monitoring.backend} looks at what was captured, and nothing is"
    if family == "quality" and problem not in MEASURED:
        return f"there are no labels with problem: {problem}"
    if family == "bias" and monitoring.backend == "model_monitor":
        return "backend: model_monitor does not look at it; builtin and clarify do"
    if family == "bias" and not facets:
        return "there are no evaluation.facets"
    return None


def check_backend(
    monitoring: Monitoring,
    *,
    problem: str,
    metric: str,
    captures: bool,
    in_process: bool,
    facets: Collection[Facet],
    explanations: Explanations | None,
    features: Collection[str],
) -> None:
    """Looks whether the backend can do what the workload has.

    Args:
        monitoring: What is asked for.
        problem: Kind of problem.
        metric: The metric that decides.
        captures: Whether the endpoint keeps what it was asked.
        in_process: Whether a job can load the model.
        facets, explanations: Of the evaluation.
        features: What the model is asked with.

    Raises:
        ValueError: It cannot; the message starts with the path of the key.
    """
    if monitoring.is_own:
        return
    where, backend = "monitoring.backend", monitoring.backend
    if not captures:
        raise ValueError(f"{where}: {backend} reads what a real-time endpoint captures; allowed here: builtin")
    measured = MEASURED.get(problem)
    if measured is not None and metric not in measured:
        raise ValueError(
            f"{where}: {backend} does not measure {metric!r}, the metric of the gate (allowed: {', '.join(measured)})"
        )
    if backend == "clarify":
        _check_clarify(where, problem, in_process, facets, explanations, features)


def _check_clarify(
    where: str,
    problem: str,
    in_process: bool,
    facets: Collection[Facet],
    explanations: Explanations | None,
    features: Collection[str],
) -> None:
    if problem not in SCORES:
        raise ValueError(f"{where}: clarify is for {', '.join(SCORES)}, was {problem}; allowed here: model_monitor")
    if not facets and explanations is None:
        raise ValueError(
            f"{where}: clarify has nothing to look at: there are neither evaluation.facets nor evaluation.explanations "
            "(allowed without them: model_monitor)"
        )
    if explanations is not None and not in_process:
        raise ValueError(f"{where}: clarify explains single containers that a job can load; allowed: model_monitor")
    for facet in facets:
        if facet.values is None:
            raise ValueError(
                f"{where}: clarify names the group of facet {facet.column!r} by its threshold and the greatest value "
                "of each window, so no baseline fits it; allowed: facets with values"
            )
        if facet.column not in features:
            raise ValueError(
                f"{where}: clarify sees only what the endpoint is asked with, and facet {facet.column!r} is none of "
                f"the features (allowed: {', '.join(features)})"
            )
