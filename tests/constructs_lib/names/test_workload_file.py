"""What a workload file must say, and what its errors tell the person who wrote it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from constructs_lib.names.gate_file import Gate
from constructs_lib.names.serving_file import AllAtOnce, Canary
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError, render_schema

WORKLOADS = Path(__file__).parents[3] / "workloads"
FLIGHTS = WORKLOADS / "flight_delays" / "workload.yaml"
SCHEMA = WORKLOADS / "workload.schema.json"
MINIMAL = """\
name: churn
owner: retention@example.com
target: churned
event_time: renewal_due
sources:
  customers:
    key: [customer]
    known_later: [churned]
    columns:
      customer: bigint
      renewal_due: timestamp
      churned: boolean
      plan: string
      months: int
      complaints: int
"""


def flights() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FLIGHTS.read_text())
    return content


def refusal(change: Callable[[dict[str, Any]], object]) -> str:
    content = flights()
    change(content)
    with pytest.raises(WorkloadFileError) as error:
        WorkloadFile.parse(content)
    return str(error.value)


def test_accepts_a_minimal_file_of_less_than_25_lines(tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(MINIMAL)
    workload = WorkloadFile.load(path)
    assert len(MINIMAL.splitlines()) < 25
    assert workload.primary_name == "customers"
    assert workload.feature_types == {"plan": "string", "months": "int", "complaints": "int"}
    assert workload.approval == "manual"
    assert isinstance(workload.serving.rollout, AllAtOnce)


def test_reads_the_flight_delays_workload() -> None:
    workload = WorkloadFile.load(FLIGHTS)
    assert workload.name == FLIGHTS.parent.name
    assert set(workload.sources) == {"flights", "weather", "planes", "airports", "airlines"}
    assert workload.serving.rollout == Canary(share=0.5, bake_minutes=5)


def test_the_committed_schema_is_the_one_that_the_code_makes() -> None:
    assert SCHEMA.read_text() == render_schema()


@pytest.mark.parametrize(
    "text", [MINIMAL, FLIGHTS.read_text(), MINIMAL + "serving: {instance_count: 2, rollout: canary}\n"]
)
def test_the_schema_accepts_what_the_code_accepts(text: str) -> None:
    content = yaml.safe_load(text)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(content)
    WorkloadFile.parse(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(dataset_retention={"keep_newest": 0}),
            "dataset_retention.keep_newest: input should be greater than or equal to 1, was 0",
        ),
        (
            lambda c: c.update(dataset_retention={"keep_day": 3}),
            "dataset_retention.keep_day: 'keep_day' is not a known key; did you mean 'keep_days'?",
        ),
        (lambda c: c.update(ownr="me"), "workload.yaml: ownr: 'ownr' is not a known key; did you mean 'owner'?"),
        (
            lambda c: c["serving"].update(instance_cout=1),
            "serving.instance_cout: 'instance_cout' is not a known key; did you mean 'instance_count'?",
        ),
        (
            lambda c: c["serving"]["rollout"].update(shar=0.1),
            "did you mean 'share'? (allowed: strategy, share, bake_minutes)",
        ),
        (
            lambda c: c["sources"]["flights"].update(kye=[]),
            "sources.flights.kye: 'kye' is not a known key; did you mean 'key'?",
        ),
        (lambda c: c.pop("owner"), "owner: is required"),
        (
            lambda c: c.update(model={"kind": "script", "image": "xgboost:9.9-9"}),
            "model.image: must be one of xgboost:3.0-5, xgboost:3.2-0, scikit-learn:1.9-0,",
        ),
        (lambda c: c.update(model={"allow_pickle": {}}), "model.allow_pickle.reason: is required"),
        (lambda c: c.update(model={"allow_pickle": {"reason": "because"}}), "model.allow_pickle.reason: "),
        (lambda c: c.update(name="Flights"), 'name: must match ^[a-z][a-z0-9_]{2,19}$, was "Flights"'),
        (lambda c: c.update(problem="ranking"), "or 'projection', was \"ranking\""),
        (
            lambda c: c["sources"]["flights"]["columns"].update(hour="integer"),
            "sources.flights.columns.hour: allowed: 'string', 'int'",
        ),
        (
            lambda c: c["sources"]["flights"].update(key=["carier"]),
            "sources.flights.key: 'carier' is not a column; did you mean 'carrier'?",
        ),
        (
            lambda c: c["sources"]["flights"].update(sensitive=["tailnumber"]),
            "sources.flights.sensitive: 'tailnumber' is not a column; did you mean 'tailnum'?",
        ),
        (
            lambda c: c["sources"]["flights"].update(sensitive=["tailnum", "tailnum"]),
            "sources.flights.sensitive: column 'tailnum' is given twice",
        ),
        (lambda c: c["sources"]["flights"].update(time_zone="America/New_Yrok"), "did you mean 'America/New_York'?"),
        (lambda c: c["sources"]["flights"].update(format="json"), "allowed: 'csv', 'json_lines' or 'parquet', was"),
        (
            lambda c: c.update(schema_drift={"aded": "stop"}),
            "schema_drift.aded: 'aded' is not a known key; did you mean 'added'?",
        ),
        (
            lambda c: c.update(schema_drift={"added": "quarantine_rows"}),
            "schema_drift.added: allowed: 'accept', 'quarantine' or 'stop', was \"quarantine_rows\"",
        ),
        (
            lambda c: c["sources"]["weather"].update(schema_drift={"retyped": "reject"}),
            "sources.weather.schema_drift.retyped: allowed: 'accept', 'quarantine_rows', 'quarantine' or 'stop', was",
        ),
        (
            lambda c: c["sources"]["weather"].update(schema_drift={"retyped_share": 0}),
            "sources.weather.schema_drift.retyped_share: input should be greater than 0, was 0",
        ),
        (
            lambda c: c["sources"]["weather"].update(settle={"by": "time_our"}),
            "sources.weather.settle.by: 'time_our' is not a column; did you mean 'time_hour'?",
        ),
        (
            lambda c: c["sources"]["weather"].update(settle={"by": "temp"}),
            "sources.weather.settle.by: column 'temp' must be of type timestamp, was double",
        ),
        (
            lambda c: c["sources"]["weather"].update(settle={"by": "time_hour", "late_after_days": 0}),
            "sources.weather.settle.late_after_days: input should be greater than or equal to 1, was 0",
        ),
        (
            lambda c: c["sources"]["weather"].update(settle={"by": "time_hour"}, key=[]),
            "sources.weather.settle: needs a key, so that rows can be versions of one thing",
        ),
        (lambda c: c.update(primary="flight"), "primary: 'flight' is not a source; did you mean 'flights'?"),
        (
            lambda c: c.update(preparation={"workers": "two"}),
            'preparation.workers: input should be a valid integer, unable to parse string as an integer, was "two"',
        ),
        (
            lambda c: c["training"]["hyperparameters"].update(depth=[6]),
            "training.hyperparameters.depth: must be a number, a text, true or false, was [6]",
        ),
        (
            lambda c: c.update(split={"validation": 0.5, "test": 0.4}),
            "split: validation and test take 0.9 of the rows; at most 0.8",
        ),
        (
            lambda c: c.update(dataset={"repeats_within_days": 3}),
            "dataset.repeats_within_days: has an effect only with accumulate: true",
        ),
        (
            lambda c: c.update(dataset={"accumulate": True}, features={"event_day": "int"}),
            "features.event_day: days are told apart by this name; choose another name",
        ),
        (
            lambda c: c.update(dataset={"accumulate": True}, warehouse={}),
            "dataset.accumulate: does not go together with warehouse, which takes a dataset from one folder",
        ),
        (
            lambda c: c.update(
                dataset={"accumulate": True},
                feature_groups={
                    "sky": {
                        "source": "weather",
                        "key": "origin",
                        "event_time": "time_hour",
                        "features": {"wind_gust": "double"},
                    }
                },
            ),
            "dataset.accumulate: does not go together with feature_groups, which takes a dataset from one folder",
        ),
        (lambda c: c["serving"].update(rollout="blue_green"), "serving.rollout: allowed: 'all_at_once', 'canary'"),
        (
            lambda c: c.update(warehouse={"exports": {"all": "DROP TABLE x"}}),
            "warehouse.exports.all: must be one SELECT, was 'DROP TABLE x'",
        ),
        (
            lambda c: c.update(iceberg={"views": {"two": {"sql": "SELECT 1; SELECT 2"}}}),
            "iceberg.views.two.sql: must be one SELECT without comments and without ;",
        ),
        (
            lambda c: c.update(
                iceberg={"views": {"all": {"sql": "SELECT * FROM {features}"}}},
                features={**c["features"], "tailnum": "string"},
            ),
            "iceberg.views.all.sql: shows the sensitive column 'tailnum'",
        ),
        (
            lambda c: c["serving"]["rollout"].update(share=0.9),
            "serving.rollout.share: input should be less than or equal to 0.5, was 0.9",
        ),
    ],
)
def test_says_where_a_value_is_wrong_and_what_is_allowed(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    assert message in refusal(change)


def test_refuses_a_canary_with_one_instance() -> None:
    message = refusal(lambda c: c["serving"].update(instance_count=1))
    assert "serving.instance_count: a rollout by canary needs at least two instances, was 1" in message


@pytest.mark.parametrize(
    ("role", "column", "message"),
    [
        (
            "target",
            "arives_late",
            "target: 'arives_late' is not a column of the primary source or of derived; did you mean 'arrives_late'?",
        ),
        ("target", "carrier", "target: column 'carrier' must be of type boolean, was string"),
        ("event_time", "departure", "event_time: 'departure' is not a column of the primary source or of derived"),
        ("event_time", "year", "event_time: column 'year' must be of type timestamp, was int"),
    ],
)
def test_refuses_a_target_or_event_time_that_cannot_be(role: str, column: str, message: str) -> None:
    assert message in refusal(lambda c: c.update({role: column}))


@pytest.mark.parametrize(
    ("problem", "target", "kind"),
    [
        ("multiclass_classification", "plan", "string"),
        ("multiclass_classification", "months", "int"),
        ("regression", "months", "int"),
        ("regression", "customer_value", "double"),
    ],
)
def test_a_target_may_be_a_class_or_a_number(problem: str, target: str, kind: str) -> None:
    content = {**yaml.safe_load(MINIMAL), "problem": problem, "target": target, "derived": {"customer_value": "double"}}
    workload = WorkloadFile.parse(content)
    assert workload.curated_columns()[target] == kind
    assert target not in workload.feature_types
    assert workload.contract()["problem"] == problem


@pytest.mark.parametrize("problem", ["clustering", "projection"])
def test_some_problems_have_no_target(problem: str) -> None:
    content = {**yaml.safe_load(MINIMAL), "problem": problem}
    del content["target"]
    workload = WorkloadFile.parse(content)
    assert workload.contract()["target"] is None
    assert list(workload.curated_columns()) == ["plan", "months", "complaints", "_event_time", "_row_id"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem": "clustering"}, 'target: has no meaning for problem: clustering, was "churned"'),
        ({"target": None}, "target: is required for problem: binary_classification"),
        ({"problem": "regression", "target": "plan"}, "'plan' must be of type int or bigint or double, was string"),
        ({"problem": "multiclass_classification"}, "'churned' must be of type string or int, was boolean"),
        (
            {"problem": "regression", "target": "months", "gate": {"metric": "auc"}},
            "'auc' is not a metric of regression",
        ),
        ({"gate": {"metric": "rmse"}}, "gate.metric: 'rmse' is not a metric of binary_classification (allowed: auc, "),
    ],
)
def test_target_and_gate_must_fit_the_problem(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadFileError) as error:
        WorkloadFile.parse({**yaml.safe_load(MINIMAL), **change})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("problem", "gate", "metric", "floor"),
    [
        ("binary_classification", {}, "auc", 0.5),
        ("binary_classification", {"metric": "log_loss"}, "log_loss", None),
        ("multiclass_classification", {}, "mcc", 0.0),
        ("regression", {}, "r2", 0.0),
        ("regression", {"metric": "rmse", "floor": 3}, "rmse", 3.0),
    ],
)
def test_a_gate_asks_for_more_than_guessing(problem: str, gate: dict[str, Any], metric: str, floor: float) -> None:
    judged = Gate(**gate).judged(problem)
    assert (judged["metric"], judged.get("floor")) == (metric, floor)
    assert None not in judged.values(), "a template has no nulls"


@pytest.mark.parametrize("column", ["dep_delay", "arrives_late"])
def test_refuses_a_feature_that_is_known_only_after_the_event(column: str) -> None:
    message = refusal(lambda c: c["features"].update({column: "int"}))
    assert f"features.{column}: is known only after the event" in message


def test_refuses_a_primary_source_without_a_key() -> None:
    message = refusal(lambda c: c["sources"]["flights"].pop("key"))
    assert "sources.flights.key: the primary source needs a key" in message


def test_reports_every_finding_at_once() -> None:
    message = refusal(lambda c: c.update(approval="maybe", problem="ranking"))
    assert len(message.splitlines()) == 2


def test_refuses_a_key_that_is_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(MINIMAL + "owner: somebody.else@example.com\n")
    with pytest.raises(WorkloadFileError, match="key 'owner' is given twice"):
        WorkloadFile.load(path)


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "a: [", ""])
def test_refuses_a_file_that_is_not_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(text)
    with pytest.raises(WorkloadFileError, match=r"workload\.yaml"):
        WorkloadFile.load(path)


def test_keeps_yes_and_no_as_text(tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(MINIMAL.replace("known_later", "missing: [no, yes, off, NA]\n    known_later"))
    assert WorkloadFile.load(path).sources["customers"].missing == ("no", "yes", "off", "NA")


def test_the_contract_keeps_the_order_of_columns_and_nothing_about_serving() -> None:
    contract = WorkloadFile.load(FLIGHTS).contract()
    assert [column["name"] for column in contract["sources"]["flights"]["columns"]][:3] == ["year", "month", "day"]
    assert json.loads(WorkloadFile.load(FLIGHTS).contract_json()) == contract
    assert not {"serving", "training", "gate", "approval"} & set(contract)


def test_the_contract_changes_with_the_data_and_not_with_the_model() -> None:
    other_model, other_data = flights(), flights()
    other_model["training"]["seed"] = 1
    other_data["sources"]["flights"]["missing"] = [""]
    digest = WorkloadFile.parse(flights()).contract_digest()
    assert WorkloadFile.parse(other_model).contract_digest() == digest
    assert WorkloadFile.parse(other_data).contract_digest() != digest


def test_names_the_columns_of_the_tables() -> None:
    workload = WorkloadFile.parse(copy.deepcopy(flights()))
    assert workload.validated_columns("airlines") == {
        "carrier": "string",
        "name": "string",
        "_source_key": "string",
        "_row": "bigint",
    }
    assert workload.quarantine_columns("planes")["seats"] == "string"
    assert list(workload.curated_columns())[-3:] == ["arrives_late", "_event_time", "_row_id"]


def test_who_may_see_a_column_does_not_change_the_data() -> None:
    content = yaml.safe_load(FLIGHTS.read_text())
    secretive = WorkloadFile.parse(content)
    for source in content["sources"].values():
        source.pop("sensitive", None)
    open_ = WorkloadFile.parse(content)
    assert secretive.primary_source.sensitive == ("tailnum",)
    assert secretive.contract_digest() == open_.contract_digest()


def test_the_contract_says_how_a_dataset_accumulates_only_when_it_does() -> None:
    content = flights()
    assert "dataset" not in WorkloadFile.parse(content).contract()
    content["dataset"] = {"accumulate": True}
    assert WorkloadFile.parse(content).contract()["dataset"] == {"accumulate": True, "repeats_within_days": 7}


def drift_of(sources: dict[str, Any], **general: Any) -> dict[str, Any]:
    """The contract's ``drift`` per source, of weather and planes."""
    content = flights()
    content["schema_drift"] = general
    for name, policy in sources.items():
        content["sources"][name]["schema_drift"] = policy
    contract = WorkloadFile.parse(content).contract()
    return {name: contract["sources"][name].get("drift") for name in ("weather", "planes")}


def test_a_source_differs_from_the_workload_in_what_it_says_only() -> None:
    found = drift_of({"weather": {"added": "stop", "retyped_share": 0.2}}, added="accept", retyped="quarantine")
    assert found == {
        "weather": {"retyped": "quarantine", "retyped_share": 0.2},
        "planes": {"added": "accept", "retyped": "quarantine"},
    }


def test_a_workload_without_drift_and_settling_has_the_contract_that_it_had() -> None:
    assert drift_of({}) == {"weather": None, "planes": None}
    contract = WorkloadFile.parse(flights()).contract()
    assert set(contract["sources"]["flights"]) == {"format", "time_zone", "key", "columns", "known_later", "missing"}
    content = flights()
    content["schema_drift"] = {"added": "stop", "reordered": "accept"}
    assert WorkloadFile.parse(content).contract() == contract


def test_the_job_learns_how_rows_are_settled() -> None:
    content = flights()
    content["sources"]["weather"]["settle"] = {"by": "time_hour"}
    content["sources"]["planes"]["settle"] = None
    contract = WorkloadFile.parse(content).contract()
    assert contract["sources"]["weather"]["settle"] == {"by": "time_hour"}
    assert "settle" not in contract["sources"]["planes"]


def test_which_datasets_are_kept_is_no_part_of_the_contract() -> None:
    before, content = WorkloadFile.load(FLIGHTS), flights()
    content["dataset_retention"] = {"keep_newest": 3}
    after = WorkloadFile.parse(content)
    assert after.dataset_retention is not None and after.dataset_retention.keep_days == 90
    assert after.contract_digest() == before.contract_digest()
    assert before.dataset_retention is None
