"""The models of a story: where they lie, how they are loaded, and what was served by them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.server.sagemaker.archive import pack

Prediction = dict[str, Any]


class TrainingFailed(Exception):
    """A training failed; the text is what it left as the reason."""


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        name: In decisions and on the page, ``m3`` for the one of step 3.
        folder: Holds ``model.tar.gz`` under ``model`` and the splits that it was made of.
        window_days: Days of events that it was made of; None for all.
        rows: Rows per split.
    """

    name: str
    folder: Path
    window_days: int | None
    rows: dict[str, int]

    @property
    def archive(self) -> Path:
        """The folder of the archive."""
        return archive_in(self.folder)

    def split(self, name: str) -> Path:
        """The folder of a split."""
        return split_in(self.folder, name)


def archive_in(folder: Path) -> Path:
    """Where a model's archive lies, by the model's folder."""
    return folder / "model"


def split_in(folder: Path, name: str) -> Path:
    """Where a split lies that a model is made of, by the model's folder."""
    return folder / "dataset" / name


def keep(made: Path, folder: Path) -> None:
    """Keep what a training has made as the archive of the model of a folder."""
    pack(made, archive_in(folder) / "model.tar.gz")


def write_capture(
    folder: Path, instances: Sequence[dict[str, Any]], answers: Sequence[Prediction], times: Sequence[str]
) -> None:
    """Write what was served as an endpoint captures it: one request per row, named by its number."""
    folder.mkdir(parents=True)
    with (folder / "served.jsonl").open("w", encoding="utf-8") as file:
        for number, (instance, answer, at) in enumerate(zip(instances, answers, times, strict=True)):
            line = {
                "captureData": {
                    "endpointInput": {"encoding": "JSON", "data": json.dumps({"instances": [instance]})},
                    "endpointOutput": {"encoding": "JSON", "data": json.dumps({"predictions": [answer]})},
                },
                "eventMetadata": {"inferenceId": str(number), "inferenceTime": at},
                "eventVersion": "0",
            }
            file.write(f"{json.dumps(line)}\n")
