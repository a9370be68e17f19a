"""``monitoring`` of ``workload.yaml``: how often what was served is looked at, and from when on a change counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from constructs_lib.names.file_parts import Part, Share

Distance = Literal["psi", "kolmogorov_smirnov", "jensen_shannon", "l_infinity", "wasserstein", "cramers_v"]
Limit = Annotated[float, Field(gt=0)]


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
        rollback_by_score: Where answers are worse than they have to be, the version that served before is scored on
            the same rows; one that is better is proposed to people, or goes back into service. Default: nobody looks.
    """

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

    def options(self) -> dict[str, Any]:
        """What the job must know, as JSON types."""
        return self.model_dump(mode="json", exclude={"every", "rollback_by_score"})
