"""The registry of a deployed workload: who decided, what came of what, and what is cleaned up."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.end_to_end.live import Live, eventually
from tests.end_to_end.second_project import land
from tests.everything.orders import order_batch


@dataclass(frozen=True)
class Registered:
    """Two models: one that serves, and one that a person turned down; their packages."""

    live: dict[str, Any]
    rejected: dict[str, Any]


@pytest.fixture(scope="module")
def registered(signed: Live) -> Registered:
    chain = signed.chain_of(land(signed, order_batch(dt.date(2024, 8, 1), 10), "august"))
    assert chain.package is not None and chain.outcome() == "deployed", chain
    client = signed.client("sagemaker")
    live = client.describe_model_package(ModelPackageName=chain.package.arn)
    archive = f"{signed.zone('artefacts')}models/{'f' * 64}/model.tar.gz"
    signed.write(archive, b"an archive")
    made = client.create_model_package(
        ModelPackageGroupName=signed.outputs.model_package_group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [
                {"Image": live["InferenceSpecification"]["Containers"][0]["Image"], "ModelDataUrl": archive}
            ],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        CustomerMetadataProperties={"dataset_version": live["CustomerMetadataProperties"]["dataset_version"]},
    )
    client.update_model_package(
        ModelPackageArn=made["ModelPackageArn"], ModelApprovalStatus="Rejected", ApprovalDescription="Too slow"
    )
    return Registered(live, client.describe_model_package(ModelPackageName=made["ModelPackageArn"]))


def test_who_approved_and_who_rejected_a_model_is_on_record(signed: Live, registered: Registered) -> None:
    def of(package: dict[str, Any]) -> list[dict[str, str]]:
        return [each for each in signed.trail() if each.get("model_package_arn") == package["ModelPackageArn"]]

    (rejected,) = eventually(lambda: of(registered.rejected), "the record of the rejection", seconds=30)
    assert rejected["event"].startswith("model-rejected#every-signed-orders-models/")
    assert rejected["by"].endswith(":root")
    assert rejected["description"] == "Too slow"
    (approved,) = of(registered.live)
    assert "ModelMachineRole" in approved["by"]
    assert approved["description"] == "Passed the gate; the workload approves automatically"


def test_lineage_leads_from_the_endpoint_to_the_files_and_back(signed: Live, registered: Registered) -> None:
    properties = registered.live["CustomerMetadataProperties"]
    version = properties["dataset_version"]
    up = signed.command("lineage")
    for told in ("endpoint every-signed-orders-live", properties["run_id"], properties["signing_key"], version):
        assert told in up
    assert "orders.csv.gz" in up
    assert up == signed.command("lineage", "--model", registered.live["ModelPackageArn"])
    down = signed.command("lineage", "--dataset", version[:12])
    numbers = [each["ModelPackageVersion"] for each in (registered.live, registered.rejected)]
    assert all(f"model {number} " in down for number in numbers)
    assert down.index(f"model {numbers[0]} ") < down.index("endpoint every-signed-orders-live")


def test_what_serves_and_the_newest_stay_and_the_rejected_model_goes_when_it_is_old(
    signed: Live, registered: Registered
) -> None:
    """With its archive; those of other models stay, and so do statements."""

    def clean_up(days: int) -> dict[str, Any]:
        time = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()
        found: dict[str, Any] = json.loads(signed.invoke("ModelRetirementFunction", {"time": time})[0])
        return found

    live = registered.live["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    (container,) = registered.rejected["InferenceSpecification"]["Containers"]
    assert clean_up(9) == {"retired": [], "leftovers": 0}
    retired = clean_up(40)["retired"]
    assert registered.rejected["ModelPackageArn"] in retired
    assert registered.live["ModelPackageArn"] not in retired
    assert signed.uris(container["ModelDataUrl"]) == []
    assert signed.uris(live) == [live]
    assert signed.uris(registered.live["CustomerMetadataProperties"]["statement_uri"])
    assert signed.uris(f"{signed.zone('artefacts')}bundles/")
    assert clean_up(40)["retired"] == []
