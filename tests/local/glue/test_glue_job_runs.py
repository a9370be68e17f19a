"""Glue jobs run their deployed script under their role."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import start_server
from tests.local.glue.conftest import Lake, allow, wait_for

SPARK_COPY = """
import sys
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

options = getResolvedOptions(sys.argv, ["JOB_NAME", "source_uri", "target_uri"])
spark = SparkSession.builder.getOrCreate()
rows = spark.read.option("header", True).csv(options["source_uri"])
rows.withColumn("twice", F.expr("try_cast(value AS INT)") * 2).write.mode("overwrite").parquet(options["target_uri"])
"""

ARGUMENTS = """
import json, sys
import boto3

boto3.client("s3").put_object(Bucket=sys.argv[sys.argv.index("--bucket") + 1], Key="out/argv.json",
                              Body=json.dumps(sys.argv[1:]).encode())
"""

RAISING = """
class BadBatch(Exception):
    pass

print("looking at the batch")
raise BadBatch("the batch names no source 'flights'")
"""

WAITING = """
import sys, threading
print("started", flush=True)
threading.Event().wait(100)
"""


def test_reads_and_writes_with_spark_under_its_role(lake: Lake) -> None:
    source = lake.put("in/rows.csv", "name,value\na,1\nb,x\n")
    job = lake.job(SPARK_COPY, *lake.read_grants("in/", "out/"), lake.write_grants("out/"))

    run = lake.finish(job, lake.start(job, source_uri=source, target_uri=f"s3://{lake.bucket}/out/rows/"))

    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert [key for key in lake.keys("out/rows/") if key.endswith(".parquet")]
    assert run["CompletedOn"] >= run["StartedOn"]
    assert run["ExecutionTime"] >= 1


def test_a_write_without_a_grant_fails_the_run(lake: Lake) -> None:
    source = lake.put("in/rows.csv", "name,value\na,1\n")
    job = lake.job(SPARK_COPY, *lake.read_grants("in/", "out/"))

    run = lake.finish(job, lake.start(job, source_uri=source, target_uri=f"s3://{lake.bucket}/out/rows/"))

    assert run["JobRunState"] == "FAILED"
    assert lake.keys("out/") == []


def test_a_read_without_a_grant_fails_the_run(lake: Lake) -> None:
    source = lake.put("in/rows.csv", "name,value\na,1\n")
    job = lake.job(SPARK_COPY, *lake.read_grants("out/"), lake.write_grants("out/"))

    run = lake.finish(job, lake.start(job, source_uri=source, target_uri=f"s3://{lake.bucket}/out/rows/"))

    assert run["JobRunState"] == "FAILED"


def test_encrypts_what_spark_writes_as_the_security_configuration_says(lake: Lake) -> None:
    key = lake.server.client("kms").create_key()["KeyMetadata"]["Arn"]
    rules = {"S3Encryption": [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": key}]}
    lake.glue.create_security_configuration(Name=lake.bucket, EncryptionConfiguration=rules)
    source = lake.put("in/rows.csv", "name,value\na,1\n")
    grants = (*lake.read_grants("in/", "out/"), lake.write_grants("out/"))
    with_key = lake.job(SPARK_COPY, *grants, allow("kms:GenerateDataKey", key), SecurityConfiguration=lake.bucket)
    without = lake.job(SPARK_COPY, *grants, SecurityConfiguration=lake.bucket)

    runs = [
        lake.finish(job, lake.start(job, source_uri=source, target_uri=f"s3://{lake.bucket}/out/{job}/"))
        for job in (with_key, without)
    ]

    assert [run["JobRunState"] for run in runs] == ["SUCCEEDED", "FAILED"]
    head = lake.s3.head_object(Bucket=lake.bucket, Key=lake.keys(f"out/{with_key}/")[0])
    assert head["SSEKMSKeyId"] == key


def test_an_unknown_security_configuration_is_refused(lake: Lake) -> None:
    with pytest.raises(ClientError) as refused:
        lake.start(lake.job("", SecurityConfiguration="missing"))

    assert refused.value.response["Error"]["Code"] == "EntityNotFoundException"


def test_passes_arguments_as_glue_does(lake: Lake) -> None:
    job = lake.job(
        ARGUMENTS,
        lake.write_grants("out/"),
        DefaultArguments={"--bucket": lake.bucket, "--colour": "red", "--shape": "round"},
        NonOverridableArguments={"--shape": "square"},
    )

    run_id = lake.start(job, colour="blue", shape="flat", text="two words")
    run = lake.finish(job, run_id)

    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    argv = json.loads(lake.read("out/argv.json"))
    given = dict(zip(argv[::2], argv[1::2], strict=True))
    assert given["--JOB_NAME"] == job
    assert given["--JOB_RUN_ID"] == run_id
    assert (given["--colour"], given["--shape"], given["--text"]) == ("blue", "square", "two words")
    assert run["Arguments"] == {"--colour": "blue", "--shape": "flat", "--text": "two words"}


def test_puts_extra_python_files_on_the_path(lake: Lake) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("packed/__init__.py", "NAME = 'packed'")
    places = [lake.put("code/packed.zip", archive.getvalue()), lake.put("code/plain.py", "NAME = 'plain'")]
    job = lake.job(
        "import packed, plain\nprint(packed.NAME, plain.NAME)", DefaultArguments={"--extra-py-files": ",".join(places)}
    )

    run_id = lake.start(job)

    assert lake.finish(job, run_id)["JobRunState"] == "SUCCEEDED"
    assert "packed plain" in lake.log("/aws-glue/jobs/output", run_id)


def test_a_script_sees_nothing_of_the_checkout(lake: Lake) -> None:
    job = lake.job("import local")

    run = lake.finish(job, lake.start(job))

    assert run["ErrorMessage"] == "ModuleNotFoundError: No module named 'local'"


def test_an_exception_fails_the_run_with_its_message_and_log(lake: Lake) -> None:
    job = lake.job(RAISING)

    run_id = lake.start(job)
    run = lake.finish(job, run_id)

    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == "BadBatch: the batch names no source 'flights'"
    assert "looking at the batch" in lake.log("/aws-glue/jobs/output", run_id)
    assert "raise BadBatch" in lake.log("/aws-glue/jobs/error", run_id)


@pytest.mark.parametrize(("code", "state"), [("0", "SUCCEEDED"), ("3", "FAILED")])
def test_the_exit_status_decides(lake: Lake, code: str, state: str) -> None:
    job = lake.job(f"import sys\nsys.exit({code})")

    assert lake.finish(job, lake.start(job))["JobRunState"] == state


def test_a_killed_worker_fails_the_run(lake: Lake) -> None:
    job = lake.job("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")

    run = lake.finish(job, lake.start(job))

    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == "Command failed with exit code 137"


def test_a_missing_script_is_named(lake: Lake) -> None:
    job = lake.job("")
    lake.s3.delete_object(Bucket=lake.bucket, Key=f"code/{job}.py")

    run = lake.finish(job, lake.start(job))

    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith(f"LAUNCH ERROR | Error downloading from S3 for bucket: {lake.bucket}, key: ")


def test_a_role_that_does_not_trust_glue_runs_nothing(lake: Lake) -> None:
    job = lake.job("", Role=lake.server.role("lambda.amazonaws.com"))

    run = lake.finish(job, lake.start(job))

    assert run["JobRunState"] == "FAILED"
    assert "should be given assume role permissions for Glue Service" in run["ErrorMessage"]


def test_counts_live_runs_against_the_limit(lake: Lake) -> None:
    job = lake.job(WAITING, ExecutionProperty={"MaxConcurrentRuns": 1})
    first = lake.start(job)

    with pytest.raises(ClientError) as refused:
        lake.start(job)

    assert refused.value.response["Error"]["Code"] == "ConcurrentRunsExceededException"
    lake.glue.batch_stop_job_run(JobName=job, JobRunIds=[first])
    lake.finish(job, first)
    second = lake.start(job)
    lake.glue.batch_stop_job_run(JobName=job, JobRunIds=[second])
    assert lake.finish(job, second)["JobRunState"] == "STOPPED"


def test_stops_a_run(lake: Lake) -> None:
    job = lake.job(WAITING)
    run_id = lake.start(job)
    wait_for(lambda: lake.run(job, run_id)["JobRunState"] == "RUNNING")

    answer = lake.glue.batch_stop_job_run(JobName=job, JobRunIds=[run_id, "jr_unknown"])

    assert [done["JobRunId"] for done in answer["SuccessfulSubmissions"]] == [run_id]
    assert [error["ErrorDetail"]["ErrorCode"] for error in answer["Errors"]] == ["EntityNotFoundException"]
    assert lake.finish(job, run_id)["JobRunState"] == "STOPPED"


def test_a_run_that_takes_too_long_times_out(tmp_path: Path) -> None:
    minutes_of_a_second = (
        "from local.server.glue import job_runs; job_runs.SECONDS_PER_MINUTE = 1.0;"
        "from local.server.__main__ import main; main()"
    )
    server = start_server(tmp_path / "state", program=("-c", minutes_of_a_second))
    lake = Lake(server)
    job = lake.job(WAITING, Timeout=1)

    run_id = lake.start(job)
    run = lake.finish(job, run_id)
    log = lake.log("/aws-glue/jobs/output", run_id)
    server.stop()

    assert run["JobRunState"] == "TIMEOUT"
    assert run["ErrorMessage"] == "Job run exceeded its timeout of 1 minutes"
    assert "started" in log


def test_lists_runs_newest_first(lake: Lake) -> None:
    job = lake.job("")
    ids = []
    for _ in range(2):
        ids.append(lake.start(job))
        lake.finish(job, ids[-1])

    assert [run["Id"] for run in lake.glue.get_job_runs(JobName=job)["JobRuns"]] == ids[::-1]


def test_an_unknown_job_is_refused(lake: Lake) -> None:
    with pytest.raises(ClientError) as refused:
        lake.start("no-such-job")

    assert refused.value.response["Error"]["Code"] == "EntityNotFoundException"


def test_starting_needs_a_grant_on_the_job(lake: Lake) -> None:
    job, other = lake.job(""), lake.job("")
    keys = lake.server.user(allow("glue:StartJobRun", f"arn:aws:glue:us-east-1:000000000000:job/{other}"))
    client = lake.server.client_as("glue", *keys)

    with pytest.raises(ClientError) as refused:
        client.start_job_run(JobName=job)

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    lake.finish(other, client.start_job_run(JobName=other)["JobRunId"])


def test_making_a_job_needs_the_right_to_pass_its_role(lake: Lake) -> None:
    keys = lake.server.user(allow("glue:CreateJob", "*"))
    role = lake.server.role("glue.amazonaws.com")

    with pytest.raises(ClientError) as refused:
        lake.server.client_as("glue", *keys).create_job(Name="never", Role=role, Command={"Name": "glueetl"})

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "iam:PassRole" in refused.value.response["Error"]["Message"]


def test_tells_of_the_end_of_a_run(lake: Lake) -> None:
    events, queues = lake.server.client("events"), lake.server.client("sqs")
    queue = queues.create_queue(QueueName=f"told-{lake.bucket}")["QueueUrl"]
    queue_arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    job = lake.job(RAISING)
    pattern = {"source": ["aws.glue"], "detail-type": ["Glue Job State Change"], "detail": {"jobName": [job]}}
    events.put_rule(Name=lake.bucket, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=lake.bucket, Targets=[{"Id": "queue", "Arn": queue_arn}])
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": queue_arn}]}
    queues.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})

    run_id = lake.start(job)

    messages = wait_for(lambda: queues.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    detail = json.loads(messages[0]["Body"])["detail"]
    assert (detail["jobRunId"], detail["state"], detail["severity"]) == (run_id, "FAILED", "ERROR")
    assert detail["message"].startswith("BadBatch: ")


def test_publishes_the_metrics_that_alarms_watch(lake: Lake) -> None:
    grant = allow("cloudwatch:PutMetricData", "*") | {"Condition": {"StringEquals": {"cloudwatch:namespace": "Glue"}}}
    job = lake.job(RAISING, grant, DefaultArguments={"--enable-observability-metrics": "true"})

    lake.finish(job, lake.start(job))

    listed = lake.server.client("cloudwatch").list_metrics(
        Namespace="Glue", MetricName="glue.error.ALL", Dimensions=[{"Name": "JobName", "Value": job}]
    )["Metrics"]
    runs = {
        dimension["Value"] for metric in listed for dimension in metric["Dimensions"] if dimension["Name"] == "JobRunId"
    }
    assert "ALL" in runs


def test_a_role_without_log_rights_finds_the_denial_in_the_log(lake: Lake) -> None:
    job = lake.job("print('hello')", Role=lake.server.role("glue.amazonaws.com", *lake.read_grants("code/")))

    run_id = lake.start(job)

    assert lake.finish(job, run_id)["JobRunState"] == "SUCCEEDED"
    log = lake.log("/aws-glue/jobs/output", run_id)
    assert "the role may not write this log" in log
    assert "hello" not in log


def test_runs_of_a_stopped_server_are_failed_after_it_starts_again(own_server: Any, start_local_server: Any) -> None:
    lake = Lake(own_server)
    job = lake.job(WAITING)
    run_id = lake.start(job)
    wait_for(lambda: lake.run(job, run_id)["JobRunState"] == "RUNNING")
    own_server.stop()

    run = Lake(start_local_server(own_server.state_dir)).run(job, run_id)

    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "the run ended with the server that ran it")


def test_runs_that_were_saved_in_flight_are_failed_at_the_next_start(own_server: Any, start_local_server: Any) -> None:
    lake = Lake(own_server)
    job = lake.job("")
    run_id = lake.start(job)
    lake.finish(job, run_id)
    own_server.stop()
    saved = own_server.state_dir / "state" / "glue.json"
    saved.write_text(saved.read_text().replace('"JobRunState": "SUCCEEDED"', '"JobRunState": "RUNNING"'))

    run = Lake(start_local_server(own_server.state_dir)).run(job, run_id)

    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "the run ended with the server that ran it")
