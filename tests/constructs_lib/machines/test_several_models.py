"""What the deployment machine asks of SageMaker and of its functions where a version is a set of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.deployment import ModelSet
from constructs_lib.machines.jobs import JobPlace
from tests.constructs_lib.machines.test_deployment_machine import (
    EXISTS,
    GIVEN,
    PACKAGE,
    any_answers,
    definition_with,
    endpoint,
    package,
    result,
    update,
)

ROLE = "arn:aws:iam::000000000000:role/endpoint"
ROUTING = {"feature": "carrier", "values": ["UA", "DL"]}
SET = ModelSet("unpack-models", "eu-west-1")
FOLDER = "s3://artefacts/flight_delays/segments/abc/"
UNPACKED = result(
    {
        "Payload": {
            "models_uri": f"{FOLDER}models/",
            "code_uri": f"{FOLDER}code/sourcedir.tar.gz",
            "routing": ROUTING,
        }
    }
)
SERVED = {
    "Containers": [
        {
            "Image": "image:1",
            "ModelDataUrl": "s3://artefacts/m/model.tar.gz",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        }
    ]
}
DESCRIBED = package(InferenceSpecification=SERVED)


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_with(surroundings, place, model_set=SET)


def begun(definition: dict[str, Any], walk: Any, **changed: Any) -> Any:
    """A first deployment, as far as the endpoint, which then fails."""
    answers = {"DescribePackage": DESCRIBED, "UnpackModels": UNPACKED, **changed}
    return walk(definition, GIVEN, any_answers(DescribeRollout=[endpoint("Failed", "any")], **answers))


def test_a_version_is_unpacked_once_it_is_known_to_be_what_was_signed(definition: dict[str, Any], walk: Any) -> None:
    found = begun(definition, walk)
    order = [found.path.index(name) for name in ("VerifyModel", "GoldenBefore", "UnpackModels", "CreateModel")]
    assert order == sorted(order)
    payload = found.arguments("UnpackModels")["Payload"]
    assert payload == {"model_uri": "s3://artefacts/m/model.tar.gz", "model_sha256": "a" * 64}


def test_the_model_is_the_prefix_of_this_version_with_the_script_beside_it(
    definition: dict[str, Any], walk: Any
) -> None:
    request = begun(definition, walk).arguments("CreateModel")
    assert request["Containers"] == [
        {
            "Image": "image:1",
            "Mode": "MultiModel",
            "ModelDataUrl": f"{FOLDER}models/",
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": f"{FOLDER}code/sourcedir.tar.gz",
                "SAGEMAKER_REGION": "eu-west-1",
            },
        }
    ]
    assert request["EnableNetworkIsolation"] is False
    assert request["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    shape = Session().get_service_model("sagemaker").operation_model("CreateModel").input_shape
    assert ParamValidator().validate({**request, "ExecutionRoleArn": ROLE}, shape).generate_report() == ""


def test_the_update_is_guarded_as_every_other_and_the_golden_requests_name_models(
    definition: dict[str, Any], walk: Any
) -> None:
    new = begun(definition, walk).arguments("CreateEndpointConfig")["EndpointConfigName"]
    answers = update(new, DescribePackage=DESCRIBED, UnpackModels=UNPACKED, CreateModel=[EXISTS])
    found = walk(definition, GIVEN, answers)
    assert found.status == "SUCCEEDED"
    request = found.arguments("UpdateEndpoint")["DeploymentConfig"]
    assert request["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert request["AutoRollbackConfiguration"]["Alarms"]
    assert found.arguments("GoldenAfter")["Payload"]["routing"] == ROUTING


def test_the_same_version_as_one_model_has_another_name(
    definition: dict[str, Any], surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    several = begun(definition, walk).arguments("CreateModel")["ModelName"]
    whole = begun(definition_with(surroundings, place), walk).arguments("CreateModel")
    assert whole["ModelName"] != several
    assert whole["Containers"] == [{"ModelPackageName": PACKAGE}]


def test_an_archive_that_is_no_set_touches_no_endpoint_and_loses_its_approval(
    definition: dict[str, Any], walk: Any
) -> None:
    told = json.dumps({"errorType": "BadSet", "errorMessage": "segments.json is missing"})
    answers = any_answers(DescribePackage=DESCRIBED, UnpackModels=[{"error": "BadSet", "cause": told}])
    found = walk(definition, GIVEN, answers)
    assert (found.status, found.error) == ("FAILED", "BadSet")
    assert found.arguments("RejectPackage")["ModelApprovalStatus"] == "Rejected"
    assert not {"CreateModel", "CreateEndpoint", "UpdateEndpoint"} & set(found.path)
