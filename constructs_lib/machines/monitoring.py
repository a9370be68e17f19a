"""The monitoring machine: looks at what was served in a window against the dataset behind the serving model.

Input: ``{"run_id", "workload", "as_of"}``; the window is the day or hour that ended last before ``as_of``.
Output: ``{"monitored", "report_uri" (``none`` while nothing was served), "violations"}``.

The baseline of a model is made when the first window of it is looked at, and found by its record from then on. Every
run may be repeated: it reads the same window and writes beside the earlier try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from constructs_lib.asl import (
    JSON,
    UNNAMED_SAGEMAKER,
    State,
    attempt,
    choice,
    expression,
    jsonata,
    machine,
    remember,
    succeed,
    task,
)
from constructs_lib.machines import score_rollback
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    Surroundings,
    artefact_of_package,
    failure_states,
    find_live,
    find_object,
    get_json,
    own_failure,
    put_metrics,
    record,
    run_record,
    text,
)
from constructs_lib.machines.jobs import IN, MESSAGE, OUT, JobLimits, JobPlace, input_files, processing_job, result_uri
from constructs_lib.names import metrics

BASELINES = "baselines"
MONITORING = "monitoring"
CAPTURE = "capture"
OUTCOMES = "outcomes"
"""Folders below the workload's artefacts; in the last one lie what turned out to be true."""

MONITORS = "monitors"
"""Folder of SageMaker's own monitors, where they look: ``configs/`` of Clarify, ``results/`` of all; beside them
``definitions/``, which names the job definitions that there may be."""

SETTING_SECONDS = 120

FINAL_ERRORS = ("BadBaseline", "BadCapture", "BadFacet", "BadLabel", "BadLabels", "NoBaseline", "UnsafeArtefact")
"""Errors that another try would meet again."""

_FORMATS = {"day": "[Y0001]/[M01]/[D01]", "hour": "[Y0001]/[M01]/[D01]/[H01]"}
_MILLISECONDS = {"day": 24 * 3_600_000, "hour": 3_600_000}


@dataclass(frozen=True)
class MonitoringParts:
    """Names what the monitoring machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run.
        datasets_bucket: Where datasets are.
        endpoint_name, variant: What is looked at.
        processing_role_arn: Role of the jobs.
        limits: Machine and time limit of a job.
        options_uri: What the jobs must know, an object, ``s3://…``.
        every: The window, ``day`` or ``hour``.
        in_process: Whether the jobs can load the model; otherwise its answers and attributions have no baseline.
        allow_pickle: Whether the model's archive may hold pickles. Default: it may not.
        remembers: Whether windows are compared with those of past weeks. Default: they are not.
        going_back: Whether and how to go back to a version that is better on the rows whose truth is known. Default:
            nobody looks.
    """

    place: JobPlace
    datasets_bucket: str
    endpoint_name: str
    variant: str
    processing_role_arn: str
    limits: JobLimits
    options_uri: str
    every: str
    in_process: bool
    allow_pickle: bool = False
    remembers: bool = False
    going_back: score_rollback.GoingBack | None = None


def monitoring_machine(s: Surroundings, p: MonitoringParts, set_monitors_arn: str | None = None) -> State:
    """Returns the definition.

    Args:
        s: What is around.
        p: What the machine works with.
        set_monitors_arn: The function that removes schedules of SageMaker's monitors, which looked before. Default:
            none did.
    """
    bucket = p.place.artefacts_bucket
    finding, rolling = going_back_states(s, p)
    return machine(
        f"Looks at what {s.workload} has served",
        {
            "Begin": remember(
                {"window": jsonata(window(p.every)), "labelled": False, **(score_rollback.NOTHING if finding else {})}
            ),
            **({"RemoveMonitors": set_monitors(s, set_monitors_arn, p, [])} if set_monitors_arn is not None else {}),
            "ReadLive": find_live(s, "live_arn", earlier="earlier_arns" if finding else None),
            "Serves": choice([("$live_arn != 'none'", "FindCapture")], default="NothingServed"),
            "FindCapture": find_object(s, bucket, capture_key(s, p), "captured"),
            "HasCapture": choice([("$captured", "DescribePackage")], default="NothingServed"),
            "DescribePackage": describe_package(),
            "FindBaseline": find_baseline(s),
            "HasBaseline": choice([("$baseline_uri != 'none'", "FindLabels")], default="FindDataset"),
            "FindDataset": find_object(s, p.datasets_bucket, dataset_key(s), "dataset_exists"),
            "HasDataset": choice([("$dataset_exists", "ReadDataset")], default="NoDataset"),
            "ReadDataset": get_json(
                s, p.datasets_bucket, dataset_key(s), {"dataset": jsonata("$parse($states.result.Body)")}
            ),
            "MakeBaseline": make_baseline(s, p),
            "RecordBaseline": record(
                s, "'baseline#' & $live_arn", {"workload": text(s.workload), "baseline_uri": "$baseline_uri"}
            ),
            "FindLabels": find_object(s, bucket, text(f"{s.workload}/{OUTCOMES}/"), "labelled"),
            **({"FindPast": find_past(s)} if p.remembers else {}),
            **finding,
            "Monitor": monitor(s, p),
            "ReadMonitoring": get_json(
                s,
                bucket,
                f"'{s.workload}/{MONITORING}/' & $monitoring_id & '/monitoring.json'",
                {"found": jsonata(kept()), "report_uri": jsonata(report_uri(s, p))},
            ),
            "PublishMetrics": publish_metrics(s),
            **rolling,
            "RecordRun": run_record(
                s,
                "monitoring",
                {
                    "status": "'monitored'",
                    "as_of": "$states.input.as_of",
                    "window": "$window",
                    "model_package_arn": "$live_arn",
                    "baseline_uri": "$baseline_uri",
                    "report_uri": "$report_uri",
                    "rows": "$string($found.rows)",
                    "families": "$string($found.families)",
                    "violations": "$substring($string($found.violations), 0, 8000)",
                },
            ),
            **({"RecordWindow": record_window(s, p)} if p.remembers else {}),
            "Monitored": succeed(outcome(monitored=True)),
            "NothingServed": put_metrics(s, {metrics.ROWS_MONITORED: "0"}),
            "RecordNothing": run_record(
                s,
                "monitoring",
                {"status": "'nothing served'", "as_of": "$states.input.as_of", "window": "$window"},
            ),
            "Idle": succeed(outcome(monitored=False)),
            "NoDataset": own_failure(
                "NoBaseline",
                "'dataset ' & $package.dataset_version & ' of the serving model is not in this stage; nothing can be "
                "compared with it'",
            ),
            **failure_states(s, "monitoring", final=FINAL_ERRORS, resume_at="ReadLive"),
        },
        timeout=12 * HOUR,
    )


def going_back_states(s: Surroundings, p: MonitoringParts) -> tuple[dict[str, State], dict[str, State]]:
    """Returns the states that look for earlier versions, and those that go back to one; none where nobody asks."""
    if p.going_back is None:
        return {}, {}
    return (
        score_rollback.finding_states(s, p.place.artefacts_bucket, p.going_back.versions, "Monitor"),
        score_rollback.rollback_states(s, p.going_back, "RecordRun"),
    )


def window(every: str) -> str:
    """The JSONata of the window as capture's folders are named: the day or hour that ended last before ``as_of``."""
    return f"$fromMillis($toMillis($states.input.as_of) - {_MILLISECONDS[every]}, {text(_FORMATS[every])})"


def set_monitors(s: Surroundings, function_arn: str, p: MonitoringParts, wanted: list[JSON]) -> State:
    """Has the schedules of SageMaker's own monitors made what they are wanted to be.

    Args:
        s: What is around.
        function_arn: The function that does it.
        p: What the machine works with.
        wanted: The monitors; none to remove all of them.
    """
    folder = f"s3://{p.place.artefacts_bucket}/{s.workload}/{MONITORS}/"
    return task(
        "lambda:invoke",
        {
            "FunctionName": function_arn,
            "Payload": {
                "prefix": s.name_of("monitor-"),
                "every": p.every,
                "configs_uri": f"{folder}configs/",
                "definitions_uri": f"{folder}definitions/names.json",
                "monitors": wanted,
            },
        },
        timeout=SETTING_SECONDS + CALL_SECONDS,
        retry_also=("MonitorBusy",),
    )


def describe_package() -> State:
    """Finds out what the model was made of, and where its archive and evaluation are."""
    result = "$states.result"
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata("$live_arn")},
        timeout=CALL_SECONDS,
        assign={
            "package": {
                "model_uri": jsonata(artefact_of_package()),
                "dataset_version": jsonata(f"[{result}.CustomerMetadataProperties.dataset_version, 'none'][0]"),
                "evaluation_uri": jsonata(f"{result}.ModelMetrics.ModelQuality.Statistics.S3Uri"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def find_baseline(s: Surroundings) -> State:
    """Asks whether this model was looked at before."""
    return _find_uri(s, "baseline")


def find_past(s: Surroundings) -> State:
    """Asks which window of this model was looked at last."""
    return _find_uri(s, "window")


def record_window(s: Surroundings, p: MonitoringParts) -> State:
    """Records where the sketches of this window are, and in the same file those of the windows before it."""
    uri = f"'{result_uri(s, p.place, MONITORING)}' & $monitoring_id & '/window.json'"
    return record(s, "'window#' & $live_arn", {"workload": text(s.workload), "window_uri": uri})


def _find_uri(s: Surroundings, kind: str) -> State:
    return task(
        "dynamodb:getItem",
        {
            "TableName": s.runs_table,
            "Key": {"run": {"S": jsonata(f"'{kind}#' & $live_arn")}},
            "ConsistentRead": True,
        },
        timeout=CALL_SECONDS,
        assign={f"{kind}_uri": jsonata(f"[$states.result.Item.{kind}_uri.S, 'none'][0]")},
    )


def dataset_key(s: Surroundings) -> str:
    """The JSONata of the key of the manifest of the serving model's dataset."""
    return f"{text(f'{s.workload}/')} & $package.dataset_version & '/manifest.json'"


def capture_key(s: Surroundings, p: MonitoringParts) -> str:
    """The JSONata of the key of the window's captured requests."""
    return f"'{s.workload}/{CAPTURE}/{p.endpoint_name}/{p.variant}/' & $window & '/'"


def make_baseline(s: Surroundings, p: MonitoringParts) -> State:
    """Makes the baseline of the serving model."""
    arguments = [
        *("--train", f"{IN}/train", "--test", f"{IN}/test", "--evaluation", f"{IN}/evaluation"),
        *("--options", f"{IN}/options", "--version", jsonata("$package.dataset_version")),
        *("--output", OUT, "--message", MESSAGE),
    ]
    inputs = [
        input_files("job", p.place.job_code_uri),
        *(
            input_files(name, jsonata(f"$dataset.splits.{name}.manifest_uri"), manifest=True)
            for name in ("train", "test")
        ),
        input_files("evaluation", jsonata("$package.evaluation_uri")),
        input_files("options", p.options_uri),
    ]
    more_arguments, more_inputs = _model(p)
    return processing_job(
        s,
        p.place,
        p.limits,
        kind="base",
        command="monitor_baseline",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=[*arguments, *more_arguments],
        inputs=[*inputs, *more_inputs],
        output_prefix=BASELINES,
        assign={"baseline_uri": jsonata(f"'{result_uri(s, p.place, BASELINES)}' & {attempt()} & '/baseline.json'")},
    )


def monitor(s: Surroundings, p: MonitoringParts) -> State:
    """Looks at the window."""
    capture = f"'s3://{p.place.artefacts_bucket}/' & {capture_key(s, p)}"
    arguments = [
        *("--baseline", f"{IN}/baseline", "--capture", f"{IN}/capture", "--options", f"{IN}/options"),
        *("--as_of", jsonata("$states.input.as_of"), "--output", OUT, "--message", MESSAGE),
    ]
    inputs = [
        input_files("job", p.place.job_code_uri),
        input_files("baseline", jsonata("$baseline_uri")),
        input_files("capture", jsonata(capture)),
        input_files("options", p.options_uri),
    ]
    more_arguments, more_inputs = _model(p)
    labels = input_files("labels", f"s3://{p.place.artefacts_bucket}/{s.workload}/{OUTCOMES}/")
    more: list[tuple[str, list[JSON], list[JSON]]] = [("$labelled", ["--labels", f"{IN}/labels"], [labels])]
    if p.remembers:
        past = input_files("past", jsonata("$window_uri"))
        more.append(("$window_uri != 'none'", ["--past", f"{IN}/past"], [past]))
    if p.going_back is not None:
        more.extend(score_rollback.job_parts(p.going_back.versions))
    return processing_job(
        s,
        p.place,
        p.limits,
        kind="monitor",
        command="monitor",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=longer([*arguments, *more_arguments], [(condition, options) for condition, options, _ in more]),
        inputs=longer([*inputs, *more_inputs], [(condition, files) for condition, _, files in more]),
        output_prefix=MONITORING,
        assign={"monitoring_id": jsonata(attempt())},
    )


def _model(p: MonitoringParts) -> tuple[list[JSON], list[JSON]]:
    """Arguments and inputs of the serving model's archive, where the job can load it."""
    if not p.in_process:
        return [], []
    allowed = ["--allow_pickle"] if p.allow_pickle else []
    return ["--model", f"{IN}/model", *allowed], [input_files("model", jsonata("$package.model_uri"))]


def longer(always: list[JSON], more: list[tuple[str, list[JSON]]]) -> JSON:
    """Returns a list that is longer where conditions hold, each written in JSONata."""
    listed = expression(always)
    for condition, each in more:
        listed = f"({condition} ? $append({listed}, {expression(each)}) : {listed})"
    return jsonata(listed)


def kept() -> str:
    """The JSONata of what the machine keeps of ``monitoring.json``."""
    names = ("rows", "labels", "reference", "families", "violations", "earlier")
    return f"($m := $parse($states.result.Body); {{{', '.join(f'{name!r}: $m.{name}' for name in names)}}})"


def report_uri(s: Surroundings, p: MonitoringParts) -> str:
    """The JSONata of where the page is."""
    return f"'{result_uri(s, p.place, MONITORING)}' & $monitoring_id & '/report.html'"


def publish_metrics(s: Surroundings) -> State:
    """Publishes the violations and the worst value of every family that was looked at, and how many rows there were."""
    figures = [_figure(s, metrics.ROWS_MONITORED, "$found.rows")]
    for family in metrics.MONITORED:
        looked = f"$found.families.{family}"
        name = metrics.of_family(family)[0]
        figures.append(f"$exists({looked}) ? {_figure(s, name, f'{looked}.violations')} : []")
        figures.append(_worst(s, family))
    quality = "$found.families.quality"
    lost = _figure(s, metrics.LABEL_QUALITY_LOST, f"{quality}.violations")
    return _put_metrics([*figures, f"$exists({quality}) ? {lost} : []"])


def publish_worst(s: Surroundings) -> State:
    """Publishes the worst values, where what is broken was published before."""
    return _put_metrics([_worst(s, family) for family in metrics.MONITORED])


def _worst(s: Surroundings, family: str) -> str:
    value = f"$found.families.{family}.worst"
    return f"$type({value}) = 'number' ? {_figure(s, metrics.of_family(family)[1], value)} : []"


def _figure(s: Surroundings, name: str, value: str) -> str:
    dimensions = [{"Name": name, "Value": value} for name, value in metrics.dimensions(s.stage, s.workload).items()]
    return f"{{'MetricName': '{name}', 'Value': {value}, 'Dimensions': {expression(dimensions)}}}"


def _put_metrics(figures: list[str]) -> State:
    """Publishes figures; each is the JSONata of one, or of none."""
    listed = figures[0]
    for each in figures[1:]:
        listed = f"$append({listed}, {each})"
    return task(
        "aws-sdk:cloudwatch:putMetricData",
        {"Namespace": metrics.NAMESPACE, "MetricData": jsonata(f"[{listed}]")},
        timeout=CALL_SECONDS,
    )


def outcome(*, monitored: bool) -> Mapping[str, JSON]:
    """The machine's output."""
    found = {"report_uri": jsonata("$report_uri"), "violations": jsonata("$count($found.violations)")}
    return {"monitored": monitored, **(found if monitored else {"report_uri": "none", "violations": 0})}
