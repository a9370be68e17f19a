"""``retraining`` of ``workload.yaml``: when a workload trains again, and who may ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import Part, shown
from constructs_lib.names.ingestion_file import Schedule

Trigger = Literal["schedule", "new_data", "quality", "drift", "bias", "manual", "new_code"]
TRIGGERS: Final[tuple[Trigger, ...]] = ("schedule", "new_data", "quality", "drift", "bias", "manual", "new_code")
ALARMED: Final[tuple[Trigger, ...]] = ("quality", "drift", "bias")
"""Triggers that are alarms of the monitor, each named as its family of checks."""

MOST_REMEMBERED: Final = 20
"""Trainings of a week, at most: ten weeks of them are remembered in one item."""


class Retraining(Part):
    """The policy of trainings; who asks is answered with yes or with "did not retrain because".

    Attributes:
        cooldown_days: Days between two trainings, at least.
        max_per_week: Trainings in any seven days, at most.
        monthly_budget_usd: What the trainings of a calendar month may cost. Default: there is no limit.
        expected_usd: What a training is taken to cost until one has shown what it does.
        min_new_labelled_rows: Rows newer than those of the last training, at least.
        backoff: By how much the cooldown grows with every refused challenger in a row, up to eight times its length.
        search_after: After how many trainings in a row that did not help hyperparameters are to be searched again.
        triggers: Who may ask. Default: everybody.
        schedule: When the clock asks, in UTC. Default: it never does.
    """

    cooldown_days: Annotated[float, Field(ge=0, le=365)] = 7.0
    max_per_week: Annotated[int, Field(ge=1, le=MOST_REMEMBERED)] = 2
    monthly_budget_usd: Annotated[float, Field(ge=0)] | None = None
    expected_usd: Annotated[float, Field(ge=0)] = 0.0
    min_new_labelled_rows: Annotated[int, Field(ge=0)] = 1
    backoff: Annotated[float, Field(ge=1, le=8)] = 2.0
    search_after: Annotated[int, Field(ge=1)] = 2
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1)] = TRIGGERS
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _is_asked_by_whom_it_names(self) -> Self:
        twice = [each for each in self.triggers if self.triggers.count(each) > 1]
        if twice:
            raise ValueError(f"triggers: {twice[0]!r} is given twice")
        named = "triggers" in self.model_fields_set and "schedule" in self.triggers
        if named and self.schedule is None:
            raise ValueError("triggers: schedule may ask, but there is none; give retraining.schedule as well")
        if self.schedule is not None and "schedule" not in self.triggers:
            raise ValueError(f"schedule: {shown(self.schedule)} is given, but triggers lacks schedule")
        return self

    @property
    def alarms(self) -> tuple[Trigger, ...]:
        """The monitor's families whose alarms may ask."""
        return tuple(each for each in ALARMED if each in self.triggers)

    def policy(self) -> dict[str, Any]:
        """Returns what the deciding function must know, as JSON types."""
        return self.model_dump(mode="json", exclude={"schedule"})


def check_retraining(retraining: Retraining, *, monitored: bool, never: Mapping[str, str]) -> None:
    """Checks the policy against the rest of the file.

    Args:
        retraining: The policy.
        monitored: Whether anything looks at what is served.
        never: Families whose alarms can never go off, and why.

    Raises:
        ValueError: An alarm is named that nothing sets off.
    """
    if "triggers" not in retraining.model_fields_set or not retraining.alarms:
        return
    if not monitored:
        raise ValueError(
            f"retraining.triggers: {retraining.alarms[0]!r} is an alarm of the monitor, and there is no monitoring"
        )
    for each in retraining.alarms:
        if each in never:
            allowed = ", ".join(trigger for trigger in TRIGGERS if trigger not in never)
            raise ValueError(
                f"retraining.triggers: {each!r} is an alarm that the monitor never sets off: {never[each]} "
                f"(allowed: {allowed})"
            )
