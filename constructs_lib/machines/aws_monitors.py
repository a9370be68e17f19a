"""The machine of SageMaker's own monitors: keeps their schedules, and reads what they found.

Input: ``{"run_id", "workload", "as_of", "triggered_by"}``. A run that a deployment has triggered only sets schedules;
any other also reads the window's results, once all of them are there, and has them measured and shown. Output:
``{"monitored", "report_uri" (``none`` while nothing was looked at), "violations"}``.

A schedule needs an endpoint when it is made, and the deployment machine makes the endpoint; so this machine runs after
every deployment, and again after each window, which mends what went wrong in between. Every run may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from constructs_lib.asl import (
    JSON,
    State,
    attempt,
    choice,
    go_to,
    jsonata,
    machine,
    now_seconds,
    remember,
    succeed,
    task,
    wait,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    find_object,
    get_json,
    own_failure,
    put_metrics,
    record,
    run_record,
    text,
)
from constructs_lib.machines.jobs import IN, MESSAGE, OUT, JobLimits, input_files, processing_job, resources
from constructs_lib.machines.monitoring import (
    MONITORING,
    MONITORS,
    OUTCOMES,
    SETTING_SECONDS,
    MonitoringParts,
    dataset_key,
    describe_package,
    longer,
    make_baseline,
    outcome,
    publish_metrics,
    publish_worst,
    report_uri,
    set_monitors,
)
from constructs_lib.names import metrics
from constructs_lib.names.fairness_file import favourable_of
from constructs_lib.names.monitoring_file import SCORES, Monitoring, kinds_of
from constructs_lib.names.workload_file import WorkloadFile

AFTER_DEPLOYMENT: Final = "deployment"
FINAL_ERRORS: Final = ("BadBaseline", "BadResults", "MonitorFailed", "NoBaseline", "UnsafeArtefact")
"""Errors that another try would meet again."""

_BASELINE_FILE: Final = "baseline.json"
_WAIT_SECONDS: Final = 5 * MINUTE
_LATE_SECONDS: Final = 3 * HOUR
_HOURLY_SECONDS: Final = 50 * MINUTE
"""How long a job may run that the next hour's must not meet."""

_PROBLEMS: Final = {
    "binary_classification": ("BinaryClassification", "label"),
    "multiclass_classification": ("MulticlassClassification", "label"),
    "regression": ("Regression", "value"),
}
"""Kind of problem to SageMaker's word for it, and to what an answer is called."""

_SAMPLES: Final = 10
"""Rows that the model is asked for each row of the evaluation's background."""

_RESULTS: Final = ("data", "quality", "bias", "attributions")
"""Kinds of monitors, as the names of their schedules end."""

_OFFSETS: Final = {"day": "-PT24H", "hour": "-PT1H"}


@dataclass(frozen=True)
class Explained:
    """Says how Clarify asks the model: by an endpoint of its own, for the time of a job.

    Args:
        score: The part of a prediction that is explained.
        instance_type: Machine of that endpoint.
        samples: Rows that it is asked for each explained one.
    """

    score: str
    instance_type: str
    samples: int


@dataclass(frozen=True)
class AwsMonitorsParts:
    """Names what SageMaker's monitors work with; ARNs, URIs and the place may be tokens.

    Args:
        making: What the baseline is made with; its role is that of the platform's own jobs.
        role_arn: Role of the monitors' jobs.
        model_monitor_uri, clarify_uri: Images; the second is empty where Clarify does not look.
        preprocessor_uri: The script that names columns, ``s3://…``.
        options_digest: Changes with what the workload asks for; baselines are made anew then.
        problem: Kind of problem.
        features, target: Columns.
        favourable: The outcome that is favourable, as Clarify takes it. Default: bias is not looked at.
        facets: Groups that are looked at for bias, as Clarify takes them. Default: none.
        explained: How attributions are found. Default: they are not.
        set_arn, read_arn: The functions.
    """

    making: MonitoringParts
    role_arn: str
    model_monitor_uri: str
    clarify_uri: str
    preprocessor_uri: str
    options_digest: str
    problem: str
    features: Sequence[str]
    target: str | None
    set_arn: str
    read_arn: str
    favourable: Sequence[JSON] = ()
    facets: Sequence[Mapping[str, JSON]] = ()
    explained: Explained | None = None

    @classmethod
    def of(cls, workload: WorkloadFile, monitoring: Monitoring, **places: Any) -> AwsMonitorsParts:
        """What a workload file asks for.

        Args:
            workload: The file.
            monitoring: Its part.
            places: All that lies outside of the file.
        """
        clarify, evaluation = monitoring.backend == "clarify", workload.evaluation
        favourable = favourable_of(evaluation.favourable, workload.problem)
        facets = [
            {"name_or_index": each.column, "value_or_threshold": list(each.values or ())} for each in evaluation.facets
        ]
        explained = None
        if clarify and evaluation.explanations is not None:
            serving = workload.serving.instance_type
            explained = Explained(SCORES[workload.problem], serving, evaluation.explanations.background * _SAMPLES)
        return cls(
            problem=workload.problem,
            features=tuple(workload.feature_types),
            target=workload.target,
            favourable=tuple(favourable) if isinstance(favourable, tuple | list) else (favourable,),
            facets=facets if clarify else (),
            explained=explained,
            **places,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """SageMaker's kinds of monitors that there are."""
        return kinds_of(self.problem, facets=bool(self.facets), explained=self.explained is not None)


def monitors_machine(s: Surroundings, p: AwsMonitorsParts) -> State:
    """Returns the definition."""
    making = p.making
    return machine(
        f"Keeps SageMaker's monitors of {s.workload}, and reads what they found",
        {
            "Begin": remember({"deadline": jsonata(f"{now_seconds()} + {_LATE_SECONDS}"), "report_uri": "none"}),
            "ReadLive": read_live(s),
            "Serves": choice([("$live_arn != 'none'", "DescribePackage")], default="NothingServed"),
            "DescribePackage": describe_package(),
            "FindBaseline": find_baseline(s, p),
            "HasBaseline": choice([("$baseline_uri != 'none'", "SetMonitors")], default="FindDataset"),
            "FindDataset": find_object(s, making.datasets_bucket, dataset_key(s), "dataset_exists"),
            "HasDataset": choice([("$dataset_exists", "ReadDataset")], default="NoDataset"),
            "ReadDataset": get_json(
                s, making.datasets_bucket, dataset_key(s), {"dataset": jsonata("$parse($states.result.Body)")}
            ),
            "MakeBaseline": make_baseline(s, making),
            "RecordBaseline": record(
                s, baseline_key(p), {"workload": text(s.workload), "baseline_uri": "$baseline_uri"}
            ),
            "SetMonitors": set_monitors(s, p.set_arn, making, monitors(s, p)),
            "ReadsAsWell": choice(
                [(f"$states.input.triggered_by = '{AFTER_DEPLOYMENT}'", "RecordSet")], default="ReadMonitors"
            ),
            "ReadMonitors": read_monitors(s, p),
            "AllRead": choice(
                [(f"$count($found.waiting) > 0 and {now_seconds()} < $deadline", "WaitForMonitors")],
                default="PublishMetrics",
            ),
            "PublishMetrics": publish_metrics(s),
            "HasResults": choice([("$count($keys($found.folders)) > 0", "ShowResults")], default="RecordRun"),
            "ShowResults": show_results(s, making),
            "ReadResults": get_json(
                s,
                making.place.artefacts_bucket,
                f"'{s.workload}/{MONITORING}/' & $monitoring_id & '/monitoring.json'",
                {
                    "found": jsonata("$merge([$found, {'families': $parse($states.result.Body).families}])"),
                    "report_uri": jsonata(report_uri(s, making)),
                },
            ),
            "PublishWorst": publish_worst(s),
            "RecordRun": record_found(s),
            "AllWell": choice([("$count($found.failed) + $count($found.waiting) = 0", "Monitored")], default="NotAll"),
            "Monitored": succeed(outcome(monitored=True)),
            "WaitForMonitors": go_to("ReadMonitors", wait(_WAIT_SECONDS)),
            "RecordSet": run_record(s, MONITORS, {"status": "'set'", "as_of": "$states.input.as_of"}),
            "Set": succeed(outcome(monitored=False)),
            "NothingServed": put_metrics(s, {metrics.ROWS_MONITORED: "0"}),
            "RecordNothing": run_record(s, MONITORS, {"status": "'nothing served'", "as_of": "$states.input.as_of"}),
            "Idle": succeed(outcome(monitored=False)),
            "NoDataset": own_failure(
                "NoBaseline",
                "'dataset ' & $package.dataset_version & ' of the serving model is not in this stage; nothing can be "
                "compared with it'",
            ),
            "NotAll": own_failure(
                "MonitorFailed",
                "'of the monitors failed: ' & $join([$found.failed], '; ') & '; not ended: ' "
                "& $join([$found.waiting], ', ')",
            ),
            **failure_states(s, MONITORS, final=FINAL_ERRORS, resume_at="ReadLive"),
        },
        timeout=12 * HOUR,
    )


def read_live(s: Surroundings) -> State:
    """Asks which package and which model serve; ``none`` if nothing does."""
    item = "$states.result.Item"
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": f"live#{s.workload}"}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={
            "live_arn": jsonata(f"[{item}.model_package_arn.S, 'none'][0]"),
            "model": jsonata(f"[{item}.model.S, 'none'][0]"),
        },
    )


def baseline_key(p: AwsMonitorsParts) -> str:
    """The JSONata of the item that names a model's baseline for what the workload asks now."""
    return f"'aws-baseline#' & $live_arn & '#{p.options_digest}'"


def find_baseline(s: Surroundings, p: AwsMonitorsParts) -> State:
    """Asks whether this model has a baseline for what the workload asks now."""
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": jsonata(baseline_key(p))}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={"baseline_uri": jsonata("[$states.result.Item.baseline_uri.S, 'none'][0]")},
    )


def read_monitors(s: Surroundings, p: AwsMonitorsParts) -> State:
    """Reads what was found in the window."""
    bucket = p.making.place.artefacts_bucket
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.read_arn,
            "Payload": {
                "prefix": s.name_of("monitor-"),
                "results_uri": f"s3://{bucket}/{s.workload}/{MONITORS}/results/{p.making.endpoint_name}/",
                "kinds": list(p.kinds),
                "every": p.making.every,
                "as_of": jsonata("$states.input.as_of"),
            },
        },
        timeout=SETTING_SECONDS + CALL_SECONDS,
        assign={"found": jsonata("$states.result.Payload")},
    )


def show_results(s: Surroundings, p: MonitoringParts) -> State:
    """Measures what the monitors wrote, and makes the page of it."""
    arguments: list[JSON] = [
        *("--baseline", f"{IN}/baseline", "--options", f"{IN}/options", "--as_of", jsonata("$states.input.as_of")),
        *("--output", OUT, "--message", MESSAGE),
    ]
    inputs: list[JSON] = [
        input_files("job", p.place.job_code_uri),
        input_files("baseline", jsonata("$baseline_uri")),
        input_files("options", p.options_uri),
    ]
    more_arguments: list[tuple[str, list[JSON]]] = []
    more_inputs: list[tuple[str, list[JSON]]] = []
    for kind in _RESULTS:
        there = f"$exists($found.folders.{kind})"
        more_arguments.append((there, [f"--{kind}", f"{IN}/{kind}"]))
        more_inputs.append((there, [input_files(kind, jsonata(f"$found.folders.{kind}"))]))
    return processing_job(
        s,
        p.place,
        p.limits,
        kind="shown",
        command="monitor_results",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=longer(arguments, more_arguments),
        inputs=longer(inputs, more_inputs),
        output_prefix=MONITORING,
        assign={"monitoring_id": jsonata(attempt())},
    )


def record_found(s: Surroundings) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        MONITORS,
        {
            "status": "$count($found.failed) + $count($found.waiting) = 0 ? 'monitored' : 'incomplete'",
            "as_of": "$states.input.as_of",
            "model_package_arn": "$live_arn",
            "baseline_uri": "$baseline_uri",
            "report_uri": "$report_uri",
            "rows": "$string($found.rows)",
            "families": "$string($found.families)",
            "violations": "$substring($string($found.violations), 0, 8000)",
        },
    )


def monitors(s: Surroundings, p: AwsMonitorsParts) -> list[JSON]:
    """The monitors that are wanted: requests without names, beside them what Clarify shall analyse."""
    makers = {
        "DataQuality": lambda: {"definition": data_quality(s, p)},
        "ModelQuality": lambda: {"definition": model_quality(s, p)},
        "ModelBias": lambda: {"definition": model_bias(s, p), "config": bias_config(p)},
        "ModelExplainability": lambda: {"definition": explainability(s, p), "config": explanation_config(s, p)},
    }
    return [{"kind": kind, **makers[kind]()} for kind in p.kinds]


def data_quality(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    """Compares columns with those of the dataset behind the model."""
    return {
        "DataQualityBaselineConfig": {
            "StatisticsResource": {"S3Uri": _baseline("statistics.json")},
            "ConstraintsResource": {"S3Uri": _baseline("constraints.json")},
        },
        "DataQualityAppSpecification": {
            "ImageUri": p.model_monitor_uri,
            "RecordPreprocessorSourceUri": p.preprocessor_uri,
            "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "DataQualityJobInput": {"EndpointInput": _endpoint(p)},
        "DataQualityJobOutputConfig": _output(s, p),
        **_job(p),
    }


def model_quality(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    """Compares answers with what came true."""
    problem, answer = _PROBLEMS[p.problem]
    asked = {"InferenceAttribute": answer}
    if p.problem == "binary_classification":
        asked |= {"ProbabilityAttribute": "probability"}
    return {
        "ModelQualityBaselineConfig": {"ConstraintsResource": {"S3Uri": _baseline("quality_constraints.json")}},
        "ModelQualityAppSpecification": {
            "ImageUri": p.model_monitor_uri,
            "ProblemType": problem,
            "RecordPreprocessorSourceUri": p.preprocessor_uri,
            "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "ModelQualityJobInput": {
            "EndpointInput": {**_endpoint(p), **asked, **_window(p)},
            "GroundTruthS3Input": _truth(s, p),
        },
        "ModelQualityJobOutputConfig": _output(s, p),
        **_job(p),
    }


def model_bias(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    """Compares how answers treat groups with how they did on the test split."""
    asked = {"FeaturesAttribute": _features(p), "InferenceAttribute": f"predictions[*].{_PROBLEMS[p.problem][1]}"}
    return {
        "ModelBiasBaselineConfig": {"ConstraintsResource": {"S3Uri": _baseline("bias_constraints.json")}},
        "ModelBiasAppSpecification": {
            "ImageUri": p.clarify_uri,
            "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "ModelBiasJobInput": {
            "EndpointInput": {**_endpoint(p), **asked, **_window(p)},
            "GroundTruthS3Input": _truth(s, p),
        },
        "ModelBiasJobOutputConfig": _output(s, p),
        **_job(p),
    }


def bias_config(p: AwsMonitorsParts) -> dict[str, JSON]:
    """What Clarify's bias monitor analyses ("Parameters to monitor bias drift" of the Developer Guide)."""
    return {
        "version": "1.0",
        "dataset_type": "application/json",
        "headers": [*p.features, p.target],
        "label": p.target,
        "label_values_or_threshold": list(p.favourable),
        "facet": [dict(facet) for facet in p.facets],
        "methods": {"post_training_bias": {"methods": ["DPPL", "DI"]}},
    }


def explainability(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    """Compares the order in which features weigh with that of the evaluation."""
    explained = _explained(p)
    asked = {"FeaturesAttribute": _features(p), "InferenceAttribute": f"predictions[*].{explained.score}"}
    return {
        "ModelExplainabilityBaselineConfig": {
            "ConstraintsResource": {"S3Uri": _baseline("attribution_constraints.json")}
        },
        "ModelExplainabilityAppSpecification": {
            "ImageUri": p.clarify_uri,
            "Environment": {"publish_cloudwatch_metrics": "Enabled"},
        },
        "ModelExplainabilityJobInput": {"EndpointInput": {**_endpoint(p), **asked}},
        "ModelExplainabilityJobOutputConfig": _output(s, p),
        **_job(p, isolated=False),
    }


def explanation_config(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    """What Clarify's explainability monitor analyses, and the endpoint that it makes for that."""
    explained = _explained(p)
    return {
        "version": "1.0",
        "dataset_type": "application/json",
        "headers": list(p.features),
        "methods": {
            "shap": {
                "num_samples": explained.samples,
                "agg_method": "mean_abs",
                "use_logit": False,
                "save_local_shap_values": False,
            }
        },
        "predictor": {
            "model_name": jsonata("$model"),
            "endpoint_name_prefix": s.name_of("clarify"),
            "instance_type": explained.instance_type,
            "initial_instance_count": 1,
            "content_type": "application/json",
            "accept_type": "application/json",
            "content_template": '{"instances":$records}',
            "record_template": "$features_kvp",
        },
    }


def _explained(p: AwsMonitorsParts) -> Explained:
    if p.explained is None:
        raise ValueError("attributions need to know how the model is asked, got: nothing")
    return p.explained


def _baseline(name: str) -> str:
    """An address beside that of the baseline."""
    return jsonata(f"$substringBefore($baseline_uri, '{_BASELINE_FILE}') & '{name}'")


def _features(p: AwsMonitorsParts) -> str:
    return f"instances[*].[{','.join(p.features)}]"


def _endpoint(p: AwsMonitorsParts) -> dict[str, JSON]:
    return {
        "EndpointName": p.making.endpoint_name,
        "LocalPath": "/opt/ml/processing/input/endpoint",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
    }


def _window(p: AwsMonitorsParts) -> dict[str, JSON]:
    return {"StartTimeOffset": _OFFSETS[p.making.every], "EndTimeOffset": "-PT0H"}


def _truth(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    return {"S3Uri": f"s3://{p.making.place.artefacts_bucket}/{s.workload}/{OUTCOMES}"}


def _output(s: Surroundings, p: AwsMonitorsParts) -> dict[str, JSON]:
    output = {
        "S3Uri": f"s3://{p.making.place.artefacts_bucket}/{s.workload}/{MONITORS}/results",
        "LocalPath": "/opt/ml/processing/output",
        "S3UploadMode": "EndOfJob",
    }
    return {"MonitoringOutputs": [{"S3Output": output}], "KmsKeyId": p.making.place.key_arn}


def _job(p: AwsMonitorsParts, *, isolated: bool = True) -> dict[str, JSON]:
    """Where a monitor's jobs run; one that calls SageMaker is in the network, but not cut off."""
    place, limits = p.making.place, p.making.limits
    return {
        "JobResources": {"ClusterConfig": resources(place, limits)},
        "NetworkConfig": {
            "EnableInterContainerTrafficEncryption": True,
            "EnableNetworkIsolation": isolated,
            "VpcConfig": place.vpc_config,
        },
        "RoleArn": p.role_arn,
        "StoppingCondition": {"MaxRuntimeInSeconds": _most_seconds(limits, p.making.every)},
    }


def _most_seconds(limits: JobLimits, every: str) -> int:
    return min(limits.seconds, _HOURLY_SECONDS) if every == "hour" else limits.seconds
