"""A published dataset is made again by the data machine, and compared."""

import copy
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from tests.constructs_lib.machines.test_data_machine import body, result

RUN_ID = "r0123abcd-01234567"
VERSION = "0123456789abcdef" * 2
GIVEN = {"run_id": RUN_ID, "workload": "flight_delays", "replay": True, "version": VERSION}
SPLITS = {name: {"rows": 10, "digest": name[0] * 64} for name in ("train", "validation", "test")}
ORIGINAL = {
    "version": VERSION,
    "attempt": "first-0-0",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": "b" * 64,
    "contract_digest": "c" * 64,
    "engine": "glue-5.1-x",
    "splits": SPLITS,
}
BATCH_URI = "s3://landing/flight_delays/april/_batch.json"


def any_answers(**changed: Any) -> dict[str, Any]:
    """The same rows come again."""
    return {
        "FindOriginal": result({"KeyCount": 1}),
        "ReadOriginal": body(ORIGINAL),
        "ReadOriginalReport": body({"batch_uri": BATCH_URI}),
        "CheckOriginal": result(
            {"Payload": {"version": VERSION, "as_of": ORIGINAL["as_of"], "inputs": [], "parent": "none"}}
        ),
        "ReplayDataset": result({"JobRunState": "SUCCEEDED"}),
        "ReadReplayed": body({"phases": {"splitting": SPLITS}}),
        "RecordReplay": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    parts = DataParts(
        check_batch_arn="check",
        job_name="prepare",
        job_minutes=60,
        crawler_name="landing",
        contract_uri="s3://assets/contract.json",
        contract_digest="c" * 64,
        bundles_uri="s3://artefacts/flight_delays/bundles/",
        engine="glue-5.1-x",
        buckets=zones,
        databases={zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")},
        max_quarantined_share=0.05,
    )
    return data_machine(surroundings, parts)


def test_makes_the_dataset_again_of_what_it_was_made_of(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=RUN_ID)
    assert done.arguments("CheckOriginal")["Payload"] == {
        "batch_uri": BATCH_URI,
        "as_of": ORIGINAL["as_of"],
        "bundle": {"bundle": "b" * 64},
    }
    given = done.arguments("ReplayDataset")["Arguments"]
    assert given["--batch_uri"] == BATCH_URI
    assert given["--bundle_uri"] == f"s3://artefacts/flight_delays/bundles/{'b' * 64}/sourcedir.tar.gz"
    assert given["--version"] == VERSION
    assert given["--as_of"] == ORIGINAL["as_of"]
    assert given["--attempt"] == f"{RUN_ID}-0-0"


def test_reads_what_was_published_and_what_the_new_attempt_wrote(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=RUN_ID)
    folder = f"flight_delays/{VERSION}"
    assert done.arguments("ReadOriginal")["Key"] == f"{folder}/manifest.json"
    assert done.arguments("ReadOriginalReport")["Key"] == f"{folder}/attempt=first-0-0/report.json"
    assert done.arguments("ReadReplayed")["Key"] == f"{folder}/attempt={RUN_ID}-0-0/report.json"


def test_succeeds_when_every_split_has_the_same_rows(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=RUN_ID)
    assert done.status == "SUCCEEDED"
    assert done.output == {"dataset": ORIGINAL, "replayed": {"attempt": f"{RUN_ID}-0-0", "splits": SPLITS}}
    values = done.arguments("RecordReplay")["ExpressionAttributeValues"]
    assert (values[":status"], values[":dataset_version"]) == ({"S": "replayed"}, {"S": VERSION})
    assert values[":report_uri"] == {"S": f"s3://datasets/flight_delays/{VERSION}/attempt={RUN_ID}-0-0/report.json"}


def test_publishes_nothing_and_counts_nothing(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=RUN_ID)
    called = {call["state"] for call in done.calls}
    assert called == set(any_answers()) - {"RecordFailure", "NotifyFailure"}


def test_a_split_with_other_rows_fails_with_the_figures(definition: dict[str, Any], walk: Any) -> None:
    other = copy.deepcopy(SPLITS)
    other["test"] = {"rows": 9, "digest": "f" * 64}
    done = walk(definition, GIVEN, any_answers(ReadReplayed=body({"phases": {"splitting": other}})), name=RUN_ID)
    assert (done.status, done.error) == ("FAILED", "ReplayDiffers")
    assert done.cause == (
        f"version {VERSION} again gave other rows: "
        f"test: published were 10 rows of digest {'t' * 64}, replayed 9 rows of digest {'f' * 64}"
    )


def test_a_replay_that_is_refused_differs_in_every_split(definition: dict[str, Any], walk: Any) -> None:
    nothing = {name: {"rows": 0, "digest": None} for name in SPLITS}
    done = walk(definition, GIVEN, any_answers(ReadReplayed=body({"phases": {"splitting": nothing}})), name=RUN_ID)
    assert done.error == "ReplayDiffers"
    assert str(done.cause).count("replayed 0 rows of digest null") == len(SPLITS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"engine": "glue-5.1-y"}, "engine was glue-5.1-y, is glue-5.1-x"),
        ({"contract_digest": "d" * 64}, f"contract was {'d' * 64}, is {'c' * 64}"),
        (
            {"engine": "glue-5.1-y", "contract_digest": "d" * 64},
            f"engine was glue-5.1-y, is glue-5.1-x; contract was {'d' * 64}, is {'c' * 64}",
        ),
    ],
)
def test_says_what_is_another_one_now(
    definition: dict[str, Any], walk: Any, changed: dict[str, str], said: str
) -> None:
    done = walk(definition, GIVEN, any_answers(ReadOriginal=body({**ORIGINAL, **changed})), name=RUN_ID)
    assert (done.status, done.error) == ("FAILED", "NotReplayable")
    assert done.cause == f"what makes datasets now is not what made {VERSION}: {said}"
    assert "ReplayDataset" not in done.path


def test_says_when_the_landed_files_are_others_now(definition: dict[str, Any], walk: Any) -> None:
    checked = result({"Payload": {"version": "e" * 32, "parent": "none"}})
    done = walk(definition, GIVEN, any_answers(CheckOriginal=checked), name=RUN_ID)
    assert (done.status, done.error) == ("FAILED", "NotReplayable")
    assert done.cause == f"the batch at {BATCH_URI} now makes version {'e' * 32}, it made {VERSION}"


@pytest.mark.parametrize("version", [VERSION, None])
def test_a_version_that_is_not_published_cannot_be_replayed(
    definition: dict[str, Any], walk: Any, version: str | None
) -> None:
    given = {name: value for name, value in GIVEN.items() if name != "version"}
    given |= {"version": version} if version else {}
    done = walk(definition, given, any_answers(FindOriginal=result({"KeyCount": 0})), name=RUN_ID)
    assert (done.status, done.error) == ("FAILED", "NotReplayable")
    assert done.cause == f"no dataset of version {version or ''} is published"


def test_a_redriven_replay_is_a_replay_still(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": "the worker was lost"}
    done = walk(definition, GIVEN, any_answers(ReplayDataset=[lost, {"result": {}}]), name=RUN_ID, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.output["replayed"]["attempt"] == f"{RUN_ID}-1-0"
    assert "PublishDataset" not in done.path


def test_a_replay_takes_the_answers_of_people_that_the_original_took(surroundings: Surroundings, walk: Any) -> None:
    uri = "s3://artefacts/flight_delays/relabelling/answered/00000003.jsonl"
    parts = DataParts(
        *("check", "prepare", 60, "landing", "s3://assets/contract.json", "c" * 64, "s3://artefacts/b/", "glue-5.1-x"),
        {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")},
        {zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")},
        0.05,
        relabels=True,
    )
    for original, expected in (({**ORIGINAL, "answers": {"uri": uri}}, uri), (ORIGINAL, "none")):
        checked = {
            "version": VERSION,
            "as_of": ORIGINAL["as_of"],
            "inputs": [],
            "parent": "none",
            "answers_uri": expected,
        }
        changed = {"ReadOriginal": body(original), "CheckOriginal": result({"Payload": checked})}
        done = walk(data_machine(surroundings, parts), GIVEN, any_answers(**changed), name=RUN_ID)
        assert done.arguments("CheckOriginal")["Payload"]["answers_uri"] == expected
        assert done.arguments("ReplayDataset")["Arguments"]["--answers_uri"] == expected
