"""Landing, publishing and reading back, against a running local AWS with a stand-in for the workload's stack."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from local.aws import Aws
from local.deploy import is_bootstrapped
from local.errors import Failure, UserError
from local.flights import Months, build_batch
from local.landing import land_batch, last_landed
from local.logs import log_lines
from local.outputs import Outputs, parse_outputs, read_outputs
from local.predict import golden_request, predict, read_request, with_values
from local.publish import publish_bundle
from local.redrive import redrive, run_id_of
from local.report.collect import collect
from local.settings import Settings
from local.steps import Platform, reader_of
from local.watch import state_table
from tests.local.cli.conftest import Run


@pytest.fixture
def outputs(settings: Settings, aws: Aws, stack: str) -> Outputs:
    assert stack
    return read_outputs(settings, aws)


def test_outputs_are_read_with_their_alarms_as_a_list(outputs: Outputs) -> None:
    assert outputs.alarm_names == ("one", "two")
    assert list(outputs.machines) == ["loop", "data", "model", "deployment"]


def test_missing_outputs_are_named() -> None:
    with pytest.raises(Failure, match=r"lacks the outputs AlarmNames, ArtefactsBucket"):
        parse_outputs("dev-X", {"LandingBucket": "b"})


def test_a_stage_that_is_not_deployed_is_told(aws: Aws, settings: Settings) -> None:
    with pytest.raises(UserError, match="stack prod-FlightDelaysWorkload has not been deployed"):
        read_outputs(replace(settings, stage="prod"), aws)


def test_a_landed_batch_is_complete_and_the_batch_file_is_last(settings: Settings, aws: Aws, outputs: Outputs) -> None:
    order: list[str] = []
    s3 = aws.client("s3")
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: order.append(request.url))
    batch = build_batch("flight_delays", Months(2, 2), sample=20)
    landed = land_batch(settings, aws, outputs, batch, "März 2013/a+b")
    assert len(order) == 6
    assert order[-1].endswith("_batch.json")
    document = json.loads(_get(aws, landed.batch_uri))
    folder = landed.batch_uri.rpartition("/")[0]
    assert folder.endswith("/flight_delays/März 2013/a+b")
    for file in document["files"]:
        content = _get(aws, f"{folder}/{file['key']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert last_landed(settings) == landed


def test_a_run_is_found_by_the_key_of_its_batch(settings: Settings, aws: Aws, outputs: Outputs) -> None:
    key = "0123456789abcdef" * 4
    assert run_id_of(aws, outputs, key) == "0123456789abcdef-1"
    item = {"run": {"S": f"start#{key}"}, "attempt": {"N": "3"}}
    aws.client("dynamodb").put_item(TableName=outputs.runs_table, Item=item)
    assert run_id_of(aws, outputs, key) == "0123456789abcdef-3"


def test_nothing_landed_is_told(settings: Settings) -> None:
    with pytest.raises(UserError, match="no batch has been landed"):
        last_landed(replace(settings, workload="another_one"))


def test_the_bundle_is_published_under_its_digest_and_pointed_at(
    settings: Settings, aws: Aws, outputs: Outputs
) -> None:
    published = publish_bundle(settings, aws, outputs)
    content = _get(aws, published.uri)
    assert hashlib.sha256(content).hexdigest() == published.bundle
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert {"features.py", "train.py", "inference.py", "rules.dqdl", "golden.json"} <= set(archive.getnames())
    pointer = json.loads(_get(aws, f"s3://{outputs.artefacts_bucket}/flight_delays/bundles/current.json"))
    assert pointer == {"bundle": published.bundle, "uri": published.uri, "commit": published.commit}
    assert published.uploaded
    assert not publish_bundle(settings, aws, outputs).uploaded


def test_status_shows_stacks_pipelines_and_queues(settings: Settings, stack: str, run_command: Run) -> None:
    done = run_command(settings.state_dir, "status")
    assert done.returncode == 0, done.stderr
    for wanted in (stack, "CREATE_COMPLETE", "never ran", "not deployed", "dead letters", "0 of 2 exist"):
        assert wanted in done.stdout


def test_dead_letters_are_told(settings: Settings, aws: Aws, outputs: Outputs, run_command: Run) -> None:
    queue = outputs.intake_dead_letter_queue_url
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="lost")
    assert "NOT EMPTY" in run_command(settings.state_dir, "status").stdout
    aws.client("sqs").purge_queue(QueueUrl=queue)


def test_the_log_of_a_job_is_found_by_its_name_and_no_other(aws: Aws, outputs: Outputs) -> None:
    _write_log(aws, "/aws/sagemaker/TrainingJobs", "job-a/algo-1", "trained")
    _write_log(aws, "/aws/sagemaker/TrainingJobs", "job-b/algo-1", "another")
    lines = list(log_lines(aws, outputs, "job-a", follow=False))
    assert [line.partition(" ")[2] for line in lines] == ["trained"]


def test_the_log_of_a_function_is_found_by_a_part_of_its_name(aws: Aws, outputs: Outputs) -> None:
    _write_log(aws, "/own/check-things", "2013/05/01/[$LATEST]0", "checked")
    (line,) = log_lines(aws, outputs, "checkthings", follow=False)
    assert line.endswith(" checked")


def test_following_a_log_gives_each_line_once(aws: Aws, outputs: Outputs) -> None:
    _write_log(aws, "/aws/sagemaker/Endpoints/follow-me", "stream", "first")
    lines = log_lines(aws, outputs, "follow-me", follow=True)
    assert next(lines).endswith(" first")
    _append_log(aws, "/aws/sagemaker/Endpoints/follow-me", "stream", "second")
    assert next(lines).endswith(" second")


def test_an_unknown_log_is_told_with_what_there_is(aws: Aws, outputs: Outputs) -> None:
    _write_log(aws, "/aws/sagemaker/ProcessingJobs", "known-job/algo-1", "line")
    with pytest.raises(UserError, match="known-job"):
        list(log_lines(aws, outputs, "nothing", follow=False))


def test_a_prediction_without_an_endpoint_is_told(settings: Settings, aws: Aws, outputs: Outputs) -> None:
    with pytest.raises(UserError, match="does not answer"):
        predict(aws, outputs, golden_request(settings))


def test_a_run_without_executions_is_read_shown_and_reported(settings: Settings, aws: Aws, outputs: Outputs) -> None:
    landed = land_batch(settings, aws, outputs, build_batch("flight_delays", Months(3, 3), sample=5), "nobody-listens")
    chain = reader_of(Platform(settings, aws, outputs), landed).read()
    assert chain.executions == ()
    assert not chain.finished
    assert state_table(chain).row_count == 0
    assert collect(settings, aws, outputs, chain).evaluation is None
    with pytest.raises(UserError, match="has not failed"):
        redrive(aws, chain)


def test_an_account_without_the_toolkit_is_not_bootstrapped(aws: Aws) -> None:
    assert not is_bootstrapped(aws)


@pytest.mark.parametrize("body", ['{"distance": 5}', '[{"distance": 5}]', '{"instances": [{"distance": 5}]}'])
def test_a_request_may_be_one_instance_a_list_or_a_body(body: str, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(body)
    assert read_request(path) == {"instances": [{"distance": 5}]}


@pytest.mark.parametrize("body", ["[]", "5", '["a"]', "{"])
def test_a_file_without_a_request_is_told(body: str, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(body)
    with pytest.raises(UserError, match="request"):
        read_request(path)


def test_features_can_be_changed_by_numbers_texts_and_nothing() -> None:
    request = {"instances": [{"distance": 1, "carrier": "UA", "temp": 3.0, "tailnum": "1"}]}
    changed = with_values(request, ["distance=500", "carrier=AA", "temp=null", "tailnum=[1]"])
    assert changed == {"instances": [{"distance": 500, "carrier": "AA", "temp": None, "tailnum": "[1]"}]}


def _get(aws: Aws, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return found


def _write_log(aws: Aws, group: str, stream: str, message: str) -> None:
    logs = aws.client("logs")
    existing = {item["logGroupName"] for item in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]}
    if group not in existing:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    _append_log(aws, group, stream, message)


def _append_log(aws: Aws, group: str, stream: str, message: str) -> None:
    events = [{"timestamp": 1_700_000_000_000, "message": message}]
    aws.client("logs").put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
