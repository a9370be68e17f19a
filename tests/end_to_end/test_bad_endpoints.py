"""Models that do not load, do not start to serve or answer otherwise when they serve: the old one serves on."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gapless_lambda.statement import OF_SIGNATURE
from gapless_sagemaker.artefact import open_artefact
from local.executions import SUCCEEDED, Execution, execution_arns
from local.predict import golden_request, predict
from local.story.sabotage import with_code
from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import Live, eventually

HARMLESS = """

# another archive
"""
NEVER_LOADS = """

def model_fn(model_dir):
    raise RuntimeError("the model is in another country")
"""
NEVER_SERVES = """

import os
_load = model_fn

def model_fn(model_dir):
    if "SAGEMAKER_PROGRAM" in os.environ:
        raise RuntimeError("not in front of everybody")
    return _load(model_dir)
"""
SERVES_OTHERWISE = """

import os
_predict = predict_fn

def predict_fn(instances, model):
    predictions = _predict(instances, model)
    if "SAGEMAKER_PROGRAM" in os.environ:
        return [{**each, "probability": 1 - each["probability"]} for each in predictions]
    return predictions
"""


def approve_changed(live: Live, demo: Demo, more: str, scratch: Path, *, tampered: bool = False) -> str:
    """Sign, register and approve the model that serves with other code, as if it had passed the gate; returns its ARN.

    Args:
        tampered: Puts another archive in the place of the signed one.
    """
    assert demo.second.package is not None
    client = live.client("sagemaker")
    package = client.describe_model_package(ModelPackageName=demo.second.package.arn)
    container = package["InferenceSpecification"]["Containers"][0]
    run_id = f"{uuid.uuid4().hex[:16]}-1"
    archive = scratch / f"{run_id}.tar.gz"
    archive.write_bytes(with_code(live.read(container["ModelDataUrl"]), more))
    uri = f"{live.zone('artefacts')}training/{run_id}/output/model.tar.gz"
    live.write(uri, archive.read_bytes())
    opened = open_artefact(archive, scratch / run_id)
    properties = {
        **{name: package["CustomerMetadataProperties"][name] for name in ("dataset_version", "bundle", "commit")},
        "run_id": run_id,
        "model_sha256": opened.sha256,
    }
    event = {
        "properties": properties,
        "containers": [{**_given(container), "ModelDataUrl": uri}],
        "evaluated": {
            "model_uri": uri,
            "archive_sha256": opened.archive_sha256,
            "evaluation_uri": package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"],
        },
    }
    signed = json.loads(live.invoke("SigningSign", event)[0])
    if tampered:
        live.write(signed["containers"][0]["ModelDataUrl"], live.read(container["ModelDataUrl"]))
    made = client.create_model_package(
        ModelPackageGroupName=live.outputs.model_package_group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            **package["InferenceSpecification"],
            "Containers": signed["containers"],
        },
        CustomerMetadataProperties={
            **properties,
            **{name: signed[name] for name in OF_SIGNATURE},
        },
    )
    return str(made["ModelPackageArn"])


def _given(container: dict[str, Any]) -> dict[str, Any]:
    return {name: container[name] for name in ("Image", "Environment")}


def deployment_of(live: Live, package_arn: str) -> Execution:
    """Wait for the end of the deployment that an approval set off."""
    states = live.client("stepfunctions")
    found: list[str] = []

    def look() -> bool:
        arns = execution_arns(live.platform.aws, live.outputs.deployment_machine_arn)
        inputs = ((arn, json.loads(states.describe_execution(executionArn=arn)["input"])) for arn in arns)
        found[:] = [arn for arn, given in inputs if given["model_package_arn"] == package_arn]
        return bool(found)

    eventually(look, f"the deployment of {package_arn}", seconds=60)
    return live.end_of("deployment", found[0])


def endpoint(live: Live) -> dict[str, Any] | None:
    """What SageMaker says of the endpoint; ``None`` if there is none."""
    try:
        found: dict[str, Any] = live.client("sagemaker").describe_endpoint(EndpointName=live.outputs.endpoint_name)
    except ClientError as error:
        assert "Could not find" in str(error)
        return None
    del found["ResponseMetadata"]
    return found


def states_of(execution: Execution) -> set[str]:
    return {state.name for state in execution.states}


@dataclass(frozen=True)
class Deployed:
    """A deployment, the endpoint that it left, and what that answers if it serves."""

    execution: Execution
    endpoint: dict[str, Any] | None
    answer: Any


@dataclass(frozen=True)
class Story:
    """Deployments in the order in which they happened; the models of the demonstration are good, all others bad."""

    before: Deployed
    tampered: Deployed
    never_loads: Deployed
    never_serves: Deployed
    serves_otherwise: Deployed
    first_never_serves: Deployed
    first_serves_otherwise: Deployed
    first_good: Deployed
    good_again: Deployed


class Deployments:
    """Approves and deploys, one model after the other, and looks at the endpoint after each."""

    def __init__(self, live: Live, demo: Demo, scratch: Path) -> None:
        self._live, self._demo, self._scratch = live, demo, scratch

    def see(self, execution: Execution) -> Deployed:
        """What a deployment has left."""
        eventually(lambda: (endpoint(self._live) or {}).get("EndpointStatus") != "Deleting", "the end of the endpoint")
        found, request = endpoint(self._live), golden_request(self._live.settings)
        serves = found is not None and found["EndpointStatus"] == "InService"
        answer = predict(self._live.platform.aws, self._live.outputs, request).response if serves else None
        return Deployed(execution, found, answer)

    def approve(self, more: str, *, tampered: bool = False) -> Deployed:
        """Approve a model with more code, which sets off its deployment."""
        arn = approve_changed(self._live, self._demo, more, self._scratch, tampered=tampered)
        return self.see(deployment_of(self._live, arn))

    def deploy_good(self) -> Deployed:
        """Deploy the second model of the demonstration."""
        assert self._demo.second.package is not None
        return self.see(self._live.run("deployment", {"model_package_arn": self._demo.second.package.arn}))

    def delete_endpoint(self) -> None:
        """Let nothing serve."""
        self._live.client("sagemaker").delete_endpoint(EndpointName=self._live.outputs.endpoint_name)
        eventually(lambda: endpoint(self._live) is None, "the end of the endpoint")


@pytest.fixture(scope="module")
def story(live: Live, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Four bad models come while a good one serves, two more while none does, and a good one twice."""
    deployments = Deployments(live, demo, tmp_path_factory.mktemp("archives"))
    deployed = demo.second.of("deployment")
    assert deployed is not None
    before = deployments.see(deployed)
    tampered = deployments.approve(HARMLESS, tampered=True)
    never_loads = deployments.approve(NEVER_LOADS)
    never_serves = deployments.approve(NEVER_SERVES)
    serves_otherwise = deployments.approve(SERVES_OTHERWISE)
    deployments.delete_endpoint()
    return Story(
        before,
        tampered,
        never_loads,
        never_serves,
        serves_otherwise,
        first_never_serves=deployments.approve(NEVER_SERVES),
        first_serves_otherwise=deployments.approve(SERVES_OTHERWISE),
        first_good=deployments.deploy_good(),
        good_again=deployments.deploy_good(),
    )


def assert_failed(live: Live, deployed: Deployed, error: str, says: str) -> None:
    """The message says what happened, on call too, and the input is kept."""
    execution = deployed.execution
    assert (execution.status, execution.error) == ("FAILED", error), execution.cause
    assert says in str(execution.cause)
    notice = live.on_call.told_of(execution)
    assert (notice["machine"], notice["error"]) == ("deployment", error)
    assert notice["input"]["model_package_arn"] == execution.input["model_package_arn"]
    assert live.record(f"deployment#{execution.name}")["status"] == "failed"
    package = live.client("sagemaker").describe_model_package(ModelPackageName=execution.input["model_package_arn"])
    assert package["ModelApprovalStatus"] == "Rejected"
    assert package["ApprovalDescription"].startswith(f"{error}: ")


def assert_untouched(deployed: Deployed, before: Deployed) -> None:
    """The endpoint serves the configuration and answers as it did before."""
    assert deployed.endpoint is not None
    assert before.endpoint is not None
    for member in ("EndpointStatus", "EndpointConfigName"):
        assert deployed.endpoint[member] == before.endpoint[member]
    assert deployed.answer == before.answer


def test_a_model_that_is_not_what_was_signed_is_stopped_before_anything_else(live: Live, story: Story) -> None:
    """Not even the golden requests are asked."""
    assert_failed(live, story.tampered, "ArtefactTampered", "signed is")
    assert live.on_call.told_of(story.tampered.execution)["state"] == "VerifyModel"
    assert not states_of(story.tampered.execution) & {"GoldenBefore", "CreateModel", "UpdateEndpoint"}
    assert_untouched(story.tampered, story.before)


def test_a_model_that_does_not_load_is_stopped_before_the_endpoint_is_touched(live: Live, story: Story) -> None:
    """By the golden requests."""
    assert_failed(live, story.never_loads, "GoldenFailed", "the model is in another country")
    assert live.on_call.told_of(story.never_loads.execution)["state"] == "GoldenBefore"
    assert not states_of(story.never_loads.execution) & {"CreateEndpointConfig", "UpdateEndpoint"}
    assert_untouched(story.never_loads, story.before)


def test_a_container_that_does_not_answer_its_ping_is_not_updated_to(live: Live, story: Story) -> None:
    """SageMaker rolls back by itself; the machine notices."""
    assert_failed(live, story.never_serves, "SilentRollback", "did not pass the ping health check")
    assert_untouched(story.never_serves, story.before)


def test_a_model_that_answers_otherwise_when_it_serves_is_taken_back(live: Live, story: Story) -> None:
    """By the golden requests to the endpoint."""
    assert_failed(live, story.serves_otherwise, "GoldenMismatch", "golden requests:")
    assert {"GoldenAfter", "RestorePrevious"} <= states_of(story.serves_otherwise.execution)
    assert_untouched(story.serves_otherwise, story.before)


@pytest.mark.parametrize(
    ("which", "error", "says"),
    [
        ("first_never_serves", "EndpointFailed", "did not pass the ping health check"),
        ("first_serves_otherwise", "GoldenMismatch", "golden requests:"),
    ],
)
def test_a_first_deployment_that_fails_leaves_no_endpoint(
    live: Live, story: Story, which: str, error: str, says: str
) -> None:
    """Neither one that failed nor one that answers wrongly."""
    deployed: Deployed = getattr(story, which)
    assert_failed(live, deployed, error, says)
    assert "CreateEndpoint" in states_of(deployed.execution)
    assert deployed.endpoint is None


def test_a_good_model_can_be_deployed_after_bad_ones(story: Story) -> None:
    """Under the configuration that it had before, since that is named by its content."""
    assert story.first_good.execution.status == SUCCEEDED, story.first_good.execution.cause
    assert story.first_good.execution.output["config"] == story.before.execution.output["config"]
    assert story.first_good.answer == story.before.answer


def test_deploying_a_model_that_serves_changes_nothing(story: Story) -> None:
    """It is asked its golden requests once more, that is all."""
    assert story.good_again.execution.status == SUCCEEDED, story.good_again.execution.cause
    assert not states_of(story.good_again.execution) & {"CreateEndpoint", "UpdateEndpoint"}
    assert story.good_again.endpoint == story.first_good.endpoint
    assert story.good_again.execution.output == story.first_good.execution.output


def test_no_lease_and_no_message_is_left(live: Live, story: Story) -> None:
    """Every approval was handled once."""
    assert live.lease() is None
    eventually(live.intake_is_empty, "an empty intake")
