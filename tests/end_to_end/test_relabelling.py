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
FIRST_OF_BOXED = dt.date(2024, 5, 21)
"""Later than what others land there: datasets that accumulate take batches in order."""

SERVED_AFTER, ASKED_AFTER, ANSWERED_AFTER = dt.timedelta(days=7, hours=8), dt.timedelta(9.5), dt.timedelta(9.75)
SPLITS = ("train", "validation", "test")


def serve(live: Live, at: dt.datetime, name: str, probability: float, row: dict[str, Any]) -> None:
    """Write what an endpoint captures of one request."""
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


def answered(live: Live, first_day: dt.date, folder: Path, known: str, before: dict[str, Any]) -> None:
    """Serve rows, of one of which the truth is known, and have three of them labelled; one of the labels is refused."""
    begin = dt.datetime.combine(first_day, dt.time(), dt.UTC)
    at = begin + SERVED_AFTER
    order = {"amount": 12.5, "items": 3, "channel": "web", "region": "west"}
    serve(live, at, known, 0.5, {name: before[name] for name in order})
    serve(live, at, "asked-1", 0.48, order)
    serve(live, at, "asked-2", 0.45, {**order, "amount": 99.5})
    serve(live, at, "certain", 0.99, {**order, "amount": 1.0})
    live.command("relabel", "export", "--as-of", (begin + ASKED_AFTER).isoformat(), "--to", str(folder))
    (file,) = folder.iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["_inference_id"] for row in rows] == [known, "asked-1", "asked-2"]
    labels = {known: "true", "asked-1": "false", "asked-2": "perhaps"}
    file.write_text("".join(json.dumps({**row, "_label": labels[row["_inference_id"]]}) + "\n" for row in rows))
    told = live.command("relabel", "import", str(file), "--as-of", (begin + ANSWERED_AFTER).isoformat())
    assert "3 rows: 2 accepted, 1 refused" in told
    assert "- 1: the label is no yes or no" in told


def test_answers_of_people_change_the_rows_of_the_next_dataset(linear: Live, tmp_path: Path) -> None:
    given = batch_in(linear, "relabelled", order_batch(FIRST, 10))
    first = run_data(linear, given)
    before = rows_of(linear, first)
    known = min(name for name, row in before.items() if not row["late"])
    answered(linear, FIRST, tmp_path, known, before[known])

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


def days_of(live: Live, manifest: dict[str, Any]) -> dict[str, Any]:
    """The days of a dataset that accumulates."""
    return {day["day"]: day for day in live.read_json(manifest["days_uri"])["days"]}


def rows_of_days(live: Live, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of a dataset that accumulates, by their names."""
    tables = [table_at(live, day["location"]) for day in days_of(live, manifest).values()]
    return {row["_row_id"]: row for table in tables for row in table.to_pylist()}


def told(manifest: dict[str, Any]) -> list[int]:
    return [manifest["answers"][name] for name in ("corrected", "added", "carried")]


def test_answers_change_rows_that_earlier_batches_brought_where_datasets_accumulate(
    boxed: Live, tmp_path: Path
) -> None:
    first = run_data(boxed, batch_in(boxed, "first", order_batch(FIRST_OF_BOXED, 10)))
    before = rows_of_days(boxed, first)
    known = min(name for name, row in before.items() if row["_event_time"].date() >= FIRST_OF_BOXED and not row["late"])
    answered(boxed, FIRST_OF_BOXED, tmp_path, known, before[known])

    tenth, eleventh = (FIRST_OF_BOXED + dt.timedelta(days=days) for days in (10, 11))
    second = run_data(boxed, batch_in(boxed, "second", order_batch(tenth, 1)))
    after = rows_of_days(boxed, second)
    new = {name for name, row in after.items() if row["_event_time"].date() == tenth}
    assert {name for name in after if after[name] != before.get(name)} - new == {known, "asked-1"}
    assert after[known] == {**before[known], "late": True}
    assert (after["asked-1"]["late"], after["asked-1"]["amount"]) == (False, 12.5)
    days = days_of(boxed, second)
    served = FIRST_OF_BOXED + SERVED_AFTER
    written = {name for name, day in days.items() if day != days_of(boxed, first).get(name)}
    assert written == {str(before[known]["_event_time"].date()), str(served), str(tenth)}
    assert told(second) == [1, 1, 0]

    third = run_data(boxed, batch_in(boxed, "third", order_batch(eleventh, 1)))
    assert {name: day for name, day in days_of(boxed, third).items() if name in days} == days
    assert told(third) == [0, 0, 2]
    again = boxed.command("datasets", "replay", second["version"])
    assert all(f"{name}: {second['splits'][name]['rows']:,} rows, the same digest" in again for name in SPLITS)
