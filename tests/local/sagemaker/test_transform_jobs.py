from __future__ import annotations

from typing import Any

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
