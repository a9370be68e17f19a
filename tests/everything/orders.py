"""Batches of the workload ``orders``: made up, the same for the same arguments."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

REGIONS = ("north", "south", "west")
CHANNELS = ("web", "shop")
ORDERS = ("order_id", "customer", "ordered_at", "amount", "items", "channel", "late")
CUSTOMERS = ("customer", "region", "since")


@dataclass(frozen=True)
class OrderBatch:
    """Files (key → bytes, key → source), and the instant that stands for now."""

    files: dict[str, bytes]
    sources: dict[str, str]
    as_of: str
    workload: str = "orders"

    def document(self) -> dict[str, Any]:
        """What ``_batch.json`` says."""
        files = [
            {"source": self.sources[key], "key": key, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for key, body in self.files.items()
        ]
        return {"workload": self.workload, "as_of": self.as_of, "files": files}


def order_rows(
    first_day: dt.date, days: int, *, per_day: int = 40, seed: int = 1, turned_after: int | None = None
) -> list[tuple[Any, ...]]:
    """Orders of some days, spread over the hours; the farther south and the more items, the later they are.

    After ``turned_after`` days the world is another: the fewer items, the later.
    """
    random_ = random.Random(f"{seed}-{first_day.isoformat()}")  # noqa: S311 - data for tests
    rows = []
    for day in range(days):
        for number in range(per_day):
            at = dt.datetime.combine(first_day + dt.timedelta(days=day), dt.time(hour=number % 24, minute=number % 60))
            customer, items = random_.randrange(30), random_.randrange(1, 9)
            counted = items if turned_after is None or day < turned_after else 9 - items
            late = random_.random() < (0.1 + 0.08 * counted + (0.2 if customer % 3 == 1 else 0))
            rows.append(
                (
                    f"{at:%Y%m%d}-{number:04}",
                    f"c{customer:02}",
                    f"{at:%Y-%m-%dT%H:%M:%SZ}",
                    round(random_.uniform(5, 200), 2),
                    items,
                    random_.choice(CHANNELS),
                    str(late).lower(),
                )
            )
    return rows


def customer_rows() -> list[tuple[Any, ...]]:
    """The thirty customers."""
    return [(f"c{number:02}", REGIONS[number % 3], f"2020-01-{number % 28 + 1:02}") for number in range(30)]


def csv_gz(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as compressed CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def order_batch(
    first_day: dt.date, days: int, *, per_day: int = 40, seed: int = 1, turned_after: int | None = None
) -> OrderBatch:
    """A whole batch: orders of some days and all customers, as of the midnight after the last day."""
    rows = order_rows(first_day, days, per_day=per_day, seed=seed, turned_after=turned_after)
    files = {
        "orders.csv.gz": csv_gz(ORDERS, rows),
        "customers.csv.gz": csv_gz(CUSTOMERS, customer_rows()),
    }
    as_of = f"{first_day + dt.timedelta(days=days)}T00:00:00Z"
    return OrderBatch(files, {"orders.csv.gz": "orders", "customers.csv.gz": "customers"}, as_of)
