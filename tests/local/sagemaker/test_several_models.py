"""Endpoints of several models: loaded when they are asked for, dropped when there are too many, read by the role."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from local.server.sagemaker.endpoints.several_models import MOST_LOADED
from tests.local.sagemaker.conftest import XGBOOST, Lab, allow, archive, error_of, wait_for

SCRIPT = """
import json, os
from pathlib import Path
def model_fn(model_dir):
    name = Path(model_dir, "name").read_text()
    if name == "broken": raise RuntimeError("broken on purpose")
    return name
def input_fn(body, content_type): return json.loads(body)
def predict_fn(data, model): return {"model": model, "pid": os.getpid()}
def output_fn(prediction, accept): return json.dumps(prediction)
"""
NAMES = ("a", "b", "c", "d", "e", "broken")


class Several:
    """Models below a prefix, and how to serve them."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.folder = lab, lab.unique("set")
        for name in NAMES:
            lab.put(f"{self.folder}/models/{name}.tar.gz", archive({"name": name}))
        self.code = lab.put(f"{self.folder}/code/sourcedir.tar.gz", archive({"inference.py": SCRIPT}))
        self.prefix = f"s3://{lab.bucket}/{self.folder}/models/"

    def model(self, role: str | None = None, **changed: Any) -> str:
        """Makes a model of them; returns its name."""
        name = self.lab.unique("model")
        container = {
            "Image": XGBOOST,
            "Mode": "MultiModel",
            "ModelDataUrl": self.prefix,
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": self.code},
            **changed,
        }
        self.lab.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role or self.lab.role, Containers=[container])
        return name


@pytest.fixture(scope="module")
def lab(local_server: Any) -> Iterator[Lab]:
    laboratory = Lab(local_server)
    yield laboratory
    laboratory.close()


@pytest.fixture(scope="module")
def several(lab: Lab) -> Several:
    return Several(lab)


@pytest.fixture(scope="module")
def endpoint(lab: Lab, several: Several) -> str:
    return lab.endpoint(lab.config(several.model()))


def asked(lab: Lab, endpoint: str, name: str) -> tuple[str, int]:
    """The model that answered, and its process."""
    answer = lab.invoke(endpoint, {}, TargetModel=f"{name}.tar.gz")["json"]
    return answer["model"], answer["pid"]


def test_each_request_is_answered_by_the_model_that_it_names(lab: Lab, endpoint: str) -> None:
    first, again = asked(lab, endpoint, "a"), asked(lab, endpoint, "a")
    assert first == again and first[0] == "a"
    assert asked(lab, endpoint, "b")[0] == "b"
    wait_for(lambda: lab.metric(endpoint, "Invocations") == 3)
    assert lab.metric(endpoint, "ModelCacheHit") == 1
    assert lab.metric(endpoint, "ModelLoadingWaitTime", "SampleCount") == 2


def test_the_model_that_was_not_asked_for_longest_makes_room(lab: Lab, endpoint: str) -> None:
    pids = {name: asked(lab, endpoint, name)[1] for name in NAMES[:MOST_LOADED]}
    asked(lab, endpoint, "a")
    asked(lab, endpoint, NAMES[MOST_LOADED])
    assert asked(lab, endpoint, "a")[1] == pids["a"]
    assert asked(lab, endpoint, "b")[1] != pids["b"]


def test_requests_at_once_load_a_model_once(lab: Lab, several: Several, endpoint: str) -> None:
    lab.put(f"{several.folder}/models/late.tar.gz", archive({"name": "late"}))
    found: list[tuple[str, int]] = []
    asking = [threading.Thread(target=lambda: found.append(asked(lab, endpoint, "late"))) for _ in range(4)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert len(found) == 4 and len(set(found)) == 1


def test_what_no_model_can_answer_is_refused(lab: Lab, endpoint: str) -> None:
    code, text = error_of(lambda: asked(lab, endpoint, "nobody"))
    assert code == "ValidationError" and "Failed to download model data(bucket: " in text
    code, text = error_of(lambda: asked(lab, endpoint, "../models/a"))
    assert code == "ValidationError" and "leads out of the prefix" in text
    code, text = error_of(lambda: lab.invoke(endpoint, {}))
    assert code == "ValidationError" and "give TargetModel" in text
    code, text = error_of(lambda: asked(lab, endpoint, "broken"))
    assert code == "ModelError" and "did not load" in text
    single = lab.endpoint(lab.config(lab.model()))
    _, text = error_of(lambda: asked(lab, single, "a"))
    assert text == f"Endpoint {single} is not a multi-model endpoint and does not support target model header."


def test_models_are_read_under_the_role_of_the_endpoint(lab: Lab, several: Several) -> None:
    place = f"arn:aws:s3:::{lab.bucket}"
    role = lab.role_with(allow("s3:ListBucket", on=place), allow("s3:GetObject", on=f"{place}/{several.folder}/code/*"))
    _, text = error_of(lambda: asked(lab, lab.endpoint(lab.config(several.model(role))), "a"))
    assert "the role passed to CreateModel has permissions" in text
    blind = lab.role_with(allow("s3:ListBucket", on=place))
    failed = lab.settled(lab.start_endpoint(lab.config(several.model(blind))))
    assert failed["EndpointStatus"] == "Failed" and "did not pass the ping" in failed["FailureReason"]


def test_what_such_endpoints_lack_is_refused(lab: Lab, several: Several) -> None:
    name = several.model()
    variant = {"VariantName": "primary", "ModelName": name, "InstanceType": "ml.m5.large"}
    shadow = {**variant, "VariantName": "shadow", "InitialInstanceCount": 1, "InitialVariantWeight": 1.0}
    _, text = error_of(lambda: lab.config("", ProductionVariants=[variant], ShadowProductionVariants=[shadow]))
    assert "shadow variants are not supported for multi-model endpoints" in text
    on_demand = {
        "VariantName": "primary",
        "ModelName": name,
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
    }
    _, text = error_of(lambda: lab.config("", ProductionVariants=[on_demand]))
    assert "a multi-model container is not supported for serverless endpoints" in text
    _, text = error_of(lambda: several.model(ModelDataUrl=f"s3://{lab.bucket}/nothing/"))
    assert "Could not find model data" in text
