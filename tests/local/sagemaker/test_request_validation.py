from __future__ import annotations

import re
from typing import Any

import pytest

from local.server.clients import service_model
from local.server.host import ServiceError
from local.server.java_regex import compile_java
from local.server.sagemaker.service_model import input_shape
from local.server.sagemaker.shaping import milliseconds, shaped
from local.server.validation import validate

GROUP = {"ModelPackageGroupName": "models"}


def problems(operation: str, params: dict[str, Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        validate(input_shape(operation), params)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def test_accepts_what_fits() -> None:
    validate(input_shape("CreateModelPackageGroup"), {**GROUP, "Tags": [{"Key": "Größe 1", "Value": "日本/x"}]})


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "Value null at 'modelPackageGroupName' failed to satisfy constraint: Member must not be null"),
        ({"ModelPackageGroupName": "a_b"}, "Value 'a_b' at 'modelPackageGroupName' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
        ({"ModelPackageGroupName": "a" * 64}, "Member must have length less than or equal to 63"),
        ({**GROUP, "Tags": [{"Key": "", "Value": ""}]}, "at 'tags.1.member.key' failed to satisfy constraint: "
         "Member must have length greater than or equal to 1"),
        ({**GROUP, "Colour": "red"}, "Value 'red' at 'colour' failed to satisfy constraint: Member must be one of"),
    ],
)  # fmt: skip
def test_names_the_member_the_value_and_the_constraint(params: dict[str, Any], sentence: str) -> None:
    assert sentence in problems("CreateModelPackageGroup", params)


def test_checks_enums_numbers_and_counts_problems() -> None:
    routing = {"Type": "SOMETIMES", "WaitIntervalInSeconds": 3601}
    params = {
        "EndpointName": "e",
        "EndpointConfigName": "c",
        "DeploymentConfig": {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}},
    }

    message = problems("UpdateEndpoint", params)

    assert message.startswith("2 validation errors detected: ")
    assert "Member must satisfy enum value set: [ALL_AT_ONCE, CANARY, LINEAR]" in message
    assert "Member must have value less than or equal to 3600" in message


@pytest.mark.parametrize("alarms", [[], [{"AlarmName": f"a{number}"} for number in range(11)]])
def test_an_automatic_rollback_watches_one_to_ten_alarms(alarms: list[dict[str, str]]) -> None:
    deployment = {"AutoRollbackConfiguration": {"Alarms": alarms}}

    message = problems(
        "UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c", "DeploymentConfig": deployment}
    )

    assert "autoRollbackConfiguration.alarms" in message


@pytest.mark.parametrize("value", [1, True, ["x"], {"a": 1}])
def test_a_value_of_another_type_does_not_serialise(value: object) -> None:
    with pytest.raises(ServiceError) as caught:
        validate(input_shape("DescribeModel"), {"ModelName": value})

    assert caught.value.code == "SerializationException"
    assert "modelName must be a string" in caught.value.message


def patterns(shape: Any, seen: set[str]) -> set[str]:
    """Every pattern that a shape and its members have."""
    if shape.name in seen:
        return set()
    seen.add(shape.name)
    own = {shape.metadata["pattern"]} if "pattern" in shape.metadata else set()
    inner = {"structure": lambda: list(shape.members.values()), "list": lambda: [shape.member],
             "map": lambda: [shape.key, shape.value]}.get(shape.type_name, list)()  # fmt: skip
    return own.union(*(patterns(each, seen) for each in inner))


def test_every_pattern_of_the_service_can_be_used() -> None:
    model = service_model("sagemaker")
    seen: set[str] = set()
    shapes = [model.operation_model(name).input_shape for name in model.operation_names]
    found = set().union(*(patterns(shape, seen) for shape in shapes if shape is not None))

    broken = {}
    for pattern in found:
        try:
            compile_java(pattern)
        except (re.error, KeyError) as error:
            broken[pattern] = error

    assert len(found) > 100
    assert broken == {}


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 日本 ٣", "a#b"),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}", "a b", "a;b"),
        (r"[\p{L}\p{M}\p{Z}\p{N}\p{P}]{0,1024}", "Why? «So»!", "a\tb"),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\t😀", "a\x00"),
        (r"arn:[\p{Alnum}\-]+:lambda", "arn:aws-cn:lambda", "arn:a_b:lambda"),
        (r"\w+", "abc", "ä"),
    ],
)
def test_java_patterns_mean_the_same(pattern: str, yes: str, no: str) -> None:
    assert compile_java(pattern).fullmatch(yes)
    assert not compile_java(pattern).fullmatch(no)


def test_answers_have_declared_members_only() -> None:
    shape = service_model("sagemaker").operation_model("DescribeModel").output_shape
    document = {"ModelName": "m", "_Secret": 1, "CreationTime": 1.5, "PrimaryContainer": {"Image": "i", "x": None}}

    assert shaped(shape, document) == {"ModelName": "m", "CreationTime": 1.5, "PrimaryContainer": {"Image": "i"}}
    assert shaped(shape, document, milliseconds)["CreationTime"] == 1500
