"""``dataset`` of ``workload.yaml``: what a dataset is made of."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import Part

REPEATS_WITHIN_DAYS = 7


class Dataset(Part):
    """What a dataset is made of: one batch, or a batch and everything that earlier ones brought.

    Attributes:
        accumulate: Whether a batch holds only what is new. It must then bring rows of the primary source; any other
            source that it leaves out is taken from the newest earlier dataset. Rows are kept by day (UTC) of the event.
        repeats_within_days: A row that comes again, with the same key, takes the place of the earlier one when their
            events lie at most so many days apart. Farther apart they are two rows.
    """

    accumulate: bool = False
    repeats_within_days: Annotated[int, Field(ge=0, le=366)] = REPEATS_WITHIN_DAYS

    @model_validator(mode="after")
    def _asks_for_nothing_without_effect(self) -> Self:
        if not self.accumulate and self.repeats_within_days != REPEATS_WITHIN_DAYS:
            raise ValueError("repeats_within_days: has an effect only with accumulate: true")
        return self
