"""Datasets are listed, compared, made again, pinned and retired, on a deployed platform."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.chain import Chain
from local.executions import SUCCEEDED
from tests.end_to_end.grants import Grant, Roles
from tests.end_to_end.lake import query
from tests.end_to_end.live import Live, type_command
from tests.everything.orders import order_batch

SPLITS = ("train", "validation", "test")
MARK = {"Key": "gapless:retired", "Value": "true"}
ROLE = "RetirementFunction"


@dataclass(frozen=True)
class Made:
    """Two datasets that models were made of, and an older one that nobody uses, by their published manifests."""

    first: dict[str, Any]
    second: dict[str, Any]
    unused: dict[str, Any]
    unused_input: dict[str, Any]

    @property
    def versions(self) -> list[str]:
        """In order of as_of."""
        return [manifest["version"] for manifest in (self.unused, self.first, self.second)]


@pytest.fixture(scope="module")
def made(kept: Live, kept_twice: tuple[Chain, Chain]) -> Made:
    """The unused one comes last and is the oldest by as_of."""
    manifests = []
    for chain in kept_twice:
        data = chain.of("data")
        assert data is not None and data.output is not None, chain
        manifests.append(data.output["dataset"])
    given = batch_in(kept, "february", order_batch(dt.date(2024, 2, 1), 10))
    return Made(manifests[0], manifests[1], run_data(kept, given), given)


def batch_in(live: Live, folder: str, batch: Any) -> dict[str, Any]:
    """Put a batch where it sets nothing off; returns an input of the data machine for it."""
    batch = replace(batch, workload=live.workload)
    place = f"{live.zone('landing')}{folder}/"
    for key, body in batch.files.items():
        live.write(place + key, body)
    live.write(f"{place}.batch.json", json.dumps(batch.document()).encode())
    return {"batch_uri": f"{place}.batch.json", "as_of": batch.as_of, "bundle": live.bundle}


def run_data(live: Live, given: Mapping[str, Any]) -> dict[str, Any]:
    done = live.run("data", {**given, "workload": live.workload})
    assert done.status == SUCCEEDED, done.cause
    manifest: dict[str, Any] = done.output["dataset"]
    return manifest


def published(live: Live, version: str) -> bool:
    uri = f"{live.zone('datasets')}{version}/manifest.json"
    return live.uris(uri) == [uri]


# --- list, show, diff -------------------------------------------------------------------------------------------------


def test_lists_every_dataset_with_who_uses_it(kept: Live, made: Made) -> None:
    lines = kept.command("datasets").splitlines()[1:]
    assert [line.split()[0] for line in lines] == [version[:12] for version in made.versions]
    assert "published" in lines[0] and lines[0].split()[-2:] == ["-", "0"]
    assert "1 Approved" in lines[1] and lines[1].split()[-1] == "1"


def test_shows_what_a_dataset_is_made_of(kept: Live, made: Made) -> None:
    page = kept.command("datasets", "show", made.first["version"][:8])
    for told in (made.first["version"], made.first["bundle"], made.first["engine"]):
        assert told in page
    for split in made.first["splits"].values():
        assert split["digest"] in page


def test_tells_two_datasets_apart(kept: Live, made: Made) -> None:
    told = kept.command("datasets", "diff", made.first["version"], made.second["version"])
    assert "2024-03-11T00:00:00Z" in told and "2024-03-21T00:00:00Z" in told
    assert "orders.csv.gz" in told
    assert "train digest" in told
    assert "customers.csv.gz" not in told and "bundle" not in told


def test_athena_lists_the_same(kept: Live, made: Made) -> None:
    text = "SELECT version, manifest_uri FROM every_curated.kept_orders_datasets ORDER BY as_of"
    root = kept.zone("datasets")
    assert query(kept, text) == [[version, f"{root}{version}/manifest.json"] for version in made.versions]


# --- replay -----------------------------------------------------------------------------------------------------------


def test_a_replay_gives_the_same_rows_and_publishes_nothing(kept: Live, made: Made) -> None:
    before = kept.read_json(f"{kept.zone('datasets')}{made.first['version']}/manifest.json")
    told = kept.command("datasets", "replay", made.first["version"][:10])
    for name in SPLITS:
        assert f"{name}: {before['splits'][name]['rows']:,} rows, the same digest" in told
    assert kept.read_json(f"{kept.zone('datasets')}{made.first['version']}/manifest.json") == before
    attempts = {uri.split("/")[5] for uri in kept.uris(f"{kept.zone('datasets')}{made.first['version']}/a")}
    assert len(attempts) == 2
    assert len(kept.uris(f"{kept.zone('datasets')}index/")) == len(made.versions)
    (run,) = re.findall(r"as attempt (\S+)-0-0;", told)
    assert kept.record(f"data#{run}")["status"] == "replayed"


def test_a_replay_with_other_rows_fails_with_the_figures(kept: Live, made: Made) -> None:
    uri = f"{kept.zone('datasets')}{made.first['version']}/manifest.json"
    content = kept.read(uri)
    other = json.loads(content)
    other["splits"]["test"] |= {"rows": 1, "digest": "f" * 64}
    kept.write(uri, json.dumps(other).encode())
    try:
        done = type_command(kept.settings, "datasets", "replay", made.first["version"], root=kept.root)
    finally:
        kept.write(uri, content)
    assert done.returncode == 1
    assert "ReplayDiffers" in done.stderr and f"test: published were 1 rows of digest {'f' * 64}" in done.stderr
    assert "train: " not in done.stderr


def test_what_is_no_version_is_refused_with_what_there_is(kept: Live, made: Made) -> None:
    done = type_command(kept.settings, "datasets", "replay", "nothing", root=kept.root)
    assert done.returncode == 2
    assert "version 'nothing' is no dataset" in done.stderr and made.versions[0][:12] in done.stderr


# --- pins and retirement ----------------------------------------------------------------------------------------------


def test_a_training_run_pins_its_dataset(kept: Live, made: Made) -> None:
    pins = kept.uris(f"{kept.zone('datasets')}pins/")
    assert {uri.split("/")[-2] for uri in pins} == {made.first["version"], made.second["version"]}
    pin = kept.read_json(pins[0])
    assert kept.record(f"model#{pin['run_id']}")["dataset_version"] == pin["version"]


def retire(live: Live, *, days: int) -> str:
    """Call the function as if so many days had passed; returns its answer or its error."""
    (rule,) = (
        each
        for each in live.client("events").list_rules()["Rules"]
        if each.get("Description") == f"Retires datasets of {live.workload}"
    )
    (target,) = live.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    event = {"time": (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()}
    answer = live.client("lambda").invoke(FunctionName=target["Arn"], Payload=json.dumps(event))
    return str(answer["Payload"].read().decode())


def marked(live: Live, version: str) -> list[str]:
    """The objects of a dataset that expire."""
    s3, bucket = live.client("s3"), live.outputs.datasets_bucket
    keys = [uri.partition(f"{bucket}/")[2] for uri in live.uris(f"{live.zone('datasets')}{version}/")]
    return [key for key in keys if s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [MARK]]


def derive(live: Live, version: str) -> str:
    """Leave what a run makes of a dataset's rows; returns its address."""
    uri = f"{live.zone('artefacts')}encoded/{version}/run-0-0/train/data.csv"
    live.write(uri, b"rows")
    return uri


def wish_back(live: Live, version: str) -> str:
    """Pin a dataset and call the function; returns the pin."""
    pin = f"{live.zone('datasets')}pins/{version}/somebody.json"
    live.write(pin, b"{}")
    return pin


def forget(live: Live, uri: str) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    live.client("s3").delete_object(Bucket=bucket, Key=key)


def test_a_retired_dataset_is_not_trained_on_and_the_same_batch_makes_it_again(kept: Live, made: Made) -> None:
    version = made.unused["version"]
    encoded = derive(kept, version)
    done = json.loads(retire(kept, days=11))
    assert (done["retired"], done["lost"], done["derived"]) == ([version], [], 1)
    assert kept.uris(encoded) == []
    assert not published(kept, version)
    rows = marked(kept, version)
    assert any(key.endswith(".parquet") for key in rows)
    assert not any(key.endswith(("report.json", "profile.json", "/manifest.json")) for key in rows)
    assert all(published(kept, each["version"]) for each in (made.first, made.second))
    assert version[:12] in kept.command("datasets") and "retired" in kept.command("datasets", "list")

    given = {"as_of": made.unused["as_of"], "bundle": kept.bundle, "dataset": made.unused}
    refused = kept.run("model", {**given, "workload": kept.workload})
    assert "DatasetRetired" in str(refused.cause)

    again = run_data(kept, made.unused_input)
    assert (again["version"], published(kept, version)) == (version, True)
    assert again["attempt"] != made.unused["attempt"]
    digests = [[each["splits"][name]["digest"] for name in SPLITS] for each in (again, made.unused)]
    assert digests[0] == digests[1]
    forget(kept, next(iter(kept.uris(f"{kept.zone('datasets')}pins/{version}/"))))


# --- grants of the function -------------------------------------------------------------------------------------------

LAKE_KEY = "kms:lake"
NEEDED: tuple[tuple[str, str, str], ...] = (
    ("s3:ListBucket", "datasets", "any"),
    ("s3:GetObject", "datasets", "any"),
    ("kms:Decrypt", LAKE_KEY, "any"),
    ("sagemaker:ListModelPackages", "", "retire"),
    ("sagemaker:DescribeModelPackage", "", "retire"),
    ("s3:DeleteObject", "datasets/", "retire"),
    ("s3:PutObjectTagging", "", "retire"),
    ("s3:ListBucket", "artefacts", "any"),
    ("s3:DeleteObject", "artefacts/", "derived"),
    ("s3:DeleteObjectTagging", "", "restore"),
    ("s3:PutObject", "datasets/", "restore"),
    ("kms:GenerateDataKey", LAKE_KEY, "restore"),
    *(
        (action, f"{zone}{end}", f"leftovers {zone}")
        for zone in ("validated", "quarantine", "curated")
        for action, end in (("s3:ListBucket", ""), ("s3:DeleteObject", "/"))
    ),
)
"""Action, what it is granted on, and what the function is about to do when it misses it."""

UNSEEN = {
    "logs:CreateLogStream": "Lambda writes the function's log as the role",
    "logs:PutLogEvents": "Lambda writes the function's log as the role",
    "xray:PutTelemetryRecords": "Lambda sends the function's traces as the role",
    "xray:PutTraceSegments": "Lambda sends the function's traces as the role",
    "kms:DescribeKey": "asked for by SDKs before they use a key",
    "s3:GetBucketLocation": "SDKs ask in which region a bucket is; there is one region here",
    "s3:AbortMultipartUpload": "large objects are written in parts, which is only seen when that is interrupted",
    "s3:ListMultipartUploadParts": "large objects are written in parts, which is only seen when that is interrupted",
}


@pytest.fixture(scope="module")
def roles(kept: Live, made: Made) -> Roles:
    return Roles(kept)


@pytest.fixture(scope="module")
def said(kept: Live, made: Made, roles: Roles) -> dict[tuple[str, str, str], str]:
    """What the function said without each of its grants."""
    version, found = made.unused["version"], {}
    for action, on, about in NEEDED:
        if about.startswith("leftovers"):
            zone = about.split()[1]
            key = f"orders/version={version}/attempt=killed-0-0/part-0.parquet"
            kept.write(f"{kept.zone(zone)}{key}", b"rows")
        if about == "derived":
            derive(kept, version)
        if about == "restore" and published(kept, version):
            retire(kept, days=11)
        pin = wish_back(kept, version) if about == "restore" else None
        days = 31 if about.startswith("leftovers") else 11
        with roles.without(ROLE, [action], on):
            found[action, on, about] = retire(kept, days=days)
        if pin is not None:
            forget(kept, pin)
        if about == "retire" and not published(kept, version):
            run_data(kept, made.unused_input)
    return found


@pytest.mark.parametrize("needed", NEEDED, ids="-".join)
def test_a_grant_of_the_function_that_is_taken_away_is_missed(
    roles: Roles, said: Mapping[tuple[str, str, str], str], needed: tuple[str, str, str]
) -> None:
    assert re.search(roles.denial(ROLE, [needed[0]]), said[needed]), said[needed]


def test_every_grant_of_the_function_is_seen_to_be_needed_or_listed(roles: Roles) -> None:
    def needed(grant: Grant) -> bool:
        return any(grant.action == action and re.search(on, grant.resource) for action, on, _ in NEEDED)

    own = [grant for grant in roles.grants if grant.role == ROLE]
    assert [grant for grant in own if needed(grant) == (grant.action in UNSEEN)] == []
    assert set(UNSEEN) <= {grant.action for grant in own}
