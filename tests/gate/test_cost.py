"""What the cost of templates is made of, and what is refused."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from constructs_lib.names import prices
from constructs_lib.names.workload_file import WorkloadFile
from gate.assembly import StackTemplate
from gate.cost.__main__ import show
from gate.cost.idle import FREE, PRICED, UnknownType, check_idle, idle_lines, total, total_alone, with_one_workload
from gate.cost.runs import jobs_of_run, sum_of
from stacks.config import ROOT, PlatformConfig

REGION = "us-east-1"


def template(stack: str, *resources: tuple[str, dict[str, Any]]) -> StackTemplate:
    content = {
        "Resources": {f"R{number}": {"Type": kind, "Properties": of} for number, (kind, of) in enumerate(resources)}
    }
    return StackTemplate(stack, Path("none"), content)


KEY: tuple[str, dict[str, Any]] = ("AWS::KMS::Key", {})
ALARM: tuple[str, dict[str, Any]] = ("AWS::CloudWatch::Alarm", {"MetricName": "Errors"})


def test_adds_up_what_costs_while_it_is_there() -> None:
    endpoint = ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]})
    lines = idle_lines(template("dev-Network", KEY, KEY, ALARM, endpoint), REGION)
    assert total(lines) == pytest.approx(2 * 1.0 + 0.10 + 2 * 730 * 0.01)


def test_a_gateway_endpoint_costs_nothing() -> None:
    assert idle_lines(template("dev-Network", ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Gateway"})), REGION) == []


def test_an_alarm_over_several_metrics_costs_as_many() -> None:
    metrics = [{"MetricStat": {}}, {"MetricStat": {}}, {"Expression": "a / b"}]
    lines = idle_lines(template("dev-X", ("AWS::CloudWatch::Alarm", {"Metrics": metrics})), REGION)
    assert total(lines) == pytest.approx(0.20)


def test_what_has_no_sourced_price_is_told_and_not_guessed() -> None:
    [line] = idle_lines(template("dev-Cache", ("AWS::FSx::FileSystem", {"StorageCapacity": 1200})), REGION)
    assert line.usd is None
    [line] = idle_lines(template("dev-X", ALARM), "eu-west-1")
    assert line.usd is None


def test_an_unknown_type_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownType, match="dev-X: nobody has written down what AWS::MSK::Cluster costs"):
        idle_lines(template("dev-X", ("AWS::MSK::Cluster", {})), REGION)


def test_a_type_is_either_priced_or_free() -> None:
    assert not set(PRICED) & set(FREE)


def test_one_workload_is_counted_with_what_all_share() -> None:
    stacks = [
        template("Account", KEY),
        template("dev-DataLake", KEY),
        template("dev-OneWorkload", ALARM),
        template("dev-TwoWorkload", ALARM),
        template("prod-OneWorkload", ALARM),
    ]
    assert [each.stack for each in with_one_workload(stacks, "dev", "One")] == [
        "Account",
        "dev-DataLake",
        "dev-OneWorkload",
    ]


def test_refuses_a_dev_stage_that_idles_for_too_much() -> None:
    nat: tuple[str, dict[str, Any]] = ("AWS::EC2::NatGateway", {})
    [finding] = check_idle([template("dev-Network", nat), template("dev-OneWorkload", ALARM)], REGION, ["One"])
    assert "idles for 32.95 USD a month with One alone; at most 10 USD" in str(finding)
    assert check_idle([template("dev-Network", KEY), template("dev-OneWorkload", ALARM)], REGION, ["One"]) == []


def test_the_first_dashboards_of_an_account_have_no_price() -> None:
    dashboard: tuple[str, dict[str, Any]] = ("AWS::CloudWatch::Dashboard", {})
    lines = idle_lines(template("dev-Figures", *[dashboard] * 4, ALARM), REGION)
    assert total(lines) == pytest.approx(4 * 3.0 + 0.10)
    assert total_alone(lines) == pytest.approx(3.0 + 0.10)
    assert total_alone(idle_lines(template("dev-Figures", dashboard, KEY), REGION)) == pytest.approx(1.0)


def test_refuses_a_dev_stage_of_which_not_everything_has_a_price() -> None:
    [finding] = check_idle([template("dev-X", ("AWS::FSx::FileSystem", {}))], REGION, ["One"])
    assert "Lustre file systems, which have no price here" in str(finding)


def any_workload(**training: Any) -> WorkloadFile:
    workload = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
    return workload.model_copy(update={"training": workload.training.model_copy(update=training)})


def test_a_run_costs_machines_times_hours() -> None:
    jobs = {job.name: job for job in jobs_of_run(any_workload(instance_count=2), REGION)}
    assert jobs["data job"].most_usd == pytest.approx(2 * 0.44)
    assert jobs["training"].most_usd == pytest.approx(2 * 0.115 * 30 / 60)
    assert sum_of(job.most_usd for job in jobs.values())[1]


def test_a_machine_without_a_price_leaves_a_run_without_a_total() -> None:
    jobs = jobs_of_run(any_workload(instance_type="ml.c7i.large"), REGION)
    assert sum_of(job.most_usd for job in jobs)[1] is False


def test_every_price_has_a_source_with_a_date() -> None:
    machines = [each for uses in prices.MACHINE_HOURS.values() for of in uses.values() for each in of.values()]
    found = [*machines, *(each for things in prices.THINGS.values() for each in things.values())]
    assert {each.source for each in found} == set(prices.SOURCES)
    assert all(each.usd > 0 for each in found)
    for source in prices.SOURCES.values():
        assert source.date.count("-") == 2
        assert source.text


def test_every_stage_is_shown_with_what_it_idles_at_and_what_a_run_costs() -> None:
    """The production figure beside that of development, each with what only it has."""
    places = {
        name: {"account": "111111111111", "region": REGION, "zones": [f"{REGION}a", f"{REGION}b"]}
        for name in ("dev", "prod")
    }
    stages = PlatformConfig.parse(places).stages
    own = [template("dev-DataLake", KEY), template("prod-DataLake", KEY, KEY, KEY), template("Account", KEY)]
    console = Console(record=True, width=120, file=StringIO())
    show(console, stages, own, [WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")])
    lines = console.export_text().splitlines()
    titles = [line.strip() for line in lines if line.strip().endswith(", idle") or line.strip() == "a run"]
    assert titles == [f"dev in {REGION}, idle", "a run", f"prod in {REGION}, idle", "a run"]
    sums = [line.split()[-2] for line in lines if "all of it, without endpoints" in line]
    assert sums == ["2.00", "4.00"]
    runs = [line.replace("│", " ").split()[-1] for line in lines if "flight_delays" in line and " all " in line]
    assert len(runs) == 2
    assert all(float(usd) > 0 for usd in runs)


def scored_workload(
    model: dict[str, Any] | None = None, hyperparameters: dict[str, Any] | None = None, **serving: Any
) -> WorkloadFile:
    content = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml").model_dump(
        mode="json", exclude_unset=True
    )
    made = model or {"kind": "built_in", "algorithm": "linear-learner"}
    training = {"hyperparameters": hyperparameters or {"epochs": 3}}
    return WorkloadFile.parse({**content, "model": made, "training": training, "evaluation": {}, "serving": serving})


def test_a_run_with_batch_transforms_has_a_total_that_names_its_assumption() -> None:
    jobs = {job.name: job for job in jobs_of_run(scored_workload(instance_type="ml.m5.large"), REGION)}
    assert sum_of(job.most_usd for job in jobs.values())[1]
    assert "Transform on ml.m5.large in us-east-1: that of Processing is assumed" in (jobs["scoring"].assumption or "")
    assert {name for name, job in jobs.items() if job.assumption} == {"scoring", "golden answers"}


def test_a_model_whose_script_is_packed_into_it_costs_a_job_more() -> None:
    catboost = scored_workload({"kind": "built_in", "algorithm": "catboost"}, {"iterations": 3})
    assert "packing" in [job.name for job in jobs_of_run(catboost, REGION)]
    assert "packing" not in [job.name for job in jobs_of_run(scored_workload(), REGION)]


def test_a_sourced_price_goes_before_an_assumed_one() -> None:
    found = prices.estimated_hour("eu-west-1", "Transform", "ml.m5.xlarge")
    assert found is not None and found.assumption is None


@pytest.mark.parametrize("region", sorted(prices.MACHINE_HOURS))
def test_the_prices_that_stand_in_are_equal_wherever_both_have_sources(region: str) -> None:
    uses = prices.MACHINE_HOURS[region]
    for use, stand_in in prices.STANDS_IN.items():
        for machine in set(uses[use]) & set(uses[stand_in]):
            assert uses[use][machine].usd == uses[stand_in][machine].usd
