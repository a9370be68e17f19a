"""A worker of the data job is killed half way, and the machine is redriven."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.executions import SUCCEEDED, Execution
from local.processes import descendants
from tests.end_to_end.batches import Delivery, data_input, flights_of
from tests.end_to_end.lake import (
    assert_only_whole_datasets_are_read,
    database,
    locations,
    partitions,
    published_manifests,
    query,
    rows_at,
)
from tests.end_to_end.live import WORKLOAD, Live, eventually

SPLITS = ("train", "validation", "test")


def kill_job(live: Live, attempt: str) -> None:
    """Kill the processes of a run of the data job, all at once, as a machine that is lost."""
    for process in descendants(live.platform.aws.server.pid):
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
        if attempt in words and process.alive():
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
            return
    raise AssertionError(f"no process works on {attempt}")


@dataclass(frozen=True)
class Redriven:
    """An execution that lost its worker, the same execution when it had been redriven, and an undisturbed one.

    Args:
        version: Of what the lost worker had written by then.
        published: The versions that were published between loss and redrive.
    """

    lost: Execution
    redriven: Execution
    version: str
    published: set[str]
    undisturbed: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.redriven.output["dataset"]
        return found


def undated(as_of: str) -> Delivery:
    """A batch that does not say of which instant it is, so that the input of the machine decides."""
    delivery = Delivery.of(flights_of(5, 600))
    document = {name: value for name, value in delivery.document.items() if name != "as_of"}
    return Delivery(delivery.files, document)


@pytest.fixture(scope="module")
def redriven(live: Live) -> Redriven:
    """The worker is lost when it has written valid rows."""
    control = live.run("data", data_input(live, undated("control"), "undisturbed", as_of="2013-07-01T00:00:00Z"))
    assert control.status == SUCCEEDED, control.cause
    arn = live.start("data", data_input(live, undated("lost"), "disturbed", as_of="2013-06-15T00:00:00Z"))
    attempt = f"{arn.rpartition(':')[2]}-0-0"

    def look() -> list[str]:
        return [uri for uri in live.uris(f"{live.zone('validated')}flights/") if f"attempt={attempt}/" in uri]

    (written, *_) = eventually(look, "rows that the job has written")
    kill_job(live, attempt)
    lost = live.end_of("data", arn)
    published = set(published_manifests(live))
    live.client("stepfunctions").redrive_execution(executionArn=arn)
    version = written.split("version=")[1].split("/")[0]
    return Redriven(lost, live.end_of("data", arn), version, published, control.output["dataset"])


def test_a_lost_worker_fails_the_machine(live: Live, redriven: Redriven) -> None:
    """With what Glue says of it, and a way to go on."""
    assert redriven.lost.status == "FAILED"
    assert "Command failed with exit code 137" in str(redriven.lost.cause)
    notice = live.on_call.told_of(redriven.lost)
    assert "Command failed with exit code 137" in notice["cause"]
    assert notice["input"] == redriven.lost.input


def test_nothing_of_a_lost_worker_is_published(redriven: Redriven) -> None:
    """What it wrote is there, and nobody sees it."""
    assert redriven.version not in redriven.published


def test_a_redriven_machine_makes_the_same_dataset(redriven: Redriven) -> None:
    """The version that was begun, by another attempt, with the rows of a run that nothing disturbed."""
    assert redriven.redriven.status == SUCCEEDED, redriven.redriven.cause
    assert redriven.manifest["version"] == redriven.version
    assert redriven.manifest["attempt"] == f"{redriven.redriven.name}-1-0"
    digests = [
        [each["splits"][split]["digest"] for split in SPLITS] for each in (redriven.manifest, redriven.undisturbed)
    ]
    assert digests[0] == digests[1]


def test_the_record_of_the_run_tells_how_it_ended(live: Live, redriven: Redriven) -> None:
    """Not how it went before."""
    record = live.record(f"data#{redriven.redriven.name}")
    assert (record["status"], record["dataset_version"]) == ("succeeded", redriven.version)
    assert "error" not in record


def test_queries_see_one_attempt_only(live: Live, redriven: Redriven) -> None:
    """One partition per table; the files of the lost worker are not counted."""
    found = [each for each in partitions(live) if each.version == redriven.version]
    assert sorted(each.table for each in found) == sorted({each.table for each in found})
    assert {each.location for each in found} == {table["location"] for table in redriven.manifest["tables"]}
    table = f"{WORKLOAD}_flights"
    text = f"SELECT count(*) FROM {database(live, 'validated')}.{table} WHERE version = '{redriven.version}'"  # noqa: S608
    assert query(live, text) == [[str(rows_at(live, locations(redriven.manifest, "validated")[table]))]]
    assert_only_whole_datasets_are_read(live)
