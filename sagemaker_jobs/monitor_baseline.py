"""Makes the baseline that a model is monitored by, out of the dataset version behind it.

Arguments: ``--train`` (folder with the Parquet files of the split), ``--test`` (the split that the model was evaluated
on), ``--model`` (folder with its ``model.tar.gz``, which is asked for its answers to the test split; left out, answers
have no baseline; with ``--predictions`` beside it they are what a batch transform answered), ``--evaluation`` (folder
with the model's ``evaluation.json``), ``--options`` (what the workload asks for), ``--version`` (the dataset's),
``--output`` and ``--message``. With ``--allow_pickle`` the archive may hold pickles.

Writes ``baseline.json`` (see :mod:`gapless_sagemaker.monitoring.baseline`), and in Model Monitor's formats
``statistics.json`` and ``constraints.json``; where one of SageMaker's services looks on, the other baselines that it
takes (see :mod:`gapless_sagemaker.monitoring.backends`).
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from evaluate import open_model, predictions_of
from gapless_sagemaker.artefact import Limits as ArchiveLimits
from gapless_sagemaker.evaluation.options import read_options
from gapless_sagemaker.evaluation.split import read_split
from gapless_sagemaker.job import Arguments, BadArguments, write_json
from gapless_sagemaker.monitoring.backends import write_backend_baselines
from gapless_sagemaker.monitoring.baseline import Baseline, make_baseline
from gapless_sagemaker.monitoring.documents import constraints, statistics
from gapless_sagemaker.monitoring.limits import Limits
from gapless_sagemaker.monitoring.sketch import Sketch, learn

FIGURES = ("probability", "label", "value", "cluster", "distance", "error")
"""Parts of a prediction whose distribution is looked at."""


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    train: Path
    test: Path
    evaluation: Path
    options: Path
    version: str
    output: Path
    model: Path | None = None
    predictions: Path | None = None
    allow_pickle: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("make the baseline of a model")
    for name in ("train", "test", "evaluation", "options", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--allow_pickle", action="store_true")
    given = vars(parser.parse_args(list(arguments)))
    return Options(**{field.name: given[field.name] for field in dataclasses.fields(Options)})


def run(options: Options, scratch: Path) -> Baseline:
    """Make the baseline and write it.

    Raises:
        BadBaseline: The dataset has no rows, or lacks a feature.
        BadTestSplit: The test split has no rows, or lacks a feature of the model.
        UnsafeArtefact: The model's archive is refused.
        BadPredictions: There is not one answer per row.
    """
    asked = read_options(options.options)
    baseline = make_baseline([read_split(options.train)], asked.content["features"], options.version)
    if options.model is not None:
        limits = ArchiveLimits(pickles=options.allow_pickle)
        model = open_model(options.model, options.predictions, scratch / "model", limits)
        baseline.predictions = learn_predictions(predictions_of(model, read_split(options.test), "model"))
    evaluation, sensitive = _evaluation(options.evaluation), asked.content["sensitive"]
    baseline.metrics = {
        "metric": evaluation["metric"],
        "values": evaluation["metrics"],
        "intervals": evaluation["intervals"],
        "bias": evaluation["bias"],
    }
    baseline.importance = (evaluation["attributions"] or {}).get("global", {})
    write_json(options.output, "baseline.json", baseline.document())
    summary = statistics(baseline.columns, _rows(baseline.columns), sensitive)
    write_json(options.output, "statistics.json", summary)
    write_json(options.output, "constraints.json", constraints(baseline.columns, Limits(), sensitive))
    if "backend" in asked.content.get("monitoring", {}):
        write_backend_baselines(options.output, asked.content, baseline, summary)
    return baseline


def learn_predictions(answers: Sequence[Mapping[str, Any]]) -> dict[str, Sketch]:
    """Give a sketch of each figure of the predictions."""
    found: dict[str, Sketch] = {}
    for name in FIGURES:
        cells = [answer.get(name) for answer in answers]
        if any(cell is not None for cell in cells):
            sketch = learn(pa.array(cells))
            if sketch is not None:
                found[name] = sketch
    return found


def _rows(columns: Mapping[str, Sketch]) -> int:
    return max((sketch.present + sketch.missing for sketch in columns.values()), default=0)


def _evaluation(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    if not path.is_file():
        raise BadArguments(
            f"evaluation: there is no evaluation.json in it, but {sorted(p.name for p in folder.iterdir())}"
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
