"""Models that are made by a container of the workload's own, and by a script of another framework."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest

from local.chain import Chain
from local.executions import RUNNING, Execution, execution_arns, read_execution
from tests.end_to_end.live import Live, eventually
from tests.end_to_end.second_project import land
from tests.everything.orders import order_batch

ORDER = {"amount": 12.5, "items": 8, "channel": "web", "region": "south"}


@pytest.fixture(scope="session")
def first(boxed: Live) -> Chain:
    """What its first batch set off."""
    return boxed.chain_of(land(boxed, order_batch(dt.date(2024, 3, 1), 10), "march"))


@pytest.fixture(scope="session")
def second(boxed: Live, first: Chain) -> Execution:
    """Another model of the same dataset, whose champion the first one is."""
    data, model = first.of("data"), first.of("model")
    assert data is not None and model is not None
    return boxed.run("model", {**model.input, "run_id": f"{model.input['run_id'][:-2]}-2"})


def states(execution: Execution | None) -> list[str]:
    assert execution is not None
    return [state.name for state in execution.states]


def asked(live: Live) -> Any:
    """What the endpoint answers for one order."""
    body = json.dumps({"instances": [ORDER]})
    answer = live.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=live.outputs.endpoint_name, ContentType="application/json", Body=body
    )
    (prediction,) = json.loads(answer["Body"].read())["predictions"]
    return prediction


def test_a_container_is_built_trained_scored_by_transform_and_served(boxed: Live, first: Chain) -> None:
    assert first.outcome() == "deployed", first
    ran = states(first.of("model"))
    assert ran.index("BuildImage") < ran.index("Train") < ran.index("Score") < ran.index("Evaluate")
    assert states(first.of("deployment")).count("Score") == 1
    assert asked(boxed)["probability"] > 0.5


def test_the_image_is_deployed_by_the_digest_that_the_run_s_record_keeps(boxed: Live, first: Chain) -> None:
    record = boxed.record(f"model#{first.run_id}")
    repository, _, digest = record["image"].partition("@")
    assert repository.endswith("/every-boxed-orders-images")
    (image,) = boxed.client("ecr").describe_images(repositoryName="every-boxed-orders-images")["imageDetails"]
    assert image["imageDigest"] == digest
    live = boxed.client("sagemaker").describe_endpoint(EndpointName=boxed.outputs.endpoint_name)
    (served,) = live["ProductionVariants"][0]["DeployedImages"]
    assert served["SpecifiedImage"] == record["image"]


def test_the_same_content_is_not_built_again_and_the_champion_answers_beside_the_challenger(
    boxed: Live, first: Chain, second: Execution
) -> None:
    assert second.status == "SUCCEEDED", (second.error, second.cause)
    assert "BuildImage" not in states(second)
    record = boxed.record(f"model#{second.input['run_id']}")
    evaluation = boxed.read_json(record["evaluation_uri"])
    before = boxed.read_json(boxed.record(f"model#{first.run_id}")["evaluation_uri"])
    assert evaluation["champion"]["metrics"]["auc"] == before["metrics"]["auc"] == evaluation["metrics"]["auc"]
    assert evaluation["model"]["sha256"] == before["model"]["sha256"]


def test_an_image_with_a_critical_finding_neither_trains_nor_serves(boxed: Live, second: Execution) -> None:
    (image,) = boxed.client("ecr").describe_images(repositoryName="every-boxed-orders-images")["imageDetails"]
    file = boxed.settings.state_dir / "ecr-findings.json"
    file.write_text(json.dumps({image["imageDigest"]: {"findings": [{"name": "CVE-2026-1", "severity": "CRITICAL"}]}}))
    try:
        trained = boxed.run("model", {**second.input, "run_id": f"{second.input['run_id'][:-2]}-3"})
        package = second.output["model_package_arn"]
        served = boxed.run("deployment", {"run_id": "scanned-1", "model_package_arn": package})
    finally:
        file.unlink()
    for done in (trained, served):
        assert (done.status, done.error) == ("FAILED", "ImageUnsafe"), (done.error, done.cause)
        assert "CVE-2026-1 (CRITICAL)" in str(done.cause)
    assert "Train" not in states(trained) and "CreateModel" not in states(served)
    described = boxed.client("sagemaker").describe_model_package(ModelPackageName=package)
    assert described["ModelApprovalStatus"] == "Rejected"


def test_models_that_only_scored_are_gone(boxed: Live, second: Execution) -> None:
    client = boxed.client("sagemaker")
    machine = boxed.outputs.machines["deployment"]
    package = second.output["model_package_arn"]

    def deployed_by_its_approval() -> Execution | None:
        arns = execution_arns(boxed.platform.aws, machine)
        runs = [read_execution(boxed.platform.aws, "deployment", arn) for arn in arns]
        mine = [run for run in runs if run.input["model_package_arn"] == package and run.input["run_id"] != "scanned-1"]
        return mine[0] if mine and all(run.status != RUNNING for run in runs) else None

    eventually(deployed_by_its_approval, f"the end of the deployment of {package}")
    names = [model["ModelName"] for model in client.list_models()["Models"]]
    mine = [name for name in names if name.startswith("every-boxed-orders-")]
    assert mine and all(name.startswith("every-boxed-orders-model-") for name in mine)


def test_a_script_of_scikit_learn_is_trained_evaluated_and_served(linear: Live, tuned: Chain) -> None:
    assert tuned.outcome() == "deployed", tuned
    record = linear.record(f"model#{tuned.run_id}")
    assert re.fullmatch(r".*/sagemaker-scikit-learn@sha256:[0-9a-f]{64}", record["image"])
    live = linear.client("sagemaker").describe_endpoint(EndpointName=linear.outputs.endpoint_name)
    (served,) = live["ProductionVariants"][0]["DeployedImages"]
    assert served["SpecifiedImage"] == record["image"]
    files = linear.read_json(record["evaluation_uri"])["model"]["files"]
    assert {file["path"]: file["kind"] for file in files}["model.json"] == "JSON"
    assert asked(linear)["probability"] > 0.5
