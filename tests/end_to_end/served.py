"""What an endpoint serves and what the monitor makes of it: ask, say what was true, look."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from local.chain import Chain
from tests.end_to_end.lake import table_at
from tests.end_to_end.live import Live, eventually

TARGET = "late"


def rows_of(live: Live, chain: Chain, count: int) -> list[dict[str, Any]]:
    """The first rows of the dataset that a batch set off, with the target."""
    data = chain.of("data")
    assert data is not None and data.output is not None, chain
    (curated,) = [each["location"] for each in data.output["dataset"]["tables"] if each["table"].endswith("_features")]
    table = table_at(live, curated)
    names = [name for name in table.column_names if not name.startswith("_")]
    found: list[dict[str, Any]] = table.select(names).slice(0, count).to_pylist()
    return found


def serve(live: Live, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ask for each row, and wait until all of it was captured; returns the inference ids."""
    runtime, names = live.client("sagemaker-runtime"), [uuid.uuid4().hex for _ in rows]
    for name, row in zip(names, rows, strict=True):
        runtime.invoke_endpoint(
            EndpointName=live.outputs.endpoint_name,
            ContentType="application/json",
            InferenceId=name,
            Body=json.dumps({"instances": [{key: value for key, value in row.items() if key != TARGET}]}),
        )
    folder = f"{live.zone('artefacts')}capture/{live.outputs.endpoint_name}/"
    wanted = set(names)

    def captured() -> bool:
        text = b"".join(live.read(uri) for uri in live.uris(folder)).decode()
        return all(name in text for name in wanted)

    eventually(captured, "the capture of all requests")
    return names


def tell(live: Live, truth: Mapping[str, Any]) -> None:
    """Say what was true, by inference id."""
    lines = [
        {"groundTruthData": {"data": value}, "eventMetadata": {"eventId": name}, "eventVersion": "0"}
        for name, value in truth.items()
    ]
    outcomes = "\n".join(json.dumps(each) for each in lines).encode()
    live.write(f"{live.zone('artefacts')}outcomes/{uuid.uuid4().hex}.jsonl", outcomes)


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
