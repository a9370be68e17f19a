"""The demonstration on a sample: raw files to a served prediction, then a second model that takes its place."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gapless_lambda.statement import canonical
from local.chain import Chain
from local.deliveries import Deliveries, read_deliveries
from local.executions import SUCCEEDED, Execution
from local.predict import golden_request, predict
from local.sizing.read import things_of
from local.sizing.things import Place, Thing
from tests.end_to_end.batches import lines_of
from tests.end_to_end.conftest import SAMPLE, SECOND_MONTH, Demo
from tests.end_to_end.lake import (
    assert_only_whole_datasets_are_read,
    database,
    locations,
    partitions,
    query,
    rows_at,
)
from tests.end_to_end.live import WORKLOAD, Live, eventually

SOURCES = ("flights", "weather", "planes", "airports", "airlines")


def of(chain: Chain, machine: str) -> Execution:
    """The execution of a machine."""
    found = chain.of(machine)
    assert found is not None, f"{chain.run_id} has no {machine}"
    return found


def manifest_of(chain: Chain) -> dict[str, Any]:
    """The manifest that the data machine handed on."""
    found: dict[str, Any] = of(chain, "data").output["dataset"]
    return found


def package_of(live: Live, chain: Chain) -> dict[str, Any]:
    """What the registry says of the model of a run."""
    assert chain.package is not None
    found: dict[str, Any] = live.client("sagemaker").describe_model_package(ModelPackageName=chain.package.arn)
    return found


def evaluation_of(live: Live, chain: Chain) -> dict[str, Any]:
    """What the evaluation job found; its address is in the registry."""
    place = package_of(live, chain)["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    found: dict[str, Any] = live.read_json(place)
    return found


@pytest.fixture(params=["first", "second"])
def chain(request: pytest.FixtureRequest, demo: Demo) -> Chain:
    """Either run."""
    found: Chain = getattr(demo, request.param)
    return found


@pytest.fixture(scope="module")
def asked(live: Live, demo: Demo) -> dict[str, Any]:
    """An answer of the endpoint, asked over HTTP as an application would."""
    return dict(predict(live.platform.aws, live.outputs, golden_request(live.settings)).response)


# --- the machines ----------------------------------------------------------------------------------------------------


def test_deliveries_are_counted_with_their_lead_time(live: Live, demo: Demo) -> None:
    """Both models were deployed; the lead time is that of the whole path, from the batch on."""
    deployments = [of(each, "deployment") for each in (demo.first, demo.second)]

    def counted() -> Deliveries | None:
        found = read_deliveries(live.settings, live.platform.aws)
        return found if found.attempts - found.failed >= len(deployments) else None

    lead_time = eventually(counted, "the figures of two deliveries").lead_time
    took = [(each.ended - each.started).total_seconds() for each in deployments if each.ended is not None]
    assert lead_time is not None
    assert lead_time > min(took)


def test_every_machine_succeeds(chain: Chain) -> None:
    """From the loop to the deployment."""
    assert {item.machine: (item.status, item.cause) for item in chain.executions} == dict.fromkeys(
        ("loop", "data", "model", "deployment"), (SUCCEEDED, None)
    )


def test_the_command_line_tells_the_outcome(demo: Demo) -> None:
    """``run`` watches the batch that was landed last."""
    assert f"run {demo.second.run_id}: deployed" in demo.watched


def test_shows_the_phases_of_the_data_in_its_states_and_output(chain: Chain) -> None:
    """Exploration, validation, cleaning and splitting."""
    data = of(chain, "data")
    assert {"Validation", "Exploration", "Cleaning", "Splitting"} <= {state.name for state in data.states}
    assert set(data.output["phases"]) == {"validation", "exploration", "cleaning", "splitting"}


def test_a_batch_waits_for_the_lease_until_the_one_before_is_deployed(demo: Demo) -> None:
    """The second batch lands while the first is worked on."""
    waited = next(state for state in of(demo.second, "loop").states if state.name == "WaitForLease")
    assert of(demo.second, "loop").started < of(demo.first, "model").started
    released = next(state for state in of(demo.first, "deployment").states if state.name == "ReleaseLease")
    assert waited.visits > 1
    assert of(demo.second, "data").started >= released.entered


def test_leaves_no_lease_and_no_message(live: Live, demo: Demo) -> None:
    """Every event was handled, none was given up."""
    assert live.lease() is None
    eventually(live.intake_is_empty, "an empty intake")


# --- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_every_row_is_validated_or_quarantined(live: Live, demo: Demo, number: int) -> None:
    """Counted in what landed and in the files that were written; the report says the same."""
    manifest = manifest_of((demo.first, demo.second)[number])
    good, bad = locations(manifest, "validated"), locations(manifest, "quarantine")
    figures = live.read_json(manifest["report_uri"])["phases"]["validation"]
    for source in SOURCES:
        landed = len(lines_of(demo.batches[number], source)) - 1
        table = f"{WORKLOAD}_{source}"
        validated = rows_at(live, good[table])
        quarantined = rows_at(live, bad[table]) if table in bad else 0
        assert landed == validated + quarantined
        told = figures["sources"][source]
        assert (told["rows_in"], told["validated"], told["quarantined"]) == (landed, validated, quarantined)
    assert figures["rows_in"] == figures["rows_validated"] + figures["rows_quarantined"]


def test_publishes_what_the_job_wrote_and_what_exists(live: Live, chain: Chain) -> None:
    """The published manifest is the candidate; every file that it leads to is there."""
    manifest = manifest_of(chain)
    root = f"{live.zone('datasets')}{manifest['version']}/"
    assert live.read_json(f"{root}manifest.json") == live.read_json(
        f"{root}attempt={manifest['attempt']}/manifest.json"
    )
    assert live.read_json(f"{root}manifest.json") == manifest
    assert live.read_json(manifest["profile_uri"])["version"] == manifest["version"]
    assert_only_whole_datasets_are_read(live)


def test_the_splits_follow_one_another_in_time(live: Live, chain: Chain) -> None:
    """And hold all rows that have features."""
    splits = [manifest_of(chain)["splits"][name] for name in ("train", "validation", "test")]
    assert all(earlier["to"] < later["from"] for earlier, later in pairwise(splits))
    features = locations(manifest_of(chain), "curated")[f"{WORKLOAD}_features"]
    assert sum(split["rows"] for split in splits) == rows_at(live, features)


def test_athena_counts_the_rows_of_a_version(live: Live, chain: Chain) -> None:
    """One partition per table and version, which queries find."""
    manifest = manifest_of(chain)
    named = {(table["table"], table["location"]) for table in manifest["tables"]}
    found = [found for found in partitions(live) if found.version == manifest["version"]]
    assert {(each.table, each.location) for each in found} == named
    assert len(found) == len(named)
    for zone, table in (("curated", f"{WORKLOAD}_features"), ("validated", f"{WORKLOAD}_flights")):
        text = f"SELECT count(*) FROM {database(live, zone)}.{table} WHERE version = '{manifest['version']}'"  # noqa: S608
        assert query(live, text) == [[str(rows_at(live, locations(manifest, zone)[table]))]]


def test_the_crawler_describes_what_landed(live: Live, demo: Demo) -> None:
    """A table per source."""
    tables = live.client("glue").get_tables(DatabaseName=database(live, "landing"))["TableList"]
    assert {f"{WORKLOAD}_{source}" for source in SOURCES} <= {table["Name"] for table in tables}


# --- model -----------------------------------------------------------------------------------------------------------


def test_the_model_is_registered_with_metrics_and_lineage(live: Live, chain: Chain) -> None:
    """What it was made of can be read from the registry alone."""
    package, manifest, bundle = package_of(live, chain), manifest_of(chain), live.bundle
    assert package["ModelApprovalStatus"] == "Approved"
    lineage = package["CustomerMetadataProperties"]
    assert lineage["run_id"] == chain.run_id
    assert lineage["dataset_version"] == manifest["version"]
    assert (lineage["bundle"], lineage["commit"]) == (bundle["bundle"], bundle["commit"])
    job = live.client("sagemaker").describe_training_job(TrainingJobName=lineage["training_job"])
    container = package["InferenceSpecification"]["Containers"][0]
    trained = live.read(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert live.read(container["ModelDataUrl"]) == trained
    assert hashlib.sha256(trained).hexdigest() in container["ModelDataUrl"]
    assert container["Image"] == job["AlgorithmSpecification"]["TrainingImage"]
    assert evaluation_of(live, chain)["model"]["sha256"] == lineage["model_sha256"]


def test_the_model_is_signed_with_what_it_was_made_of(live: Live, chain: Chain) -> None:
    """Anybody who has the public key can check it."""
    lineage = package_of(live, chain)["CustomerMetadataProperties"]
    statement = live.read_json(lineage["statement_uri"])["statement"]
    public = serialization.load_der_public_key(
        live.client("kms").get_public_key(KeyId=lineage["signing_key"])["PublicKey"]
    )
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(lineage["signature"]), canonical(statement), ec.ECDSA(hashes.SHA256()))
    assert statement["properties"].items() <= lineage.items()
    assert statement["properties"]["run_id"] == chain.run_id


def test_the_evaluation_is_on_the_held_back_rows(live: Live, chain: Chain) -> None:
    """All rows of the test split, which the training job was not given."""
    split = manifest_of(chain)["splits"]["test"]
    evaluation = evaluation_of(live, chain)
    assert (evaluation["rows"], evaluation["positives"]) == (split["rows"], split["positives"])
    job = live.client("sagemaker").describe_training_job(
        TrainingJobName=package_of(live, chain)["CustomerMetadataProperties"]["training_job"]
    )
    given = {channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]}
    assert split["manifest_uri"] not in given


def test_the_first_model_has_nobody_to_beat(live: Live, demo: Demo) -> None:
    """There is no champion yet."""
    assert evaluation_of(live, demo.first)["champion"] is None
    rules = {rule["rule"]: rule for rule in of(demo.first, "model").output["rules"]}
    assert rules["champion"]["reason"] == "there is no champion yet"


def test_the_second_model_beats_the_first_on_its_own_rows_by_more_than_chance(live: Live, demo: Demo) -> None:
    """The champion is judged on the test split of the candidate."""
    evaluation = evaluation_of(live, demo.second)
    first = package_of(live, demo.first)["CustomerMetadataProperties"]["model_sha256"]
    assert evaluation["champion"]["sha256"] == first
    rule = {rule["rule"]: rule for rule in of(demo.second, "model").output["rules"]}["champion"]
    compared = evaluation["champion"]["comparison"]["auc"]
    assert compared["test"] == "delong"
    assert rule["passed"]
    assert rule["value"] == compared["low"] > rule["limit"] == 0
    assert evaluation["metrics"]["auc"] > evaluation["champion"]["metrics"]["auc"]


# --- endpoint --------------------------------------------------------------------------------------------------------


def test_the_second_deployment_updates_what_the_first_created(live: Live, demo: Demo) -> None:
    """Under alarms, step by step; the configuration that served before is remembered."""
    first, second = of(demo.first, "deployment"), of(demo.second, "deployment")
    assert "CreateEndpoint" in {state.name for state in first.states}
    assert "UpdateEndpoint" in {state.name for state in second.states}
    endpoint, on_record = demo.endpoint, demo.live
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", second.output["config"])
    guarded = endpoint["LastDeploymentConfig"]
    routing = guarded["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert (routing["Type"], routing["CanarySize"]) == ("CANARY", {"Type": "CAPACITY_PERCENT", "Value": 50})
    alarms = {alarm["AlarmName"] for alarm in guarded["AutoRollbackConfiguration"]["Alarms"]}
    assert alarms == set(live.outputs.alarm_names)
    assert (on_record["config"], on_record["previous_config"]) == (second.output["config"], first.output["config"])
    assert on_record["run_id"] == demo.second.run_id


def test_the_endpoint_answers(asked: dict[str, Any]) -> None:
    """A probability and a label."""
    (prediction,) = asked["predictions"]
    assert 0 < prediction["probability"] < 1
    assert prediction["label"] is (prediction["probability"] >= 0.5)


def test_requests_and_answers_are_kept(live: Live, asked: dict[str, Any]) -> None:
    """In the workload's part of the artefacts."""
    place = f"{live.zone('artefacts')}capture/{live.outputs.endpoint_name}/{live.outputs.variant_name}/"

    def look() -> bool:
        lines = [line for uri in live.uris(place) for line in live.read(uri).decode().splitlines()]
        kept = [json.loads(line)["captureData"] for line in lines]
        pairs = [
            (json.loads(each["endpointInput"]["data"]), json.loads(each["endpointOutput"]["data"])) for each in kept
        ]
        return (golden_request(live.settings), asked) in pairs

    eventually(look, "request and answer among what was captured")


def test_the_model_refuses_what_it_cannot_know_before_the_departure(live: Live, demo: Demo) -> None:
    """With the client's error and a sentence that says why."""
    request = golden_request(live.settings)
    request["instances"][0]["dep_delay"] = 42
    runtime = live.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError, match="unknown feature 'dep_delay'") as refused:
        runtime.invoke_endpoint(
            EndpointName=live.outputs.endpoint_name, ContentType="application/json", Body=json.dumps(request).encode()
        )
    assert refused.value.response["OriginalStatusCode"] == 400


# --- records ---------------------------------------------------------------------------------------------------------


def test_the_records_say_what_went_in_and_what_came_out(live: Live, chain: Chain) -> None:
    """One record per machine; together they lead from the batch to the endpoint."""
    loop, data, model = (live.record(f"{machine}#{chain.run_id}") for machine in ("loop", "data", "model"))
    version, package = manifest_of(chain)["version"], package_of(live, chain)
    assert (loop["status"], data["status"], model["status"]) == ("succeeded", "succeeded", "registered")
    assert {record["dataset_version"] for record in (loop, data, model)} == {version}
    assert {record["bundle"] for record in (loop, data, model)} == {live.bundle["bundle"]}
    assert {record["commit"] for record in (loop, data, model)} == {live.bundle["commit"]}
    assert len({record["as_of"] for record in (loop, data, model)}) == 1
    assert json.loads(loop["triggered_by"])["detail_type"] == "Object Created"
    assert loop["model_package_arn"] == model["model_package_arn"] == package["ModelPackageArn"]
    assert json.loads(model["hyperparameters"])["seed"] == "2013"
    assert json.loads(model["metrics"]) == evaluation_of(live, chain)["metrics"]
    assert model["image"] == package["InferenceSpecification"]["Containers"][0]["Image"]
    deployed = live.record(f"deployment#{of(chain, 'deployment').input['run_id']}")
    assert deployed["status"] == "succeeded"
    assert deployed["model_sha256"] == model["model_sha256"]


def test_the_report_renders(live: Live, demo: Demo) -> None:
    """With the lineage from the batch to the endpoint; landed again, the batch is the last one and starts nothing."""
    live.command("land", "--months", str(SECOND_MONTH), "--sample", str(SAMPLE))
    live.command("report")
    page = live.settings.report_file.read_text()
    manifest = manifest_of(demo.second)
    for expected in (demo.second.run_id, manifest["version"], of(demo.second, "deployment").output["config"]):
        assert expected in page
    assert "<script src" not in page


def test_the_report_shows_what_was_measured_of_machines_and_says_where_nothing_was(live: Live, demo: Demo) -> None:
    assert demo.second.finished
    place = Place(live.settings, live.platform.aws, live.outputs, dt.datetime.now(dt.UTC))
    things: dict[tuple[str, str], Thing] = {(each.kind, each.name): each for each in things_of(place)}
    for kind, name in (("job", "train"), ("job", "eval"), ("Glue job", "prepare"), ("endpoint", "primary")):
        found = things[kind, name]
        assert found.processors is not None and 0 < found.processors < 1.5 * (os.cpu_count() or 1), found
        assert found.memory is not None and 0.001 < found.memory < 1, found
    trained = things["job", "train"].times
    assert trained is not None and trained >= 2, "each batch of the demonstration, and what other tests train"
    assert things["Glue job", "prepare"].hint.verdict == "no figure"
    functions = [each for each in things.values() if each.kind == "function" and each.times]
    assert functions and all(each.memory is not None and 0.05 < each.memory < 1.5 for each in functions), functions
