from __future__ import annotations

import json
import textwrap
import time
from typing import Any

import pytest

from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

COPY = textwrap.dedent(
    """
    import argparse, json, os, pathlib
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path)
    arguments = parser.parse_args()
    names = sorted(p.relative_to(arguments.data).as_posix() for p in arguments.data.rglob("*") if p.is_file())
    (arguments.output / "deep").mkdir()
    (arguments.output / "deep" / "result.json").write_text(json.dumps({"names": names, "env": dict(os.environ)}))
    """
)
ARGUMENTS = ["--data", "/opt/ml/processing/input/data", "--output=/opt/ml/processing/output"]


def test_runs_the_entry_point_with_re_rooted_paths(lab: Lab) -> None:
    lab.put("test/part 1.parquet", "1")
    lab.put("test/other.parquet", "2")
    manifest = lab.put("test.manifest", json.dumps([{"prefix": f"s3://{lab.bucket}/"}, "test/part 1.parquet"]))

    job = lab.process(
        COPY, ProcessingInputs=[lab.processing_input("data", manifest, "ManifestFile")], arguments=ARGUMENTS
    )

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    result = json.loads(lab.read(f"s3://{lab.bucket}/{job['ProcessingJobName']}/out/deep/result.json"))
    assert result["names"] == ["test/part 1.parquet"]
    assert not [name for name in result["env"] if name.startswith("SM_")]
    assert [name for name in result["env"] if name.startswith("AWS_")] == ["AWS_REGION"]
    assert job["ProcessingEndTime"] >= job["ProcessingStartTime"]


def test_publishes_what_it_uses_of_its_machine(lab: Lab) -> None:
    """At least the memory that it holds, as a share of the 8 GiB that its machine would have."""
    job = lab.process("import time; kept = bytearray(200 << 20); time.sleep(1.5)")

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    host, now = f"{job['ProcessingJobName']}/algo-1", time.time()

    def values(name: str) -> list[float]:
        metric = {
            "Namespace": "/aws/sagemaker/ProcessingJobs",
            "MetricName": name,
            "Dimensions": [{"Name": "Host", "Value": host}],
        }
        query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
        found = lab.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query], StartTime=now - 900, EndTime=now + 60
        )
        return [float(value) for value in found["MetricDataResults"][0]["Values"]]

    (memory,) = wait_for(lambda: values("MemoryUtilization"))
    assert 200 / 8192 * 100 < memory < 2 * 200 / 8192 * 100
    (processors,) = values("CPUUtilization")
    assert 0 < processors <= 200


def test_the_message_file_is_the_reason_of_a_failure(lab: Lab) -> None:
    script = textwrap.dedent(
        """
        import pathlib, sys
        root = pathlib.Path(__file__).parents[3]
        (root / "output" / "message").write_text("the test split is empty")
        print("detail for the log"); sys.exit(3)
        """
    )

    job = lab.process(script)

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: the test split is empty, exit code: 3"
    assert job["ExitMessage"] == "the test split is empty"
    assert lab.keys(f"{job['ProcessingJobName']}/out") == []
    assert "detail for the log" in lab.log("/aws/sagemaker/ProcessingJobs", f"{job['ProcessingJobName']}/")


def test_without_a_message_the_last_words_are_the_reason(lab: Lab) -> None:
    job = lab.process("raise RuntimeError('lost')")

    assert "RuntimeError: lost" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")


def test_a_hanging_job_is_ended_at_its_limit(lab: Lab) -> None:
    job = lab.process("import time; time.sleep(600)", StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert job["ProcessingJobStatus"] == "Stopped"
    assert job["ExitMessage"] == "MaxRuntimeExceeded"


def test_a_job_can_be_stopped(lab: Lab) -> None:
    request = lab.processing_request("import time; time.sleep(600)")
    name = request["ProcessingJobName"]
    lab.sagemaker.create_processing_job(**request)
    wait_for(lambda: "ProcessingStartTime" in lab.sagemaker.describe_processing_job(ProcessingJobName=name))

    lab.sagemaker.stop_processing_job(ProcessingJobName=name)

    assert lab.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_what_a_job_leaves_running_ends_with_it(lab: Lab) -> None:
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"

    job = lab.process(script)

    assert job["ProcessingJobStatus"] == "Completed"


@pytest.mark.parametrize(
    ("granted", "denied"),
    [((allow("s3:ListBucket"),), "s3:GetObject"), ((allow("s3:ListBucket", "s3:GetObject"),), "s3:PutObject")],
    ids=["read", "write"],
)
def test_a_role_without_a_grant_fails_the_job_with_the_denial(
    lab: Lab, granted: tuple[dict[str, Any], ...], denied: str
) -> None:
    lab.put("data/x.csv", "1")
    data = lab.processing_input("data", f"s3://{lab.bucket}/data/")

    job = lab.process(COPY, ProcessingInputs=[data], arguments=ARGUMENTS, RoleArn=lab.role_with(*granted))

    assert job["ProcessingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]
    assert denied in job["FailureReason"]


def test_inputs_have_places_of_their_own_below_the_processing_folder(lab: Lab) -> None:
    request = lab.processing_request("pass")
    request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/opt/ml/../etc"

    code, message = error_of(lambda: lab.sagemaker.create_processing_job(**request))

    assert (code, "must be below /opt/ml/processing" in message) == ("ValidationException", True)


def test_a_job_that_is_not_there_is_not_found_as_aws_says_it(lab: Lab) -> None:
    call = lab.sagemaker.describe_processing_job

    assert error_of(lambda: call(ProcessingJobName="missing")) == (
        "ValidationException",
        "Could not find requested job with name: missing",
    )


def test_lists_jobs_by_name_and_page(lab: Lab) -> None:
    names = [lab.process("pass")["ProcessingJobName"] for _ in range(3)]
    wanted = {"NameContains": lab.name, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 2}

    first = lab.sagemaker.list_processing_jobs(**wanted)
    second = lab.sagemaker.list_processing_jobs(**wanted, NextToken=first["NextToken"])

    listed = [each["ProcessingJobName"] for page in (first, second) for each in page["ProcessingJobSummaries"]]
    assert listed == names[::-1]
    assert "NextToken" not in second
    assert lab.sagemaker.list_processing_jobs(**wanted, StatusEquals="Failed")["ProcessingJobSummaries"] == []
