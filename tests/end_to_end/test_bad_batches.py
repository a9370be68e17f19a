"""Batches that are not what they should be, given to the data machine: refused with a clear message, or cleaned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.executions import SUCCEEDED, Execution
from local.flights import Batch
from tests.end_to_end.batches import (
    Delivery,
    Lines,
    data_input,
    file_of,
    flights_of,
    lines_of,
    with_content,
    with_lines,
)
from tests.end_to_end.lake import (
    assert_only_whole_datasets_are_read,
    locations,
    partitions,
    published_manifests,
    rows_at,
    table_at,
)
from tests.end_to_end.live import WORKLOAD, Live

FLIGHTS = 600
BATCH = flights_of(3, FLIGHTS)
OTHERS = sum(len(lines_of(BATCH, source)) - 1 for source in ("weather", "planes", "airports", "airlines"))


# --- batches that are refused ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A batch that is refused, and what is said about it.

    Args:
        name: Of the fault, and of the folder that it lands in.
        make: Makes the delivery from a good batch.
        error: Name of the error.
        says: What the message holds.
    """

    name: str
    make: Callable[[Batch], Delivery]
    error: str
    says: tuple[str, ...]


def honest(change: Callable[[Batch], Batch]) -> Callable[[Batch], Delivery]:
    """A batch with a bad file, about which ``_batch.json`` tells the truth."""
    return lambda batch: Delivery.of(change(batch))


def renamed(column: bytes, name: bytes) -> Callable[[Lines], Lines]:
    """Another name in the header."""
    return lambda lines: [lines[0].replace(column, name), *lines[1:]]


def same_size_other_content(batch: Batch) -> Delivery:
    """What landed differs from what ``_batch.json`` says in one letter."""
    content = file_of(batch, "airlines").content.replace(b"Airlines", b"Airlinez", 1)
    return replace(Delivery.of(batch), files=with_content(batch, "airlines", content).files)


def of_every_flight(column: int, value: bytes, share: float = 1.0) -> Callable[[Lines], Lines]:
    """The lines with another value in a column, of a share of the rows."""

    def change(lines: Lines) -> Lines:
        changed = int(share * (len(lines) - 1))
        return [lines[0], *(set_field(line, column, value) for line in lines[1 : changed + 1]), *lines[changed + 1 :]]

    return change


def set_field(line: bytes, column: int, value: bytes) -> bytes:
    """A line of CSV without quotes, with another value."""
    fields = line.rstrip(b"\n").split(b",")
    fields[column] = value
    return b",".join(fields) + b"\n"


def column_of(source: str, name: str) -> int:
    """Where a column stands."""
    return lines_of(BATCH, source)[0].decode().strip().split(",").index(name)


TRUNCATED = file_of(BATCH, "flights").content[:-500]
LATIN = b"".join(lines_of(BATCH, "airlines")) + "ZZ,Zürich Air\n".encode("latin-1")

FAULTS = (
    Fault(
        "empty-file",
        honest(lambda batch: with_content(batch, "planes", b"")),
        "BadBatch",
        ("planes.csv: is empty",),
    ),
    Fault(
        "nothing-compressed",
        honest(lambda batch: with_lines(batch, "weather", lambda _: [])),
        "BadBatch",
        ("weather.csv.gz: is empty",),
    ),
    Fault(
        "header-only",
        honest(lambda batch: with_lines(batch, "airlines", lambda lines: lines[:1])),
        "BadBatch",
        ("source airlines has header lines only, no rows",),
    ),
    Fault(
        "truncated-gzip",
        honest(lambda batch: with_content(batch, "flights", TRUNCATED)),
        "BadBatch",
        ("flights.csv.gz: is damaged gzip after line",),
    ),
    Fault(
        "not-utf-8",
        honest(lambda batch: with_content(batch, "airlines", LATIN)),
        "BadBatch",
        ("airlines.csv: is not UTF-8, byte 0xfc after line",),
    ),
    Fault(
        "missing-column",
        honest(
            lambda batch: with_lines(
                batch, "airlines", lambda lines: [line.split(b",", 1)[0].rstrip() + b"\n" for line in lines]
            )
        ),
        "BadSchema",
        ("airlines.csv: missing column 'name'", "source airlines has: carrier, name"),
    ),
    Fault(
        "extra-column",
        honest(
            lambda batch: with_lines(
                batch,
                "flights",
                lambda lines: [lines[0].replace(b"\n", b",mood\n")] + [line[:-1] + b",good\n" for line in lines[1:]],
            )
        ),
        "BadSchema",
        ("flights.csv.gz: unexpected column 'mood'",),
    ),
    Fault(
        "renamed-column",
        honest(lambda batch: with_lines(batch, "flights", renamed(b"distance", b"distances"))),
        "BadSchema",
        ("flights.csv.gz: missing column 'distance', renamed to 'distances'?",),
    ),
    Fault(
        "checksum-differs",
        same_size_other_content,
        "BadBatch",
        ("airlines.csv: has SHA-256", f"_batch.json says {file_of(BATCH, 'airlines').sha256}"),
    ),
    Fault(
        "size-differs",
        lambda batch: Delivery.of(batch).saying("planes", bytes=1),
        "BadBatch",
        (f"planes.csv: has {len(file_of(BATCH, 'planes').content)} bytes, _batch.json says 1",),
    ),
    Fault(
        "absent-file",
        lambda batch: Delivery.of(batch).without("airports"),
        "BadBatch",
        ("airports.csv: named by _batch.json and absent",),
    ),
    Fault(
        "absent-source",
        lambda batch: Delivery.of(replace(batch, files=batch.files[:-1])),
        "BadBatch",
        ("no file of source airlines; this batch has to hold ",),
    ),
    Fault(
        "key-leaves-the-folder",
        lambda batch: Delivery.of(batch).saying("flights", key="../elsewhere/flights.csv.gz"),
        "BadBatch",
        ("key '../elsewhere/flights.csv.gz' of source flights must be relative to the folder",),
    ),
    Fault(
        "too-many-bad-rows",
        honest(
            lambda batch: with_lines(batch, "flights", of_every_flight(column_of("flights", "distance"), b"-1", 0.75))
        ),
        "QuarantineLimitExceeded",
        (f"450 of {FLIGHTS + OTHERS} rows were quarantined", "allowed is 0.05", "report: s3://"),
    ),
    Fault(
        "broken-rule",
        honest(
            lambda batch: with_lines(batch, "weather", of_every_flight(column_of("weather", "temp"), b"", 0.5)),
        ),
        "RuleFailed",
        ('rules that the batch does not keep: Completeness "temp" > 0.9', "report: s3://"),
    ),
)


@dataclass(frozen=True)
class Refused:
    """The execution that refused a batch, and what it was started with."""

    given: dict[str, Any]
    execution: Execution


@dataclass(frozen=True)
class Refusals:
    """All refused batches by fault, and the versions that were published before and after."""

    of: dict[str, Refused]
    before: set[str]
    after: set[str]


@pytest.fixture(scope="module")
def refusals(live: Live) -> Refusals:
    """Every fault, run side by side as far as the job allows it."""
    before = set(published_manifests(live))
    given = [data_input(live, fault.make(BATCH), fault.name) for fault in FAULTS]
    executions = live.run_all("data", given)
    found = zip(FAULTS, given, executions, strict=True)
    cases = {fault.name: Refused(document, execution) for fault, document, execution in found}
    return Refusals(cases, before, set(published_manifests(live)))


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in FAULTS])
def test_refuses_a_bad_batch(live: Live, refusals: Refusals, fault: Fault) -> None:
    """By its own error, with a message that says what is wrong; whoever is on call gets it with the input."""
    case = refusals.of[fault.name]
    execution = case.execution
    assert (execution.status, execution.error) == ("FAILED", fault.error), execution.cause
    assert all(text in str(execution.cause) for text in fault.says), execution.cause
    notice = live.on_call.told_of(execution)
    assert (notice["machine"], notice["error"], notice["cause"]) == ("data", fault.error, execution.cause)
    assert notice["input"] == {**case.given, "run_id": execution.name, "workload": WORKLOAD}
    record = live.record(f"data#{execution.name}")
    assert (record["status"], record["error"]) == ("failed", fault.error)


def test_reads_nothing_of_refused_batches(live: Live, refusals: Refusals) -> None:
    """Whatever the job wrote before it found the fault, no query and no reader of datasets sees it."""
    assert refusals.after == refusals.before
    assert_only_whole_datasets_are_read(live)
    assert not [uri for uri in live.uris(live.zone("datasets")) if "/_staging/" in uri]


# --- batches with some bad rows --------------------------------------------------------------------------------------


BAD_ROWS: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("9901", lambda line: set_field(line, column_of("flights", "month"), b"March"), "column month is not int"),
    (
        "9902",
        lambda line: set_field(line, column_of("flights", "distance"), b"-5"),
        'rule ColumnValues "distance" > 0',
    ),
    (
        "9903",
        lambda line: set_field(line, column_of("flights", "origin"), b"ZRH"),
        'rule ColumnValues "origin" in ["EWR", "JFK", "LGA"]',
    ),
    ("9904", lambda line: line[:-1] + b",more\n", "line has 20 fields instead of 19"),
    (
        "9905",
        lambda line: set_field(line, column_of("flights", "carrier"), b""),
        "column carrier is missing, it is part of the key",
    ),
    (
        "9906",
        lambda line: set_field(line, column_of("flights", "time_hour"), b"yesterday"),
        "column time_hour is not timestamp",
    ),
)
"""Flight numbers that no flight has, what is wrong with the row, and the reason that is given."""


def with_bad_rows(lines: Lines) -> Lines:
    """The lines; the first rows get numbers of their own and are damaged."""
    numbered = [
        change(set_field(line, column_of("flights", "flight"), number.encode()))
        for line, (number, change, _) in zip(lines[1:], BAD_ROWS, strict=False)
    ]
    return [lines[0], *numbered, *lines[len(BAD_ROWS) + 1 :]]


@pytest.fixture(scope="module")
def cleaned(live: Live) -> dict[str, Any]:
    """The manifest of a batch with some bad rows."""
    delivery = Delivery.of(with_lines(BATCH, "flights", with_bad_rows))
    execution = live.run("data", data_input(live, delivery, "some-bad-rows"))
    assert execution.status == SUCCEEDED, execution.cause
    found: dict[str, Any] = execution.output["dataset"]
    return found


def test_quarantines_bad_rows_as_they_were_with_the_reason(live: Live, cleaned: dict[str, Any]) -> None:
    """By file and line; the report counts them."""
    rows = table_at(live, locations(cleaned, "quarantine")[f"{WORKLOAD}_flights"]).to_pylist()
    expected = {(number, line + 2, reason) for line, (number, _, reason) in enumerate(BAD_ROWS)}
    assert {(row["flight"], row["_row"], row["_reasons"]) for row in rows} == expected
    assert {row["_source_key"] for row in rows} == {file_of(BATCH, "flights").key}
    assert {row["distance"] for row in rows if row["flight"] == "9902"} == {"-5"}
    reasons = live.read_json(cleaned["report_uri"])["phases"]["validation"]["sources"]["flights"]["reasons"]
    assert reasons == dict.fromkeys((reason for _, _, reason in BAD_ROWS), 1)


def test_loses_no_row(live: Live, cleaned: dict[str, Any]) -> None:
    """Rows in are rows validated and rows quarantined, counted in the files."""
    written = [
        rows_at(live, place) for zone in ("validated", "quarantine") for place in locations(cleaned, zone).values()
    ]
    assert sum(written) == FLIGHTS + OTHERS
    figures = live.read_json(cleaned["report_uri"])["phases"]["validation"]
    told = (figures["rows_in"], figures["rows_validated"], figures["rows_quarantined"])
    assert told == (FLIGHTS + OTHERS, FLIGHTS + OTHERS - len(BAD_ROWS), len(BAD_ROWS))


def test_makes_no_feature_of_a_quarantined_row(live: Live, cleaned: dict[str, Any]) -> None:
    """Neither in the curated zone nor in a split."""
    splits = [split["manifest_uri"].removesuffix(".manifest") + "/" for split in cleaned["splits"].values()]
    features = locations(cleaned, "curated")[f"{WORKLOAD}_features"]
    ids = [row_id for place in (features, *splits) for row_id in table_at(live, place)["_row_id"].to_pylist()]
    assert ids
    numbers = {number for number, _, _ in BAD_ROWS}
    assert not [row_id for row_id in ids if row_id.rpartition("|")[2] in numbers]


def test_registers_the_quarantine_too(live: Live, cleaned: dict[str, Any]) -> None:
    """Whoever looks for the reasons can ask Athena."""
    found = {
        each.table for each in partitions(live) if each.version == cleaned["version"] and "quarantine" in each.database
    }
    assert found == {f"{WORKLOAD}_flights"}
