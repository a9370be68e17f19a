"""A batch that somebody has written to a folder is read as it is, or refused with what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from local.batch_folder import read_batch
from local.errors import UserError

DOCUMENT = {
    "workload": "days",
    "as_of": "2016-01-01T00:00:00Z",
    "files": [{"source": "days", "key": "days.csv.gz"}, {"source": "notes", "key": "notes.parquet"}],
}


def folder_with(tmp_path: Path, document: Any = DOCUMENT) -> Path:
    (tmp_path / "days.csv.gz").write_bytes(gzip.compress(b"date,warm\n1,2\n3,4\n"))
    (tmp_path / "notes.parquet").write_bytes(b"PAR1")
    (tmp_path / "_batch.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return tmp_path


def test_files_are_taken_as_they_are_and_rows_counted_where_they_are_lines(tmp_path: Path) -> None:
    batch = read_batch(folder_with(tmp_path), "days")
    assert batch.document()["as_of"] == DOCUMENT["as_of"]
    assert [file.content for file in batch.files][1] == b"PAR1"
    assert batch.rows == {"days": 2}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "_batch.json is not JSON"),
        ("[]", "_batch.json is not an object of workload, as_of and files"),
        ({**DOCUMENT, "workload": "flights"}, "is a batch of 'flights'; the workload here is 'days'"),
        ({"workload": "days", "as_of": "2016-01-01T00:00:00Z"}, "'files' .needed: workload, as_of, files"),
        ({**DOCUMENT, "files": [{"source": "days", "key": "gone.csv"}]}, "gone.csv cannot be read: No such file"),
        ({**DOCUMENT, "as_of": "new year"}, "Invalid isoformat string: 'new year'"),
    ],
)
def test_a_folder_that_holds_no_batch_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_batch(folder_with(tmp_path, document), "days")


def test_a_folder_without_a_batch_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*_batch\.json; it names the files of a batch"):
        read_batch(tmp_path, "days")
