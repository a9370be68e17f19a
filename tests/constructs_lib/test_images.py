import importlib.resources
import json
import re
from typing import Any

import botocore.session
import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template
from sagemaker.core import image_uris

from constructs_lib.images import DATA_WRANGLER, DATA_WRANGLER_REGISTRIES, FrameworkImage, Image
from constructs_lib.names import framework_images
from constructs_lib.names.frameworks import IMAGES, IN_PROCESS, TRANSFORM_MACHINES, can_transform, processor_of
from tests.constructs_lib.names.framework_images import VERSIONS, images

EVERY_IMAGE = [(*key.split(), image) for key, image in framework_images.IMAGES.items()]
MACHINES = {"cpu": "ml.m5.large", "gpu": "ml.g5.xlarge"}


def test_the_table_is_the_one_of_the_sagemaker_sdk() -> None:
    known = {f"{name} {scope} {processor}": image for name, scope, processor, image in images()}
    made = {
        key: (framework_images.REGISTRIES[number], repository, tag)
        for key, (number, repository, tag) in framework_images.IMAGES.items()
    }
    assert made == known


@pytest.mark.parametrize(("name", "scope", "processor", "image"), EVERY_IMAGE)
def test_an_image_has_the_address_that_the_sagemaker_sdk_finds(
    name: str, scope: str, processor: str, image: tuple[int, str, str]
) -> None:
    framework, _, version = name.partition(":")
    below = VERSIONS[framework][version][scope]
    python = re.search(r"py3\d*", image[2])
    found = image_uris.retrieve(
        "sklearn" if framework == "scikit-learn" else framework,
        "eu-west-1",
        version=version if framework == "huggingface" else below,
        image_scope=scope,
        instance_type=MACHINES[processor],
        py_version=python[0] if python else None,
        base_framework_version=below if framework == "huggingface" else None,
    )
    number, repository, tag = image
    assert (
        found
        == f"{framework_images.REGISTRIES[number]['eu-west-1']}.dkr.ecr.eu-west-1.amazonaws.com/{repository}:{tag}"
    )


@pytest.mark.parametrize("name", IMAGES)
def test_what_trains_can_be_served(name: str) -> None:
    assert {scope for key, scope, _, _ in EVERY_IMAGE if key == name} == {"training", "inference"}
    if name.partition(":")[0] in IN_PROCESS:
        assert framework_images.IMAGES[f"{name} training cpu"] == framework_images.IMAGES[f"{name} inference cpu"]


def test_machines_that_transform_are_those_that_sagemaker_knows() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    known = model.shape_for("TransformInstanceType").enum
    assert {f"ml.{family}.{size}" for family, sizes in TRANSFORM_MACHINES.items() for size in sizes} == set(known)
    assert can_transform("ml.m5.large") and not can_transform("ml.t2.medium")


@pytest.mark.parametrize(
    ("machine", "processor"),
    [
        ("ml.m5.large", "cpu"),
        ("ml.g5.xlarge", "gpu"),
        ("ml.g4dn.xlarge", "gpu"),
        ("ml.p4d.24xlarge", "gpu"),
        ("ml.c7g.large", None),
        ("ml.m6gd.large", None),
        ("ml.g5g.xlarge", None),
        ("ml.inf2.xlarge", None),
        ("ml.trn1.2xlarge", None),
    ],
)
def test_tells_a_machine_s_processor(machine: str, processor: str | None) -> None:
    assert processor_of(machine) == processor


def test_data_wrangler_s_table_is_the_one_of_the_sagemaker_sdk() -> None:
    text = importlib.resources.files("sagemaker.core").joinpath("image_uri_config/data-wrangler.json").read_text()
    versions: dict[str, Any] = json.loads(text)["processing"]["versions"]
    repository, tag = DATA_WRANGLER
    assert versions[tag] == {"registries": DATA_WRANGLER_REGISTRIES, "repository": repository}
    assert tag == max(versions)


def test_reads_a_framework_and_its_version() -> None:
    assert Image.parse("xgboost:3.2-0") == Image("xgboost", "3.2-0")
    serving = Image.parse("pytorch:2.6.0", "inference", "gpu")
    assert (serving.repository, serving.tag) == ("pytorch-inference", "2.6.0-gpu-py312")


@pytest.mark.parametrize("text", ["mxnet:1.9", "xgboost:9", "xgboost"])
def test_refuses_an_image_that_does_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match=r"image must be one of xgboost:3\.0-5, .*, got: "):
        Image.parse(text)


def test_refuses_a_processor_that_there_is_no_image_for() -> None:
    with pytest.raises(ValueError, match=r"there is no image of huggingface:4\.49\.0 for training with a cpu"):
        Image.parse("huggingface:4.49.0")


def test_finds_the_image_in_whatever_region_it_is_deployed_to(stack: Stack) -> None:
    image = FrameworkImage(stack, "Image", image=Image("xgboost", "3.2-0"))
    template = Template.from_stack(stack).to_json()
    (table,) = template["Mappings"].values()
    assert table["eu-west-1"] == {"account": "141502667606"}
    uri = json.dumps(stack.resolve(image.uri))
    assert '{"Ref": "AWS::Region"}' in uri and '{"Ref": "AWS::URLSuffix"}' in uri
    assert "sagemaker-xgboost:3.2-0" in uri
