"""What ``workload.yaml`` says of fairness, explanations and limits: whom to look at, and what a model may not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from constructs_lib.names.file_parts import ColumnName, Part, shown, unknown

Text = Annotated[str, Field(max_length=2000)]
Scalar = StrictBool | StrictInt | StrictStr
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
BiasMetric = Literal[
    "CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL",
    "DPPL", "DI", "DCAcc", "DCR", "SD", "RD", "DAR", "DRR", "AD", "TE", "GE", "CDDPL", "FT",
]  # fmt: skip

MOST_FACETS: Final = 8

_CONDITIONAL: Final = ("CDDL", "CDDPL")
_WITHOUT_INTERVAL: Final = "FT"
_WITH_OUTCOME: Final = ("binary_classification", "multiclass_classification", "regression")
_NUMBERS: Final = ("int", "bigint", "double")
_CLASSES: Final[Mapping[str, type]] = {"string": str, "int": int, "bigint": int, "boolean": bool}
"""Types of columns that have classes, and what a class is in YAML."""


class Facet(Part):
    """A group that may be at a disadvantage, held against everybody else.

    Attributes:
        column: A column that the dataset has, whether the model is given it or not.
        values: Its values that make up the group.
        threshold: The group is of rows above it; instead of ``values``, for numbers.
        group: A column in whose groups disparities are looked at one by one, for CDDL and CDDPL. Default: no such
            metrics.
    """

    column: ColumnName
    values: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    threshold: Number | None = None
    group: ColumnName | None = None

    @model_validator(mode="after")
    def _says_who(self) -> Self:
        if (self.values is None) == (self.threshold is None):
            raise ValueError(f"threshold: {self.column!r} needs values or a threshold, and not both")
        return self


class Explanations(Part):
    """How a model is explained by SHAP values, and at what cost.

    Attributes:
        rows: Rows of the test split that the global figures are means over.
        local: How many of them are explained one by one.
        background: Rows that stand for features which are not known, for models that are not trees of XGBoost.
    """

    rows: Annotated[int, Field(ge=10, le=5000)] = 100
    local: Annotated[int, Field(ge=0, le=20)] = 5
    background: Annotated[int, Field(ge=5, le=200)] = 10


class BiasRule(Part):
    """A bias metric that must lie within bounds.

    Attributes:
        metric: The metric, by its abbreviation.
        facet: The column of the facets that it is asked of. Default: of every facet.
        at_least, at_most: The bounds; one of them may be left out.
        judged_by: ``estimate``: the figure itself must lie within. ``interval``: only a 95 % interval that lies outside
            as a whole breaks the rule, so that few rows prove nothing.
    """

    metric: BiasMetric
    facet: ColumnName | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    judged_by: Literal["estimate", "interval"] = "estimate"

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("at_most: at least one of at_least and at_most is needed")
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_most: must not be below at_least ({low:g}), was {high:g}")
        if self.judged_by == "interval" and self.metric == _WITHOUT_INTERVAL:
            raise ValueError(f"judged_by: {self.metric} has no interval; allowed: estimate")
        return self


class Limits(Part):
    """What a model may cost where it is served.

    Attributes:
        latency_p99_ms: The 99th percentile of the time that its code takes for one request, in milliseconds, on the
            evaluation's machine.
        bytes: The size of its unpacked archive.
    """

    latency_p99_ms: Annotated[float, Field(gt=0)] | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.latency_p99_ms is None and self.bytes is None:
            raise ValueError("bytes: at least one of latency_p99_ms and bytes is needed")
        return self


class ModelCard(Part):
    """What the card of every model package says that nobody can measure.

    Attributes:
        intended_uses: What the model is for, and what it is not for. Default: that it predicts its target.
        factors: What its predictions get worse by.
        risk_rating: How much harm a wrong prediction can do.
        risk_reason: Why it is rated so.
        ethical_considerations: What to think of beside figures. Default: the most common metrics of each facet.
        caveats: What whoever uses the model should know or do.
    """

    intended_uses: Text = ""
    factors: Text = ""
    risk_rating: Literal["high", "medium", "low", "unknown"] = "unknown"
    risk_reason: Text = ""
    ethical_considerations: Text = ""
    caveats: Text = ""


Favourable = Annotated[tuple[Scalar, ...], Field(min_length=1)] | Number
"""The classes that are favourable, or a number above which an outcome is."""


def favourable_of(given: Favourable | None, problem: str) -> Favourable | None:
    """Returns which outcome is the favourable one: for a yes or no it is the yes, unless the file says otherwise."""
    return (True,) if given is None and problem == "binary_classification" else given


def check_fairness(
    *,
    facets: Sequence[Facet],
    favourable: Favourable | None,
    explanations: Explanations | None,
    rules: Sequence[BiasRule],
    limits: Limits | None,
    problem: str,
    columns: Mapping[str, str],
    target: Mapping[str, str],
    in_process: bool,
) -> None:
    """Looks whether all of it fits the workload.

    Args:
        columns: The columns of the dataset but for the target: name → type.
        target: The target: name → type; empty for a problem without one.
        in_process: Whether the evaluation loads the model, and can ask it more than the test split.

    Raises:
        ValueError: It does not; the message starts with the path of the key.
    """
    for path, asked in (("facets", bool(facets)), ("explanations", explanations is not None)):
        if asked and problem not in _WITH_OUTCOME:
            raise ValueError(f"evaluation.{path}: {problem} has no outcome; allowed for {', '.join(_WITH_OUTCOME)}")
    needs_it = {
        "evaluation.explanations": explanations is not None,
        "gate.limits.latency_p99_ms": limits is not None and limits.latency_p99_ms is not None,
    }
    for path in (path for path, asked in needs_it.items() if asked and not in_process):
        raise ValueError(f"{path}: is for models that the evaluation loads; its own container answers for this one")
    for position, facet in enumerate(facets):
        _check_facet(f"evaluation.facets.{position}", facet, columns)
    if favourable is not None and not facets:
        raise ValueError("evaluation.favourable: is asked for facets only, and evaluation.facets has none")
    for name, kind in target.items() if facets else ():
        _check_favourable(favourable_of(favourable, problem), problem, name, kind)
    for position, rule in enumerate(rules):
        _check_rule(f"gate.bias.{position}", rule, facets)


def _check_facet(path: str, facet: Facet, columns: Mapping[str, str]) -> None:
    for key, column in (("column", facet.column), ("group", facet.group)):
        if column is not None and column not in columns:
            raise ValueError(f"{path}.{key}: {unknown(column, columns, 'column of the dataset')}")
    kind = columns[facet.column]
    if facet.threshold is not None and kind not in _NUMBERS:
        raise ValueError(f"{path}.threshold: column {facet.column!r} is {kind}; allowed: {', '.join(_NUMBERS)}")
    if facet.values is not None:
        _check_classes(f"{path}.values", facet.values, facet.column, kind)
    if facet.group is not None and columns[facet.group] not in _CLASSES:
        given = columns[facet.group]
        raise ValueError(f"{path}.group: column {facet.group!r} is {given}; allowed: {', '.join(_CLASSES)}")


def _check_classes(path: str, values: Sequence[object], column: str, kind: str) -> None:
    if kind not in _CLASSES:
        raise ValueError(f"{path}: column {column!r} is {kind}; allowed: {', '.join(_CLASSES)}, or a threshold")
    wrong = [value for value in values if type(value) is not _CLASSES[kind]]
    if wrong:
        raise ValueError(f"{path}: {shown(wrong[0])} is not a value of column {column!r}, which is {kind}")


def _check_favourable(favourable: Favourable | None, problem: str, target: str, kind: str) -> None:
    path = "evaluation.favourable"
    if problem == "regression":
        if not isinstance(favourable, float):
            raise ValueError(f"{path}: facets of a regression need a number above which an outcome is favourable")
        return
    if not isinstance(favourable, tuple):
        raise ValueError(f"{path}: facets of a {problem} need a list of classes that are favourable")
    _check_classes(path, favourable, target, kind)
    if problem == "binary_classification" and len(favourable) != 1:
        raise ValueError(f"{path}: allowed: [true] or [false], was {shown(list(favourable))}")


def _check_rule(path: str, rule: BiasRule, facets: Sequence[Facet]) -> None:
    asked = [facet for facet in facets if rule.facet in (None, facet.column)]
    if not asked:
        names = dict.fromkeys(facet.column for facet in facets)
        told = unknown(rule.facet, names, "column of evaluation.facets") if rule.facet else "evaluation.facets has none"
        raise ValueError(f"{path}.facet: {told}")
    if rule.metric in _CONDITIONAL and any(facet.group is None for facet in asked):
        raise ValueError(f"{path}.metric: {rule.metric} needs a group in every facet that it is asked of")
