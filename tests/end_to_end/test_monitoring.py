"""What the endpoint served is compared with the dataset behind its model, by the deployed machine."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import pytest

from constructs_lib.names import metrics
from local.chain import Chain
from tests.end_to_end.lake import table_at
from tests.end_to_end.live import Live, eventually

ROWS = 240


@pytest.fixture(scope="module")
def rows(everything: Live, march: Chain) -> list[dict[str, Any]]:
    """Rows of the dataset, as requests."""
    assert march.finished
    folder = everything.zone("datasets")
    entry = everything.read_json(max(everything.uris(f"{folder}index/")))
    manifest = everything.read_json(entry["manifest_uri"])
    (curated,) = [each["location"] for each in manifest["tables"] if each["table"].endswith("_features")]
    table = table_at(everything, curated)
    names = [name for name in table.column_names if not name.startswith("_")]
    found: list[dict[str, Any]] = table.select(names).slice(0, ROWS).to_pylist()
    return found


def serve(live: Live, rows: list[dict[str, Any]]) -> list[str]:
    """Ask for each row, and wait until all of it was captured; returns the inference ids."""
    runtime, names = live.client("sagemaker-runtime"), [uuid.uuid4().hex for _ in rows]
    for name, row in zip(names, rows, strict=True):
        runtime.invoke_endpoint(
            EndpointName=live.outputs.endpoint_name,
            ContentType="application/json",
            InferenceId=name,
            Body=json.dumps({"instances": [{key: value for key, value in row.items() if key != "late"}]}),
        )
    folder = f"{live.zone('artefacts')}capture/{live.outputs.endpoint_name}/"
    wanted = set(names)

    def captured() -> bool:
        text = b"".join(live.read(uri) for uri in live.uris(folder)).decode()
        return all(name in text for name in wanted)

    eventually(captured, "the capture of all requests")
    return names


def look(live: Live, as_of: dt.datetime) -> dict[str, Any]:
    """Type the command; returns the record of the newest run."""
    live.command("monitor", "--as-of", as_of.isoformat())
    return max(records(live, "monitoring#"), key=lambda item: item["started"])


def records(live: Live, kind: str) -> list[dict[str, str]]:
    """The records of a kind of run."""
    pages = live.client("dynamodb").get_paginator("scan").paginate(TableName=live.outputs.runs_table)
    return [
        {name: value["S"] for name, value in item.items()}
        for page in pages
        for item in page["Items"]
        if item["run"]["S"].startswith(kind) and item["workload"]["S"] == live.workload
    ]


def test_what_was_served_is_compared_reported_and_counted(everything: Live, rows: list[dict[str, Any]]) -> None:
    quiet = look(everything, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    assert (quiet["status"], quiet["window"]) == ("nothing served", "2023/12/31/23")

    begun = dt.datetime.now(dt.UTC)
    names = serve(everything, [{**row, "amount": (row["amount"] or 0.0) * 20 + 500} for row in rows])
    truth = [
        {"groundTruthData": {"data": row["late"]}, "eventMetadata": {"eventId": name}, "eventVersion": "0"}
        for name, row in zip(names, rows, strict=True)
    ]
    outcomes = "\n".join(json.dumps(each) for each in truth).encode()
    everything.write(f"{everything.zone('artefacts')}outcomes/{names[0]}.jsonl", outcomes)

    found = look(everything, begun + dt.timedelta(hours=1))
    assert found["status"] == "monitored"
    families = json.loads(found["families"])
    assert families["drift"]["violations"] >= 1
    assert "amount" in {each["column"] for each in json.loads(found["violations"])}
    assert families["quality"]["worst"] is not None
    page = everything.read(found["report_uri"]).decode()
    assert "amount has moved" in page
    statistics = everything.read_json(found["report_uri"].replace("report.html", "statistics.json"))
    assert statistics["dataset"]["item_count"] == int(found["rows"]) >= ROWS

    told = everything.client("cloudwatch").get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=metrics.of_family("drift")[0],
        Dimensions=[
            {"Name": name, "Value": value}
            for name, value in metrics.dimensions(everything.settings.stage, everything.workload).items()
        ],
        StartTime=begun - dt.timedelta(minutes=5),
        EndTime=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert max(each["Maximum"] for each in told) >= 1

    def declined() -> list[dict[str, str]]:
        runs = records(everything, "loop#")
        return [each for each in runs if each.get("trigger") == "drift" and each["status"] != "failed"]

    (asked, *_) = eventually(declined, "the decision on what the alarm asks for", seconds=180)
    assert asked["outcome"] == "did not retrain"
    assert "0 new labelled rows of at least 100" in asked["decision"]
