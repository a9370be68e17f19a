"""What the platform's own jobs say of models and of what they served: evaluation, gate, baseline and monitor."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

import evaluate
import monitor
import monitor_baseline
from constructs_lib.names.model_file import allows_pickle
from constructs_lib.names.problems import PROBLEMS
from constructs_lib.names.workload_file import WorkloadFile
from gapless_sagemaker.artefact import UnsafeArtefact
from gapless_sagemaker.evaluation.options import EvaluationOptions, read_options
from gapless_sagemaker.evaluation.split import BadTestSplit, rows_of
from gapless_sagemaker.predictions import BadPredictions
from judge_model.handler import Verdict, judge
from local.errors import Failure
from local.story.asking import answers_in
from local.story.history import event_times
from local.story.makers import Maker
from local.story.models import Model, Prediction, write_capture

_AS_TEXT: Final = {True: "true", False: "false"}
_PREDICTIONS: Final = "predictions"


class NotEvaluated(Exception):
    """A model cannot be evaluated; the text says which one and why."""


@dataclass(frozen=True)
class Judges:
    """The jobs, with what the workload asks of them.

    Attributes:
        folder: Holds the options, and every run of a job below it.
        maker: Has models answer that the jobs do not load.
    """

    workload: WorkloadFile
    folder: Path
    maker: Maker

    def __post_init__(self) -> None:
        options = self.folder / "options"
        options.mkdir(parents=True)
        # Attributions decide nothing here, and cost the most; windows are the story's own.
        asked = {**self.workload.monitoring_options(), "explanations": None, "window": None}
        (options / "options.json").write_text(json.dumps(asked), encoding="utf-8")

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self.workload.gate.deciding(self.workload.problem)

    @property
    def higher_is_better(self) -> bool:
        """Which way it goes."""
        return PROBLEMS[self.workload.problem].metrics[self.metric]

    @property
    def asked(self) -> EvaluationOptions:
        """What the workload asks of an evaluation."""
        return read_options(self.folder / "options")

    def quality(self, rows: pa.Table, answers: Sequence[Prediction]) -> float | None:
        """How good answers were, by the metric that decides; None where that is not defined on these rows.

        Raises:
            Failure: An answer has not the form of the problem.
        """
        try:
            return evaluate.scored(self.asked, rows, answers).metrics(only=self.metric).get(self.metric)
        except BadTestSplit:
            return None
        except BadPredictions as error:
            raise Failure(f"a model's answers cannot be measured: {error}") from error

    def evaluate(self, model: Model, champion: Model | None, test: Path, name: str) -> tuple[dict[str, Any], Verdict]:
        """Evaluate a model, and the champion on the same rows; give the figures and what the gate says.

        Raises:
            NotEvaluated: Its archive is refused, its answers have not the form of the problem, or a metric is not
                defined on these rows.
        """
        output, scratch = self.folder / name / "output", self.folder / name / "scratch"
        options = evaluate.Options(
            model=model.archive,
            champion=champion.archive if champion is not None else None,
            test=test,
            options=self.folder / "options",
            version=name,
            output=output,
            train=model.split("train"),
            predictions=self.maker.answer_split(model, test, self.folder / name / _PREDICTIONS),
            champion_predictions=(
                self.maker.answer_split(champion, test, self.folder / name / "champion")
                if champion is not None
                else None
            ),
            allow_pickle=allows_pickle(self.workload.model),
        )
        scratch.mkdir(parents=True)
        try:
            figures = dict(evaluate.run(options, scratch))
        except (UnsafeArtefact, BadPredictions, BadTestSplit) as error:
            raise NotEvaluated(f"model {model.name} cannot be evaluated: {error}") from error
        return figures, judge(figures, self.workload.gate.judged(self.workload.problem), self.workload.problem)

    def make_baseline(self, model: Model, evaluation: str) -> Path:
        """Make what a model is monitored by, of its own dataset and its evaluation; give the folder."""
        output, scratch = self.folder / f"baseline-{model.name}", self.folder / f"baseline-{model.name}-scratch"
        scratch.mkdir(parents=True)
        answers = answers_in(self.folder / evaluation / _PREDICTIONS)
        monitor_baseline.run(
            monitor_baseline.Options(
                train=model.split("train"),
                test=model.split("test"),
                evaluation=self.folder / evaluation / "output",
                options=self.folder / "options",
                version=model.name,
                output=output,
                model=model.archive,
                predictions=answers if answers.is_dir() else None,
                allow_pickle=allows_pickle(self.workload.model),
            ),
            scratch,
        )
        return output

    def monitor(self, baseline: Path, served: Served, as_of: dt.datetime, name: str) -> dict[str, Any]:
        """Look at what was served, and at the labels that have come until now."""
        folder, scratch = self.folder / name, self.folder / name / "scratch"
        scratch.mkdir(parents=True)
        served.write(folder, self.workload, as_of)
        return monitor.run(
            monitor.Options(
                baseline=baseline,
                capture=folder / "capture",
                options=self.folder / "options",
                as_of=as_of.isoformat(),
                output=folder / "output",
                labels=folder / "labels" if self.workload.target is not None else None,
                allow_pickle=allows_pickle(self.workload.model),
            ),
            scratch,
        )


@dataclass(frozen=True)
class Served:
    """Rows that a model has answered, with what came true, of which only a part is known yet.

    Attributes:
        label_delay: How long after an event its label is known.
    """

    rows: pa.Table
    answers: Sequence[Prediction]
    features: Sequence[str]
    label_delay: dt.timedelta

    def write(self, folder: Path, workload: WorkloadFile, as_of: dt.datetime) -> None:
        """Write ``capture`` and ``labels`` as the monitor reads them, without any label that comes later.

        Without a target there are no labels.
        """
        times = event_times(self.rows)
        asked = [row for some in rows_of(self.rows.select(list(self.features))) for row in some]
        write_capture(folder / "capture", asked, self.answers, [each.isoformat() for each in times])
        if workload.target is None:
            return
        (folder / "labels").mkdir()
        with (folder / "labels" / "labels.jsonl").open("w", encoding="utf-8") as file:
            for number, (at, label) in enumerate(zip(times, self.rows[workload.target].to_pylist(), strict=True)):
                if at < as_of - self.label_delay:
                    data = _AS_TEXT[label] if isinstance(label, bool) else label
                    truth = {"data": str(data) if isinstance(data, float) else data, "encoding": "CSV"}
                    file.write(f"{json.dumps({'groundTruthData': truth, 'eventMetadata': {'eventId': str(number)}})}\n")
