from typing import Any

import pytest

from gate.wildcards import as_text, unexplained

BUCKET = {"Fn::GetStackOutput": {"StackName": "dev-DataLake", "OutputName": "Arn"}}
ACCOUNT = ["arn:", {"Ref": "AWS::Partition"}, ":sagemaker:", {"Ref": "AWS::Region"}, ":", {"Ref": "AWS::AccountId"}]


def joined(*parts: Any) -> dict[str, Any]:
    return {"Fn::Join": ["", list(parts)]}


def wildcards(action: Any, resource: Any) -> list[str]:
    return unexplained({"Action": action, "Resource": resource}, ["dev", "prod"], ["flight_delays"])


@pytest.mark.parametrize(
    "resource",
    [
        joined(BUCKET, "/flight_delays/*"),
        joined(BUCKET, "/flight_delays/bundles/*"),
        joined(*ACCOUNT, ":training-job/dev-flight-delays-*"),
        joined(*ACCOUNT, ":model-package/prod-flight-delays-models/*"),
        joined("arn:aws:states:x:1:execution:dev-flight-delays-loop:*"),
        joined("arn:aws:glue:x:1:table/dev_curated/flight_delays_*"),
        joined("arn:aws:logs:x:1:log-group:/aws/sagemaker/Endpoints/dev-flight-delays-live*:*"),
        joined("arn:aws:logs:x:1:log-group:/aws-glue/*"),
        BUCKET,
    ],
)
def test_accepts_the_naming_prefix(resource: Any) -> None:
    assert wildcards("s3:GetObject", resource) == []


@pytest.mark.parametrize(
    "resource",
    [
        joined(BUCKET, "/*"),
        joined(BUCKET, "/*/flight_delays/"),
        joined(*ACCOUNT, ":training-job/*"),
        joined(*ACCOUNT, ":training-job/dev-*"),
        joined(*ACCOUNT, ":training-job/test-flight-delays-*"),
        joined("arn:aws:glue:x:1:table/*/flight_delays_*"),
        joined("arn:aws:logs:x:1:log-group:*"),
        joined(*ACCOUNT, ":training-job/dev-flight-delays-*/a*b"),
    ],
)
def test_refuses_every_other_wildcard(resource: Any) -> None:
    assert wildcards("s3:GetObject", resource) == [f"resource {as_text(resource)}"]


def test_refuses_a_wildcard_in_an_action() -> None:
    assert wildcards(["s3:GetObject", "s3:List*"], BUCKET) == ["action s3:List*"]


def test_accepts_everything_only_for_actions_that_know_no_resource() -> None:
    assert wildcards("ecr:GetAuthorizationToken", "*") == []
    assert wildcards(["ecr:GetAuthorizationToken", "s3:GetObject"], "*") == ["resource * for s3:GetObject"]
