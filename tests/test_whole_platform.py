"""What holds for the platform as a whole: every stage and workload as ``app.py`` synthesises them, and one of each with
every option switched on."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from stacks.toolchain import find_node

find_node()

from aws_cdk import App  # noqa: E402

from constructs_lib.alarms import NO_ALARMS_METADATA  # noqa: E402
from constructs_lib.names.delivery import DEPLOYMENT_MACHINE, ENDPOINT  # noqa: E402
from constructs_lib.names.naming import pascal_case, runtime_name  # noqa: E402
from gate.assembly import StackTemplate, manifests, templates  # noqa: E402
from gate.change.compare import compare  # noqa: E402
from gate.change.specification import specification  # noqa: E402
from gate.cost.idle import DEV, check_idle  # noqa: E402
from gate.nag import check_nag  # noqa: E402
from gate.template_rules import check_templates  # noqa: E402
from gate.wildcards import as_list, as_text, unexplained  # noqa: E402
from local import destroy  # noqa: E402
from stacks.config import ROOT, PlatformConfig, project_context  # noqa: E402
from stacks.platform import build_platform, read_rules, read_workloads  # noqa: E402
from tests.everything.platform import FOLDER as EVERYTHING_FOLDER  # noqa: E402
from tests.everything.platform import everything_config, everything_rules, everything_workloads  # noqa: E402

ISOLATION = Path(__file__).parent / "whole_platform"
WORKLOADS = read_workloads()
STAGES = PlatformConfig.parse(project_context()["stages"]).stages
EVERYTHING = everything_workloads()
STAGE_NAMES = [stage.name for stage in STAGES]
WORKLOAD_NAMES = [workload.name for workload in WORKLOADS]
ALL_STAGE_NAMES = [*STAGE_NAMES, *(stage.name for stage in everything_config().stages)]
ALL_WORKLOAD_NAMES = [*WORKLOAD_NAMES, *(workload.name for workload in EVERYTHING)]
PLACES = [(stage, workload) for stage in STAGE_NAMES for workload in WORKLOAD_NAMES]
PLACES += [(stage.name, workload.name) for stage in everything_config().stages for workload in EVERYTHING]

STATEFUL = (
    "AWS::S3::Bucket",
    "AWS::KMS::Key",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::Glue::Database",
    "AWS::SageMaker::FeatureGroup",
    "AWS::SageMaker::MlflowApp",
    "AWS::SageMaker::MlflowTrackingServer",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::OpenSearchService::Domain",
    "AWS::RedshiftServerless::Namespace",
)
WATCHED = (
    "AWS::Lambda::Function",
    "AWS::Glue::Job",
    "AWS::Glue::Crawler",
    "AWS::CodeBuild::Project",
    "AWS::StepFunctions::StateMachine",
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::Pipeline",
    "AWS::SQS::Queue",
    "AWS::KinesisFirehose::DeliveryStream",
)
NAME_PROPERTIES = ("Name", "StateMachineName", "EndpointName", "FunctionName", "QueueName", "PipelineName")


def start_synthesis(folder: Path, *, shift_seconds: int, **environment: str) -> subprocess.Popen[str]:
    clean = {key: os.environ[key] for key in ("PATH", "HOME", "JSII_NODE") if key in os.environ}
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, str(ISOLATION / "isolated.py"), str(shift_seconds), str(ROOT / "app.py")],
        cwd=folder,
        env={
            **clean,
            "CDK_OUTDIR": str(folder / "cdk.out"),
            "CLOCK_SHIFT_SECONDS": str(shift_seconds),
            "NODE_OPTIONS": f"--require {ISOLATION / 'isolated.js'}",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The platform, synthesised twice without network: here and now, and in another place, time and language."""
    folder = tmp_path_factory.mktemp("synthesis")
    here = start_synthesis(folder / "here", shift_seconds=0, TZ="UTC", LC_ALL="C.UTF-8", PYTHONHASHSEED="0")
    there = start_synthesis(
        folder / "there",
        shift_seconds=400 * 86_400,
        TZ="Pacific/Auckland",
        LC_ALL="tr_TR.UTF-8",
        PYTHONHASHSEED="4242",
        CDK_DEFAULT_ACCOUNT="999999999999",
        CDK_DEFAULT_REGION="ap-southeast-2",
    )
    for process in (here, there):
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    return folder / "here" / "cdk.out", folder / "there" / "cdk.out"


@pytest.fixture(scope="session")
def app_stacks(assemblies: tuple[Path, Path]) -> list[StackTemplate]:
    """Every stack of every stage."""
    return templates(assemblies[0])


@dataclass(frozen=True)
class Everything:
    """The platform with every option: its stacks but that of the account, and what the solutions pack found."""

    stacks: list[StackTemplate]
    findings: list[str]


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    """The platform with every option switched on."""
    folder = tmp_path_factory.mktemp("everything")
    context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
    app = App(context=context, outdir=str(folder))
    config = everything_config()
    build_platform(app, config, EVERYTHING, everything_rules())
    findings = check_nag(app, [stage.name for stage in config.stages], [workload.name for workload in EVERYTHING])
    stacks = [stack for stack in templates(folder) if stack.stack != "Account"]
    return Everything(stacks, [str(finding) for finding in findings])


@pytest.fixture(scope="session")
def stacks(app_stacks: list[StackTemplate], everything: Everything) -> list[StackTemplate]:
    """Every stack of every stage, and those with every option."""
    return app_stacks + everything.stacks


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def each_resource(stacks: list[StackTemplate], *types: str) -> Iterator[tuple[str, StackTemplate, dict[str, Any]]]:
    for stack in stacks:
        for logical_id, resource in stack.of_type(*types).items():
            yield logical_id, stack, resource


def stateful(stack: StackTemplate) -> dict[str, dict[str, Any]]:
    """What holds data: an Iceberg table is one that knows its own files."""
    tables = stack.of_type("AWS::Glue::Table").items()
    iceberg = {name: each for name, each in tables if "OpenTableFormatInput" in each["Properties"]}
    return {**stack.of_type(*STATEFUL), **iceberg}


def each_statement(stacks: list[StackTemplate]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the allowing statements of everything that gives permissions to roles, with their place."""
    for logical_id, stack, resource in each_resource(
        stacks, "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"
    ):
        properties = resource["Properties"]
        documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        documents += [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        for document in documents:
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    yield f"{stack.stack}/{logical_id}", statement


def each_machine(stacks: list[StackTemplate]) -> Iterator[tuple[str, dict[str, Any]]]:
    for logical_id, stack, resource in each_resource(stacks, "AWS::StepFunctions::StateMachine"):
        yield f"{stack.stack}/{logical_id}", json.loads(as_text(resource["Properties"]["DefinitionString"]))


def each_state(flow: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in flow["States"].items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from each_state(branch)
        if "ItemProcessor" in state:
            yield from each_state(state["ItemProcessor"])


def each_task(stacks: list[StackTemplate]) -> Iterator[tuple[str, dict[str, Any]]]:
    for machine, definition in each_machine(stacks):
        for name, state in each_state(definition):
            if state["Type"] == "Task":
                yield f"{machine}/{name}", state


# Synthesis


def test_the_network_is_blocked_while_synthesising(tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text("import socket\nsocket.create_connection(('127.0.0.1', 9))\n")
    python = subprocess.run(
        [sys.executable, str(ISOLATION / "isolated.py"), "0", str(probe)], capture_output=True, text=True, check=False
    )
    node = subprocess.run(
        [os.environ["JSII_NODE"], "--require", str(ISOLATION / "isolated.js"), "-e", "require('net').connect(9)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SocketBlockedError" in python.stderr
    assert "the network is blocked" in node.stderr


def test_synthesises_the_same_bytes_anywhere_at_any_time(assemblies: tuple[Path, Path]) -> None:
    here, there = (digests(assembly) for assembly in assemblies)
    assert here == there
    assert len([path for path in here if path.endswith(".template.json")]) > len(STAGES) * 4


def test_the_cdk_cli_synthesises_the_same_templates_without_credentials(
    assemblies: tuple[Path, Path], tmp_path: Path
) -> None:
    node = Path(os.environ["JSII_NODE"])
    command = [str(node), str(ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"), "synth", "--quiet"]
    command += ["--app", f"{sys.executable} {ROOT / 'app.py'}", "--output", str(tmp_path / "cdk.out")]
    environment = {
        "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "JSII_NODE": str(node),
        "CDK_DISABLE_CLI_TELEMETRY": "1",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    by_cli = {stack.stack: stack.content for stack in templates(tmp_path / "cdk.out")}
    assert by_cli == {stack.stack: stack.content for stack in templates(assemblies[0])}


def test_nothing_is_looked_up(assemblies: tuple[Path, Path]) -> None:
    assert [str(folder) for folder, manifest in manifests(assemblies[0]) if "missing" in manifest] == []


def test_every_stage_has_every_stack(app_stacks: list[StackTemplate]) -> None:
    pipeline = project_context().get("pipeline")
    every = ("Operations", "Network", "DataLake", "Figures", *(("Delivery",) if pipeline else ()))
    expected = {"Account"}
    for stage in STAGE_NAMES:
        expected |= {f"{stage}-{name}" for name in every}
        for workload in map(pascal_case, WORKLOAD_NAMES):
            expected |= {f"{stage}-{workload}State", f"{stage}-{workload}Workload"}
    assert {stack.stack for stack in app_stacks if not of_pipeline(stack.stack)} == expected
    assert any(of_pipeline(stack.stack) for stack in app_stacks) is bool(pipeline)


def of_pipeline(stack: str) -> bool:
    """Whether a stack is the pipeline's own, or its artefacts in another region."""
    return re.search(r"-pipeline(-|$)", stack) is not None


def test_every_kind_of_network_is_synthesised_without_lookups_and_passes_the_gates(tmp_path: Path) -> None:
    place = {"account": "111122223333", "region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
    existing = {"vpc_id": "vpc-0123456789abcdef0", "private_subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]}
    stages = {
        "taken": {**place, "network": existing, "on_call_email": "on-call@example.com"},
        "open": {**place, "network": {"cidr": "10.1.0.0/20", "nat": True, "interface_endpoints": True}},
    }
    context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
    app = App(context=context, outdir=str(tmp_path / "cdk.out"))
    build_platform(app, PlatformConfig.parse(stages), WORKLOADS[:1])
    assert [str(finding) for finding in check_nag(app, stages, WORKLOAD_NAMES[:1])] == []
    assembly = tmp_path / "cdk.out"
    assert [str(folder) for folder, manifest in manifests(assembly) if "missing" in manifest] == []
    synthesised = templates(assembly)
    assert [str(finding) for finding in check_templates(synthesised)] == []
    assert [stack.stack for stack in synthesised if stack.of_type("AWS::EC2::VPC")] == ["open-Network"]


def test_each_account_and_region_has_one_account_stack(tmp_path: Path) -> None:
    app = App(context=project_context(), outdir=str(tmp_path / "cdk.out"))
    here = {"account": "111122223333", "region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
    there = {"account": "444455556666", "region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
    build_platform(app, PlatformConfig.parse({"dev": here, "test": here, "prod": there}), ())
    artefacts = dict(next(manifests(Path(app.synth().directory)))[1]["artifacts"])
    accounts = {
        each["environment"]: each["properties"]["stackName"]
        for each in artefacts.values()
        if each["type"] == "aws:cloudformation:stack"
    }
    assert accounts == {
        "aws://111122223333/eu-central-1": "Account",
        "aws://444455556666/eu-central-1": "Account",
    }


def test_stacks_stay_small(stacks: list[StackTemplate]) -> None:
    assert {stack.stack: len(stack.resources) for stack in stacks if len(stack.resources) >= 400} == {}
    assert {stack.stack for stack in stacks if stack.path.stat().st_size > 800_000} == set()


def test_stacks_can_be_removed_in_any_order(stacks: list[StackTemplate]) -> None:
    assert [stack.stack for stack in stacks if "Fn::ImportValue" in stack.path.read_text()] == []
    exporting = [
        f"{stack.stack}/{name}"
        for stack in stacks
        for name, output in stack.content.get("Outputs", {}).items()
        if "Export" in output
    ]
    assert exporting == []


def test_arns_are_of_the_partition_that_is_deployed_to(stacks: list[StackTemplate]) -> None:
    settings = [EVERYTHING_FOLDER / "platform.py", *EVERYTHING_FOLDER.glob("workloads/*/workload.yaml")]
    given = [ROOT / "cdk.json", *settings]
    configured = "".join(path.read_text() for path in given)
    bound = {
        f"{stack.stack}: {arn}"
        for stack in stacks
        for arn in re.findall(r'arn:aws[a-z-]*:[^"\\]*', stack.path.read_text())
        if arn not in configured
    }
    assert bound == set()


def test_no_image_is_built_while_synthesising(assemblies: tuple[Path, Path]) -> None:
    files = [json.loads(path.read_text()) for path in assemblies[0].rglob("*.assets.json")]
    assert [each["dockerImages"] for each in files if each.get("dockerImages")] == []


# Gates


@pytest.fixture(scope="session")
def nag_findings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
    app = App(context=context, outdir=str(tmp_path_factory.mktemp("nag")))
    build_platform(app, PlatformConfig.read(app), WORKLOADS, read_rules(WORKLOADS))
    return [str(finding) for finding in check_nag(app, STAGE_NAMES, WORKLOAD_NAMES)]


def test_the_solutions_pack_finds_nothing(nag_findings: list[str]) -> None:
    assert nag_findings == []


def test_the_solutions_pack_finds_nothing_with_every_option(everything: Everything) -> None:
    assert everything.findings == []


def test_findings_are_acknowledged_in_one_place_that_prefixes_their_ids() -> None:
    sources = [path for folder in ("constructs_lib", "stacks", "gate") for path in (ROOT / folder).rglob("*.py")]
    acknowledging = {str(path.relative_to(ROOT)) for path in sources if "Acknowledgment(" in path.read_text()}
    assert acknowledging == {"constructs_lib/grants.py", "gate/nag.py"}
    for path in acknowledging:
        ids = re.findall(r"Acknowledgment\(\s*id=f\"([^{\"]*(?:\{PACK\})?[^{\"]*)", (ROOT / path).read_text())
        assert [each for each in ids if each not in ("AwsSolutions::", "{PACK}::")] == []
        assert ids


def test_of_every_resource_it_is_known_what_it_costs_and_dev_idles_for_little(stacks: list[StackTemplate]) -> None:
    region = next(stage.billed_in for stage in STAGES if stage.name == DEV)
    workloads = [pascal_case(name) for name in WORKLOAD_NAMES]
    assert [str(finding) for finding in check_idle(stacks, region, workloads)] == []


def test_whatever_is_retained_has_a_written_reason(stacks: list[StackTemplate]) -> None:
    kept = {
        each["Type"]
        for stack in stacks
        for each in stack.resources.values()
        if each.get("DeletionPolicy") in destroy.KEEPING
    }
    assert "AWS::S3::Bucket" in kept
    assert kept - set(destroy.WHY) == set()


def test_the_template_gate_finds_nothing(stacks: list[StackTemplate]) -> None:
    assert [str(finding) for finding in check_templates(stacks)] == []


# State


def test_stateful_resources_keep_their_logical_ids(stacks: list[StackTemplate], snapshot: SnapshotAssertion) -> None:
    """One of the application's workloads stands for all, so that another one changes no file outside its folder."""
    others = {
        f"{stage}-{pascal_case(name)}State"
        for stage in STAGE_NAMES
        for name in WORKLOAD_NAMES
        if name != "flight_delays"
    }
    found = {
        stack.stack: {key: value["Type"] for key, value in sorted(stateful(stack).items())}
        for stack in sorted(stacks, key=lambda each: each.stack)
        if stack.stack not in others
    }
    assert {stack: resources for stack, resources in found.items() if resources} == snapshot


def test_stateful_resources_stay_when_their_stack_goes(stacks: list[StackTemplate]) -> None:
    going = [
        f"{stack.stack}/{logical_id}"
        for stack in stacks
        for logical_id, resource in stateful(stack).items()
        if resource.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate")
        or resource.get("UpdateReplacePolicy") != "Retain"
    ]
    assert going == []


def test_stateful_and_stateless_things_never_share_a_stack(stacks: list[StackTemplate]) -> None:
    work = ("AWS::Lambda::Function", "AWS::Glue::Job", "AWS::StepFunctions::StateMachine", "AWS::EC2::VPC")
    assert [stack.stack for stack in stacks if stateful(stack) and stack.of_type(*work)] == []


# Pipelines


def test_every_task_ends_by_itself(stacks: list[StackTemplate]) -> None:
    assert [name for name, task in each_task(stacks) if "TimeoutSeconds" not in task] == []
    assert [name for name, machine in each_machine(stacks) if "TimeoutSeconds" not in machine] == []


def test_every_task_is_retried_with_jitter_and_a_cap(stacks: list[StackTemplate]) -> None:
    careless = [
        name
        for name, task in each_task(stacks)
        if not task.get("Retry")
        or any(
            retry.get("JitterStrategy") != "FULL"
            or "MaxDelaySeconds" not in retry
            or retry.get("BackoffRate", 1) <= 1
            or not 1 <= retry.get("MaxAttempts", 0) <= 10
            for retry in task["Retry"]
            if retry.get("MaxAttempts") != 0
        )
    ]
    assert careless == []
    assert list(each_task(stacks))


def test_every_task_says_where_a_failure_leads(stacks: list[StackTemplate]) -> None:
    careless = [
        name
        for name, task in each_task(stacks)
        if not any("States.ALL" in catch["ErrorEquals"] for catch in task.get("Catch", []))
    ]
    assert careless == []


def test_machines_speak_jsonata(stacks: list[StackTemplate]) -> None:
    assert [name for name, machine in each_machine(stacks) if machine.get("QueryLanguage") != "JSONata"] == []


# Alarms


def test_everything_that_can_fail_has_an_alarm_or_a_written_reason(stacks: list[StackTemplate]) -> None:
    silent = [
        f"{stack.stack}/{logical_id}"
        for logical_id, stack, resource in each_resource(stacks, *WATCHED)
        if not is_watched(logical_id, resource, stack)
        and len(resource.get("Metadata", {}).get(NO_ALARMS_METADATA, "")) < 20
    ]
    assert silent == []


def test_every_alarm_reaches_a_person_once(stacks: list[StackTemplate]) -> None:
    """Either it tells a topic itself, or exactly one composite alarm of its stack does."""
    for stack in stacks:
        told_by = [
            name
            for composite in stack.of_type("AWS::CloudWatch::CompositeAlarm").values()
            if composite["Properties"]["AlarmActions"] and composite["Properties"]["OKActions"]
            for name in members(composite)
        ]
        assert len(told_by) == len(set(told_by)), stack.stack
        for logical_id, each in stack.of_type("AWS::CloudWatch::Alarm").items():
            tells = bool(each["Properties"].get("AlarmActions"))
            assert tells != (logical_id in told_by), f"{stack.stack}/{logical_id}"
            assert tells == bool(each["Properties"].get("OKActions"))


def test_an_alarm_that_stays_on_tells_by_itself(stacks: list[StackTemplate]) -> None:
    waiting = [
        each["Properties"]
        for _, _, each in each_resource(stacks, "AWS::CloudWatch::Alarm")
        if each["Properties"].get("MetricName") == "ApproximateNumberOfMessagesVisible"
    ]
    assert waiting
    assert [each["AlarmDescription"] for each in waiting if not each.get("AlarmActions")] == []


def test_every_page_that_an_alarm_names_is_there(stacks: list[StackTemplate]) -> None:
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    text = [each["Properties"]["AlarmDescription"] for _, _, each in each_resource(stacks, *kinds)]
    pages = {match for each in text for match in re.findall(r"^Page: (\S+)#(\S+)$", each, re.MULTILINE)}
    assert {anchor for _, anchor in pages} == {"serving", "pipelines", "findings", "platform"}
    for path, anchor in pages:
        headings = re.findall(r"^## (.+)$", (ROOT / path).read_text(), re.MULTILINE)
        assert anchor in [each.lower().replace(" ", "-") for each in headings]


def test_every_alarm_is_on_a_dashboard_where_there_are_some(everything: Everything) -> None:
    missing = []
    for stack in everything.stacks:
        shown = "".join(
            json.dumps(each["Properties"]["DashboardBody"])
            for each in stack.of_type("AWS::CloudWatch::Dashboard").values()
        )
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
            for logical_id, each in stack.of_type(kind).items():
                name = each["Properties"].get("AlarmName")
                if f'"{logical_id}", "Arn"' not in shown and (name is None or f"alarm:{name}" not in shown):
                    missing.append(f"{stack.stack}/{logical_id}")
    assert missing == []


def test_everything_that_logs_can_be_asked_for_a_run(stacks: list[StackTemplate]) -> None:
    """Every log of a workload's machines and functions is read by the saved query."""
    unread = []
    for stack in stacks:
        queries = [each["Properties"] for each in stack.of_type("AWS::Logs::QueryDefinition").values()]
        asked = [group for each in queries if each["Name"].endswith("/run") for group in each["LogGroupNames"]]
        if not stack.stack.endswith("Workload"):
            continue
        for _, _, machine in each_resource([stack], "AWS::StepFunctions::StateMachine"):
            unread += [f"/aws/vendedlogs/states/{machine['Properties']['StateMachineName']}"]
        for _, _, function in each_resource([stack], "AWS::Lambda::Function"):
            unread += [function["Properties"]["LoggingConfig"]["LogGroup"]]
        unread = [each for each in unread if each not in asked]
    assert unread == []


def members(composite: dict[str, Any]) -> list[str]:
    return [part["Ref"] for part in composite["Properties"]["AlarmRule"]["Fn::Join"][1] if isinstance(part, dict)]


def is_watched(logical_id: str, resource: dict[str, Any], stack: StackTemplate) -> bool:
    names = [resource["Properties"][key] for key in NAME_PROPERTIES if key in resource["Properties"]]
    return any(
        refers_to(alarm["Properties"].get("Dimensions", []), logical_id, names)
        or any(isinstance(name, str) and name in alarm["Properties"]["AlarmDescription"] for name in names)
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
    )


def refers_to(dimensions: list[dict[str, Any]], logical_id: str, names: list[Any]) -> bool:
    for dimension in dimensions:
        value = dimension["Value"]
        if value in names or any(isinstance(name, str) and as_text(value).endswith(f":{name}") for name in names):
            return True
        if isinstance(value, dict) and (
            value.get("Ref") == logical_id or value.get("Fn::GetAtt", [""])[0] == logical_id
        ):
            return True
    return False


ANSWERING_LATER = {each.name for each in EVERYTHING if each.serving.mode.kind == "asynchronous"}


@pytest.mark.parametrize(("stage", "workload"), PLACES)
def test_every_endpoint_has_its_alarms_before_it_exists(stacks: list[StackTemplate], stage: str, workload: str) -> None:
    at_once, later = {"Invocation5XXErrors", "ModelLatency"}, {"InvocationFailures", "ApproximateAgeOfOldestRequest"}
    endpoint = {"Name": "EndpointName", "Value": runtime_name(stage, workload, "live")}
    watching = [
        alarm["Properties"].get("MetricName")
        for _, _, alarm in each_resource(stacks, "AWS::CloudWatch::Alarm")
        if endpoint in alarm["Properties"].get("Dimensions", [])
    ]
    assert (later if workload in ANSWERING_LATER else at_once) <= set(watching)


@pytest.mark.parametrize(("stage", "workload"), PLACES)
def test_deployments_are_named_as_the_figures_of_deliveries_expect(
    stacks: list[StackTemplate], stage: str, workload: str
) -> None:
    machines = {
        machine["Properties"]["StateMachineName"]
        for _, _, machine in each_resource(stacks, "AWS::StepFunctions::StateMachine")
    }
    alarms = [
        str(alarm["Properties"].get("AlarmName")) for _, _, alarm in each_resource(stacks, "AWS::CloudWatch::Alarm")
    ]
    assert runtime_name(stage, workload, DEPLOYMENT_MACHINE) in machines
    assert any(name.startswith(f"{runtime_name(stage, workload, ENDPOINT)}-") for name in alarms)


def test_a_change_of_nothing_endangers_nothing(assemblies: tuple[Path, Path]) -> None:
    here, there = assemblies
    assert compare(templates(here), templates(there), specification()) == []


# Permissions


def test_wildcards_are_the_naming_prefix_or_unavoidable(stacks: list[StackTemplate]) -> None:
    """A pipeline's artefacts are named by CodePipeline, in buckets of their own."""
    artefacts = ("resource <Fn::GetAtt>/*", "resource arn:<Ref>:s3:::<Fn::GetStackOutput>/*")
    found = {
        f"{place}: {wildcard}"
        for place, statement in each_statement(stacks)
        for wildcard in unexplained(statement, ALL_STAGE_NAMES, ALL_WORKLOAD_NAMES)
        if not (of_pipeline(place.partition("/")[0]) and wildcard in artefacts)
    }
    assert sorted(found) == []


def test_actions_without_a_resource_are_limited_where_they_can_be(stacks: list[StackTemplate]) -> None:
    unlimited = [
        place
        for place, statement in each_statement(stacks)
        if "cloudwatch:PutMetricData" in as_list(statement["Action"])
        and not any("cloudwatch:namespace" in limit for limit in statement.get("Condition", {}).values())
    ]
    assert unlimited == []


def test_exactly_one_role_is_passed_to_a_named_service(stacks: list[StackTemplate]) -> None:
    passing = [(place, each) for place, each in each_statement(stacks) if "iam:PassRole" in as_list(each["Action"])]
    careless = [
        place
        for place, statement in passing
        if as_list(statement["Action"]) != ["iam:PassRole"]
        or any("*" in as_text(resource) for resource in as_list(statement["Resource"]))
        or "iam:PassedToService" not in statement.get("Condition", {}).get("StringEquals", {})
    ]
    assert careless == []
    assert passing


def test_services_take_roles_on_behalf_of_the_own_account_only(stacks: list[StackTemplate]) -> None:
    careless = [
        f"{stack.stack}/{logical_id}"
        for logical_id, stack, role in each_resource(stacks, "AWS::IAM::Role")
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if "Service" in statement["Principal"]
        and statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount") != {"Ref": "AWS::AccountId"}
    ]
    assert careless == []


def test_no_role_has_a_managed_policy_of_aws(stacks: list[StackTemplate]) -> None:
    managed = {
        f"{stack.stack}/{logical_id}": role["Properties"]["ManagedPolicyArns"]
        for logical_id, stack, role in each_resource(stacks, "AWS::IAM::Role")
        if role["Properties"].get("ManagedPolicyArns")
    }
    assert managed == {}


def test_the_audit_table_is_only_added_to_and_cannot_be_lost(stacks: list[StackTemplate]) -> None:
    """No role changes or deletes an item, and none goes by itself; one that was replaced is still in the backups."""
    reading = {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:DescribeTable"}
    reading |= {"dynamodb:ExportTableToPointInTime"}
    found = {
        (place, action)
        for place, statement in each_statement(stacks)
        for action in as_list(statement["Action"])
        if action.startswith("dynamodb:") and "LakeAudit" in json.dumps(statement["Resource"])
    }
    assert {action for _, action in found} - reading == {"dynamodb:PutItem"}, sorted(found)
    tables = [
        each["Properties"]
        for logical_id, _, each in each_resource(stacks, "AWS::DynamoDB::Table")
        if "Audit" in logical_id
    ]
    assert tables
    for table in tables:
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert "TimeToLiveSpecification" not in table
    kept = [each for each in tables if each.get("DeletionProtectionEnabled")]
    assert len(kept) >= len(STAGE_NAMES)


def test_nothing_that_looks_like_a_secret_is_in_the_open(stacks: list[StackTemplate]) -> None:
    secret = re.compile(r"password|secret|private_?key|api_?key|access_?key", re.IGNORECASE)
    names = {
        f"{stack.stack}/{name}"
        for stack in stacks
        for section in ("Outputs", "Parameters")
        for name in stack.content.get(section, {})
    }
    assert {name for name in names if secret.search(name)} == set()
