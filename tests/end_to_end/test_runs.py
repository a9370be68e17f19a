"""Training runs are listed, compared and made again, on a deployed platform."""

from __future__ import annotations

import json
import re

from local.chain import Chain
from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import Live, type_command


def run_of(chain: Chain) -> str:
    model = chain.of("model")
    assert model is not None
    return str(model.input["run_id"])


def test_lists_and_compares_runs_by_their_records(live: Live, demo: Demo) -> None:
    first, second = run_of(demo.first), run_of(demo.second)
    lines = live.command("runs").splitlines()
    assert [line.split()[0] for line in lines if line.startswith((first, second))][:2] == [first, second]
    page = live.command("runs", "show", first)
    record = live.record(f"model#{first}")
    for name in ("commit", "bundle", "dataset_version", "image", "model_sha256"):
        assert record[name] in page
    assert json.loads(record["environment"])["packages_sha256"] in page
    told = live.command("runs", "compare", first, second)
    assert record["dataset_version"] in told and "auc" in told
    assert record["bundle"] not in told


def test_a_replay_gives_the_same_model_byte_for_byte_and_registers_nothing(live: Live, demo: Demo) -> None:
    first = run_of(demo.first)
    packages = live.client("sagemaker").list_model_packages(ModelPackageGroupName=live.outputs.model_package_group)
    told = live.command("runs", "replay", first)
    record = live.record(f"model#{first}")
    assert f"run {first} again gave the same model, byte for byte: {record['model_sha256']}" in told
    (replay,) = re.findall(rf"^(p\S+) .* replayed of {first}", live.command("runs"), re.MULTILINE)
    again = live.record(f"model#{replay}")
    assert again["training_job"] != record["training_job"]
    assert again["model_sha256"] == record["model_sha256"]
    assert json.loads(again["metrics"]) == json.loads(record["metrics"])
    after = live.client("sagemaker").list_model_packages(ModelPackageGroupName=live.outputs.model_package_group)
    assert len(after["ModelPackageSummaryList"]) == len(packages["ModelPackageSummaryList"])


def test_a_replay_that_gives_another_model_fails_with_the_figures(live: Live, demo: Demo) -> None:
    second = run_of(demo.second)
    key = {"run": {"S": f"model#{second}"}}
    table = live.client("dynamodb")
    item = table.get_item(TableName=live.outputs.runs_table, Key=key)["Item"]
    request = json.loads(item["training"]["S"])
    request["HyperParameters"]["num_round"] = "3"
    table.put_item(TableName=live.outputs.runs_table, Item={**item, "training": {"S": json.dumps(request)}})
    try:
        done = type_command(live.settings, "runs", "replay", second, root=live.root)
    finally:
        table.put_item(TableName=live.outputs.runs_table, Item=item)
    assert done.returncode == 1
    assert "ReplayDiffers" in done.stderr and f"digest was {item['model_sha256']['S']}, is " in done.stderr
    assert "largest difference of a prediction is 0." in done.stderr and "auc was" in done.stderr


def test_what_is_no_run_is_refused_with_what_there_is(live: Live, demo: Demo) -> None:
    done = type_command(live.settings, "runs", "replay", "nothing", root=live.root)
    assert done.returncode == 2
    assert "run 'nothing' is no run of the model pipeline" in done.stderr and run_of(demo.first) in done.stderr
