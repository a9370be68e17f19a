import importlib.resources
import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from constructs_lib.images import DATA_WRANGLER, DATA_WRANGLER_REGISTRIES, REGISTRIES, FrameworkImage, Image
from constructs_lib.names.frameworks import VERSIONS

CONFIGS = {"xgboost": "xgboost", "scikit-learn": "sklearn", "data-wrangler": "data-wrangler"}


def sdk_versions(framework: str, scope: str) -> dict[str, Any]:
    """What the SageMaker SDK knows of a framework's images."""
    text = (
        importlib.resources.files("sagemaker.core").joinpath(f"image_uri_config/{CONFIGS[framework]}.json").read_text()
    )
    versions: dict[str, Any] = json.loads(text)[scope]["versions"]
    return versions


EACH_VERSION = [(framework, version) for framework, versions in VERSIONS.items() for version in versions]


@pytest.mark.parametrize(("framework", "version"), EACH_VERSION)
def test_the_table_is_the_one_of_the_sagemaker_sdk(framework: str, version: str) -> None:
    known = sdk_versions(framework, "training")[version]
    assert known["registries"] == REGISTRIES
    assert known["repository"] == Image(framework, version).repository


@pytest.mark.parametrize(("framework", "version"), [each for each in EACH_VERSION if each != ("scikit-learn", "1.4-2")])
def test_an_image_trains_and_serves(framework: str, version: str) -> None:
    assert sdk_versions(framework, "inference")[version] == sdk_versions(framework, "training")[version]


def test_data_wrangler_s_table_is_the_one_of_the_sagemaker_sdk() -> None:
    repository, tag = DATA_WRANGLER
    versions = sdk_versions("data-wrangler", "processing")
    assert versions[tag] == {"registries": DATA_WRANGLER_REGISTRIES, "repository": repository}
    assert tag == max(versions)


def test_tags_are_those_of_the_sdk() -> None:
    assert Image("xgboost", "3.2-0").tag == "3.2-0"
    assert Image("scikit-learn", "1.9-0").tag == "1.9-0-cpu-py3"
    known = sdk_versions("scikit-learn", "training")["1.9-0"]
    assert (known["processors"], known["py_versions"]) == (["cpu"], ["py3"])


def test_reads_a_framework_and_its_version() -> None:
    assert Image.parse("xgboost:3.2-0") == Image("xgboost", "3.2-0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pytorch:2.5", "framework of an image must be one of xgboost, scikit-learn, got: 'pytorch'"),
        ("xgboost:9", "version of xgboost must be one of 3.0-5, 3.2-0, got: '9'"),
        ("xgboost", "version of xgboost must be one of 3.0-5, 3.2-0, got: ''"),
    ],
)
def test_refuses_an_image_that_does_not_exist(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Image.parse(text)


def test_finds_the_image_in_whatever_region_it_is_deployed_to(stack: Stack) -> None:
    image = FrameworkImage(stack, "Image", image=Image("xgboost", "3.2-0"))
    template = Template.from_stack(stack).to_json()
    (table,) = template["Mappings"].values()
    assert table["eu-west-1"] == {"account": "141502667606"}
    uri = json.dumps(stack.resolve(image.uri))
    assert '{"Ref": "AWS::Region"}' in uri and '{"Ref": "AWS::URLSuffix"}' in uri
    assert "sagemaker-xgboost:3.2-0" in uri
