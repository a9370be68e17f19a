"""Measures and shows what SageMaker Model Monitor and Clarify found in a window, as the own monitor does.

Arguments: ``--baseline`` (folder with ``baseline.json``), ``--options`` (what the workload asks for), ``--as_of`` (the
end of the window, ISO 8601), ``--output`` and ``--message``; and for each kind of monitor that has looked a folder with
its results: ``--data``, ``--quality``, ``--bias``, ``--attributions``.

Writes ``monitoring.json``, of the form that the job ``monitor`` writes, and for people ``report.html``. What is broken
is what the monitors say. What their documents do not hold is null (see :mod:`gapless_sagemaker.monitoring.results`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapless_sagemaker.evaluation.options import read_options
from gapless_sagemaker.job import Arguments, BadArguments, write_json
from gapless_sagemaker.monitoring.baseline import read_baseline
from gapless_sagemaker.monitoring.options import MonitoringOptions
from gapless_sagemaker.monitoring.page import report
from gapless_sagemaker.monitoring.quality import Wanted
from gapless_sagemaker.monitoring.results import ATTRIBUTIONS, BIAS, KINDS, Results

MODEL_MONITOR = "SageMaker Model Monitor"
WITH_CLARIFY = "SageMaker Model Monitor and Clarify"


@dataclass(frozen=True)
class Options:
    """The arguments of the job; ``folders`` has those of the kinds that have looked."""

    baseline: Path
    options: Path
    as_of: str
    output: Path
    folders: Mapping[str, Path]


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing, or nobody has looked.
    """
    parser = Arguments("show what SageMaker's monitors found")
    for name in ("baseline", "options", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--as_of", required=True)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=Path)
    given = vars(parser.parse_args(list(arguments)))
    folders = {kind: given[kind] for kind in KINDS if given[kind] is not None}
    if not folders:
        raise BadArguments(f"results: none are given; allowed is at least one of {', '.join(KINDS)}")
    return Options(given["baseline"], given["options"], given["as_of"], given["output"], folders)


def run(options: Options) -> dict[str, Any]:
    """Read the results and write what they say; give ``monitoring.json``.

    Raises:
        BadBaseline: The baseline is of another format.
        BadResults: A result is.
    """
    asked = read_options(options.options)
    wishes, sensitive = MonitoringOptions.read(asked.content), asked.content["sensitive"]
    baseline = read_baseline(options.baseline / "baseline.json")
    results = Results.read(options.folders, baseline)
    wanted = Wanted.of(asked.metric, wishes, baseline)
    columns, violations = results.columns(wishes.limits), results.violations()
    quality, attributions = results.quality(asked.problem, wanted), results.attributions()
    document = {
        "as_of": options.as_of,
        "from": None,
        "to": None,
        "rows": results.rows,
        "lines": None,
        "refused": None,
        "labels": quality["rows"] if quality is not None else None,
        "reference": "all rows of the dataset",
        "judged_by": WITH_CLARIFY if {BIAS, ATTRIBUTIONS} & set(options.folders) else MODEL_MONITOR,
        "families": results.families(violations, {"drift": columns, "quality": quality, "attributions": attributions}),
        "violations": [each.document(sensitive) for each in violations],
        "columns": columns,
        "predictions": {},
        "quality": quality,
        "bias": results.bias(),
        "attributions": attributions,
        "earlier": None,
    }
    write_json(options.output, "monitoring.json", document)
    page = report(document, baseline.columns, results.now, sensitive)
    (options.output / "report.html").write_text(page, encoding="utf-8")
    return document


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    run(parse_options(arguments))
