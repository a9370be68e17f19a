"""Writes a batch of days: ``python workloads/seattle_temperature/batch.py FOLDER``.

The data are the daily summaries of Seattle-Tacoma airport, 2012 to 2015, by NOAA's National Centers for Environmental
Information, as the package ``vega_datasets`` has them (``seattle-weather``): 1,461 days. They become two files, because
two things are known at different times: how warm a day became (``days``), and what was measured on it
(``observations``), which later days may look back at.

Equal calls write equal bytes, as far as zlib compresses alike.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vega_datasets import local_data

NAME = "seattle_temperature"
FILES = {
    "days": ("date", "temp_max"),
    "observations": ("date", "precipitation", "temp_max", "temp_min", "wind", "weather"),
}
"""Source to the columns of its file."""


def table(columns: Sequence[str]) -> bytes:
    """Columns of the data as gzipped CSV, one line per day."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    rows = csv.DictReader(io.StringIO(local_data.seattle_weather.raw().decode("utf-8")))
    writer.writerows([_plain(name, row[name]) for name in columns] for row in rows)
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(text.getvalue().encode())
    return buffer.getvalue()


def _plain(name: str, value: str) -> str:
    """Dates in ISO 8601, whichever of the two forms the package's version has."""
    return value.replace("/", "-")[:10] if name == "date" else value


def write_batch(folder: Path) -> None:
    """Write the files and, last, the ``_batch.json`` that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for source, columns in FILES.items():
        content, key = table(columns), f"{source}.csv.gz"
        (folder / key).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append({"source": source, "key": key, "bytes": len(content), "sha256": digest})
    as_of = dt.datetime(2016, 1, 1, tzinfo=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (folder / "_batch.json").write_text(
        json.dumps({"workload": NAME, "as_of": as_of, "files": files}, indent=2), encoding="utf-8"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("allowed is one argument: the folder to write to")
    write_batch(Path(sys.argv[1]))
