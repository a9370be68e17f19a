"""The rule types of DQDL and what each takes, after https://docs.aws.amazon.com/glue/latest/dg/dqdl-rule-types.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class RuleType:
    """What a rule of a type is made of.

    Args:
        least: The smallest number of parameters.
        most: The largest; nothing: any.
        kinds: The kinds of conditions, the first that fits; empty: the type answers yes or no.
        optional: Whether the condition may be absent.
        where: Whether rows may be chosen by ``where``.
        threshold: Whether a share of rows may be enough.
        dynamic: Whether the condition may depend on earlier results.
        analyzer: Whether it can be measured without a condition, in ``Analyzers``.
        only_analyzer: Whether it has no place in ``Rules``.
        tags: The tags that can be evaluated.
        refused: Why this project cannot evaluate it; nothing: it can.
    """

    least: int
    most: int | None
    kinds: tuple[str, ...] = ()
    optional: bool = False
    where: bool = False
    threshold: bool = False
    dynamic: bool = False
    analyzer: bool = False
    only_analyzer: bool = False
    tags: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def parameters(self) -> str:
        """How many parameters there may be, for an error message."""
        if self.most is None:
            return f"at least {self.least} parameter"
        number = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"{number} parameter{'' if self.most == 1 else 's'}"


FILES: Final = "it is about files, and the batch's checksums and sizes are already checked before any rule"
PROFILED: Final = "the profile of every dataset has the distributions of its columns"
NUMBER: Final = ("number",)

RULE_TYPES: Final[dict[str, RuleType]] = {
    "AggregateMatch": RuleType(2, 2, NUMBER),
    "AllStatistics": RuleType(1, 1, analyzer=True, only_analyzer=True),
    "ColumnCorrelation": RuleType(2, 2, NUMBER, where=True, dynamic=True, analyzer=True),
    "ColumnCount": RuleType(0, 0, NUMBER, dynamic=True, analyzer=True),
    "ColumnDataType": RuleType(1, 1, ("text",), where=True, threshold=True),
    "ColumnExists": RuleType(1, 1),
    "ColumnLength": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "ColumnNamesMatchPattern": RuleType(1, 1),
    "ColumnValues": RuleType(
        1,
        1,
        ("text", "number", "date"),
        where=True,
        threshold=True,
        dynamic=True,
        analyzer=True,
        tags=("ignoreCase", "timeZone"),
    ),
    "Completeness": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "CustomSql": RuleType(1, 1, NUMBER, optional=True, threshold=True, dynamic=True, analyzer=True),
    "DataFreshness": RuleType(1, 1, ("duration",), where=True),
    "DatasetMatch": RuleType(2, 3, NUMBER),
    "DetectAnomalies": RuleType(1, None),
    "Distribution": RuleType(1, 1, analyzer=True, only_analyzer=True, refused=PROFILED),
    "DistinctValuesCount": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "Entropy": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "FileFreshness": RuleType(0, 1, ("date",), refused=FILES),
    "FileMatch": RuleType(0, 2, ("text",), optional=True, refused=FILES),
    "FileSize": RuleType(0, 1, ("size",), refused=FILES),
    "FileUniqueness": RuleType(0, 1, NUMBER, refused=FILES),
    "IsComplete": RuleType(1, 1, where=True),
    "IsPrimaryKey": RuleType(1, None, where=True),
    "IsUnique": RuleType(1, None, where=True),
    "Mean": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "ReferentialIntegrity": RuleType(2, 2, NUMBER, dynamic=True),
    "RowCount": RuleType(0, 0, NUMBER, where=True, dynamic=True, analyzer=True),
    "RowCountMatch": RuleType(1, 1, NUMBER),
    "SchemaMatch": RuleType(1, 1, NUMBER),
    "StandardDeviation": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "Sum": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "UniqueValueRatio": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
    "Uniqueness": RuleType(1, None, NUMBER, where=True, dynamic=True, analyzer=True),
    "Variance": RuleType(1, 1, NUMBER, where=True, dynamic=True, analyzer=True),
}

WATCHED: Final = {
    **{name: name for name, kind in RULE_TYPES.items() if kind.analyzer and not kind.only_analyzer},
    "CustomSQL": "CustomSql",
}
"""What DetectAnomalies can watch, by the names that it goes by there: name → rule type."""

FUNCTIONS: Final = (
    "last",
    "abs",
    "avg",
    "average",
    "index",
    "max",
    "mean",
    "median",
    "min",
    "percentile",
    "std",
    "sum",
)
"""What a dynamic condition can call."""

DATA_TYPES: Final = ("Boolean", "Date", "Timestamp", "Integer", "Double", "Float", "Long", "String")
"""The types that ColumnDataType can ask for."""
