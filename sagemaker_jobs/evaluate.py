"""Evaluates a trained model on the held-back test split, and the champion on the same rows.

Arguments: ``--model`` and ``--champion`` (folders with a ``model.tar.gz``; no champion while there is none),
``--test`` (folder with the Parquet files of the split), ``--train`` (the split that the model was trained on, for bias
before training; may be left out), ``--options`` (folder with what the workload asks for, see
:mod:`gapless_sagemaker.evaluation.options`), ``--version`` (the dataset's, which seeds resampling), ``--output`` and
``--message``. Before anything is loaded, each archive is unpacked in a confined way and judged by content; see
:mod:`gapless_sagemaker.artefact`. With ``--predictions``, and ``--champion_predictions`` beside ``--champion``, nothing
is loaded: these folders hold what batch transforms answered; see :mod:`gapless_sagemaker.predictions`. With
``--allow_pickle`` archives may hold pickles.

Writes ``evaluation.json`` to the output folder::

    {"model": {"sha256", "archive_sha256", "bytes", "files": [{"path", "bytes", "sha256", "kind"}]}, "problem", "rows",
     "positives" (of a yes or no), "metric": the one that decides, "metrics": {name: value},
     "intervals": {metric: {"low", "high", "level", "method"}},
     "champion": null or {"sha256", "metrics", "intervals", "difference" (of two predictions, the largest),
                          "comparison": {metric: {"difference", "low", "high", "level", "p_value", "test"}}},
     "calibration": null or {"error", "groups", "slope", "intercept"},
     "slices": [{"column", "slice", "rows", "enough", "metrics", "interval"}],
     "environment": {"python", "machine", "packages": {name: version}, "packages_sha256"},
     "importance": {feature: gain}, "test_digest",
     "bias": null or {…}, "attributions": null or {…}, "limits": {…},
     "window": where the workload asks for one, see :mod:`gapless_sagemaker.evaluation.window`}

(the three before: see :mod:`gapless_sagemaker.evaluation.supplement`), and beside it ``details.json`` with what is
drawn, ``{"curves": {…}, "attributions": [row]}``, ``model_card.json`` and ``report.html``. The gate judges the figures
later: see ``lambda/judge_model``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gapless_sagemaker.answered import AnsweredModel
from gapless_sagemaker.artefact import Artefact, Limits, UnsafeArtefact
from gapless_sagemaker.evaluation import split
from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.bootstrap import intervals, resample
from gapless_sagemaker.evaluation.calibration import calibration
from gapless_sagemaker.evaluation.compare import compare
from gapless_sagemaker.evaluation.curves import curves
from gapless_sagemaker.evaluation.multiclass import MulticlassScores
from gapless_sagemaker.evaluation.options import EvaluationOptions, read_options
from gapless_sagemaker.evaluation.regression import RegressionScores
from gapless_sagemaker.evaluation.scored import Prediction, Scored
from gapless_sagemaker.evaluation.silhouette import points_of
from gapless_sagemaker.evaluation.slices import measure_slices
from gapless_sagemaker.evaluation.split import BadTestSplit, read_split, rows_of, split_digest
from gapless_sagemaker.evaluation.supplement import supplement, write_reports
from gapless_sagemaker.evaluation.untargeted import ClusterScores, ProjectionScores
from gapless_sagemaker.evaluation.window import read_window
from gapless_sagemaker.job import Arguments, write_json
from gapless_sagemaker.model import LoadedModel, load
from gapless_sagemaker.predictions import BadPredictions
from gapless_sagemaker.reproduction import environment, largest_difference

AnyModel = LoadedModel | AnsweredModel


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    model: Path
    champion: Path | None
    test: Path
    options: Path
    version: str
    output: Path
    train: Path | None = None
    predictions: Path | None = None
    champion_predictions: Path | None = None
    allow_pickle: bool = False

    @property
    def limits(self) -> Limits:
        """What archives may hold."""
        return Limits(pickles=self.allow_pickle)


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("evaluate a model")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--champion", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--options", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--champion_predictions", type=Path)
    parser.add_argument("--allow_pickle", action="store_true")
    given = vars(parser.parse_args(list(arguments)))
    return Options(**{field.name: given[field.name] for field in dataclasses.fields(Options)})


def predictions_of(model: AnyModel, table: pa.Table, who: str) -> list[dict[str, Any]]:
    """Have a model predict every row, or take what it answered.

    Raises:
        BadTestSplit: The table lacks a feature of the model.
        BadPredictions: There is not one answer per row.
    """
    if isinstance(model, AnsweredModel):
        return model.predictions(table.num_rows)
    missing = [name for name in model.features if name not in table.column_names]
    if missing:
        raise BadTestSplit(f"features of the {who} missing in the test split: {', '.join(missing)}")
    return [prediction for rows in rows_of(table.select(model.features)) for prediction in model.predict(rows)]


def scored(asked: EvaluationOptions, table: pa.Table, predictions: Sequence[Prediction]) -> Scored:
    """Put predictions beside the truth, by problem.

    Raises:
        BadTestSplit: The target is missing, or not what the problem needs.
        BadPredictions: A prediction has not the form of the problem.
    """
    target = asked.target or ""
    match asked.problem:
        case "binary_classification":
            return BinaryScores.read(split.booleans(table, target), predictions)
        case "multiclass_classification":
            return MulticlassScores.read(split.classes(table, target), predictions)
        case "regression":
            return RegressionScores.read(split.numbers(table, target), predictions)
        case "clustering":
            return ClusterScores.read(predictions, points_of(table, asked.content["features"]))
        case "projection":
            return ProjectionScores.read(predictions)
    raise BadTestSplit(f"problem unknown: {asked.problem!r}")


def describe(artefact: Artefact) -> dict[str, Any]:
    """Give what the run record keeps of an archive."""
    return {
        "sha256": artefact.sha256,
        "archive_sha256": artefact.archive_sha256,
        "bytes": artefact.bytes,
        "files": [dataclasses.asdict(file) for file in artefact.files],
    }


def run(options: Options, scratch: Path) -> Mapping[str, Any]:
    """Evaluate the model, and the champion if there is one; write both documents and give the first.

    Raises:
        UnsafeArtefact: An archive is refused.
        BadTestSplit: The rows cannot be scored, or the metric that decides is not defined on them.
        BadPredictions: Predictions have not the form of the problem.
        BadFacet: A facet or the favourable outcome does not fit the dataset.
        BadWindow: The model does not say which window it was trained on, as it was asked to.
    """
    asked, seed = read_options(options.options), seed_of(options.version)
    model = open_model(options.model, options.predictions, scratch / "model", options.limits)
    champion = open_champion(options, scratch / "champion")
    table = read_split(options.test)
    predictions = predictions_of(model, table, "model")
    own = scored(asked, table, predictions)
    metrics = own.metrics()
    if asked.metric not in metrics:
        raise BadTestSplit(f"metric {asked.metric} of the gate is not defined on these {own.rows} rows")
    other, others = (None, []) if champion is None else score_champion(asked, champion, table)
    resamples = resample([own] if other is None else [own, other], seed)
    calibrated = calibration(own)
    figures, more = supplement(asked.content, model, table, predictions, options.train, seed)
    document = {
        "model": describe(model.artefact),
        "problem": asked.problem,
        "rows": own.rows,
        **({"positives": int(own.truth.sum())} if isinstance(own, BinaryScores) else {}),
        "metric": asked.metric,
        "metrics": metrics,
        "intervals": intervals(own, resamples[0]),
        "champion": None,
        "calibration": None if calibrated is None else calibrated[0],
        "slices": measure_slices(
            own, table, asked.slices, metric=asked.metric, fewest_rows=asked.min_slice_rows, seed=seed
        ),
        "importance": model.importance() if isinstance(model, LoadedModel) else {},
        "test_digest": split_digest(options.test),
        **figures,
        "environment": environment(),
        **({"window": read_window(model.artefact.directory)} if asked.content.get("window") else {}),
    }
    if champion is not None and other is not None:
        document["champion"] = {
            "sha256": champion.artefact.sha256,
            "metrics": other.metrics(),
            "intervals": intervals(other, resamples[1]),
            "difference": largest_difference(predictions, others),
            "comparison": compare(own, other, (resamples[0], resamples[1]), asked.level),
        }
    reliability = {} if calibrated is None else {"calibration": calibrated[1]}
    details = {"curves": {**curves(own), **reliability}, **more}
    write_json(options.output, "details.json", details)
    write_json(options.output, "evaluation.json", document)
    write_reports(options.output, document, details, asked.content)
    return document


def seed_of(version: str) -> int:
    """Give the seed of all resampling of a dataset: the same figures whenever it is evaluated."""
    return int(hashlib.sha256(version.encode("utf-8")).hexdigest()[:8], 16)


def open_model(folder: Path, predictions: Path | None, scratch: Path, limits: Limits) -> AnyModel:
    """Load a model, or take what it answered.

    Raises:
        UnsafeArtefact: Its archive is refused.
    """
    if predictions is None:
        return load(folder, scratch, limits)
    return AnsweredModel(folder, predictions, scratch, limits)


def open_champion(options: Options, scratch: Path) -> AnyModel | None:
    """Open the model to beat, if there is one; a refusal says that it is this one.

    Raises:
        UnsafeArtefact: Its archive is refused.
    """
    if options.champion is None:
        return None
    try:
        return open_model(options.champion, options.champion_predictions, scratch, options.limits)
    except UnsafeArtefact as error:
        raise UnsafeArtefact(f"the champion's {error}") from error


def score_champion(
    asked: EvaluationOptions, champion: AnyModel, table: pa.Table
) -> tuple[Scored, Sequence[Prediction]]:
    """Have the model to beat predict every row, and give what it said as well; a refusal says that it is this one.

    Raises:
        BadTestSplit: The table lacks a feature of it.
        BadPredictions: Its predictions have not the form of the problem.
    """
    try:
        answers = predictions_of(champion, table, "champion")
        return scored(asked, table, answers), answers
    except BadPredictions as error:
        raise BadPredictions(f"the champion's {error}") from error


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
