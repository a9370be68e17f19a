"""What ``workload.yaml`` says of the evaluation: on which parts of the rows a model is looked at on its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Self

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from constructs_lib.names.compute_file import JobCompute
from constructs_lib.names.fairness_file import MOST_FACETS, Explanations, Facet, Favourable
from constructs_lib.names.file_parts import ColumnName, ColumnType, Part, shown, unknown

MOST_SLICINGS: Final = 8
BY_VALUE: Final = ("string", "int", "bigint", "boolean")
BY_RANGE: Final = ("int", "bigint", "double")

_KINDS: Final[Mapping[str, type]] = {"string": str, "int": int, "bigint": int, "boolean": bool}


class Slice(Part):
    """A way to cut the rows: by the values of a column, or by ranges of them.

    Attributes:
        column: A column that models see.
        values: The values that are slices; all others are one slice together. Default: the twelve most frequent ones.
        bins: Bounds between ranges, ascending; a range has its lower bound in it. Default: by value.
    """

    column: ColumnName
    values: Annotated[tuple[StrictBool | StrictInt | StrictStr, ...], Field(min_length=1, max_length=12)] | None = None
    bins: Annotated[tuple[float, ...], Field(min_length=1, max_length=12)] | None = None

    @model_validator(mode="after")
    def _is_cut_in_one_way(self) -> Self:
        if self.values is not None and self.bins is not None:
            raise ValueError("bins: does not go together with values; give one of them, or none")
        if self.bins is not None and any(low >= high for low, high in pairwise(self.bins)):
            raise ValueError(f"bins: must be ascending, was {shown(list(self.bins))}")
        if self.values is not None and len(set(self.values)) < len(self.values):
            raise ValueError(f"values: a value is given twice, was {shown(list(self.values))}")
        return self

    def check(self, types: Mapping[str, ColumnType], sensitive: Collection[str]) -> None:
        """Looks whether the column can be cut like this.

        Args:
            types: The columns that models see, with their types.
            sensitive: Those of which values must not stand in reports.

        Raises:
            ValueError: It cannot; the message starts with the path of the key below the slice.
        """
        if self.column not in types:
            raise ValueError(f"column: {unknown(self.column, types, 'feature')}")
        kind, allowed = types[self.column], BY_RANGE if self.bins is not None else BY_VALUE
        if kind not in allowed:
            how = "ranges need a column" if self.bins is not None else "without bins a slice needs a column"
            raise ValueError(f"column: {how} of type {' or '.join(allowed)}, was {kind}")
        for value in self.values or ():
            if type(value) is not _KINDS[kind]:
                raise ValueError(f"values: must be of type {kind} as the column is, was {shown(value)}")
        if self.column in sensitive and self.values is None and self.bins is None:
            raise ValueError(
                f"column: {self.column!r} is sensitive, and its values would stand in reports; name values or bins"
            )


class Evaluation(JobCompute):
    """How a model is evaluated on the held-back test split, and on which machine.

    The machine is that of every processing job: it also encodes splits and writes and checks golden requests.

    Attributes:
        slices: Parts of the rows that are measured on their own. Default: none.
        min_slice_rows: With fewer rows a slice is named, but not measured.
        facets: Groups that may be at a disadvantage, looked at for bias. Default: none.
        favourable: The outcome that is favourable: a list of classes, or for a regression the number above which it is.
            Default: for a yes or no the yes.
        explanations: How the model is explained by SHAP values. Default: not at all.
    """

    slices: Annotated[tuple[Slice, ...], Field(max_length=MOST_SLICINGS)] = ()
    min_slice_rows: Annotated[int, Field(ge=20, le=1_000_000)] = 100
    facets: Annotated[tuple[Facet, ...], Field(max_length=MOST_FACETS)] = ()
    favourable: Favourable | None = None
    explanations: Explanations | None = None

    def check(self, types: Mapping[str, ColumnType], sensitive: Collection[str]) -> None:
        """Looks whether the evaluation fits the columns; arguments as for a slice.

        Raises:
            ValueError: It does not; the message starts with the path of the key.
        """
        for place, each in enumerate(self.slices):
            try:
                each.check(types, sensitive)
            except ValueError as error:
                raise ValueError(f"evaluation.slices.{place}.{error}") from error

    def options(self) -> dict[str, Any]:
        """Returns what the evaluation must know, as JSON types."""
        return self.model_dump(mode="json", exclude=set(JobCompute.model_fields))
