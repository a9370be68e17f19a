"""Three accounts, and models that go from one to the next: who lets in whom, and who may do what."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from gate.assembly import StackTemplate, templates
from gate.nag import check_nag
from gate.template_rules import check_templates
from gate.wildcards import as_list, as_text, unexplained
from stacks.config import ROOT, PlatformConfig, project_context
from stacks.platform import build_platform

REGION = "eu-central-1"
ACCOUNTS = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}
WORKLOAD = "flight_delays"
BOXED = "boxed_orders"
"""The workload with a container of its own."""

PULL = "staging-flight-delays-pull"


def key(stage: str, name: str) -> str:
    return f"arn:aws:kms:{REGION}:{ACCOUNTS[stage]}:key/{name}"


def promotion(source: str) -> dict[str, str]:
    return {
        "source": source,
        "artefacts_bucket": f"{source}-artefacts",
        "key": key(source, "lake"),
        "signing_key": key(source, "signing"),
    }


def settings(*, promoted: bool) -> dict[str, Any]:
    """Three stages, each in an account of its own."""
    sources = {"staging": "dev", "prod": "staging"} if promoted else {}
    return {
        stage: {
            "account": account,
            "region": REGION,
            "zones": [f"{REGION}a", f"{REGION}b"],
            **({"promotion": promotion(sources[stage])} if stage in sources else {}),
        }
        for stage, account in ACCOUNTS.items()
    }


class Synthesised:
    """The stacks by their names, and what the solutions pack found."""

    def __init__(self, folder: Path, *, promoted: bool, workload_folder: Path = ROOT / "workloads" / WORKLOAD) -> None:
        context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
        app = App(context=context, outdir=str(folder))
        workload = WorkloadFile.load(workload_folder / "workload.yaml")
        build_platform(app, PlatformConfig.parse(settings(promoted=promoted)), [workload])
        self.findings = [str(each) for each in check_nag(app, list(ACCOUNTS), [workload.name])]
        self.stacks: dict[str, StackTemplate] = {stack.stack: stack for stack in templates(folder)}

    def of_type(self, stack: str, kind: str) -> list[dict[str, Any]]:
        return list(self.stacks[stack].of_type(kind).values())

    def statements(self, stack: str, role: str) -> list[dict[str, Any]]:
        """What the policy of a role allows."""
        found = self.stacks[stack].of_type("AWS::IAM::Policy").items()
        (policy,) = [each for name, each in found if name.startswith(f"{role}RoleDefaultPolicy")]
        allowed: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
        return allowed

    def resources(self, stack: str, role: str, action: str) -> list[str]:
        return [
            as_text(resource)
            for each in self.statements(stack, role)
            if action in as_list(each["Action"])
            for resource in as_list(each["Resource"])
        ]


@pytest.fixture(scope="module")
def promoting(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return Synthesised(tmp_path_factory.mktemp("promoting"), promoted=True)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The same for the workload with a container of its own."""
    folder = ROOT / "tests" / "everything" / "workloads" / BOXED
    return Synthesised(tmp_path_factory.mktemp("boxed"), promoted=True, workload_folder=folder)


@pytest.fixture(scope="module")
def training_everywhere(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return Synthesised(tmp_path_factory.mktemp("training"), promoted=False)


def named_roles(statement: dict[str, Any]) -> list[str]:
    roles = as_list(statement["Condition"]["ArnEquals"]["aws:PrincipalArn"])
    return [as_text(each).rpartition("::")[2] for each in roles]


def to_other_accounts(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        each
        for each in document["Statement"]
        if each["Effect"] == "Allow" and "aws:PrincipalArn" in json.dumps(each.get("Condition", {}))
    ]


def test_every_gate_lets_three_accounts_pass(promoting: Synthesised) -> None:
    assert promoting.findings == []
    assert [str(each) for each in check_templates(promoting.stacks.values())] == []
    wild = [
        wildcard
        for stack in promoting.stacks.values()
        for policy in stack.of_type("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for wildcard in unexplained(statement, list(ACCOUNTS), [WORKLOAD])
    ]
    assert wild == []


def test_without_promotion_every_stage_trains_and_lets_nobody_in(training_everywhere: Synthesised) -> None:
    for stage in ACCOUNTS:
        names = [
            each["Properties"]["StateMachineName"]
            for each in training_everywhere.of_type(f"{stage}-FlightDelaysWorkload", "AWS::StepFunctions::StateMachine")
        ]
        assert f"{stage}-flight-delays-model" in names
        assert f"{stage}-flight-delays-promote" not in names
        lake = json.dumps(training_everywhere.stacks[f"{stage}-DataLake"].content)
        assert "aws:PrincipalArn" not in lake
        (group,) = training_everywhere.of_type(f"{stage}-FlightDelaysState", "AWS::SageMaker::ModelPackageGroup")
        assert "ModelPackageGroupPolicy" not in group["Properties"]


@pytest.mark.parametrize("stage", ACCOUNTS)
def test_only_a_stage_that_receives_looks_for_models_elsewhere(promoting: Synthesised, stage: str) -> None:
    machines = promoting.of_type(f"{stage}-FlightDelaysWorkload", "AWS::StepFunctions::StateMachine")
    names = [each["Properties"]["StateMachineName"] for each in machines]
    assert (f"{stage}-flight-delays-promote" in names) == (stage != "dev")


@pytest.mark.parametrize(("source", "receiver"), [("dev", "staging"), ("staging", "prod")])
def test_the_source_lets_in_exactly_the_role_that_pulls(promoting: Synthesised, source: str, receiver: str) -> None:
    """To read sealed models and bundles, decrypt them through S3, and verify signatures."""
    role = f"{ACCOUNTS[receiver]}:role/{receiver}-flight-delays-pull"
    (bucket,) = [
        statement
        for policy in promoting.of_type(f"{source}-DataLake", "AWS::S3::BucketPolicy")
        for statement in to_other_accounts(policy["Properties"]["PolicyDocument"])
    ]
    assert as_list(bucket["Action"]) == ["s3:GetObject"]
    assert sorted(as_text(each).partition("/")[2] for each in bucket["Resource"]) == [
        "flight_delays/bundles/*",
        "flight_delays/models/*",
    ]
    keys = [
        statement
        for each in promoting.of_type(f"{source}-DataLake", "AWS::KMS::Key")
        for statement in to_other_accounts(each["Properties"]["KeyPolicy"])
    ]
    assert sorted((each["Action"], "Condition" in each) for each in keys) == [
        ("kms:Decrypt", True),
        ("kms:Verify", True),
    ]
    (decrypting,) = [each for each in keys if each["Action"] == "kms:Decrypt"]
    via = decrypting["Condition"]["StringEquals"]["kms:ViaService"]
    assert as_text(via).startswith("s3.")
    (group,) = promoting.of_type(f"{source}-FlightDelaysState", "AWS::SageMaker::ModelPackageGroup")
    (reading,) = to_other_accounts(group["Properties"]["ModelPackageGroupPolicy"])
    assert set(reading["Action"]) == {"sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"}
    for statement in (bucket, *keys, reading):
        assert named_roles(statement) == [role]
        assert f":iam::{ACCOUNTS[receiver]}:root" in as_text(statement["Principal"]["AWS"])


def test_the_role_that_pulls_has_the_name_that_the_source_knows(promoting: Synthesised) -> None:
    roles = promoting.of_type("staging-FlightDelaysWorkload", "AWS::IAM::Role")
    assert [each["Properties"]["RoleName"] for each in roles if "RoleName" in each["Properties"]] == [PULL]


def test_the_role_that_pulls_reads_there_and_writes_here_and_nothing_else(promoting: Synthesised) -> None:
    stack = "staging-FlightDelaysWorkload"
    reading = promoting.resources(stack, "PullFunction", "s3:GetObject")
    there = sorted(each.partition(":::")[2] for each in reading if "dev-artefacts" in each)
    assert there == ["dev-artefacts/flight_delays/bundles/*", "dev-artefacts/flight_delays/models/*"]
    writing = promoting.resources(stack, "PullFunction", "s3:PutObject")
    assert not any("dev-artefacts" in each for each in writing)
    assert sorted(each.partition("/flight_delays/")[2] for each in writing) == ["bundles/*", "models/*"]
    assert key("dev", "lake") in promoting.resources(stack, "PullFunction", "kms:Decrypt")
    assert promoting.resources(stack, "PullFunction", "kms:Verify") == [key("dev", "signing")]
    assert key("dev", "signing") not in promoting.resources(stack, "PullFunction", "kms:Sign")
    assert promoting.resources(stack, "PullFunction", "sagemaker:CreateModelPackage") == []
    groups = promoting.resources(stack, "PullFunction", "sagemaker:ListModelPackages")
    assert all(f":{ACCOUNTS['dev']}:model-package" in each and "/dev-flight-delays-models" in each for each in groups)


def test_what_was_pulled_can_only_be_registered_as_waiting_for_approval(promoting: Synthesised) -> None:
    (adding,) = [
        each
        for each in promoting.statements("staging-FlightDelaysWorkload", "PromotionMachine")
        if "sagemaker:CreateModelPackage" in as_list(each["Action"])
    ]
    assert adding["Condition"] == {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
    assert promoting.resources("staging-FlightDelaysWorkload", "PromotionMachine", "sagemaker:UpdateModelPackage") == []


def test_a_repository_lets_in_the_role_that_pulls_in_the_next_stage_and_nobody_else(boxed: Synthesised) -> None:
    assert boxed.findings == []
    (repository,) = boxed.of_type("dev-BoxedOrdersState", "AWS::ECR::Repository")
    (allowed,) = repository["Properties"]["RepositoryPolicyText"]["Statement"]
    assert as_text(allowed["Principal"]["AWS"]).endswith(f":iam::{ACCOUNTS['staging']}:root")
    role = as_text(allowed["Condition"]["ArnEquals"]["aws:PrincipalArn"])
    assert role.endswith(f":iam::{ACCOUNTS['staging']}:role/staging-boxed-orders-pull")
    assert allowed["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    (last,) = boxed.of_type("prod-BoxedOrdersState", "AWS::ECR::Repository")
    assert "RepositoryPolicyText" not in last["Properties"]


def test_the_role_that_pulls_copies_images_of_its_workload_only(boxed: Synthesised, promoting: Synthesised) -> None:
    (source,) = boxed.resources("staging-BoxedOrdersWorkload", "PullFunction", "ecr:GetDownloadUrlForLayer")
    (target,) = boxed.resources("staging-BoxedOrdersWorkload", "PullFunction", "ecr:PutImage")
    assert source.endswith(f":{ACCOUNTS['dev']}:repository/dev-boxed-orders-images")
    assert target.endswith(":repository/staging-boxed-orders-images") and ACCOUNTS["dev"] not in target
    assert promoting.resources("staging-FlightDelaysWorkload", "PullFunction", "ecr:PutImage") == []


def test_the_outputs_that_the_next_stage_needs_are_there(promoting: Synthesised) -> None:
    assert {"ArtefactsBucket", "KeyArn", "SigningKeyArn"} <= promoting.stacks["dev-DataLake"].content["Outputs"].keys()


def test_the_key_that_is_trusted_is_the_one_that_the_stage_names(promoting: Synthesised) -> None:
    functions = promoting.of_type("prod-FlightDelaysWorkload", "AWS::Lambda::Function")
    (pull,) = [each["Properties"] for each in functions if each["Properties"]["Handler"].startswith("pull_model")]
    variables = pull["Environment"]["Variables"]
    assert variables["SOURCE_SIGNING_KEY_ARN"] == key("staging", "signing")
    assert variables["SOURCE_MODELS_URI"] == "s3://staging-artefacts/flight_delays/models/"
    group = as_text(variables["SOURCE_GROUP"])
    assert group.endswith(f":{ACCOUNTS['staging']}:model-package-group/staging-flight-delays-models")
