"""A folder is added to a project, and its workload goes the whole way; its model is looked at for bias."""

from __future__ import annotations

import filecmp
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sagemaker.core.shapes import model_card_shapes as shapes

from local.chain import Chain
from local.landing import batch_key
from tests.end_to_end.live import ROOT, Live, eventually
from tests.end_to_end.second_project import COPIED

WORKLOAD = "loan_approval"


@pytest.fixture(scope="module")
def chain(loans: Live, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """What the batch has set off that the workload's own script writes."""
    folder = tmp_path_factory.mktemp("batch")
    script = loans.root / "workloads" / WORKLOAD / "batch.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=600)
    document = json.loads((folder / "_batch.json").read_text())
    for name in (*(file["key"] for file in document["files"]), "_batch.json"):
        loans.write(f"{loans.zone('landing')}1990/{name}", (folder / name).read_bytes())
    return loans.chain_of(batch_key(document))


@pytest.fixture(scope="module")
def package(loans: Live, chain: Chain) -> dict[str, Any]:
    assert chain.package is not None, chain
    found: dict[str, Any] = loans.client("sagemaker").describe_model_package(ModelPackageName=chain.package.arn)
    return found


def differing(mine: Path, theirs: Path) -> list[str]:
    """The files below a folder that are not what they are in another, or are only in one of them."""
    compared = filecmp.dircmp(mine, theirs, ignore=["__pycache__"])
    own = [*compared.diff_files, *compared.left_only, *compared.right_only]
    below = [name for each in compared.common_dirs for name in differing(mine / each, theirs / each)]
    return [str(mine / name) for name in own] + below


def test_a_workload_is_added_by_its_folder_alone(loans: Live, chain: Chain) -> None:
    assert chain.outcome().startswith("waiting for the approval of"), chain
    folders = [name for name in COPIED if (ROOT / name).is_dir()]
    assert [name for folder in folders for name in differing(loans.root / folder, ROOT / folder)] == []
    files = [name for name in COPIED if name not in folders and name != "cdk.json"]
    assert all((loans.root / name).read_bytes() == (ROOT / name).read_bytes() for name in files)
    mentioned = [path for path in (loans.root / "workloads").rglob("*.*") if WORKLOAD in path.read_text()]
    assert {path.relative_to(loans.root / "workloads").parts[0] for path in mentioned} == {WORKLOAD}


def test_its_gate_has_judged_bias_and_its_package_tells_of_it(
    loans: Live, chain: Chain, package: dict[str, Any]
) -> None:
    rules = json.loads(loans.record(f"model#{chain.run_id}")["rules"])
    judged = [rule["reason"].split(" is ")[0] for rule in rules if rule["rule"] == "bias"]
    facets = ("black: true", "hispanic: true", "male: false")
    assert judged == [f"{metric} of {facet}" for metric in ("DI", "RD") for facet in facets]
    card = json.loads(package["ModelCard"]["ModelCardContent"])
    shapes.ModelCardContent.model_validate(card, extra="forbid")
    assert card["additional_information"]["custom_details"]["run"] == chain.run_id
    assert all(rule["reason"][:20] in card["additional_information"]["custom_details"]["gate"] for rule in rules[:3])
    uri = package["CustomerMetadataProperties"]["evaluation_report"]
    page = loans.read(uri).decode()
    assert "hispanic: true" in page and page.startswith("<!doctype html>")
    evaluation = loans.read_json(uri.replace("report.html", "evaluation.json"))
    assert evaluation["bias"]["training"][0]["rows"] > evaluation["rows"] == 597


def test_an_approved_model_answers_and_does_not_ask_whom_an_application_is_from(
    loans: Live, package: dict[str, Any]
) -> None:
    loans.client("sagemaker").update_model_package(
        ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
    )
    live = lambda: loans.item(loans.outputs.runs_table, "run", f"live#{WORKLOAD}")  # noqa: E731
    assert eventually(live, "a deployed model")["model_package_arn"] == package["ModelPackageArn"]
    safe, risky = (
        json.loads(loans.command("predict", "--set", f"bankrupt={told}").splitlines()[0])["predictions"][0]
        for told in ("false", "true")
    )
    assert safe["label"] is True
    assert risky["probability"] < safe["probability"]
