"""A workload without a line of training code: one of SageMaker's algorithms goes the whole way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from typing import Any

import pytest

from local.chain import Chain
from local.landing import last_landed
from tests.end_to_end.live import ROOT, Live
from tests.end_to_end.second_project import of_workload

WORKLOAD = "seattle_temperature"


@pytest.fixture(scope="module")
def seattle(live: Live) -> Live:
    return of_workload(live, WORKLOAD)


@pytest.fixture(scope="module")
def chain(seattle: Live, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """What the batch that the workload's own script writes has set off."""
    folder = tmp_path_factory.mktemp("batch")
    script = ROOT / "workloads" / WORKLOAD / "batch.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=600)
    seattle.command("land", "--files", str(folder))
    return seattle.chain_of(last_landed(seattle.settings).key)


def containers_of(live: Live) -> list[dict[str, Any]]:
    """The containers of the model that serves."""
    arn = live.record(f"live#{WORKLOAD}")["model_package_arn"]
    package = live.client("sagemaker").describe_model_package(ModelPackageName=arn)
    found: list[dict[str, Any]] = package["InferenceSpecification"]["Containers"]
    return found


def archive_of(live: Live, container: dict[str, Any]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(live.read(container["ModelDataUrl"]))) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_a_regression_gets_from_landed_files_to_a_served_prediction(seattle: Live, chain: Chain) -> None:
    assert chain.outcome() == "deployed", chain
    warm, cold = (
        json.loads(seattle.command("predict", "--set", f"last_temp_max={degrees}").splitlines()[0])["predictions"]
        for degrees in (30, 10)
    )
    assert warm[0]["value"] > cold[0]["value"] + 5


def test_what_serves_is_the_algorithm_between_two_adapters(seattle: Live, chain: Chain) -> None:
    request, algorithm, answer = containers_of(seattle)
    assert "/linear-learner@sha256:" in algorithm["Image"]
    assert request["Image"] == answer["Image"] and "/sagemaker-scikit-learn@sha256:" in request["Image"]
    assert request["ModelDataUrl"] == answer["ModelDataUrl"]
    assert list(archive_of(seattle, algorithm)) == ["model.json"]
    encoding = json.loads(archive_of(seattle, request)["encoding.json"])
    weather = next(feature for feature in encoding["features"] if feature["name"] == "last_weather")
    assert weather["categories"] == ["drizzle", "fog", "rain", "snow", "sun"]


def test_the_run_s_record_says_what_followed_from_the_encoded_split(seattle: Live, chain: Chain) -> None:
    record = seattle.record(f"model#{chain.run_id}")
    told = json.loads(record["hyperparameters"])
    assert told["predictor_type"] == "regressor"
    assert told["epochs"] == "30"
    assert int(told["feature_dim"]) > 8


def test_the_endpoint_was_asked_what_a_transform_could_not_be(seattle: Live, chain: Chain) -> None:
    """And has refused it: it would not be in the place of the last one otherwise."""
    (golden,) = seattle.uris(f"{seattle.zone('artefacts')}golden/")
    *answered, words = seattle.read_json(golden)["cases"]
    assert [case["passed"] for case in answered] == [True, True, True]
    assert (words["passed"], words["refusal"]) == (None, "last_temp_max")


def test_models_and_jobs_that_only_scored_leave_no_model_behind(seattle: Live, chain: Chain) -> None:
    models = seattle.client("sagemaker").list_models(NameContains="seattle-temperature")["Models"]
    assert [model["ModelName"] for model in models] == [seattle.record(f"live#{WORKLOAD}")["model"]]
