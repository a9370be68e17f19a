"""Rows that are delivered for scoring become records of a transform, all of them or none."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import score_rows
from gapless_sagemaker.delivered import BadRows

CONTRACT = {
    "primary": "orders",
    "sources": {
        "orders": {
            "key": ["order_id"],
            "missing": ["", "n/a"],
            "columns": [{"name": "order_id", "type": "string"}, {"name": "amount", "type": "double"}],
        }
    },
    "features": [
        {"name": "amount", "type": "double"},
        {"name": "items", "type": "int"},
        {"name": "gift", "type": "boolean"},
    ],
}
ROWS: list[dict[str, Any]] = [
    {"order_id": "a", "amount": 2.5, "items": 3, "gift": True, "note": "x"},
    {"order_id": "b", "amount": None, "items": 1, "gift": None, "note": None},
]
CSV = b"note,order_id,amount,items,gift,more\nx,a,2.5,3,TRUE,1\n,b,n/a,1,,2\n"


def deliver(folder: Path, files: dict[str, bytes]) -> str:
    """Write an input; returns the digest of its ``_score.json``."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    named = [{"source": "rows", "key": key, "sha256": hashlib.sha256(body).hexdigest()} for key, body in files.items()]
    marker = json.dumps({"files": named}).encode()
    (folder / "_score.json").write_bytes(marker)
    return hashlib.sha256(marker).hexdigest()


def run(tmp_path: Path, files: dict[str, bytes], *more: str, marker: str = "") -> list[dict[str, Any]]:
    """Run the job; returns the records in order."""
    source, contract, output = (tmp_path / name for name in ("files", "contract", "output"))
    for folder in (source, contract):
        folder.mkdir()
    (contract / "content.json").write_text(json.dumps(CONTRACT))
    digest = deliver(source, files)
    places = ["--files", str(source), "--contract", str(contract), "--output", str(output)]
    asked = ["--marker_sha256", marker or digest, "--join", "row", "--strategy", "single_record", "--keep", "note"]
    score_rows.main([*places, *asked, "--message", str(tmp_path / "message"), *more])
    lines = [line for file in sorted((output / "rows").iterdir()) for line in file.read_text().splitlines()]
    summary = json.loads((output / "summary.json").read_text())
    assert summary == {"rows": len(lines), "files": len(list((output / "rows").iterdir()))}
    return [json.loads(line) for line in lines]


def expected(row: dict[str, Any]) -> dict[str, Any]:
    features = {name: row[name] for name in ("amount", "items", "gift")}
    return {
        "input": {"order_id": row["order_id"], **features, "note": row["note"]},
        "request": {"instances": [features]},
    }


def as_parquet(path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "parquet"])
def test_every_form_of_the_same_rows_gives_the_same_records(tmp_path: Path, form: str) -> None:
    bodies = {
        "csv": CSV,
        "csv.gz": gzip.compress(CSV),
        "jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
        "parquet": as_parquet(tmp_path / "rows.parquet"),
    }
    assert run(tmp_path, {f"rows.{form}": bodies[form]}) == [expected(row) for row in ROWS]


def test_json_lines_for_models_that_read_them_are_the_features_alone(tmp_path: Path) -> None:
    (first, _) = run(tmp_path, {"rows.csv": CSV}, "--strategy", "multi_record", "--join", "key")
    assert first == {"input": {"order_id": "a", "note": "x"}, "request": {"amount": 2.5, "items": 3, "gift": True}}


def test_large_inputs_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_rows, "_ROWS_PER_FILE", 10)
    lines = "".join(f"x,{number},1,1,true,\n" for number in range(25))
    found = run(tmp_path, {"rows.csv": b"note,order_id,amount,items,gift,more\n" + lines.encode()})
    assert [each["input"]["order_id"] for each in found] == [str(number) for number in range(25)]
    assert len(list((tmp_path / "output" / "rows").iterdir())) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CSV.replace(b"3,TRUE", b"3.5,TRUE"), "rows.csv: row 1: items must be a int, was '3.5'"),
        (CSV.replace(b"TRUE", b"maybe"), "rows.csv: row 1: gift must be a boolean, was 'maybe'"),
        (CSV.replace(b"2.5", b"inf"), "rows.csv: row 1: amount must be a double, was 'inf'"),
        (
            CSV.replace(b"gift", b"give"),
            "rows.csv: row 1 has no column gift (given: note, order_id, amount",
        ),
        (CSV + b"short\n", "rows.csv: row 3 has 1 values, the header names 6 columns"),
        (b"note,order_id,amount,items,gift\n", "the input has no rows"),
        (b"\xff\xfe", "rows.csv: cannot be read: 'utf-8' codec"),
    ],
)
def test_an_input_with_a_row_that_cannot_be_asked_is_refused_as_a_whole(tmp_path: Path, body: bytes, says: str) -> None:
    with pytest.raises(BadRows) as error:
        run(tmp_path, {"rows.csv": body})
    assert says in str(error.value)
    assert not (tmp_path / "output" / "summary.json").exists()


def test_bytes_that_are_not_what_was_announced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRows, match=r"_score.json was changed after it was checked"):
        run(tmp_path, {"rows.csv": CSV}, marker="0" * 64)
