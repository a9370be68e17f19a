"""What people get: a file of rows with a place for the label, and what a labelling job takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from constructs_lib.names.relabelled import INFERENCE_ID, LABEL, POSITION, PREDICTION, RUN, UNCERTAINTY, Sent

SUFFIXES = {"csv": "csv", "json_lines": "jsonl"}


def columns(shown: Sequence[str]) -> list[str]:
    """Give the columns of the file."""
    return [RUN, INFERENCE_ID, POSITION, *shown, PREDICTION, UNCERTAINTY, LABEL]


def cells(row: Sent, shown: Sequence[str]) -> dict[str, Any]:
    """Give a row of the file; features that people may not see are not in it."""
    return {
        RUN: row.run,
        INFERENCE_ID: row.inference_id,
        POSITION: row.position,
        **{name: row.asked.get(name) for name in shown},
        PREDICTION: json.dumps(row.answered, sort_keys=True),
        UNCERTAINTY: row.uncertainty,
        LABEL: "",
    }


def render(rows: Sequence[Sent], shown: Sequence[str], form: str) -> bytes:
    """Give the file, CSV with a header or JSON lines."""
    if form == "json_lines":
        return "".join(json.dumps(cells(row, shown), ensure_ascii=False) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(shown), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells(row, shown) for row in rows)
    return text.getvalue().encode()


def tasks(rows: Sequence[Sent], shown: Sequence[str]) -> bytes:
    """Give the input manifest of a labelling job: what people read of each row, and what tells the rows apart."""
    lines = [
        {
            "source": "\n".join(f"{name}: {'' if (value := row.asked.get(name)) is None else value}" for name in shown),
            "run": row.run,
            "inference-id": row.inference_id,
            "position": row.position,
        }
        for row in rows
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
