"""The pipeline over three accounts and two regions, with one workload."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.artefact_bucket import ArtefactBucket
from constructs_lib.keys import EncryptionKey
from constructs_lib.on_call import OnCallTopic
from gate.assembly import StackTemplate
from gate.nag import check_nag
from gate.template_rules import check_templates
from gate.wildcards import as_list, as_text, unexplained
from stacks.config import ROOT, PlatformConfig, project_context
from stacks.repository_builds import RepositoryBuilds
from tests.stacks.delivered import (
    CODECOMMIT,
    CONNECTION,
    PIPELINE,
    PLACES,
    SECRET,
    TOOLS_ACCOUNT,
    Delivered,
    defined,
    delivered,
    read,
    references,
    stages,
    waiting_for_ever,
)

DEPLOYMENTS = ["dev", "staging", "prod"]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    context = {
        "@aws-cdk/core:permissionsBoundary": {"name": "gapless-boundary"},
        "@aws-cdk/core:bootstrapQualifier": "ours",
    }
    notified = {**PIPELINE, "notify_email": "ops@example.com", "dashboard": True}
    return delivered(tmp_path_factory.mktemp("pipeline"), pipeline=notified, context=context)


@pytest.fixture(scope="session")
def pipeline(platform: Delivered) -> dict[str, Any]:
    return platform.definition()


@pytest.fixture(scope="session")
def model_pipeline(platform: Delivered) -> dict[str, Any]:
    return platform.definition("gapless-loan_approval", stack="gapless-pipeline")


def stage_names(pipeline: dict[str, Any]) -> list[str]:
    return [stage["Name"] for stage in pipeline["Stages"]]


def action(pipeline: dict[str, Any], stage: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in pipeline["Stages"] if each["Name"] == stage]
    (wanted,) = [each for each in found["Actions"] if each["Name"] == name]
    return dict(wanted)


def project(platform: Delivered, pipeline: dict[str, Any], stage: str, name: str) -> dict[str, Any]:
    named = action(pipeline, stage, name)["Configuration"]["ProjectName"]["Ref"]
    return dict(platform.pipeline().resources[named]["Properties"])


def commands(project: dict[str, Any]) -> list[str]:
    return list(json.loads(as_text(project["Source"]["BuildSpec"]))["phases"]["build"]["commands"])


def variables(project: dict[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in project["Environment"].get("EnvironmentVariables", [])}


def each_statement(stacks: Iterator[StackTemplate]) -> Iterator[tuple[str, dict[str, Any]]]:
    for stack in stacks:
        for logical_id, policy in stack.of_type("AWS::IAM::Policy").items():
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                yield f"{stack.stack}/{logical_id}", statement


def allowed(stack: StackTemplate, start: str) -> dict[str, list[str]]:
    """Action to resources of the policies whose logical id starts like this."""
    found: dict[str, list[str]] = {}
    for logical_id, policy in stack.of_type("AWS::IAM::Policy").items():
        if logical_id.startswith(start):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                for each in as_list(statement["Action"]):
                    found.setdefault(each, []).extend(map(as_text, as_list(statement["Resource"])))
    return found


# Gates


def test_the_solutions_pack_finds_nothing(tmp_path: Path) -> None:
    """Over one stage, as others hold nothing else, and with the builds that CodeCommit asks for.

    The pipeline is in the stage's account, so that the stage's dashboard can show its figures.
    """
    places = {"prod": PLACES["prod"]}
    pipeline = {**PIPELINE, "account": PLACES["prod"][0], "source": CODECOMMIT, "train_in": "prod"}
    context = {"@aws-cdk/core:failSynthOnValidationErrors": False}
    app = defined(tmp_path, places=places, pipeline=pipeline, context=context, dashboard=True)
    assert [str(finding) for finding in check_nag(app, places, ["loan_approval"])] == []
    assert [str(finding) for finding in check_templates(read(tmp_path).stacks.values())] == []
    assert_codecommit(read(tmp_path))
    shown = [each for each in shown_figures(read(tmp_path), "prod-Figures") if "Pipeline" in each]
    assert shown == [
        '"region":"eu-west-1","period":2419200,"metrics":[["Gapless","DeliveryLeadTime","Pipeline","gapless"'
    ]


def test_the_template_gate_finds_nothing(platform: Delivered) -> None:
    assert [str(finding) for finding in check_templates(platform.stacks.values())] == []


def test_the_only_wildcards_are_objects_of_the_pipelines_own_buckets(platform: Delivered) -> None:
    found = {
        wildcard
        for _, statement in each_statement(iter(platform.stacks.values()))
        for wildcard in unexplained(statement, PLACES, ["loan_approval"])
    }
    assert found == {"resource <Fn::GetAtt>/*", "resource arn:<Ref>:s3:::<Fn::GetStackOutput>/*"}


def test_every_role_has_the_boundary_and_every_bootstrapped_role_the_qualifier(platform: Delivered) -> None:
    roles = [role for stack in platform.stacks.values() for role in stack.of_type("AWS::IAM::Role").values()]
    assert [role for role in roles if "PermissionsBoundary" not in role["Properties"]] == []
    text = "".join(stack.path.read_text() for stack in platform.stacks.values())
    assert "cdk-ours-deploy-role" in text
    assert "hnb659fds" not in text.replace("/cdk-bootstrap/hnb659fds", "")


# The order of things


def test_updates_itself_before_anything_is_published_or_deployed(pipeline: dict[str, Any]) -> None:
    assert stage_names(pipeline) == [
        *("Source", "Build", "UpdatePipeline", "Assets"),
        *("dev-review", "account-111111111111-eu-west-1", "dev"),
        *("staging-review", "account-222222222222-eu-west-1", "staging"),
        *("prod-review", "account-333333333333-eu-central-1", "prod"),
    ]
    assert pipeline["PipelineType"] == "V2"
    assert pipeline["ExecutionMode"] == "SUPERSEDED"


def test_tests_by_the_command_of_the_readme_before_it_synthesises(
    platform: Delivered, pipeline: dict[str, Any]
) -> None:
    build = project(platform, pipeline, "Build", "Synth")
    assert commands(build)[:2] == ["make test", "make synth"]
    assert "make test" in (ROOT / "README.md").read_text()


def test_tools_have_the_versions_of_the_checkout(platform: Delivered, pipeline: dict[str, Any]) -> None:
    pinned = json.loads((ROOT / "package.json").read_text())
    update = as_text(project(platform, pipeline, "UpdatePipeline", "SelfMutate")["Source"]["BuildSpec"])
    assert f"aws-cdk@{pinned['dependencies']['aws-cdk']}" in update
    publish = project(platform, pipeline, "Assets", "FileAssets")["Source"]["BuildSpec"]
    assert f"cdk-assets@{pinned['config']['cdk-assets']}" in (platform.folder / publish).read_text()


def test_each_stack_is_prepared_as_a_change_set_before_it_is_deployed(pipeline: dict[str, Any]) -> None:
    modes = {
        (stage["Name"], each["Configuration"]["ActionMode"])
        for stage in pipeline["Stages"]
        for each in stage["Actions"]
        if each["ActionTypeId"]["Provider"] == "CloudFormation"
    }
    names = [name for name in stage_names(pipeline)[4:] if not name.endswith("-review")]
    assert modes == {(name, mode) for name in names for mode in ("CHANGE_SET_REPLACE", "CHANGE_SET_EXECUTE")}


def test_a_stack_comes_after_those_it_refers_to(platform: Delivered, pipeline: dict[str, Any]) -> None:
    for name in DEPLOYMENTS:
        (stage,) = [each for each in pipeline["Stages"] if each["Name"] == name]
        order = {each["Name"]: each["RunOrder"] for each in stage["Actions"]}
        for stack in platform.stacks.values():
            for referred in references(stack.content):
                if stack.stack.startswith(f"{name}-") and referred.startswith(f"{name}-"):
                    here, there = (each.removeprefix(f"{name}-") for each in (stack.stack, referred))
                    assert order[f"{there}.Deploy"] < order[f"{here}.Prepare"], (stack.stack, referred)


def test_references_between_stacks_never_deadlock(platform: Delivered) -> None:
    texts = [stack.path.read_text() for stack in platform.stacks.values()]
    assert [text for text in texts if "Fn::ImportValue" in text or '"Export"' in text] == []
    assert waiting_for_ever(platform) == {}


def test_only_pushes_that_change_templates_start_it(pipeline: dict[str, Any], model_pipeline: dict[str, Any]) -> None:
    ((platform_push,),) = [each["GitConfiguration"]["Push"] for each in pipeline["Triggers"]]
    ((model_push,),) = [each["GitConfiguration"]["Push"] for each in model_pipeline["Triggers"]]
    assert "workloads/*/workload.yaml" in platform_push["FilePaths"]["Includes"]
    assert all(len(push["FilePaths"]["Includes"]) <= 8 for push in (platform_push, model_push))
    assert platform_push["Branches"] == model_push["Branches"] == {"Includes": ["main"]}
    assert pipeline["Stages"][0]["Actions"][0]["Configuration"]["DetectChanges"] is False


# Stages


def test_a_person_decides_on_prod_and_wherever_permissions_grow(platform: Delivered, pipeline: dict[str, Any]) -> None:
    orders, modes = {}, {}
    for name in DEPLOYMENTS:
        review = f"{name}-review"
        orders[name] = [action(pipeline, review, each)["RunOrder"] for each in ("Compare", "Approve")]
        modes[name] = variables(project(platform, pipeline, review, "Compare"))["APPROVE"]
        assert action(pipeline, review, "Approve")["Configuration"]["NotificationArn"] == {"Ref": topic(platform)}
    assert orders == {"dev": [1, 1], "staging": [1, 1], "prod": [1, 2]}
    assert modes == {"dev": "unless-broadened", "staging": "unless-broadened", "prod": "never"}
    approving = allowed(platform.pipeline(), "ReviewRole")["codepipeline:PutApprovalResult"]
    assert [each.rpartition(":gapless/")[2] for each in approving] == ["dev-review/Approve", "staging-review/Approve"]


def topic(platform: Delivered) -> str:
    (found,) = platform.pipeline().of_type("AWS::SNS::Topic")
    return found


def test_a_review_looks_at_everything_that_its_wave_deploys(platform: Delivered, pipeline: dict[str, Any]) -> None:
    build = project(platform, pipeline, "dev-review", "Compare")
    assert variables(build)["STACKS"] == "account-111111111111-eu-west-1/* dev/*"
    assert variables(build)["STAGE"] == "dev-review"


def test_a_stage_whose_deployment_or_tests_fail_is_rolled_back(pipeline: dict[str, Any]) -> None:
    rolled_back = [stage["Name"] for stage in pipeline["Stages"] if stage.get("OnFailure") == {"Result": "ROLLBACK"}]
    assert rolled_back == DEPLOYMENTS


def test_a_deployment_is_tested_by_its_outputs_after_everything_else(
    platform: Delivered, pipeline: dict[str, Any]
) -> None:
    for name in DEPLOYMENTS:
        (stage,) = [each for each in pipeline["Stages"] if each["Name"] == name]
        test = action(pipeline, name, "TestLoanApproval")
        assert test["RunOrder"] > max(
            each["RunOrder"] for each in stage["Actions"] if each is not test and each != test
        )
        given = {each["name"]: each["value"] for each in json.loads(test["Configuration"]["EnvironmentVariables"])}
        outputs = platform.stacks[f"{name}-LoanApprovalWorkload"].content["Outputs"]
        assert {value.rpartition(".")[2].rstrip("}") for value in given.values()} <= outputs.keys()
        build = project(platform, pipeline, name, "TestLoanApproval")
        assert commands(build)[-1].endswith("-m delivery.smoke_test")
        assert {"ALARMS", "STARTER", "LOOP_MACHINE", "ROLE", "STAGE_REGION", "BAKE_MINUTES"} <= {
            *given,
            *variables(build),
        }


def test_the_test_of_a_stage_may_look_and_do_nothing(platform: Delivered) -> None:
    granted = allowed(platform.stacks["prod-Delivery"], "SmokeTest")
    assert sorted(granted) == [
        "cloudwatch:DescribeAlarms",
        "lambda:GetFunctionConfiguration",
        "lambda:InvokeFunction",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "states:DescribeStateMachine",
    ]


def test_a_role_of_a_stage_is_taken_by_exactly_one_role_of_the_pipeline(platform: Delivered) -> None:
    named = {
        role["Properties"]["RoleName"]
        for role in platform.pipeline().of_type("AWS::IAM::Role").values()
        if "RoleName" in role["Properties"]
    }
    takers = []
    for name in DEPLOYMENTS:
        for role in platform.stacks[f"{name}-Delivery"].of_type("AWS::IAM::Role").values():
            (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert f":iam::{TOOLS_ACCOUNT}:root" in as_text(statement["Principal"]["AWS"])
            takers.append(as_text(statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]).rpartition("/")[2])
    assert set(takers) == named == {"gapless-smoke-delivery", "gapless-model-delivery"}
    assert takers.count("gapless-model-delivery") == 1


def test_other_regions_have_artefacts_of_their_own_that_only_their_deployers_read(platform: Delivered) -> None:
    replica = platform.stacks["gapless-pipeline-eu-central-1"]
    assert platform.pipeline().content["Resources"]
    readers = [
        as_text(statement["Principal"]["AWS"])
        for policy in replica.of_type("AWS::S3::BucketPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement.get("Sid") in ("Readers", "Listers")
    ]
    assert {each.rpartition("/")[2] for each in readers} == {"cdk-ours-deploy-role-333333333333-eu-central-1"}
    manifest = json.loads((platform.folder / "manifest.json").read_text())
    assert "Pipeline-eu-central-1" in manifest["artifacts"]["Pipeline"]["dependencies"]


def test_updating_itself_takes_roles_of_its_own_account_only(platform: Delivered) -> None:
    taken = allowed(platform.pipeline(), "DeliveryUpdatePipeline")["sts:AssumeRole"]
    assert {each.split(":")[4] for each in taken} == {TOOLS_ACCOUNT}
    assert {each.partition("cdk-ours-")[2].partition("-role")[0] for each in taken} == {"deploy", "file-publishing"}


# Model code


def test_scripts_are_tested_then_published_under_a_role_of_the_training_stage(
    platform: Delivered, model_pipeline: dict[str, Any]
) -> None:
    assert stage_names(model_pipeline) == ["Source", "Test", "Publish"]
    test, publish = (project(platform, model_pipeline, step, step) for step in ("Test", "Publish"))
    assert commands(test) == ["make workload"]
    assert variables(test) == {"WORKLOAD": "loan_approval"}
    assert commands(publish)[-1].endswith("-m delivery.model_code")
    assert as_text(variables(publish)["ROLE"]) == "arn:<Ref>:iam::111111111111:role/dev-gapless-model-delivery"
    assert variables(publish)["PLATFORM_STAGE"] == "dev"
    assert variables(publish)["STACK"] in platform.stacks


def test_publishing_touches_bundles_and_asks_the_front_door_and_nothing_else(platform: Delivered) -> None:
    granted = allowed(platform.stacks["dev-Delivery"], "ModelCode")
    assert {each for each in granted if not each.startswith(("s3:", "kms:"))} == {
        "cloudformation:DescribeStacks",
        "events:PutEvents",
        "states:DescribeExecution",
        "states:ListExecutions",
    }
    assert all(each.endswith("/loan_approval/bundles/*") for each in granted["s3:PutObject"])


def test_a_pull_request_is_built_without_a_role_of_any_stage(platform: Delivered) -> None:
    granted = allowed(platform.pipeline(), "RepositoryPullRequest")
    assert sorted(granted) == [
        "codeconnections:GetConnection",
        "codeconnections:GetConnectionToken",
        "codeconnections:UseConnection",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    ]
    (build,) = [
        each["Properties"]
        for each in platform.pipeline().of_type("AWS::CodeBuild::Project").values()
        if each["Properties"].get("Name") == "gapless-pull-request"
    ]
    assert build["Triggers"]["PullRequestBuildPolicy"] == {"RequiresCommentApproval": "FORK_PULL_REQUESTS"}
    assert build["Source"]["ReportBuildStatus"] is True


def repository_builds(app: App, source: dict[str, Any]) -> Stack:
    """A stack with nothing but what starts from the repository."""
    config = PlatformConfig.parse(stages(), pipeline={**PIPELINE, "source": source}).pipeline
    assert config is not None
    stack = Stack(app, "Pipeline")
    key = EncryptionKey(stack, "Key", description="any", logs=True)
    log = logs.CfnLogGroup(stack, "Log", kms_key_id=key.key_arn, retention_in_days=365)
    RepositoryBuilds(
        stack,
        "Repository",
        config=config,
        training=None,
        tools=((), "python"),
        key=key,
        log=log,
        log_retention_days=365,
        artefacts=ArtefactBucket(stack, "Artefacts", key=key),
        alarms=FailureAlarms(OnCallTopic(stack, "Topic", key=key)),
    )
    return stack


@pytest.fixture(scope="session")
def commented(tmp_path_factory: pytest.TempPathFactory) -> StackTemplate:
    """What starts from a repository whose pull requests are commented; nag clean."""
    folder = tmp_path_factory.mktemp("commented")
    context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
    app = App(context=context, outdir=str(folder))
    repository_builds(app, {**CONNECTION, "comment_token": SECRET})
    assert [str(finding) for finding in check_nag(app, {}, [])] == []
    assert [str(finding) for finding in check_templates(read(folder).stacks.values())] == []
    return read(folder).stacks["Pipeline"]


def test_the_build_of_a_commented_pull_request_may_write_the_object_of_its_own_session(
    commented: StackTemplate,
) -> None:
    granted = allowed(commented, "RepositoryPullRequest")
    assert granted["s3:PutObject"] == ["<Fn::GetAtt>/pull-requests/${aws:userid}"]
    assert sorted(granted) == [
        "codeconnections:GetConnection",
        "codeconnections:GetConnectionToken",
        "codeconnections:UseConnection",
        "kms:GenerateDataKey",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:PutObject",
    ]
    (build,) = [each["Properties"] for each in commented.of_type("AWS::CodeBuild::Project").values()]
    assert as_text(variables(build)["DIFFERENCES_URI"]) == "s3://<Ref>/pull-requests/"
    assert SECRET not in json.dumps(build)


def test_a_function_reads_what_such_a_build_wrote_and_holds_one_token(commented: StackTemplate) -> None:
    granted = allowed(commented, "RepositoryComments")
    assert granted["secretsmanager:GetSecretValue"] == [SECRET]
    assert granted["s3:GetObject"] == ["<Fn::GetAtt>/pull-requests/*"]
    assert sorted(each for each in granted if not each.startswith(("logs:", "xray:", "sqs:"))) == [
        "kms:Decrypt",
        "s3:GetObject",
        "s3:ListBucket",
        "secretsmanager:GetSecretValue",
    ]
    (function,) = commented.of_type("AWS::Lambda::Function").values()
    given = function["Properties"]["Environment"]["Variables"]
    assert as_text(given.pop("DIFFERENCES_URI")) == "s3://<Ref>/pull-requests/<Fn::GetAtt>:AWSCodeBuild-"
    assert given == {
        "PIPELINE": "gapless",
        "PROVIDER": "github",
        "REPOSITORY": "example/models",
        "TOKEN_ARN": SECRET,
    }


def test_it_hears_of_every_end_of_that_build_alone(commented: StackTemplate) -> None:
    (rule,) = commented.of_type("AWS::Events::Rule").values()
    (build,) = commented.of_type("AWS::CodeBuild::Project")
    assert rule["Properties"]["EventPattern"] == {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {
            "project-name": [{"Ref": build}],
            "build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
        },
    }


def test_nothing_is_commented_unless_there_is_a_token(platform: Delivered) -> None:
    assert [name for name in platform.pipeline().content["Resources"] if "RepositoryComments" in name] == []
    assert "DIFFERENCES_URI" not in platform.pipeline().path.read_text()


@pytest.mark.parametrize(
    ("provider", "url", "events"),
    [
        ("github", "https://github.com/example/models.git", ["CREATED", "UPDATED", "REOPENED"]),
        ("gitlab", "https://gitlab.com/example/models.git", ["CREATED", "UPDATED", "REOPENED"]),
        ("bitbucket", "https://bitbucket.org/example/models.git", ["CREATED", "UPDATED"]),
    ],
)
def test_pull_requests_are_built_by_the_events_that_their_host_has(provider: str, url: str, events: list[str]) -> None:
    """As https://docs.aws.amazon.com/codebuild/latest/userguide/ lists them: Bitbucket has no REOPENED."""
    stack = repository_builds(App(), {**CONNECTION, "provider": provider})
    (build,) = Template.from_stack(stack).find_resources("AWS::CodeBuild::Project").values()
    found = build["Properties"]
    assert (found["Source"]["Type"], found["Source"]["Location"]) == (provider.upper(), url)
    (filters,) = found["Triggers"]["FilterGroups"]
    assert {each["Type"]: each["Pattern"] for each in filters} == {
        "EVENT": ", ".join(f"PULL_REQUEST_{event}" for event in events),
        "BASE_REF": "^refs/heads/main$",
    }


def assert_codecommit(platform: Delivered) -> None:
    """Pushes and pull requests start builds; the one of pushes starts pipelines."""
    stack = platform.pipeline()
    rules = {
        each["Properties"]["EventPattern"]["detail-type"][0]: each["Properties"]["Targets"][0]
        for each in stack.of_type("AWS::Events::Rule").values()
    }
    builds = {
        each["Properties"]["Name"]: (name, each["Properties"])
        for name, each in stack.of_type("AWS::CodeBuild::Project").items()
        if "Name" in each["Properties"]
    }
    pushes = rules["CodeCommit Repository State Change"]
    requests = rules["CodeCommit Pull Request State Change"]
    assert pushes["Arn"] == {"Fn::GetAtt": [builds["gapless-changes"][0], "Arn"]}
    assert json.loads(pushes["InputTransformer"]["InputTemplate"]) == {"sourceVersion": "<commit>"}
    assert requests["Arn"] == {"Fn::GetAtt": [builds["gapless-pull-request"][0], "Arn"]}
    filters = json.loads(variables(builds["gapless-changes"][1])["FILTERS"])
    assert filters.keys() == {"gapless", "gapless-loan_approval"}
    started = allowed(stack, "RepositoryChanges")["codepipeline:StartPipelineExecution"]
    assert {each.rpartition(":")[2] for each in started} == filters.keys()
    for name in filters:
        definition = platform.definition(name, stack="gapless-pipeline")
        assert definition["Stages"][0]["Actions"][0]["Configuration"]["PollForSourceChanges"] is False


# Notices


def test_failures_reach_a_person(platform: Delivered) -> None:
    alarms = platform.pipeline().of_type("AWS::CloudWatch::Alarm").values()
    watched = {
        (alarm["Properties"]["MetricName"], dimension["Value"])
        for alarm in alarms
        for dimension in alarm["Properties"]["Dimensions"]
        if isinstance(dimension["Value"], str)
    }
    assert watched == {
        ("FailedPipelineExecutions", "gapless"),
        ("FailedPipelineExecutions", "gapless-loan_approval"),
        ("FailedBuilds", "gapless-pull-request"),
    }
    assert all(alarm["Properties"]["AlarmActions"] == [{"Ref": topic(platform)}] for alarm in alarms)
    silent = [
        name
        for name, each in platform.pipeline().of_type("AWS::CodeBuild::Project").items()
        if "Name" not in each["Properties"] and not each.get("Metadata")
    ]
    assert silent == []


def test_how_the_platform_is_delivered_is_counted(platform: Delivered) -> None:
    stack = platform.pipeline()
    rules = stack.of_type("AWS::Events::Rule").values()
    patterns = [rule["Properties"].get("EventPattern", {}) for rule in rules]
    counted = [each for each in patterns if "STARTED" in each.get("detail", {}).get("state", ())]
    assert [each["detail"] for each in counted] == [
        {"pipeline": ["gapless"], "state": ["STARTED", "SUCCEEDED", "FAILED"]}
    ]
    (records,) = stack.of_type("AWS::DynamoDB::Table").values()
    assert records["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate")


def test_functions_write_logs_of_their_own_and_builds_that_of_the_pipeline(platform: Delivered) -> None:
    stack = platform.pipeline()
    (function,) = [each["Properties"] for each in stack.of_type("AWS::Lambda::Function").values()]
    own, shared = function["LoggingConfig"]["LogGroup"]["Ref"], "Log"
    assert own != shared
    written: dict[bool, set[str]] = {True: set(), False: set()}
    for logical_id, policy in stack.of_type("AWS::IAM::Policy").items():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if "logs:PutLogEvents" in as_list(statement["Action"]):
                is_function = logical_id.startswith("FiguresFunctionRole")
                written[is_function] |= {each["Fn::GetAtt"][0] for each in as_list(statement["Resource"])}
    assert written == {True: {own}, False: {shared}}


def shown_figures(platform: Delivered, stack: str) -> list[str]:
    """The lead times that a stack's dashboard shows, from the region of the widget to the dimension."""
    (dashboard,) = platform.stacks[stack].of_type("AWS::CloudWatch::Dashboard").values()
    text = as_text(dashboard["Properties"]["DashboardBody"])
    return re.findall(r'"region":"[^"]+","period":\d+,"metrics":\[\["Gapless","DeliveryLeadTime","\w+","\w+"', text)


def test_the_pipelines_account_shows_how_the_platform_is_delivered(platform: Delivered) -> None:
    (lead_time,) = shown_figures(platform, "gapless-pipeline")
    assert lead_time.endswith('"DeliveryLeadTime","Pipeline","gapless"')
    assert not platform.stacks["dev-Figures"].of_type("AWS::CloudWatch::Dashboard"), "nobody has asked for one"
