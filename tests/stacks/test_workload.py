"""What the stack of a workload promises: its outputs, and who may do what."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ROOT, PlatformConfig
from stacks.platform import PlatformStage

OUTPUTS = {
    "LandingBucket",
    "LandingPrefix",
    "ArtefactsBucket",
    "BundlePrefix",
    "DatasetsBucket",
    "ValidatedBucket",
    "QuarantineBucket",
    "CuratedBucket",
    "LoopMachineArn",
    "DataMachineArn",
    "ModelMachineArn",
    "DeploymentMachineArn",
    "IntakeQueueUrl",
    "IntakeDeadLetterQueueUrl",
    "StarterFunctionName",
    "EndpointName",
    "VariantName",
    "ModelPackageGroup",
    "RunsTable",
    "LeasesTable",
    "CuratedDatabase",
    "AthenaWorkGroup",
    "OnCallTopicArn",
    "ContractUri",
    "AlarmNames",
}


def synthesised(folder: Path, workload: WorkloadFile) -> dict[str, Any]:
    """The template of a workload's stack in a stage called dev."""
    app = App(
        outdir=str(folder / "cdk.out"),
        analytics_reporting=False,
        tree_metadata=False,
        context={
            "@aws-cdk/core:defaultCrossStackReferences": "weak",
            "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
            "@aws-cdk/aws-iam:minimizePolicies": True,
        },
    )
    config = PlatformConfig.parse({"dev": {"zones": ["us-east-1a", "us-east-1b"], "log_retention_days": 30}})
    stage = PlatformStage(app, config=config.stages[0], workloads=[workload])
    stack = stage.node.find_child("FlightDelaysWorkload")
    assert isinstance(stack, Stack)
    return dict(Template.from_stack(stack).to_json())


@pytest.fixture(scope="module")
def workload() -> WorkloadFile:
    return WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")


@pytest.fixture(scope="module")
def template(workload: WorkloadFile, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesised(tmp_path_factory.mktemp("synthesis"), workload)


def text(value: Any) -> str:
    """A property as text; references are shown by the words in them."""
    if isinstance(value, Mapping):
        if "Fn::Join" in value:
            return str(value["Fn::Join"][0]).join(text(part) for part in value["Fn::Join"][1])
        return "<" + "".join(re.findall(r"\w+", json.dumps(value))) + ">"
    return str(value)


def resources(template: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind}


def statements_with(template: dict[str, Any], role: str, action: str) -> list[dict[str, Any]]:
    """The statements of a role's policy that name an action."""
    return [
        statement
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        if name.startswith(f"{role}RoleDefaultPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if action in _list(statement["Action"])
    ]


def allowed(template: dict[str, Any], role: str, action: str) -> list[str]:
    """The resources on which a role may do an action."""
    statements = statements_with(template, role, action)
    return [text(resource) for statement in statements for resource in _list(statement["Resource"])]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def definitions(template: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for machine in resources(template, "AWS::StepFunctions::StateMachine").values():
        yield machine["StateMachineName"], text(machine["DefinitionString"])


def test_has_the_outputs_that_people_and_tools_read(template: dict[str, Any]) -> None:
    assert set(template["Outputs"]) == OUTPUTS
    values = {name: text(output["Value"]) for name, output in template["Outputs"].items()}
    assert values["LandingPrefix"] == "flight_delays/"
    assert values["EndpointName"] == "dev-flight-delays-live"
    names = ("errors", "latency", "refused", "model-errors")
    assert values["AlarmNames"].split(",") == [f"dev-flight-delays-live-{name}" for name in names]
    assert values["LoopMachineArn"].endswith(":stateMachine:dev-flight-delays-loop")


def test_has_the_four_machines_under_names_that_people_find(template: dict[str, Any]) -> None:
    assert {name for name, _ in definitions(template)} == {
        "dev-flight-delays-data",
        "dev-flight-delays-model",
        "dev-flight-delays-deploy",
        "dev-flight-delays-loop",
    }


def test_the_definitions_hold_valid_json_once_deployed(template: dict[str, Any]) -> None:
    for name, definition in definitions(template):
        assert json.loads(definition)["QueryLanguage"] == "JSONata", name


def test_every_source_has_a_validated_and_a_quarantine_table(template: dict[str, Any], workload: WorkloadFile) -> None:
    tables = {
        (each["DatabaseName"], each["TableInput"]["Name"]) for each in resources(template, "AWS::Glue::Table").values()
    }
    expected = {
        (f"dev_{zone}", f"flight_delays_{name}") for zone in ("validated", "quarantine") for name in workload.sources
    }
    curated = {("dev_curated", f"flight_delays_{name}") for name in ("features", "datasets")}
    assert tables == expected | curated


def test_landing_and_approval_and_reruns_start_executions(template: dict[str, Any]) -> None:
    patterns = [each["EventPattern"] for each in resources(template, "AWS::Events::Rule").values()]
    by_kind = {each["detail-type"][0]: each["detail"] for each in patterns}
    assert by_kind["Object Created"]["object"] == {"key": [{"wildcard": "flight_delays/*_batch.json"}]}
    assert by_kind["SageMaker Model Package State Change"]["ModelApprovalStatus"] == ["Approved", "Rejected"]
    assert by_kind["SageMaker Model Package State Change"]["ModelPackageGroupName"] == ["dev-flight-delays-models"]
    assert by_kind["Re-run Requested"] == {"workload": ["flight_delays"]}


def test_the_check_of_a_batch_names_the_engine_that_the_job_gets(template: dict[str, Any]) -> None:
    functions = resources(template, "AWS::Lambda::Function")
    (engine,) = {
        each["Environment"]["Variables"]["ENGINE"]
        for each in functions.values()
        if "ENGINE" in each["Environment"].get("Variables", {})
    }
    (data,) = [definition for name, definition in definitions(template) if name.endswith("-data")]
    assert f'"--engine":"{engine}"' in data


def test_hyperparameters_reach_the_training_job_as_texts(template: dict[str, Any]) -> None:
    (model,) = [definition for name, definition in definitions(template) if name.endswith("-model")]
    assert '"eta":"0.1"' in model and '"seed":"2013"' in model and '"target":"arrives_late"' in model


@pytest.mark.parametrize(
    ("role", "prefixes"),
    [
        ("CheckBatch", {"flight_delays/"}),
        ("Starter", {"flight_delays/", "flight_delays/bundles/"}),
        ("Training", {"flight_delays/", "flight_delays/bundles/"}),
        ("Endpoint", {"flight_delays/models/"}),
        ("SigningSign", {"flight_delays/"}),
        ("SigningVerify", {"flight_delays/models/"}),
        ("CheckGolden", {"flight_delays/golden/"}),
        ("ModelMachine", {"flight_delays/", "flight_delays/evaluations/", "flight_delays/models/"}),
        ("DataMachine", {"flight_delays/"}),
    ],
)
def test_reads_only_the_workloads_own_objects(template: dict[str, Any], role: str, prefixes: set[str]) -> None:
    found = {resource.partition("/")[2] for resource in allowed(template, role, "s3:GetObject")}
    of_the_lake = {prefix for prefix in found if prefix.endswith("*")}
    assert of_the_lake == {f"{prefix}*" for prefix in prefixes}


@pytest.mark.parametrize(
    ("role", "prefixes"),
    [
        ("CheckBatch", set()),
        ("Starter", set()),
        ("JudgeModel", set()),
        ("Training", {"flight_delays/training/*"}),
        ("Processing", {"flight_delays/evaluations/*", "flight_delays/golden/*"}),
        ("Endpoint", {"flight_delays/capture/*"}),
        ("SigningSign", {"flight_delays/models/*"}),
        ("SigningVerify", set()),
        ("DataMachine", {"flight_delays/*"}),
        ("ModelMachine", {"flight_delays/pins/*", "flight_delays/evaluations/*"}),
        ("DeploymentMachine", set()),
        ("LoopMachine", set()),
    ],
)
def test_writes_only_what_it_makes(template: dict[str, Any], role: str, prefixes: set[str]) -> None:
    assert {resource.partition("/")[2] for resource in allowed(template, role, "s3:PutObject")} == prefixes


def test_nobody_but_the_data_job_may_delete_objects(template: dict[str, Any]) -> None:
    for name in resources(template, "AWS::IAM::Policy"):
        role = name.partition("RoleDefaultPolicy")[0]
        assert bool(allowed(template, role, "s3:DeleteObject")) == (role == "Prepare"), role


@pytest.mark.parametrize(("action", "role"), [("kms:Sign", "SigningSign"), ("kms:Verify", "SigningVerify")])
def test_models_are_signed_and_verified_by_one_function_each(template: dict[str, Any], action: str, role: str) -> None:
    may = {name.partition("RoleDefaultPolicy")[0] for name in resources(template, "AWS::IAM::Policy")}
    assert {each for each in may if allowed(template, each, action)} == {role}


def test_only_the_model_machine_has_models_signed(template: dict[str, Any]) -> None:
    invoking = {
        name.partition("RoleDefaultPolicy")[0]
        for name in resources(template, "AWS::IAM::Policy")
        if any(
            "SigningSign" in each
            for each in allowed(template, name.partition("RoleDefaultPolicy")[0], "lambda:InvokeFunction")
        )
    }
    assert invoking == {"ModelMachine"}


def test_only_the_starter_and_the_loop_start_executions(template: dict[str, Any]) -> None:
    started = {
        name.partition("RoleDefaultPolicy")[0]: sorted(
            each.rpartition(":")[2]
            for each in allowed(template, name.partition("RoleDefaultPolicy")[0], "states:StartExecution")
        )
        for name in resources(template, "AWS::IAM::Policy")
    }
    assert {role: machines for role, machines in started.items() if machines} == {
        "Starter": ["dev-flight-delays-deploy", "dev-flight-delays-loop"],
        "LoopMachine": ["dev-flight-delays-data", "dev-flight-delays-model"],
    }


def test_a_model_is_approved_by_its_machine_and_read_by_the_deployment(template: dict[str, Any]) -> None:
    assert allowed(template, "ModelMachine", "sagemaker:UpdateModelPackage")
    assert allowed(template, "DeploymentMachine", "sagemaker:DescribeModelPackage")
    [rejecting] = statements_with(template, "DeploymentMachine", "sagemaker:UpdateModelPackage")
    assert rejecting["Condition"] == {"StringEquals": {"sagemaker:ModelApprovalStatus": "Rejected"}}


def test_a_model_is_made_of_versions_of_the_workloads_group_only(template: dict[str, Any]) -> None:
    made = {each.rpartition(":")[2] for each in allowed(template, "DeploymentMachine", "sagemaker:CreateModel")}
    assert made == {"model/dev-flight-delays-*", "model-package/dev-flight-delays-models/*"}


def test_who_registers_a_model_may_look_at_its_image(template: dict[str, Any]) -> None:
    for action in ("ecr:BatchGetImage", "ecr:DescribeImages"):
        (image,) = allowed(template, "ModelMachine", action)
        assert image.endswith(":repository/sagemaker-xgboost")


def test_only_the_deployment_touches_the_endpoint(template: dict[str, Any]) -> None:
    for name in resources(template, "AWS::IAM::Policy"):
        role = name.partition("RoleDefaultPolicy")[0]
        assert bool(allowed(template, role, "sagemaker:UpdateEndpoint")) == (role == "DeploymentMachine"), role


def test_somebody_is_told_of_schema_drift(template: dict[str, Any]) -> None:
    (alarm,) = [
        each
        for each in resources(template, "AWS::CloudWatch::Alarm").values()
        if each.get("MetricName") == "SchemaDrift"
    ]
    assert (alarm["Namespace"], alarm["Threshold"], alarm["Statistic"]) == ("Gapless", 1, "Sum")
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == {
        "Stage": "dev",
        "Workload": "flight_delays",
    }
    assert alarm["AlarmActions"]


def test_a_workload_without_canary_is_watched_at_the_full_threshold(workload: WorkloadFile, tmp_path: Path) -> None:
    content = workload.model_dump(mode="json")
    content["serving"] = {**content["serving"], "rollout": "all_at_once", "instance_count": 1}
    template = synthesised(tmp_path, WorkloadFile.parse(content))
    (alarm,) = [
        each
        for each in resources(template, "AWS::CloudWatch::Alarm").values()
        if each.get("AlarmName") == "dev-flight-delays-live-errors"
    ]
    assert alarm["Threshold"] == 0.02
    (deploy,) = [definition for name, definition in definitions(template) if name.endswith("-deploy")]
    assert "ALL_AT_ONCE" in deploy and "CANARY" not in deploy


def test_late_labels_take_a_model_back_only_where_the_workload_asks_for_it(
    workload: WorkloadFile, template: dict[str, Any], tmp_path: Path
) -> None:
    content = workload.model_dump(mode="json")
    content["serving"] = {**content["serving"], "probation_hours": 24}
    judged = synthesised(tmp_path, WorkloadFile.parse(content))
    rules = [
        each
        for each in resources(judged, "AWS::Events::Rule").values()
        if each.get("EventPattern", {}).get("detail", {}).get("alarmName") == ["dev-flight-delays-live-labels"]
    ]
    assert len(rules) == 1
    transformer = rules[0]["Targets"][0]["InputTransformer"]
    assert transformer["InputTemplate"] == (
        '{"action": "rollback", "cause": "probation", "actor": <alarm>, "reason": <reason>}'
    )
    assert "dev-flight-delays-live-labels" not in json.dumps(template)


@pytest.mark.parametrize("strategy", ["ab", "shadow"])
def test_an_experiment_is_judged_by_its_function_and_watched_by_alarms_of_its_own(
    workload: WorkloadFile, template: dict[str, Any], tmp_path: Path, strategy: str
) -> None:
    content = workload.model_dump(mode="json")
    content["serving"] = {**content["serving"], "rollout": strategy, "prediction_shift": 0.2}
    compared = synthesised(tmp_path, WorkloadFile.parse(content))
    (deploy,) = [definition for name, definition in definitions(compared) if name.endswith("-deploy")]
    assert "StartExperiment" in deploy and "ExperimentJudge" in deploy
    names = {each.get("AlarmName") for each in resources(compared, "AWS::CloudWatch::Alarm").values()}
    assert {"dev-flight-delays-live-challenger-errors", "dev-flight-delays-live-predictions"} <= names
    assert "WatchPredictions" in deploy and "PredictionsWatcher" in deploy
    assert allowed(compared, "DeploymentMachine", "lambda:InvokeFunction") != allowed(
        template, "DeploymentMachine", "lambda:InvokeFunction"
    )
    (plain,) = [definition for name, definition in definitions(template) if name.endswith("-deploy")]
    assert "StartExperiment" not in plain and "WatchPredictions" not in plain


def test_pickles_are_let_through_only_where_the_workload_gives_a_reason(
    workload: WorkloadFile, template: dict[str, Any], tmp_path: Path
) -> None:
    content = workload.model_dump(mode="json")
    content["model"] = {"allow_pickle": {"reason": "The library knows no other format"}}
    allowing = dict(definitions(synthesised(tmp_path, WorkloadFile.parse(content))))
    for name, definition in definitions(template):
        told = name.rpartition("-")[2] in ("model", "deploy")
        assert ("--allow_pickle" in definition, "--allow_pickle" in allowing[name]) == (False, told)


def test_retires_datasets_only_where_the_workload_says_so(workload: WorkloadFile, tmp_path: Path) -> None:
    """With the function, and with the lifecycle that goes by its marks."""
    content = workload.model_dump(mode="json")
    for name, keep in (("off", None), ("on", {"keep_newest": 5})):
        changed = WorkloadFile.parse({**content, "dataset_retention": keep})
        stage = PlatformStage(
            App(outdir=str(tmp_path / name)),
            config=PlatformConfig.parse({"dev": {"zones": ["us-east-1a", "us-east-1b"]}}).stages[0],
            workloads=[changed],
        )
        stacks = {each.node.id: each for each in stage.node.children if isinstance(each, Stack)}
        functions = resources(
            dict(Template.from_stack(stacks["FlightDelaysWorkload"]).to_json()), "AWS::Lambda::Function"
        )
        assert any("retire_datasets" in each["Handler"] for each in functions.values()) == (keep is not None)
        buckets = json.dumps(Template.from_stack(stacks["DataLake"]).to_json())
        assert ("gapless:retired" in buckets) == (keep is not None)


@pytest.fixture(scope="module")
def accumulating(workload: WorkloadFile, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same workload, when batches hold only what is new and workers come as there is work for them."""
    content = workload.model_dump(mode="json")
    content["dataset"] = {"accumulate": True}
    content["preparation"] = {"workers": 12, "auto_scaling": True}
    return synthesised(tmp_path_factory.mktemp("accumulating"), WorkloadFile.parse(content))


def test_jobs_read_features_by_day_only_where_datasets_accumulate(
    template: dict[str, Any], accumulating: dict[str, Any]
) -> None:
    for role in ("Training", "Processing"):
        added = set(allowed(accumulating, role, "s3:GetObject")) - set(allowed(template, role, "s3:GetObject"))
        assert [place.partition("/")[2] for place in added] == ["flight_delays/features/*"], role


def test_the_check_of_a_batch_reads_datasets_only_where_they_accumulate(
    template: dict[str, Any], accumulating: dict[str, Any]
) -> None:
    reading = [allowed(each, "CheckBatch", "s3:GetObject") for each in (template, accumulating)]
    (added,) = (place for place in set(reading[1]) - set(reading[0]) if place.endswith("*"))
    assert "Datasets" in added and added.endswith("/flight_delays/*")


def test_many_partitions_are_made_at_once_only_where_datasets_accumulate(
    template: dict[str, Any], accumulating: dict[str, Any]
) -> None:
    assert not allowed(template, "DataMachine", "glue:BatchCreatePartition")
    places = allowed(accumulating, "DataMachine", "glue:BatchCreatePartition")
    assert [place for place in places if ":table/" in place] == [
        place for place in places if place.endswith("dev_curated/flight_delays_*")
    ]


def test_features_that_accumulate_are_told_apart_by_version_and_day(
    template: dict[str, Any], accumulating: dict[str, Any]
) -> None:
    def keys(made: dict[str, Any]) -> dict[str, list[str]]:
        tables = [each["TableInput"] for each in resources(made, "AWS::Glue::Table").values()]
        return {table["Name"]: [key["Name"] for key in table.get("PartitionKeys", [])] for table in tables}

    assert keys(accumulating)["flight_delays_features"] == ["version", "event_day"]
    assert {**keys(accumulating), "flight_delays_features": ["version"]} == keys(template)


def test_the_workers_of_the_data_job_come_from_the_workload_file(accumulating: dict[str, Any]) -> None:
    (job,) = resources(accumulating, "AWS::Glue::Job").values()
    assert (job["NumberOfWorkers"], job["DefaultArguments"]["--enable-auto-scaling"]) == (12, "true")
