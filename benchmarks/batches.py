"""What a batch costs where datasets accumulate, while the lake grows 50-fold: seconds, rows and bytes read and written.

Each batch holds one day of new rows. The data job runs on the embedded Spark engine and on files of this machine; its
validation, features, splits and profile are all included. With ``--late`` a share of the rows belongs to days before.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib
import json
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "glue_jobs")]

from constructs_lib.names.batch import NO_PARENT, contract_digest, dataset_version, read_files  # noqa: E402
from constructs_lib.names.bundle import pack  # noqa: E402
from constructs_lib.names.workload_file import WorkloadFile  # noqa: E402

AIM = 1.5
"""How many times the first batches' cost the last ones may have."""
FIRST_DAY = dt.date(2024, 1, 1)
FIRST_DAYS = 3
COLUMNS = ("order", "customer", "placed", "amount", "country", "returned")
WORKLOAD: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "returned",
    "event_time": "placed",
    "dataset": {"accumulate": True},
    "sources": {
        "orders": {
            "key": ["order"],
            "known_later": ["returned"],
            "columns": {
                "order": "bigint",
                "customer": "int",
                "placed": "timestamp",
                "amount": "double",
                "country": "string",
                "returned": "boolean",
            },
        },
        "customers": {"key": ["customer"], "columns": {"customer": "int", "premium": "boolean"}},
    },
    "features": {"amount": "double", "country": "string", "premium": "boolean"},
}
FEATURES = b"""\
def features(sources):
    return sources["orders"].join(sources["customers"].select("customer", "premium"), "customer", "left")
"""
ZONES = ("validated", "quarantine", "curated", "datasets")


@dataclass(frozen=True)
class Cost:
    """What one batch cost, and what was stored when it was done."""

    stored_rows: int
    seconds: float
    rows_read: int
    rows_written: int
    data_bytes: int
    list_bytes: int


class Lake:
    """A landing folder and the zones of a lake below one directory."""

    def __init__(self, root: Path, rows: int, late: float) -> None:
        self._root, self._rows, self._late = root, rows, late
        self._random = random.Random(1)  # noqa: S311 - data for a benchmark
        self._job = importlib.import_module("prepare_dataset")
        self._spark = start_engine()
        self._contract = WorkloadFile.parse(WORKLOAD).contract()
        self._bundle = pack({"features.py": FEATURES})
        archive = root / self._bundle.key("shop")
        archive.parent.mkdir(parents=True)
        archive.write_bytes(self._bundle.content)
        (root / "contract.json").write_text(json.dumps(self._contract))
        self._parent, self._number = NO_PARENT, 0

    def add(self, days: Sequence[dt.date]) -> Cost:
        """Lands the rows of some days as a batch, runs the job and publishes the dataset."""
        as_of = f"{days[-1] + dt.timedelta(days=1)}T00:00:00Z"
        document = self._land(days)
        files = read_files(document, workload="shop", sources=("orders", "customers"))
        version = dataset_version(
            files,
            window_days=None,
            contract_digest=contract_digest(self._contract),
            as_of=as_of,
            bundle=self._bundle.sha256,
            engine="e",
            parent=self._parent,
        )
        options = self._job.Options(
            batch_uri=f"file://{self._root}/landing/_batch.json",
            contract_uri=f"file://{self._root}/contract.json",
            bundle_uri=f"file://{self._root}/{self._bundle.key('shop')}",
            version=version,
            attempt="a",
            as_of=as_of,
            engine="e",
            parent=self._parent,
            **{f"{zone}_uri": f"file://{self._root}/{zone}/shop/" for zone in ZONES},
        )
        before = {path for path, _ in self._files()}
        begun = time.perf_counter()
        self._job.run(self._spark, options)
        seconds = time.perf_counter() - begun
        made = [(path, size) for path, size in self._files() if path not in before]
        dataset = Path(options.dataset_uri.removeprefix("file://"))
        shutil.copyfile(dataset / "manifest.json", dataset.parent / "manifest.json")
        self._parent = version
        return self._cost(dataset, seconds, made)

    def _cost(self, dataset: Path, seconds: float, made: Sequence[tuple[Path, int]]) -> Cost:
        report = json.loads((dataset / "report.json").read_text())["phases"]
        figures = report["accumulation"]
        return Cost(
            stored_rows=sum(split["rows"] for split in report["splitting"].values()),
            seconds=seconds,
            rows_read=report["validation"]["rows_in"] + figures["rows_read"],
            rows_written=report["validation"]["rows_in"] + figures["rows_written"],
            data_bytes=sum(size for path, size in made if path.suffix == ".parquet"),
            list_bytes=sum(size for path, size in made if path.suffix != ".parquet"),
        )

    def _files(self) -> Iterator[tuple[Path, int]]:
        for zone in ZONES:
            for path in (self._root / zone).rglob("*"):
                if path.is_file():
                    yield path, path.stat().st_size

    def _land(self, days: Sequence[dt.date]) -> dict[str, Any]:
        folder = self._root / "landing"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        texts = {"orders": self._orders(days)}
        if self._parent == NO_PARENT:
            texts["customers"] = "customer,premium\n" + "".join(f"{n},{n % 2 == 0}\n".lower() for n in range(100))
        files = []
        for source, text in texts.items():
            content = text.encode()
            (folder / f"{source}.csv").write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files.append({"source": source, "key": f"{source}.csv", "bytes": len(content), "sha256": digest})
        document = {"workload": "shop", "files": files}
        (folder / "_batch.json").write_text(json.dumps(document))
        return document

    def _orders(self, days: Sequence[dt.date]) -> str:
        lines = [",".join(COLUMNS)]
        for day in days:
            for _ in range(self._rows):
                back = self._random.randrange(1, 8) if self._random.random() < self._late else 0
                at = dt.datetime.combine(max(day - dt.timedelta(days=back), FIRST_DAY), dt.time())
                at += dt.timedelta(seconds=self._random.randrange(86_400))
                amount = round(self._random.uniform(1, 500), 2)
                returned = str(amount * self._random.random() > 150).lower()
                lines.append(f"{self._number},{self._number % 100},{at.isoformat()}Z,{amount},DE,{returned}")
                self._number += 1
        return "\n".join([*lines, ""])


SERVERS: list[object] = []
"""A server runs as long as it is kept."""


def start_engine() -> Any:
    """Returns a session on an embedded Spark engine."""
    server = importlib.import_module("pysail.spark").SparkConnectServer(port=0)
    server.start(background=True)
    SERVERS.append(server)
    session = importlib.import_module("pyspark.sql").SparkSession
    return session.builder.remote(f"sc://localhost:{server.listening_address[1]}").getOrCreate()


def grow(batches: int, rows: int, late: float) -> list[Cost]:
    """Adds batches of one day each to a lake that begins with a few days; returns what each cost."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder), rows, late)
        lake.add([FIRST_DAY + dt.timedelta(days=day) for day in range(FIRST_DAYS)])
        return [lake.add([FIRST_DAY + dt.timedelta(days=FIRST_DAYS + number)]) for number in range(batches)]


def show(costs: Sequence[Cost], rows: int) -> None:
    """Prints some batches and how the last ones compare with the first ones."""
    print(f"{'stored rows':>12}{'seconds':>9}{'rows read':>11}{'written':>9}{'data KiB':>10}{'lists KiB':>11}")  # noqa: T201
    marks = sorted({0, 1, 4, 9, 24, len(costs) // 2, len(costs) - 1} & set(range(len(costs))))
    for cost in (costs[mark] for mark in marks):
        print(  # noqa: T201
            f"{cost.stored_rows:>12,}{cost.seconds:>9.2f}{cost.rows_read:>11,}{cost.rows_written:>9,}"
            f"{cost.data_bytes / 1024:>10.0f}{cost.list_bytes / 1024:>11.1f}"
        )
    few = max(1, min(5, len(costs) // 4))
    first, last = costs[few : 2 * few] or costs[:1], costs[-few:]
    grown = costs[-1].stored_rows / (FIRST_DAYS * rows)
    print(f"the lake grew {grown:.0f}-fold; the last {few} batches cost, against early ones (aim: at most {AIM}):")  # noqa: T201
    for name in ("seconds", "rows_read", "rows_written", "data_bytes", "list_bytes"):
        earlier, later = (statistics.median(getattr(cost, name) for cost in some) for some in (first, last))
        print(f"  {name.replace('_', ' ')}: {later / earlier:.2f} times")  # noqa: T201
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")  # noqa: T201


def main() -> None:
    """Grows a lake and prints what each batch cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--rows", type=int, default=20_000, help="new rows per batch")
    parser.add_argument("--late", type=float, default=0.0, help="share of them of one of seven days before")
    options = parser.parse_args()
    show(grow(options.batches, options.rows, options.late), options.rows)


if __name__ == "__main__":
    main()
