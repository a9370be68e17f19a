"""What the landing zone's events set off: odd keys, late files, repeated batches, and files that are no JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.chain import Chain
from local.executions import SUCCEEDED, Execution, execution_arns
from local.landing import batch_key
from local.logs import function_groups
from local.redrive import run_id_of
from tests.end_to_end.batches import (
    Delivery,
    data_input,
    deliver,
    file_of,
    flights_of,
    put_files,
    with_file,
)
from tests.end_to_end.conftest import Demo
from tests.end_to_end.lake import assert_only_whole_datasets_are_read
from tests.end_to_end.live import WORKLOAD, Live, eventually

ODD_FOLDER = "März 2013/a b+c"
ODD_KEY = "flüge/1 + 1 = %41 & 飞.csv.gz"


# --- a file that comes late, under odd keys --------------------------------------------------------------------------


@dataclass(frozen=True)
class LateFile:
    """A batch whose file was not there at first; then it came and the batch was run again.

    Its flights are too few for a good model, so the gate turns that down.
    """

    batch_uri: str
    refused: Execution
    chain: Chain


def request_rerun(live: Live, key: str) -> None:
    """Ask for another attempt of a batch, as a person on call does."""
    entry = {
        "Source": "gapless",
        "DetailType": "Re-run Requested",
        "Detail": json.dumps({"workload": WORKLOAD, "run_key": key}),
    }
    live.client("events").put_events(Entries=[entry])
    eventually(lambda: run_id_of(live.platform.aws, live.outputs, key).endswith("-2"), "another attempt", seconds=60)


@pytest.fixture(scope="module")
def late(live: Live, demo: Demo) -> LateFile:
    """Keys with spaces, plus signs, per cent signs and letters from anywhere."""
    batch = flights_of(12, 1500)
    odd = Delivery.of(with_file(batch, replace(file_of(batch, "flights"), key=ODD_KEY)))
    key = batch_key(odd.document)
    uri = deliver(live, odd.without("flights"), ODD_FOLDER)
    refused = live.loop_of(key)
    put_files(live, odd, ODD_FOLDER)
    request_rerun(live, key)
    return LateFile(uri, refused, live.chain_of(key))


def test_a_batch_without_its_file_fails_the_loop(live: Live, late: LateFile) -> None:
    """Data pipeline and loop say which file; the input that is told is enough to run it again."""
    loop = late.refused
    assert (loop.status, loop.error) == ("FAILED", "BadBatch")
    assert f"{ODD_KEY}: named by _batch.json and absent" in str(loop.cause)
    notice = live.on_call.told_of(loop)
    assert (notice["machine"], notice["state"], notice["error"]) == ("loop", "RunData", "BadBatch")
    assert notice["input"] == loop.input
    assert loop.input["batch_uri"] == late.batch_uri


def test_a_re_run_does_what_the_first_attempt_could_not(late: LateFile) -> None:
    """Under any key that S3 allows."""
    data = late.chain.of("data")
    assert data is not None
    assert data.status == SUCCEEDED, data.cause
    assert ODD_KEY in {each["key"] for each in data.output["dataset"]["inputs"]}


def test_the_gate_turns_down_a_model_that_is_not_good_enough(live: Live, late: LateFile, demo: Demo) -> None:
    """With the figures; nothing is registered, the old model serves on and the lease is given back."""
    model = late.chain.of("model")
    assert model is not None
    assert model.status == SUCCEEDED, model.cause
    assert (model.output["approved"], model.output["registered"]) == (False, False)
    broken = [rule["reason"] for rule in model.output["rules"] if not rule["passed"]]
    assert any("auc is" in reason and "allowed is" in reason for reason in broken)
    assert late.chain.package is None
    assert live.record(f"model#{late.chain.run_id}")["status"] == "rejected"
    assert live.record(f"loop#{late.chain.run_id}")["outcome"] == "rejected"
    assert live.record(f"live#{WORKLOAD}")["run_id"] == demo.second.run_id
    assert live.lease() is None


# --- batches that come again -----------------------------------------------------------------------------------------


def starter_said(live: Live, message: str) -> int:
    """How often the starter has logged something."""
    group = function_groups(live.platform.aws)[live.outputs.starter_function_name]
    pages = live.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return sum(message in event["message"] for page in pages for event in page["events"])


def test_a_batch_that_lands_again_starts_nothing(live: Live, demo: Demo) -> None:
    """In the same folder or another one, however its files are listed."""
    loops = execution_arns(live.platform.aws, live.outputs.loop_machine_arn)
    before = starter_said(live, "nothing to start")
    again = Delivery.of(demo.batches[0])
    for delivery, folder in ((again, "again"), (again.reversed(), "again"), (again.reversed(), "and again")):
        deliver(live, delivery, folder)
    eventually(lambda: starter_said(live, "nothing to start") >= before + 3, "the starter's word", seconds=60)
    assert execution_arns(live.platform.aws, live.outputs.loop_machine_arn) == loops


def test_the_order_of_files_does_not_change_the_dataset(live: Live, demo: Demo) -> None:
    """The data machine finds the published version and prepares nothing."""
    data = demo.first.of("data")
    assert data is not None
    execution = live.run("data", data_input(live, Delivery.of(demo.batches[0]).reversed(), "other-order"))
    assert execution.status == SUCCEEDED, execution.cause
    assert execution.output["dataset"] == data.output["dataset"]
    assert "PrepareDataset" not in {state.name for state in execution.states}


# --- a batch file that says nothing ----------------------------------------------------------------------------------


def test_a_batch_file_that_is_not_json_is_refused_once(live: Live) -> None:
    """Even when it lands in two places at once: one execution, and one notice with its address."""
    content = b'{"workload": "flight_delays", "files": ['
    uris = [f"{live.zone('landing')}{folder}/_batch.json" for folder in ("broken", "broken as well")]
    for uri in uris:
        live.write(uri, content)
    loop = live.loop_of(hashlib.sha256(content).hexdigest())
    assert (loop.status, loop.error) == ("FAILED", "BadBatch")
    assert "_batch.json is not JSON" in str(loop.cause)
    assert live.on_call.told_of(loop)["input"]["batch_uri"] in uris
    eventually(live.intake_is_empty, "an empty intake")
    started = execution_arns(live.platform.aws, live.outputs.loop_machine_arn)
    assert sum(arn.rpartition(":")[2].startswith(loop.name[:16]) for arn in started) == 1
    assert live.lease() is None


# --- an event that nobody can handle ---------------------------------------------------------------------------------


@pytest.fixture
def impatient_intake(live: Live) -> Iterator[None]:
    """The intake shows a message again at once; as deployed it waits for minutes."""
    client, queue = live.client("sqs"), live.outputs.intake_queue_url
    deployed = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    client.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "0"})
    yield
    client.set_queue_attributes(QueueUrl=queue, Attributes=deployed)


@pytest.mark.usefixtures("impatient_intake")
def test_an_event_that_cannot_be_handled_is_kept_for_a_person(live: Live) -> None:
    """A re-run of a batch that was never landed: tried five times, then kept as it came."""
    detail = {"workload": WORKLOAD, "run_key": "0" * 64}
    entry = {"Source": "gapless", "DetailType": "Re-run Requested", "Detail": json.dumps(detail)}
    live.client("events").put_events(Entries=[entry])
    queue = live.outputs.intake_dead_letter_queue_url

    def look() -> dict[str, Any] | None:
        received = live.client("sqs").receive_message(QueueUrl=queue).get("Messages", [])
        return received[0] if received else None

    message = eventually(look, "a dead letter")
    assert json.loads(message["Body"])["detail"] == detail
    live.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def test_no_half_written_dataset_is_left(live: Live, late: LateFile) -> None:
    """After all of this."""
    assert_only_whole_datasets_are_read(live)
