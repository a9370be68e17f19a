"""Splits as tables, and the adapters around what reads such tables."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import answer_adapter
import encode
import gapless_encoding
import request_adapter

ROWS: list[dict[str, Any]] = [
    {"late": True, "items": 3, "amount": 2.5, "region": "north, far", "gift": True, "_row_id": "b"},
    {"late": False, "items": None, "amount": None, "region": None, "gift": None, "_row_id": "a"},
]
SCHEMA = pa.schema(
    [
        ("late", pa.bool_()),
        ("items", pa.int64()),
        ("amount", pa.float64()),
        ("region", pa.string()),
        ("gift", pa.bool_()),
        ("_row_id", pa.string()),
    ]
)


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    """What the job has written."""
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), tmp_path / split / "part.parquet")
    output = tmp_path / "output"
    given = {
        "train": tmp_path / "train",
        "validation": tmp_path / "validation",
        "algorithm": "automl",
        "problem": "binary_classification",
        "target": "late",
        "request": "cells",
        "answer": "cells",
        "format": "table",
        "output": output,
        "message": tmp_path / "message",
    }
    encode.main([word for name, value in given.items() for word in (f"--{name}", str(value))])
    return output


def encoding(problem: str, classes: list[Any]) -> dict[str, Any]:
    return {"algorithm": "automl", "problem": problem, "answer": "cells", "classes": classes}


def test_a_table_has_a_header_and_the_values_as_they_are(encoded: Path) -> None:
    with (encoded / "train" / "data.table").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["late", "items", "amount", "region", "gift"],
            ["0", "", "", "", ""],
            ["1", "3", "2.5", "north, far", "1"],
        ]
    document = json.loads((encoded / "encoded.json").read_text())
    assert document["hyperparameters"] == {}
    assert document["rows"] == {"train": 2, "validation": 2}


def test_a_request_becomes_lines_that_look_like_those_of_the_table(encoded: Path) -> None:
    with (encoded / "train" / "data.table").open(newline="") as file:
        _, *lines = [line.partition(",")[2] for line in file.read().splitlines()]
    features = [{name: row[name] for name in ("items", "amount", "region", "gift")} for row in reversed(ROWS)]
    learned = {
        "request": "cells",
        "features": [
            {"name": "items", "type": "integer"},
            {"name": "amount", "type": "number"},
            {"name": "region", "type": "text"},
            {"name": "gift", "type": "boolean"},
        ],
    }
    body, kind = request_adapter.payload_of(learned, json.dumps({"instances": features}), gapless_encoding.JSON)
    assert kind == "text/csv"
    assert str(body).splitlines() == lines


@pytest.mark.parametrize("classes", ["[0, 1]", "['0', '1']", "['0.0', '1.0']"])
def test_probabilities_are_read_with_the_classes_beside_them(classes: str) -> None:
    text = f'"[0.25, 0.75]","{classes}"\n"[0.9, 0.1]","{classes}"\n'
    found = answer_adapter.predictions_of(encoding("binary_classification", [False, True]), text, "text/csv")
    assert found == [{"probability": 0.75, "label": True}, {"probability": 0.1, "label": False}]


def test_classes_may_come_in_any_order() -> None:
    text = '"[0.2, 0.7, 0.1]","[2, 0, 1]"\n'
    found = answer_adapter.predictions_of(encoding("multiclass_classification", ["a", "b", "c"]), text, "text/csv")
    assert found == [{"probabilities": {"a": 0.7, "b": 0.1, "c": 0.2}, "label": "a"}]


def test_values_are_read_line_by_line() -> None:
    found = answer_adapter.predictions_of(encoding("regression", []), "1.5\n-2\n", "text/csv")
    assert found == [{"value": 1.5}, {"value": -2.0}]


@pytest.mark.parametrize("text", ['"[0.25, 0.75]"\n', "yes\n", '"[0.5]","[0, 1]"\n', '"[0.5","[0]"\n'])
def test_an_answer_of_another_form_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises(answer_adapter.BadAnswer, match="answer of automl"):
        answer_adapter.predictions_of(encoding("binary_classification", [False, True]), text, "text/csv")
