"""A model that only its own container loads: its archive, and what a batch transform had it answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gapless_sagemaker.artefact import LIMITS, Artefact, Limits, archive_in, open_foreign
from gapless_sagemaker.predictions import read_predictions


class AnsweredModel:
    """A model that is known by its answers.

    Args:
        folder: Where SageMaker put ``model.tar.gz``.
        predictions: The folder with the answers.
        scratch: Where to unpack the archive; must not exist yet.
        limits: What the archive may hold.

    Raises:
        UnsafeArtefact: There is not exactly one archive, or it cannot be unpacked in a confined way.
    """

    def __init__(self, folder: Path, predictions: Path, scratch: Path, limits: Limits = LIMITS) -> None:
        self.artefact: Artefact = open_foreign(archive_in(folder), scratch, limits)
        self._folder = predictions

    def predictions(self, rows: int) -> list[dict[str, Any]]:
        """Give the predictions for the rows of the test split, in their order.

        Raises:
            BadPredictions: There is not exactly one per row.
        """
        return read_predictions(self._folder, rows)
