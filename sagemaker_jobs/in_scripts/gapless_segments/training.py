"""Fits a model per segment, and the fallback model that answers for all others.

Usage, in ``train.py`` of a workload with ``serving.mode: {kind: multi_model, …}``::

    def fit(rows: pyarrow.Table, folder: Path) -> None:
        ...                                    # learn from the rows, write what is learnt into the folder

    segments = Segments.of_job()
    segments.train(rows, fit, model_dir, features=described, own=Path(__file__).with_name("inference.py"))

What lies in the model directory then is one archive, evaluated, signed and registered as one model:

- ``features.json``: what the models are given, ``{"features": [{"name", "type", …}]}``;
- ``segments.json``: ``{"segment", "models": {value: folder}, "fallback": folder}``;
- ``segments/<folder>/…``: what ``fit`` has written;
- ``code/inference.py``: the platform's, which asks the model of the segment (:mod:`gapless_segments.inference`);
- ``code/own.py``: the workload's ``inference.py``, of which ``model_fn`` and ``predict_fn`` are called.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

VARIABLE = "GAPLESS_SEGMENTS"
"""Start of the names of the job's variables that hold the segments, JSON in parts: ``…_0``, ``…_1`` and so on."""

Fit = Callable[["pa.Table", Path], None]


class BadSegments(Exception):
    """The job does not say of which segments there are models, or the rows do not have them."""


class TooLittle(Exception):
    """What ``fit`` raises when a segment has too little to learn from, such as one class only."""


@dataclass(frozen=True)
class Segments:
    """Says of which segments there are models.

    Args:
        feature: The feature that says which segment a row is of.
        values: Its values that have a model of their own.
        fallback: Name of the model for all others.
        min_rows: With fewer rows a value is left to the fallback.
    """

    feature: str
    values: tuple[str, ...]
    fallback: str
    min_rows: int

    @classmethod
    def of_job(cls, environment: Mapping[str, str] = os.environ) -> Segments:
        """Gives the segments that this job's workload names.

        Raises:
            BadSegments: It names none, or in a form that is not known.
        """
        names = takewhile(lambda name: name in environment, (f"{VARIABLE}_{place}" for place in count()))
        text = "".join(environment[name] for name in names)
        try:
            found = json.loads(text)
            return cls(found["feature"], tuple(found["values"]), found["fallback"], int(found["min_rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadSegments(
                f"variables {VARIABLE}_0 and following hold {text!r:.200}; needed are the segments that serving.mode: "
                "multi_model of workload.yaml names"
            ) from error

    def train(self, rows: pa.Table, fit: Fit, model_dir: Path, *, features: Mapping[str, Any], own: Path) -> None:
        """Fits the models and writes all that the archive holds.

        Args:
            rows: What is learnt from, with the feature as a column.
            fit: Learns from rows and writes a model into a folder; raises ``TooLittle`` where it cannot.
            model_dir: Where the model has to be written.
            features: What ``features.json`` says; the segment's feature is among its ``features``.
            own: The workload's ``inference.py``.

        Raises:
            BadSegments: The rows or ``features.json`` lack the feature.
        """
        named = [each["name"] for each in features["features"]]
        if self.feature not in rows.column_names or self.feature not in named:
            raise BadSegments(f"the feature {self.feature!r} is missing in the rows or in features.json")
        _fit(fit, rows, model_dir / "segments" / self.fallback)
        models = {value: self._of_segment(value, rows, fit, model_dir / "segments") for value in self.values}
        index = {"segment": self.feature, "models": models, "fallback": self.fallback}
        (model_dir / "segments.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
        (model_dir / "features.json").write_text(json.dumps(dict(features), indent=1), encoding="utf-8")
        code = model_dir / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_bytes(files("gapless_segments").joinpath("inference.py").read_bytes())
        shutil.copyfile(own, code / "own.py")

    def _of_segment(self, value: str, rows: pa.Table, fit: Fit, folder: Path) -> str:
        """Fits the model of a value; gives the folder of the model that answers for it."""
        import pyarrow.compute as pc  # what only asks for the segments needs no pyarrow

        own = rows.filter(pc.equal(rows[self.feature], value))
        if own.num_rows < self.min_rows:
            return self._left(value, f"{own.num_rows} rows, needed are {self.min_rows}")
        try:
            _fit(fit, own, folder / value)
        except TooLittle as error:
            shutil.rmtree(folder / value)
            return self._left(value, str(error))
        sys.stdout.write(f"segment {value}: {own.num_rows} rows\n")
        return value

    def _left(self, value: str, reason: str) -> str:
        sys.stdout.write(f"segment {value}: answered by {self.fallback} ({reason})\n")
        return self.fallback


def _fit(fit: Fit, rows: pa.Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    fit(rows, folder)
