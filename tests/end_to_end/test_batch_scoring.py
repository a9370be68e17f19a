"""Files of rows are scored by the model that serves: once each, row by row, or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from local.chain import Chain
from local.executions import Execution, execution_arn
from local.scoring import Delivery, deliver, machine_of, read_predictions
from tests.end_to_end.lake import query
from tests.end_to_end.live import Live, eventually

COLUMNS = ("order_id", "amount", "items", "channel", "region", "orders_before", "late_share", "in_a_shop", "note")
ROWS = [
    (f"new-{number}", 20.5 + number, number % 8 + 1, "web", "south", number, 0.25, "true", f"note {number}")
    for number in range(25)
]
AS_OF = dt.datetime(2024, 3, 20, tzinfo=dt.UTC)


def as_csv(rows: list[tuple[Any, ...]]) -> bytes:
    target = io.StringIO()
    csv.writer(target).writerows([COLUMNS, *rows])
    return target.getvalue().encode()


def as_json_lines(rows: list[tuple[Any, ...]]) -> bytes:
    typed = [dict(zip(COLUMNS, (*row[:7], row[7] == "true", row[8]), strict=True)) for row in rows]
    return "\n".join(json.dumps(row) for row in typed).encode()


def end_of(live: Live, key: str) -> Execution:
    """The execution that an input has set off, once it has ended."""
    arn = execution_arn(machine_of(live.settings, live.platform.aws), f"{key[:16]}-1")
    states = live.client("stepfunctions")

    def is_there() -> bool:
        try:
            return bool(states.describe_execution(executionArn=arn))
        except states.exceptions.ExecutionDoesNotExist:
            return False

    eventually(is_there, f"the start of {arn}", seconds=60)
    return live.end_of("scoring", arn)


def score(live: Live, files: dict[str, bytes], folder: str) -> Execution:
    delivery = Delivery(files, AS_OF)
    return end_of(live, deliver(live.settings, live.platform.aws, live.outputs, delivery, folder))


@pytest.fixture(scope="module")
def scored(everything: Live, march: Chain) -> Execution:
    """What an input of two files has set off."""
    assert march.outcome() == "deployed", march
    done = score(everything, {"a.csv": as_csv(ROWS[:15]), "b.jsonl": as_json_lines(ROWS[15:])}, "first")
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    return done


def test_every_row_stands_beside_its_prediction(everything: Live, scored: Execution) -> None:
    manifest, found = read_predictions(everything.platform.aws, scored.output["manifest_uri"])
    rows = list(found)
    live = everything.record(f"live#{everything.workload}")
    assert (manifest["rows"], manifest["model_package_arn"]) == (25, live["model_package_arn"])
    assert [row["input"]["order_id"] for row in rows] == [row[0] for row in ROWS]
    assert rows[3]["input"] == dict(zip(COLUMNS, (*ROWS[3][:7], True, ROWS[3][8]), strict=True))
    asked = {"instances": [{name: row["input"][name] for name in COLUMNS[1:-1]} for row in rows]}
    answer = everything.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=everything.outputs.endpoint_name, ContentType="application/json", Body=json.dumps(asked)
    )
    served = json.loads(answer["Body"].read())["predictions"]
    assert [row["SageMakerOutput"]["predictions"][0] for row in rows] == served


def test_predictions_are_a_table(everything: Live, scored: Execution) -> None:
    version = scored.output["version"]
    text = (
        "SELECT count(*), min(input.order_id), sum(CASE WHEN sagemakeroutput.predictions[1].probability > 0 "  # noqa: S608
        f"THEN 1 ELSE 0 END) FROM every_curated.orders_predictions WHERE version = '{version}'"
    )
    assert query(everything, text) == [["25", "new-0", "25"]]


def test_the_same_rows_are_scored_once(everything: Live, scored: Execution) -> None:
    place = scored.output["manifest_uri"].rpartition("/")[0]
    before = everything.uris(place)
    machine = machine_of(everything.settings, everything.platform.aws)
    given = {**scored.input, "run_id": f"{'e' * 16}-1"}
    started = everything.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=given["run_id"], input=json.dumps(given)
    )
    again = everything.end_of("scoring", started["executionArn"])
    assert again.output == scored.output
    assert everything.uris(place) == before
    assert "Transform" not in [state.name for state in again.states]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (as_csv([("bad-1", "much", *ROWS[0][2:])]), "rows.csv: row 1: amount must be a double, was 'much'"),
        (b"order_id,amount\nbad-2,1\n", "rows.csv: row 1 has no column items"),
    ],
)
def test_rows_that_the_model_cannot_be_asked_reach_a_person(
    everything: Live, scored: Execution, content: bytes, says: str
) -> None:
    done = score(everything, {"rows.csv": content}, hashlib.sha256(content).hexdigest()[:8])
    assert (done.status, done.error) == ("FAILED", "BadRows")
    assert says in str(done.cause)
    assert everything.on_call.told_of(done)["error"] == "BadRows"


def test_at_a_set_time_the_newest_rows_are_scored_again(everything: Live, scored: Execution) -> None:
    score(everything, {"standing.csv": as_csv(ROWS[:5])}, "standing")
    states, machine = everything.client("stepfunctions"), machine_of(everything.settings, everything.platform.aws)
    due = {
        "id": "due-1",
        "source": "gapless",
        "detail-type": "Scoring Due",
        "time": "2024-03-21T04:30:00Z",
        "detail": {"workload": everything.workload, "repeat": True},
    }
    for _ in range(2):
        everything.client("sqs").send_message(QueueUrl=everything.outputs.intake_queue_url, MessageBody=json.dumps(due))

    def repeats() -> list[str]:
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        inputs = {each["executionArn"]: states.describe_execution(executionArn=each["executionArn"]) for each in listed}
        return [arn for arn, each in inputs.items() if json.loads(each["input"]).get("again")]

    (arn,) = eventually(repeats, "the repeat", seconds=60)
    done = everything.end_of("scoring", arn)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    manifest, _ = read_predictions(everything.platform.aws, done.output["manifest_uri"])
    assert (manifest["as_of"], manifest["rows"]) == ("2024-03-21T04:30:00Z", 5)
    assert len(repeats()) == 1


def test_a_file_is_scored_by_the_command_line(everything: Live, scored: Execution, tmp_path: Path) -> None:
    file = tmp_path / "typed.jsonl"
    file.write_bytes(as_json_lines(ROWS[:2]))
    printed = everything.command("score", str(file), "--as-of", "2024-03-22T00:00:00Z").splitlines()
    assert printed[0].startswith("scored 2 rows by every-orders-models/")
    assert json.loads(printed[2])["input"]["order_id"] == "new-0"
