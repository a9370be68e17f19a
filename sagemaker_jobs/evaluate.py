"""Evaluates a trained model on the held-back test split, and the champion on the same rows.

Arguments: ``--model`` and ``--champion`` (folders with a ``model.tar.gz``; no champion while there is none),
``--test`` (folder with the Parquet files of the split), ``--target``, ``--output`` and ``--message``. Before anything
is loaded, each archive is unpacked in a confined way and judged by content; see :mod:`gapless_sagemaker.artefact`.

Writes ``evaluation.json`` to the output folder::

    {"model": {"sha256", "bytes", "files": [{"path", "bytes", "sha256", "kind"}]}, "problem", "rows", "positives",
     "metrics": {"auc", "log_loss", "brier", "accuracy", "base_rate"}, "champion": {"sha256", "metrics"} or null,
     "curves": {"roc": {"fpr", "tpr"}, "calibration": {"predicted", "observed", "count"}},
     "importance": {feature: gain}, "test_digest"}

The gate judges these figures later: see ``lambda/judge_model``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn import metrics as skm

from gapless_sagemaker.artefact import Artefact, UnsafeArtefact
from gapless_sagemaker.job import Arguments, write_json
from gapless_sagemaker.model import LoadedModel, load

ROC_POINTS = 200
CALIBRATION_GROUPS = 20
_BATCH_ROWS = 10_000

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class BadTestSplit(Exception):
    """The test split cannot be scored: no rows, no target, or columns that a model does not know."""


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    model: Path
    champion: Path | None
    test: Path
    target: str
    output: Path


@dataclass(frozen=True)
class Scores:
    """What a model says of the test rows: probabilities and labels, shape (rows,)."""

    probabilities: Floats
    labels: Booleans


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("evaluate a model")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--champion", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(list(arguments))
    return Options(given.model, given.champion, given.test, given.target, given.output)


def read_split(folder: Path) -> pa.Table:
    """Read every Parquet file below a folder, in the order of their paths.

    Raises:
        BadTestSplit: There are no files or no rows.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise BadTestSplit("the test split has no Parquet files")
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    if not table.num_rows:
        raise BadTestSplit("the test split has no rows")
    return table


def split_digest(folder: Path) -> str:
    """Give the SHA-256 over a line ``<sha256>  <path>`` per Parquet file, sorted by path: equal bytes, equal digest."""
    files = sorted(folder.rglob("*.parquet"))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n" for file in files
    ]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def truth_of(table: pa.Table, target: str) -> Booleans:
    """Give the target, shape (rows,).

    Raises:
        BadTestSplit: It is missing, not boolean, has gaps, or is the same in every row.
    """
    if target not in table.column_names:
        raise BadTestSplit(f"target missing: {target}; given are {', '.join(table.column_names)}")
    column = table[target]
    if not pa.types.is_boolean(column.type) or column.null_count:
        raise BadTestSplit(
            f"target {target} is {column.type} with {column.null_count} gaps; allowed is boolean without gaps"
        )
    truth: Booleans = column.to_numpy()
    if truth.all() or not truth.any():
        raise BadTestSplit(f"target {target} is the same in all {len(truth)} rows: nothing can be ranked")
    return truth


def score(model: LoadedModel, table: pa.Table, who: str) -> Scores:
    """Have a model predict every row.

    Raises:
        BadTestSplit: The table lacks a feature of the model.
    """
    missing = [name for name in model.features if name not in table.column_names]
    if missing:
        raise BadTestSplit(f"features of the {who} missing in the test split: {', '.join(missing)}")
    predictions = [prediction for rows in _rows(table.select(model.features)) for prediction in model.predict(rows)]
    return Scores(
        np.array([prediction["probability"] for prediction in predictions], dtype=np.float64),
        np.array([prediction["label"] for prediction in predictions], dtype=np.bool_),
    )


def _rows(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = [pc.if_else(pc.is_nan(c), None, c) if pa.types.is_floating(c.type) else c for c in batch.columns]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def measure(truth: Booleans, scores: Scores) -> dict[str, float]:
    """Give the metrics (scikit-learn's definitions) and the share of positive rows."""
    return {
        "auc": float(skm.roc_auc_score(truth, scores.probabilities)),
        "log_loss": float(skm.log_loss(truth, scores.probabilities, labels=[False, True])),
        "brier": float(skm.brier_score_loss(truth, scores.probabilities)),
        "accuracy": float(skm.accuracy_score(truth, scores.labels)),
        "base_rate": float(truth.mean()),
    }


def roc(truth: Booleans, probabilities: Floats) -> dict[str, list[float]]:
    """Give the ROC curve, thinned to at most :data:`ROC_POINTS` points; its ends are always there."""
    fpr, tpr, _ = skm.roc_curve(truth, probabilities)
    kept = np.unique(np.linspace(0, len(fpr) - 1, ROC_POINTS).round().astype(int))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist()}


def calibration(truth: Booleans, probabilities: Floats) -> dict[str, list[float]]:
    """Give mean prediction, observed share and size of :data:`CALIBRATION_GROUPS` groups of equal size by rank."""
    order = np.argsort(probabilities, kind="stable")
    groups = [group for group in np.array_split(order, CALIBRATION_GROUPS) if len(group)]
    return {
        "predicted": [float(probabilities[group].mean()) for group in groups],
        "observed": [float(truth[group].mean()) for group in groups],
        "count": [len(group) for group in groups],
    }


def describe(artefact: Artefact) -> dict[str, Any]:
    """Give what the run record keeps of an archive."""
    return {
        "sha256": artefact.sha256,
        "bytes": artefact.bytes,
        "files": [dataclasses.asdict(file) for file in artefact.files],
    }


def run(options: Options, scratch: Path) -> Mapping[str, Any]:
    """Evaluate the model, and the champion if there is one; write and give the document."""
    model = load(options.model, scratch / "model")
    champion = load_champion(options.champion, scratch / "champion") if options.champion is not None else None
    table = read_split(options.test)
    truth = truth_of(table, options.target)
    scores = score(model, table, "model")
    document = {
        "model": describe(model.artefact),
        "problem": "binary_classification",
        "rows": len(truth),
        "positives": int(truth.sum()),
        "metrics": measure(truth, scores),
        "champion": None if champion is None else _champion(champion, table, truth),
        "curves": {"roc": roc(truth, scores.probabilities), "calibration": calibration(truth, scores.probabilities)},
        "importance": model.importance(),
        "test_digest": split_digest(options.test),
    }
    write_json(options.output, "evaluation.json", document)
    return document


def load_champion(folder: Path, scratch: Path) -> LoadedModel:
    """Load the model to beat; a refusal says that it is this one.

    Raises:
        UnsafeArtefact: Its archive is refused.
    """
    try:
        return load(folder, scratch)
    except UnsafeArtefact as error:
        raise UnsafeArtefact(f"the champion's {error}") from error


def _champion(champion: LoadedModel, table: pa.Table, truth: Booleans) -> dict[str, Any]:
    return {"sha256": champion.artefact.sha256, "metrics": measure(truth, score(champion, table, "champion"))}


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
