"""Roles of SageMaker's jobs and endpoints, the leave to use them, and the alarms of an endpoint."""

import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.grants import ServiceRole
from constructs_lib.guarded_endpoint import GuardedEndpoint, PredictionWatch
from constructs_lib.images import FrameworkImage, Image
from constructs_lib.network import ExistingNetwork, Network
from constructs_lib.sagemaker_jobs import JobCode, SageMakerJobs

KEY = "arn:aws:kms:us-east-1:000000000000:key/lake"


@pytest.fixture
def key(stack: Stack) -> kms.IKey:
    return kms.Key.from_key_arn(stack, "Key", KEY)


@pytest.fixture
def network(stack: Stack, key: kms.IKey) -> Network:
    plan = ExistingNetwork("vpc-12345678", ["us-east-1a", "us-east-1b"], ["subnet-11111111", "subnet-22222222"])
    return Network(stack, "Network", plan=plan, log_key=key)


@pytest.fixture
def image(stack: Stack) -> FrameworkImage:
    return FrameworkImage(stack, "Image", image=Image("xgboost", "3.2-0"))


@pytest.fixture
def jobs(stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey) -> SageMakerJobs:
    return SageMakerJobs(
        stack,
        "Training",
        kind="training",
        prefix="dev-flight-delays-",
        role_description="Trains",
        image=image,
        network=network,
        key=key,
    )


def any_endpoint(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey, **changed: Any
) -> GuardedEndpoint:
    arguments = {
        "name": "dev-flight-delays-live",
        "variant": "primary",
        "prefix": "dev-flight-delays-",
        "image": image,
        "network": network,
        "key": key,
        "alarms": FailureAlarms(sns.Topic(stack, "Topic")),
        "latency_ms": 500,
        "new_share": 0.5,
    }
    return GuardedEndpoint(stack, "Endpoint", **{**arguments, **changed})


@pytest.mark.parametrize(
    ("changed", "refusals"),
    [
        ({"new_share": 1}, 4),
        ({"new_share": 0.5}, 2),
        ({"new_share": 0.1}, 1),
        ({"new_share": 1, "refused_share": 1}, 19),
        ({"new_share": 1, "waiting_seconds": 60}, 0),
    ],
)
def test_an_endpoint_says_how_many_refusals_its_alarms_let_pass(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.Key, changed: dict[str, Any], refusals: int
) -> None:
    assert any_endpoint(stack, image, network, key, **changed).unnoticed_refusals == refusals


def any_machine(stack: Stack) -> ServiceRole:
    return ServiceRole(stack, "Machine", service="states.amazonaws.com", description="A machine")


def statements_of(stack: Stack, role: str) -> list[dict[str, Any]]:
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    (found,) = [policy for name, policy in policies.items() if name.startswith(role)]
    statements: list[dict[str, Any]] = found["Properties"]["PolicyDocument"]["Statement"]
    return statements


def statement_with(statements: list[dict[str, Any]], action: str) -> dict[str, Any]:
    (found,) = [each for each in statements if action in each["Action"]]
    return found


def test_a_job_pulls_one_image_and_joins_the_named_subnets(stack: Stack, jobs: SageMakerJobs) -> None:
    statements = statements_of(stack, "TrainingRole")
    pulled = json.dumps(statement_with(statements, "ecr:BatchGetImage")["Resource"])
    assert ":repository/sagemaker-xgboost" in pulled and "*" not in pulled
    joined = json.dumps(statement_with(statements, "ec2:CreateNetworkInterface")["Resource"])
    assert "subnet/subnet-11111111" in joined and "subnet/subnet-22222222" in joined
    assert "subnet/*" not in joined


def test_a_job_has_no_data_of_its_own_accord(stack: Stack, jobs: SageMakerJobs) -> None:
    actions = json.dumps([each["Action"] for each in statements_of(stack, "TrainingRole")])
    assert "s3:" not in actions and "kms:Decrypt" not in actions and "sagemaker:" not in actions


def test_output_is_written_under_the_key(stack: Stack, jobs: SageMakerJobs) -> None:
    encrypted = statement_with(statements_of(stack, "TrainingRole"), "kms:Encrypt")
    assert encrypted["Action"] == "kms:Encrypt"


def test_sagemaker_watches_the_alarms_of_a_rollout_with_the_containers_role(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    endpoint = any_endpoint(stack, image, network, key)
    watched = json.dumps(statement_with(statements_of(stack, "EndpointRole"), "cloudwatch:DescribeAlarms")["Resource"])
    assert all(f":alarm:{name}" in watched for name in endpoint.alarm_names)
    assert "*" not in watched


def test_a_machine_may_start_jobs_of_the_prefix_with_this_role_only(stack: Stack, jobs: SageMakerJobs) -> None:
    jobs.grant_run(any_machine(stack))
    statements = statements_of(stack, "MachineDefaultPolicy")
    started = statement_with(statements, "sagemaker:CreateTrainingJob")
    assert set(started["Action"]) == {
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:StopTrainingJob",
        "sagemaker:AddTags",
        "sagemaker:ListTags",
    }
    assert "training-job/dev-flight-delays-*" in json.dumps(started["Resource"])
    passed = statement_with(statements, "iam:PassRole")
    assert passed["Resource"] == stack.resolve(jobs.role.role_arn)
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    waited = json.dumps(statement_with(statements, "events:PutRule")["Resource"])
    assert "rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule" in waited


def test_a_machine_may_name_the_key_but_not_use_it(stack: Stack, jobs: SageMakerJobs) -> None:
    jobs.grant_run(any_machine(stack))
    statements = [each for each in statements_of(stack, "MachineDefaultPolicy") if "kms:" in json.dumps(each["Action"])]
    assert {each["Action"] for each in statements} == {"kms:CreateGrant", "kms:DescribeKey"}
    condition = statement_with(statements, "kms:CreateGrant")["Condition"]
    assert condition["Bool"] == {"kms:GrantIsForAWSResource": "true"}


def test_two_kinds_of_jobs_live_in_one_stack(
    stack: Stack, jobs: SageMakerJobs, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    other = SageMakerJobs(
        stack,
        "Processing",
        kind="processing",
        prefix="dev-flight-delays-",
        role_description="Evaluates",
        image=image,
        network=network,
        key=key,
    )
    other.grant_run(any_machine(stack))
    assert "processing-job/dev-flight-delays-*" in json.dumps(statements_of(stack, "MachineDefaultPolicy"))


def test_job_code_is_found_and_read_and_nothing_beside_it(stack: Stack, jobs: SageMakerJobs) -> None:
    code = JobCode(stack, "Code")
    code.grant_read_object(jobs)
    statements = statements_of(stack, "TrainingRole")
    assert code.s3_object_key in json.dumps(statement_with(statements, "s3:GetObject")["Resource"])
    assert statement_with(statements, "s3:ListBucket")["Condition"] == {
        "StringEquals": {"s3:prefix": code.s3_object_key}
    }
    assert code.uri.endswith(f"/{code.s3_object_key}")


def test_the_alarm_on_errors_sees_what_a_new_fleet_alone_would_cause(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    endpoint = any_endpoint(stack, image, network, key, new_share=0.25)
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": "dev-flight-delays-live-errors",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Average",
            "Threshold": 0.005,
            "TreatMissingData": "notBreaching",
            "Dimensions": [
                {"Name": "EndpointName", "Value": "dev-flight-delays-live"},
                {"Name": "VariantName", "Value": "primary"},
            ],
        },
    )
    names = ("errors", "latency", "refused", "model-errors")
    assert endpoint.alarm_names == [f"dev-flight-delays-live-{name}" for name in names]


def test_the_alarm_on_refused_requests_counts_from_twenty_a_minute_and_by_the_new_fleets_share(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    any_endpoint(stack, image, network, key, new_share=0.25, refused_share=0.4)
    properties = {
        "AlarmName": "dev-flight-delays-live-refused",
        "Threshold": 0.1,
        "Metrics": Match.array_with(
            [
                Match.object_like({"Expression": "IF(requests >= 20, refused / requests, 0)", "ReturnData": True}),
                Match.object_like(
                    {
                        "Id": "refused",
                        "ReturnData": False,
                        "MetricStat": Match.object_like({"Stat": "Sum", "Period": 60}),
                    }
                ),
            ]
        ),
    }
    Template.from_stack(stack).has_resource_properties("AWS::CloudWatch::Alarm", properties)


def test_predictions_may_move_as_far_as_is_said_times_the_new_fleets_share(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    watch = PredictionWatch("dev", "flight_delays", 0.4)
    endpoint = any_endpoint(stack, image, network, key, new_share=0.25, predictions=watch)
    assert endpoint.alarm_names[-1] == "dev-flight-delays-live-predictions"
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": "dev-flight-delays-live-predictions",
            "MetricName": "PredictionShift",
            "Threshold": 0.1,
            "Dimensions": [{"Name": "Stage", "Value": "dev"}, {"Name": "Workload", "Value": "flight_delays"}],
            "TreatMissingData": "notBreaching",
        },
    )
    watched = statement_with(statements_of(stack, "EndpointRoleDefaultPolicy"), "cloudwatch:DescribeAlarms")
    assert "dev-flight-delays-live-predictions" in json.dumps(watched["Resource"])


def test_a_challenger_has_alarms_of_its_own_at_the_full_limits(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    endpoint = any_endpoint(stack, image, network, key, new_share=0.25, challenger="challenger")
    assert len(endpoint.alarm_names) == 8, "SageMaker watches ten at most"
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": "dev-flight-delays-live-challenger-errors",
            "Threshold": 0.02,
            "Dimensions": Match.array_with([{"Name": "VariantName", "Value": "challenger"}]),
        },
    )


def test_the_alarm_on_latency_counts_in_microseconds(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    any_endpoint(stack, image, network, key, latency_ms=500, new_share=1.0)
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "ModelLatency", "ExtendedStatistic": "p99", "Threshold": 500_000}
    )


def test_the_latency_of_a_share_of_the_fleet_is_nearer_to_the_slowest_request(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    any_endpoint(stack, image, network, key, new_share=0.1)
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "ModelLatency", "ExtendedStatistic": "p99.9"}
    )


def test_no_endpoint_is_in_the_template(stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey) -> None:
    any_endpoint(stack, image, network, key)
    Template.from_stack(stack).resource_count_is("AWS::SageMaker::Endpoint", 0)


def test_a_machine_may_deploy_to_this_endpoint_only(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    endpoint = any_endpoint(stack, image, network, key)
    endpoint.grant_deploy(any_machine(stack))
    statements = statements_of(stack, "MachineDefaultPolicy")
    resources = json.dumps(statement_with(statements, "sagemaker:UpdateEndpoint")["Resource"])
    assert ":endpoint/dev-flight-delays-live" in resources and ":endpoint/*" not in resources
    assert statement_with(statements, "iam:PassRole")["Resource"] == stack.resolve(endpoint.role.role_arn)


def test_others_may_ask_for_predictions_and_no_more(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey
) -> None:
    any_endpoint(stack, image, network, key).grant_invoke(any_machine(stack))
    (statement,) = statements_of(stack, "MachineDefaultPolicy")
    assert statement["Action"] == "sagemaker:InvokeEndpoint"
    assert json.dumps(statement["Resource"]).endswith(':endpoint/dev-flight-delays-live"]]}')


@pytest.mark.parametrize("share", [0, 1.1])
def test_refuses_a_share_of_traffic_that_is_none(
    stack: Stack, image: FrameworkImage, network: Network, key: kms.IKey, share: float
) -> None:
    with pytest.raises(ValueError, match="share of the new model must be above 0 and at most 1"):
        any_endpoint(stack, image, network, key, new_share=share)


def test_a_role_of_sagemaker_is_taken_on_behalf_of_this_account_only(stack: Stack, jobs: SageMakerJobs) -> None:
    condition = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Role", {"AssumeRolePolicyDocument": {"Statement": [Match.object_like({"Condition": condition})]}}
    )
