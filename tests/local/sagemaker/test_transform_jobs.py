from __future__ import annotations

import json
from typing import Any

import pytest

from local.server.sagemaker.jobs import records
from tests.local.sagemaker.conftest import Lab, error_of, wait_for

LINES = """
def model_fn(model_dir): return None
def input_fn(body, content_type):
    if "wrong" in body: raise ValueError("wrong value")
    return body.splitlines()
def predict_fn(data, model): return [str(sum(float(cell) for cell in line.split(","))) for line in data]
def output_fn(prediction, accept): return "\\n".join(prediction)
"""


def transform(lab: Lab, **changes: Any) -> Any:
    name = lab.unique("transform")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{lab.bucket}/in/"}
    lab.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=lab.model(LINES),
        TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv", **changes},
        TransformOutput={"S3OutputPath": f"s3://{lab.bucket}/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )

    def done() -> Any:
        job = lab.sagemaker.describe_transform_job(TransformJobName=name)
        return job if job["TransformJobStatus"] != "InProgress" else None

    return wait_for(done)


def test_answers_every_line_of_every_object(lab: Lab) -> None:
    lab.put("in/a.csv", "1,2\n3,4\n")
    lab.put("in/deep/b.csv", "5,6\n")

    job = transform(lab, SplitType="Line")

    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert lab.read(f"s3://{lab.bucket}/out/a.csv.out") == b"3.0\n7.0\n"
    assert lab.read(f"s3://{lab.bucket}/out/deep/b.csv.out") == b"11.0\n"


def test_a_record_that_the_model_refuses_fails_the_job(lab: Lab) -> None:
    lab.put("in/a.csv", "1,wrong\n")

    job = transform(lab)

    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "ClientError: the model answered 400 for a.csv: wrong value"


def test_a_job_needs_a_model(lab: Lab) -> None:
    request = {
        "TransformJobName": lab.unique("transform"),
        "ModelName": "missing",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://x/y"}}},
        "TransformOutput": {"S3OutputPath": "s3://x/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }

    code, message = error_of(lambda: lab.sagemaker.create_transform_job(**request))

    assert (code, message.startswith("Could not find model")) == ("ValidationException", True)


PRICES = """
import json
def model_fn(model_dir): return None
def input_fn(body, content_type): return [json.loads(line) for line in body.splitlines()]
def predict_fn(data, model): return [{"price": each["size"] * 2} for each in data]
def output_fn(prediction, accept): return "\\n".join(json.dumps(each) for each in prediction)
"""
JOIN = {"InputFilter": "$.asked", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}


def priced(lab: Lab, strategy: str, *, instances: int = 1, **processing: str) -> tuple[Any, str]:
    """Transform two objects of JSON lines; gives the job and where the answers are."""
    folder = lab.unique("priced")
    for name, ids in (("a", (1, 2)), ("b", (3,))):
        lines = [json.dumps({"id": number, "asked": {"size": number}, "more": "ü"}) for number in ids]
        lab.put(f"{folder}/in/{name}.jsonl", "\n".join(lines))
    name = lab.unique("transform")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{lab.bucket}/{folder}/in/"}
    kind = "application/jsonlines"
    lab.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=lab.model(PRICES),
        BatchStrategy=strategy,
        TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": kind, "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://{lab.bucket}/{folder}/out", "AssembleWith": "Line", "Accept": kind},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": instances},
        DataProcessing={**JOIN, **processing},
    )

    def done() -> Any:
        job = lab.sagemaker.describe_transform_job(TransformJobName=name)
        return job if job["TransformJobStatus"] != "InProgress" else None

    return wait_for(done), f"s3://{lab.bucket}/{folder}/out/"


@pytest.mark.parametrize(("strategy", "instances"), [("SingleRecord", 2), ("MultiRecord", 1)])
def test_an_answer_stands_beside_what_was_asked(lab: Lab, strategy: str, instances: int) -> None:
    job, place = priced(lab, strategy, instances=instances)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    found = [json.loads(line) for name in ("a", "b") for line in lab.read(f"{place}{name}.jsonl.out").splitlines()]
    assert found == [{"id": number, "SageMakerOutput": {"price": 2 * number}} for number in (1, 2, 3)]


def test_a_record_without_what_is_asked_fails_the_job(lab: Lab) -> None:
    job, _ = priced(lab, "SingleRecord", InputFilter="$.missing")
    assert job["FailureReason"] == "ClientError: a.jsonl: the record has no missing"


def test_answers_without_join_are_filtered_alone(lab: Lab) -> None:
    job, place = priced(lab, "SingleRecord", JoinSource="None", OutputFilter="$.price")
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert lab.read(f"{place}a.jsonl.out") == b"2\n4\n"


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("$", {"a": 1}, {"a": 1}),
        ("$.a.b", {"a": {"b": 2}}, 2),
        ("$['a']", {"a": 1, "b": 2}, 1),
        ("$['a','b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        ("$[1:]", [1, 2, 3], [2, 3]),
        ("$[-1]", [1, 2, 3], 3),
        ("$[0,2]", [1, 2, 3], [1, 3]),
    ],
)
def test_a_path_finds_what_it_names(path: str, value: Any, found: Any) -> None:
    assert records.Path.parse(path).of(value) == found


def test_csv_is_joined_cell_by_cell() -> None:
    job = {
        "TransformInput": {"ContentType": "text/csv", "SplitType": "Line"},
        "TransformOutput": {"Accept": "text/csv", "AssembleWith": "Line"},
        "DataProcessing": {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    }
    processing = records.Processing.parse(job)
    assert processing is not None
    assert processing.request(b'7,"a,b",2') == b'"a,b",2\n'
    assert processing.result(b'7,"a,b",2', b"0.5") == b"7,0.5\n"
