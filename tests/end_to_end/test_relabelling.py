"""Rows that the model was unsure of go out, are answered, and change the next dataset, on a deployed platform."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from tests.end_to_end.lake import table_at
from tests.end_to_end.live import Live
from tests.end_to_end.test_datasets import batch_in, run_data
from tests.everything.orders import order_batch

FIRST = dt.date(2024, 1, 21)
AS_OF, ANSWERED = "2024-01-30T12:00:00", "2024-01-30T18:00:00"
SPLITS = ("train", "validation", "test")


def serve(live: Live, name: str, probability: float, row: dict[str, Any]) -> None:
    """Write what an endpoint captures of one request."""
    at = dt.datetime(2024, 1, 28, 8, tzinfo=dt.UTC)
    sides = {"instances": [row]}, {"predictions": [{"probability": probability, "label": probability > 0.5}]}
    asked, answered = ({"data": json.dumps(side), "encoding": "JSON"} for side in sides)
    line = {
        "captureData": {"endpointInput": asked, "endpointOutput": answered},
        "eventMetadata": {"eventId": name, "inferenceId": name, "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
        "eventVersion": "0",
    }
    folder = f"capture/{live.outputs.endpoint_name}/{live.outputs.variant_name}/{at:%Y/%m/%d/%H}"
    live.write(f"{live.zone('artefacts')}{folder}/{name}.jsonl", json.dumps(line).encode() + b"\n")


def rows_of(live: Live, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of a dataset, by their names."""
    (curated,) = [each["location"] for each in manifest["tables"] if each["table"].endswith("_features")]
    return {row["_row_id"]: row for row in table_at(live, curated).to_pylist()}


def test_answers_of_people_change_the_rows_of_the_next_dataset(linear: Live, tmp_path: Path) -> None:
    given = batch_in(linear, "relabelled", order_batch(FIRST, 10))
    first = run_data(linear, given)
    before = rows_of(linear, first)
    known = min(name for name, row in before.items() if not row["late"])

    order = {"amount": 12.5, "items": 3, "channel": "web", "region": "west"}
    serve(linear, known, 0.5, {name: before[known][name] for name in order})
    serve(linear, "asked-1", 0.48, order)
    serve(linear, "asked-2", 0.45, {**order, "amount": 99.5})
    serve(linear, "certain", 0.99, {**order, "amount": 1.0})
    linear.command("relabel", "export", "--as-of", AS_OF, "--to", str(tmp_path))
    (file,) = tmp_path.iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["_inference_id"] for row in rows] == [known, "asked-1", "asked-2"]
    labels = {known: "true", "asked-1": "false", "asked-2": "perhaps"}
    file.write_text("".join(json.dumps({**row, "_label": labels[row["_inference_id"]]}) + "\n" for row in rows))
    told = linear.command("relabel", "import", str(file), "--as-of", ANSWERED)
    assert "3 rows: 2 accepted, 1 refused" in told
    assert "- 1: the label is no yes or no" in told

    second = run_data(linear, given)
    after = rows_of(linear, second)
    assert second["version"] != first["version"]
    assert {name for name in after if after[name] != before.get(name)} == {known, "asked-1"}
    assert after[known] == {**before[known], "late": True}
    added = after["asked-1"]
    assert (added["late"], added["amount"], added["region"]) == (False, 12.5, "west")
    assert (second["answers"]["corrected"], second["answers"]["added"]) == (1, 1)
    assert sum(second["splits"][name]["rows"] for name in SPLITS) == len(before) + 1

    again = linear.command("datasets", "replay", second["version"])
    assert all(f"{name}: {second['splits'][name]['rows']:,} rows, the same digest" in again for name in SPLITS)
