"""Compute per stage: each stage has its own values, and what they need is there only where it is asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ConfigurationError, PlatformConfig
from stacks.platform import PlatformStage, build_platform, read_workloads
from tests.everything.platform import FOLDER, with_settings
from tests.stacks.test_workload import allowed

ZONES = {"zones": ["us-east-1a", "us-east-1b"]}
LATER: dict[str, Any] = {
    "training": {
        "instance_type": "ml.m5.4xlarge",
        "instance_count": 2,
        "distribution": "hosts",
        "spot": {"max_wait_minutes": 90},
    },
    "evaluation": {"instance_type": "ml.m5.2xlarge", "volume_gb": 70},
    "serving": {"instance_count": 3},
    "preparation": {"workers": 5},
}


def any_workload(**more: Any) -> WorkloadFile:
    kept = next(each for each in read_workloads(FOLDER) if each.name == "kept_orders")
    return with_settings(kept, more)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Stage and stack to template."""
    app = App(
        outdir=str(tmp_path_factory.mktemp("stages")), context={"@aws-cdk/core:defaultCrossStackReferences": "weak"}
    )
    config = PlatformConfig.parse({"dev": ZONES, "prod": ZONES})
    workload = any_workload(stages={"prod": LATER})
    found = {}
    for each in config.stages:
        stage = PlatformStage(app, config=each, workloads=[workload])
        for name in ("KeptOrdersWorkload", "Network", "DataLake"):
            stack = stage.node.find_child(name)
            assert isinstance(stack, Stack)
            found[f"{each.name} {name}"] = dict(Template.from_stack(stack).to_json())
    return found


def definition(template: dict[str, Any], machine: str) -> str:
    [found] = [
        json.dumps(each["Properties"]["DefinitionString"])
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::StepFunctions::StateMachine" and name.startswith(machine)
    ]
    return found.replace("\\", "")


def test_each_stage_has_its_own_machines(stages: dict[str, dict[str, Any]]) -> None:
    dev, prod = (definition(stages[f"{stage} KeptOrdersWorkload"], "ModelMachine") for stage in ("dev", "prod"))
    assert '"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":30' in dev
    assert "ml.m5.4xlarge" not in dev
    assert '"InstanceCount":2,"InstanceType":"ml.m5.4xlarge"' in prod
    assert '"InstanceCount":1,"InstanceType":"ml.m5.2xlarge","VolumeSizeInGB":70' in prod


def test_golden_requests_run_on_the_machine_of_processing_jobs(stages: dict[str, dict[str, Any]]) -> None:
    prod = definition(stages["prod KeptOrdersWorkload"], "DeploymentMachine")
    assert '"InstanceType":"ml.m5.2xlarge","VolumeSizeInGB":70' in prod


def test_only_spot_trainings_may_use_checkpoints_and_only_their_own(stages: dict[str, dict[str, Any]]) -> None:
    reads = {
        stage: [
            resource
            for resource in allowed(stages[f"{stage} KeptOrdersWorkload"], "Training", "s3:GetObject")
            if "checkpoints" in resource
        ]
        for stage in ("dev", "prod")
    }
    assert reads["dev"] == []
    assert [each.rpartition("/kept_orders/")[2] for each in reads["prod"]] == ["checkpoints/*"]


def test_checkpoints_go_after_a_while(stages: dict[str, dict[str, Any]]) -> None:
    rules = {
        stage: [
            (rule["Prefix"], rule["ExpirationInDays"])
            for each in stages[f"{stage} DataLake"]["Resources"].values()
            if each["Type"] == "AWS::S3::Bucket"
            for rule in each["Properties"].get("LifecycleConfiguration", {}).get("Rules", [])
            if "Prefix" in rule
        ]
        for stage in ("dev", "prod")
    }
    assert rules == {"dev": [], "prod": [("kept_orders/checkpoints/", 60)]}


def test_machines_of_the_network_talk_to_each_other_only_where_they_train_together(
    stages: dict[str, dict[str, Any]],
) -> None:
    rules = {
        stage: [
            each["Properties"]
            for each in stages[f"{stage} Network"]["Resources"].values()
            if each["Type"] in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
        ]
        for stage in ("dev", "prod")
    }
    assert rules["dev"] == []
    assert len(rules["prod"]) == 2
    for rule in rules["prod"]:
        assert rule["GroupId"] == rule.get("SourceSecurityGroupId", rule.get("DestinationSecurityGroupId"))


def test_refuses_a_stage_that_there_is_not(tmp_path: Path) -> None:
    config = PlatformConfig.parse({"dev": ZONES, "prod": ZONES})
    with pytest.raises(ConfigurationError, match=r"stages\.'pro' is not a stage of cdk\.json; did you mean 'prod'"):
        build_platform(App(outdir=str(tmp_path)), config, [any_workload(stages={"pro": LATER})])
