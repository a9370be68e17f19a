"""Looks at what an endpoint served in a window of time: do requests still look like the training data, do answers hold?

Arguments: ``--baseline`` (folder with ``baseline.json``), ``--capture`` (folder with the window's data capture),
``--labels`` (folder with what turned out to be true; may be left out), ``--model`` (folder with the serving model's
``model.tar.gz``, for attributions; may be left out), ``--past`` (folder with the ``window.json`` of an earlier window
of the same model; may be left out), ``--earlier`` (folder with the archive of a model that has served before, to be
scored on the same rows when answers are worse than they have to be; given once for each, or left out), ``--options``
(what the workload asks for), ``--as_of`` (the end of the window, ISO 8601), ``--output`` and ``--message``. With
``--allow_pickle`` archives may hold pickles.

Writes, in Model Monitor's formats, ``statistics.json``, ``constraints.json`` and ``constraint_violations.json``; for
people ``report.html``; for later windows ``window.json``, the sketches; for the state machine ``monitoring.json``::

    {"as_of", "from", "to", "rows", "lines", "refused": {reason: lines}, "labels", "reference",
     "families": {family: {"violations", "worst"}}, "violations": [{"column", "check", "measured", "allowed", "text"}],
     "columns": {feature: {distance: {"value", "matters", "chance"}}}, "predictions": {…}, "quality": null or {…},
     "bias": null or {…}, "attributions": null or {…},
     "earlier": null or {"metric", "value", "serving", "better", "place", "versions", …}}
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from evaluate import scored, seed_of
from gapless_sagemaker.artefact import Limits as ArchiveLimits
from gapless_sagemaker.evaluation.options import EvaluationOptions, read_options
from gapless_sagemaker.evaluation.supplement import attributions_of, bias_of
from gapless_sagemaker.job import Arguments, write_json
from gapless_sagemaker.model import load
from gapless_sagemaker.monitoring.attributions import check_attributions
from gapless_sagemaker.monitoring.baseline import Baseline, read_baseline
from gapless_sagemaker.monitoring.bias import check_bias
from gapless_sagemaker.monitoring.checks import Finding, check_columns, check_predictions
from gapless_sagemaker.monitoring.documents import constraints, statistics, violations
from gapless_sagemaker.monitoring.earlier import best_of, judge_earlier
from gapless_sagemaker.monitoring.families import families
from gapless_sagemaker.monitoring.options import MonitoringOptions
from gapless_sagemaker.monitoring.page import report
from gapless_sagemaker.monitoring.past import FILE, PastWindow, kept, read_past, reference_of
from gapless_sagemaker.monitoring.quality import QUALITY, Wanted, measure, predictions_of, with_labels
from gapless_sagemaker.monitoring.rows import BadCapture, read_capture, read_labels
from gapless_sagemaker.monitoring.sketch import Sketch
from gapless_sagemaker.monitoring.window import Window, as_table


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    baseline: Path
    capture: Path
    options: Path
    as_of: str
    output: Path
    labels: Path | None = None
    model: Path | None = None
    past: Path | None = None
    earlier: tuple[Path, ...] = ()
    allow_pickle: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("monitor what an endpoint served")
    for name in ("baseline", "capture", "options", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--as_of", required=True)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--past", type=Path)
    parser.add_argument("--earlier", type=Path, action="append", default=[])
    parser.add_argument("--allow_pickle", action="store_true")
    given = vars(parser.parse_args(list(arguments)))
    given["earlier"] = tuple(given["earlier"])
    return Options(**{field.name: given[field.name] for field in dataclasses.fields(Options)})


def run(options: Options, scratch: Path) -> dict[str, Any]:
    """Look at the window and write what was found; give ``monitoring.json``.

    Raises:
        BadBaseline: The baseline is of another format.
        BadCapture: There are lines, and none of them can be read.
        BadLabels, BadLabel: A line among the labels is none, or its label is not of the target's type.
        UnsafeArtefact: The model's archive is refused.
    """
    asked = read_options(options.options)
    wishes = MonitoringOptions.read(asked.content)
    baseline = read_baseline(options.baseline / "baseline.json")
    window = read_window(options, baseline)
    past = read_past(options.past) if wishes.reference == "weeks" else []
    before, answers, reference = compared_with(options.as_of, wishes, baseline, window, past)
    findings, columns = check_columns(
        before,
        window.columns,
        rows=window.rows,
        absent=window.absent,
        extra=window.extra,
        limits=wishes.limits,
        tolerance=wishes.tolerance,
    )
    more, predictions = check_predictions(answers, window.predictions, wishes.limits)
    labelled, late = judge_labels(asked, wishes, baseline, window, seed_of(options.as_of))
    weights, moved = judge_attributions(options, asked, baseline, window, scratch)
    earlier = judge_earlier_models(options, asked, wishes, window, labelled["quality"], late, scratch)
    findings += [*more, *late, *moved]
    looked = {
        "schema": columns,
        "completeness": columns,
        "drift": columns,
        **({"predictions": predictions} if predictions else {}),
        **{name: value for name, value in {**labelled, "attributions": weights}.items() if value is not None},
    }
    document = {
        "as_of": options.as_of,
        "from": window.first.isoformat() if window.first is not None else None,
        "to": window.last.isoformat() if window.last is not None else None,
        "rows": window.rows,
        "lines": window.read.lines,
        "refused": dict(window.read.refused),
        "labels": window.labels,
        "reference": reference,
        "families": families(findings, looked),
        "violations": [
            {name: value for name, value in each.document().items() if name != "distances"} for each in findings
        ],
        "columns": columns,
        "predictions": predictions,
        **labelled,
        "attributions": weights,
        "earlier": earlier,
    }
    write(options.output, document, before, window, findings, wishes, asked.content["sensitive"])
    write_window(options, wishes, window, past)
    return document


def compared_with(
    as_of: str, wishes: MonitoringOptions, baseline: Baseline, window: Window, past: Sequence[PastWindow]
) -> tuple[dict[str, Sketch], Mapping[str, Sketch], str]:
    """Give what features and answers are compared with, and what to call it."""
    found = reference_of(past, as_of, wishes.weeks, baseline) if wishes.reference == "weeks" else None
    if found is not None:
        return found
    before, reference = baseline.reference(window.months, "all" if wishes.reference == "all" else "season")
    return before, baseline.predictions, reference


def write_window(options: Options, wishes: MonitoringOptions, window: Window, past: Sequence[PastWindow]) -> None:
    """Write the window's sketches, and those of the windows before it where they are what is compared with."""
    sketches = {name: sketch.document() for name, sketch in window.columns.items()}
    document: dict[str, Any] = {"as_of": options.as_of, "rows": window.rows, "columns": sketches}
    if wishes.reference == "weeks":
        own = PastWindow.of(options.as_of, window.rows, window.columns, window.predictions)
        document["past"] = [each.document() for each in kept(past, own, wishes.weeks)]
    write_json(options.output, FILE, document)


def read_window(options: Options, baseline: Baseline) -> Window:
    """Count what was served.

    Raises:
        BadCapture: There are lines, and none of them can be read.
    """
    window, labels = Window.of(baseline), read_labels(options.labels)
    for rows in read_capture(options.capture, window.read):
        window.add(rows, labels)
    if window.read.lines and not window.rows:
        reasons = "; ".join(f"{reason} ({lines} lines)" for reason, lines in window.read.refused.items())
        raise BadCapture(f"none of {window.read.lines} captured lines can be read: {reasons}")
    return window


def judge_labels(
    asked: EvaluationOptions, wishes: MonitoringOptions, baseline: Baseline, window: Window, seed: int
) -> tuple[dict[str, Any], list[Finding]]:
    """Measure the answers whose truth is known: how good they are, and whether they have become unfairer."""
    nothing: dict[str, Any] = {"quality": None, "bias": None}
    rows = window.labelled.ordered()
    if not rows or asked.target is None:
        return nothing, []
    table = with_labels(as_table((row for row, _ in rows), window.columns), asked.target, asked.problem, rows)
    if len(set(table[asked.target].to_pylist())) < 2:
        return nothing, []
    answers = predictions_of(rows)
    wanted = Wanted.of(asked.metric, wishes, baseline)
    quality, findings = measure(scored(asked, table, answers), wanted, seed)
    bias = (
        bias_of(asked.content, table, answers, None, list(window.columns), seed) if baseline.metrics["bias"] else None
    )
    if bias is not None:
        then = baseline.metrics["bias"]["facets"]
        findings += check_bias(then, bias["facets"], wishes.bias_metrics, wishes.bias_margin)
    return {"quality": quality, "bias": bias}, findings


def judge_earlier_models(
    options: Options,
    asked: EvaluationOptions,
    wishes: MonitoringOptions,
    window: Window,
    quality: Mapping[str, Any] | None,
    late: Sequence[Finding],
    scratch: Path,
) -> dict[str, Any] | None:
    """Score the models that served before, if the answers of the one that serves are worse than they have to be.

    Gives what is said of the best one; its ``place`` is that among the folders that were given.
    """
    if not options.earlier or quality is None or not any(each.check == QUALITY for each in late):
        return None
    rows = window.labelled.ordered()
    table = with_labels(as_table((row for row, _ in rows), window.columns), str(asked.target), asked.problem, rows)
    limits, seed = ArchiveLimits(pickles=options.allow_pickle), seed_of(options.as_of)
    found = []
    for place, folder in enumerate(options.earlier):
        model = load(folder, scratch / f"earlier{place}", limits)
        found.append(judge_earlier(asked, model, table, quality, more_is_better=wishes.more_is_better, seed=seed))
    return best_of(found, more_is_better=wishes.more_is_better)


def judge_attributions(
    options: Options, asked: EvaluationOptions, baseline: Baseline, window: Window, scratch: Path
) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Ask the model which features weigh how much in what it was asked lately."""
    rows = [row for row, _ in window.sampled.ordered()]
    if options.model is None or not baseline.importance or not rows:
        return None, []
    model = load(options.model, scratch / "model", ArchiveLimits(pickles=options.allow_pickle))
    table: pa.Table = as_table(rows, window.columns)
    explained, _ = attributions_of(asked.content, model, table, seed_of(options.as_of))
    return check_attributions(baseline.importance, explained["global"]) if explained is not None else (None, [])


def write(
    output: Path,
    document: Mapping[str, Any],
    before: Mapping[str, Any],
    window: Window,
    findings: Sequence[Finding],
    wishes: MonitoringOptions,
    sensitive: Sequence[str],
) -> None:
    """Write everything that was found."""
    write_json(output, "monitoring.json", dict(document))
    write_json(output, "statistics.json", statistics(window.columns, window.rows, sensitive))
    write_json(output, "constraints.json", constraints(before, wishes.limits, sensitive))
    write_json(output, "constraint_violations.json", violations(findings))
    (output / "report.html").write_text(report(document, before, window.columns, sensitive), encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
