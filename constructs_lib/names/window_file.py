"""``training.window`` of ``workload.yaml``: which of the labelled rows a training learns from, and how much they count.

``sagemaker_jobs/in_scripts/gapless_windows`` carries it out, in the training script.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import Part

MOST_DAYS: Final = 3660
MOST_CANDIDATES: Final = 8
MOST_STEPS: Final = 12

Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]


class Expanding(Part):
    """All rows of the train split, one as much as the other."""

    kind: Literal["expanding"]


class Sliding(Part):
    """The rows of the last ``days`` days of the train split."""

    kind: Literal["sliding"]
    days: Days


class Weighted(Part):
    """All rows of the train split, half as much with every ``half_life_days`` that they are older than the newest."""

    kind: Literal["weighted"]
    half_life_days: Days


Candidate = Annotated[Sliding | Weighted, Field(discriminator="kind")]


class BackTest(Part):
    """The window whose models did best in the last steps of the train split, trained on what was known before each.

    Attributes:
        candidates: The windows to choose from; that of all rows is always one of them, and the one to beat.
        steps: How many steps are looked at.
        step_days: The length of a step in days.
        min_rows: With fewer rows before a step, a window is not tried in it.
    """

    kind: Literal["back_test"]
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1, max_length=MOST_CANDIDATES)]
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 2
    step_days: Days = 30
    min_rows: Annotated[int, Field(ge=1)] = 500

    @model_validator(mode="after")
    def _names_each_window_once(self) -> Self:
        twice = [each for each in self.candidates if self.candidates.count(each) > 1]
        if twice:
            raise ValueError(f"candidates: {json.dumps(twice[0].model_dump())} is given twice")
        return self


TrainingWindow = Annotated[Expanding | Sliding | Weighted | BackTest, Field(discriminator="kind")]


def window_json(window: Expanding | Sliding | Weighted | BackTest) -> str:
    """Returns what the training script is told."""
    return json.dumps(window.model_dump(mode="json"), sort_keys=True)
