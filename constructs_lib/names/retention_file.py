"""``dataset_retention`` and ``model_retention`` of ``workload.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from constructs_lib.names.file_parts import Part


class DatasetRetention(Part):
    """Which datasets are kept; the others are retired, unless a model or a training run holds them.

    Attributes:
        keep_newest: So many datasets are kept whatever their age: the newest by ``as_of``.
        keep_days: Every dataset is kept for so many days after its batch landed last.
    """

    keep_newest: Annotated[int, Field(ge=1, le=1000)] = 10
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90


class ModelRetention(Part):
    """Which registered models are kept; the others are deleted, unless they serve, served last, or are held.

    Attributes:
        keep_newest: So many approved models are kept whatever their age: those registered last.
        keep_days: Every model is kept for so many days after its package was changed last, by an approval for example.
    """

    keep_newest: Annotated[int, Field(ge=1, le=1000)] = 10
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90
