import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ROOT, ConfigurationError, PlatformConfig, project_context
from stacks.platform import build_platform, read_rules, read_workloads
from tests.everything.platform import FOLDER, merged


def any_workload(root: Path, name: str, folder: str | None = None) -> None:
    text = (ROOT / "workloads" / "flight_delays" / "workload.yaml").read_text()
    path = root / "workloads" / (folder if folder is not None else name) / "workload.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("name: flight_delays", f"name: {name}", 1))


def test_reads_every_workload_in_the_order_of_the_folders(tmp_path: Path) -> None:
    for name in ("train_delays", "flight_delays"):
        any_workload(tmp_path, name)
    assert [workload.name for workload in read_workloads(tmp_path)] == ["flight_delays", "train_delays"]


def test_a_platform_may_have_no_workload(tmp_path: Path) -> None:
    assert read_workloads(tmp_path) == ()


def test_refuses_a_workload_whose_folder_has_another_name(tmp_path: Path) -> None:
    any_workload(tmp_path, "train_delays", folder="trains")
    with pytest.raises(ConfigurationError, match=r"workloads/trains/workload\.yaml: name: must be the folder's name"):
        read_workloads(tmp_path)


def test_reads_the_rules_of_every_workload_that_has_some(tmp_path: Path) -> None:
    for name in ("train_delays", "flight_delays"):
        any_workload(tmp_path, name)
    (tmp_path / "workloads" / "train_delays" / "rules.dqdl").write_text("Rules weather = [ RowCount > 0 ]")
    found = read_rules(read_workloads(tmp_path), tmp_path)
    assert {name: list(rules) for name, rules in found.items()} == {"train_delays": ["weather"]}


def test_refuses_rules_that_are_no_text(tmp_path: Path) -> None:
    any_workload(tmp_path, "train_delays")
    (tmp_path / "workloads" / "train_delays" / "rules.dqdl").write_bytes(b"Rules = [ RowCount > 0 ] # \xff")
    with pytest.raises(ConfigurationError, match=r"workloads/train_delays: rules.dqdl: .*can't decode byte 0xff"):
        read_rules(read_workloads(tmp_path), tmp_path)


def test_refuses_more_stages_and_workloads_than_an_account_can_tag(tmp_path: Path) -> None:
    for number in range(50):
        any_workload(tmp_path, f"delays_{number}")
    config = PlatformConfig.parse({"dev": {"zones": ["eu-west-1a", "eu-west-1b"]}})
    with pytest.raises(ConfigurationError, match="context stages: an account may hold at most 50 domains"):
        build_platform(App(outdir=str(tmp_path / "cdk.out")), config, read_workloads(tmp_path))


def test_one_stage_that_is_asked_for_is_synthesised_as_it_is_among_the_others(tmp_path: Path) -> None:
    stages = {name: {"zones": ["eu-west-1a", "eu-west-1b"]} for name in ("dev", "prod")}
    for only in (None, "prod"):
        app = App(outdir=str(tmp_path / str(only)), context=project_context() | {"stages": stages, "stage": only})
        build_platform(app, PlatformConfig.read(app), ())
        app.synth()
    every, one = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.template.json")}
        for folder in (tmp_path / "None", tmp_path / "prod")
    )
    assert {path.parts[0] for path in one} == {"Account.template.json", "assembly-prod"}
    assert one.items() < every.items()


def test_refuses_a_workload_whose_name_begins_with_that_of_another(tmp_path: Path) -> None:
    for name in ("delays", "delays_late", "delayed"):
        any_workload(tmp_path, name)
    config = PlatformConfig.parse({"dev": {"zones": ["eu-west-1a", "eu-west-1b"]}})
    with pytest.raises(ConfigurationError, match="workloads/delays_late: its name begins with the name of workload"):
        build_platform(App(), config, read_workloads(tmp_path))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"warehouse": {}},
            "workloads/orders/workload.yaml: warehouse: stage dev has none; give it the key warehouse",
        ),
        (
            {"training": {"read_from": "lustre"}},
            "workloads/orders/workload.yaml: training.read_from: stage dev has no file system; give it the key lustre",
        ),
        (
            {"training": {"guard": {"watch": "debugger"}}},
            "workloads/orders/workload.yaml: training.guard.watch: AWS has closed SageMaker Debugger to new customers; "
            "if the account of stage dev may use it, give the stage debugger: true, otherwise allowed: script, log",
        ),
    ],
)
def test_refuses_a_workload_that_uses_what_its_stage_does_not_have(asked: dict[str, Any], message: str) -> None:
    orders = next(workload for workload in read_workloads(FOLDER) if workload.name == "orders")
    content = merged(orders.model_dump(mode="json", exclude_unset=True), asked)
    config = PlatformConfig.parse({"dev": {"zones": ["eu-west-1a", "eu-west-1b"]}})
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_platform(App(), config, [WorkloadFile.parse(content)])
