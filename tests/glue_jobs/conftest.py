"""An embedded Spark for the tests of the jobs, and a small shop whose batches the data job can be run on."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from constructs_lib.names.batch import NO_PARENT, dataset_version, index_key
from constructs_lib.names.bundle import pack
from constructs_lib.names.relabelled import NO_ANSWERS, Answer, answers_digest, holding, written
from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.batch import parse_batch
from gapless_glue.contract import parse_contract
from prepare_dataset import Options, configure, run

AS_OF = "2024-03-01T00:00:00Z"
ORDERS = ["order", "customer", "placed", "amount", "country", "returned"]
CUSTOMERS = ["customer", "since", "premium"]
SHOP: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "returned",
    "event_time": "placed",
    "sources": {
        "orders": {
            "key": ["order"],
            "time_zone": "Europe/Berlin",
            "missing": ["", "NA"],
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
        "customers": {
            "key": ["customer"],
            "columns": {"customer": "int", "since": "date", "premium": "boolean"},
        },
    },
    "features": {"amount": "double", "country": "string", "premium": "boolean"},
}
FEATURES = """\
def features(sources):
    known = sources["customers"].select("customer", "premium")
    return sources["orders"].join(known, "customer", "left")
"""
RULES = """\
Rules = [ RowCount > 0, ColumnValues "amount" > 0, ColumnValues "country" in ["DE", "FR"] ]
Rules customers = [ IsComplete "since", Completeness "premium" > 0.5 ]
"""


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session on a Spark Connect server in this process."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(port=0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    configure(session)
    yield session
    session.stop()
    server.stop()


@dataclass
class Shop:
    """A landing folder and a lake below one directory, as ``file://`` URIs."""

    root: Path
    spark: SparkSession
    contract: dict[str, Any] = field(default_factory=lambda: WorkloadFile.parse(SHOP).contract())
    scripts: dict[str, bytes] = field(
        default_factory=lambda: {"features.py": FEATURES.encode(), "rules.dqdl": RULES.encode()}
    )
    entries: list[dict[str, Any]] = field(default_factory=list)
    as_of: str = AS_OF
    version: str | None = None
    parent: str = NO_PARENT
    answers: Sequence[Answer] = ()
    runs: int = 0

    @property
    def landing(self) -> Path:
        return self.root / "landing" / "batch"

    def land(self, source: str, key: str, content: bytes, **lies: Any) -> None:
        """Puts a file and its entry; ``lies`` replace what the entry says."""
        data = gzip.compress(content, mtime=0) if key.endswith(".gz") else content
        path = self.landing / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        entry = {"source": source, "key": key, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.entries = [other for other in self.entries if other["key"] != key] + [{**entry, **lies}]

    @staticmethod
    def order(number: int, **other: str) -> str:
        """One good line of orders, or one with other values; an hour lies between an order and the next."""
        values = {
            "order": str(number),
            "customer": str(number % 3 + 1),
            "placed": f"2024-02-{1 + number // 24:02}T{number % 24:02}:30:00",
            "amount": f"{10 + number}.5",
            "country": "DE" if number % 2 else "FR",
            "returned": "true" if number % 4 == 0 else "false",
        }
        return ",".join({**values, **other}.values())

    @classmethod
    def orders(cls, count: int = 48) -> list[str]:
        return [cls.order(number) for number in range(count)]

    def land_orders(self, rows: Sequence[str], key: str = "orders.csv") -> None:
        self.land("orders", key, csv(ORDERS, rows))

    def run(self) -> dict[str, Any]:
        """Runs the data job on what has landed; returns its report."""
        return self.report(self.start())

    def report(self, options: Options) -> dict[str, Any]:
        """What a run has reported."""
        report: dict[str, Any] = json.loads((self.attempt(options) / "report.json").read_text())
        return report

    def start(self) -> Options:
        """Runs the data job on what has landed, as far as it goes; returns its arguments."""
        self.landing.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"workload": "shop", "files": self.entries}).encode()
        (self.landing / "_batch.json").write_bytes(text)
        (self.root / "contract.json").write_text(json.dumps(self.contract))
        bundle = pack(self.scripts)
        archive = self.root / bundle.key("shop")
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(bundle.content)
        batch_uri = f"file://{self.landing}/_batch.json"
        contract = parse_contract(self.contract)
        needed = list(contract.sources) if self.parent == NO_PARENT else [contract.primary]
        files = parse_batch(text, batch_uri, contract, needed=needed).files
        self.runs += 1
        answers = self.root / f"answers-{self.runs:05}.jsonl"
        answers.write_bytes(written(self.answers))
        options = Options(
            batch_uri=batch_uri,
            contract_uri=f"file://{self.root}/contract.json",
            bundle_uri=f"file://{archive}",
            version=self.version
            or dataset_version(
                files,
                window_days=contract.window_days,
                contract_digest=contract.digest,
                as_of=self.as_of,
                bundle=bundle.sha256,
                engine="e",
                parent=self.parent,
                answers=answers_digest(holding(self.answers, self.as_of)),
            ),
            attempt=f"run-{self.runs}-0-0",
            as_of=self.as_of,
            engine="e",
            parent=self.parent,
            answers_uri=f"file://{answers}" if self.answers else NO_ANSWERS,
            **{
                f"{zone}_uri": f"file://{self.root}/{zone}/shop/"
                for zone in ("validated", "quarantine", "curated", "datasets")
            },
        )
        run(self.spark, options)
        return options

    def publish(self, report: dict[str, Any]) -> None:
        """Enters the dataset of a report into the index, as the data machine does; it must have a manifest."""
        assert (self.dataset(report) / "manifest.json").exists()
        folder = self.root / "datasets" / "shop"
        entry = folder / index_key(report["version"], report["as_of"])
        entry.parent.mkdir(exist_ok=True)
        uris = {f"{name}_uri": f"file://{self.dataset(report)}/{name}.json" for name in ("report", "profile")}
        manifest_uri = f"file://{folder}/{report['version']}/manifest.json"
        entry.write_text(
            json.dumps({"version": report["version"], "as_of": report["as_of"], "manifest_uri": manifest_uri, **uris})
        )

    def attempt(self, options: Options) -> Path:
        return Path(options.dataset_uri.removeprefix("file://"))

    def dataset(self, report: dict[str, Any]) -> Path:
        return self.root / "datasets" / "shop" / str(report["version"]) / f"attempt={report['attempt']}"

    def manifest(self, report: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.dataset(report) / "manifest.json").read_text())
        return content

    def rows(self, zone: str, table: str, report: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows that a run wrote to a table of a zone."""
        folder = self.root / zone / "shop" / table / f"version={report['version']}" / f"attempt={report['attempt']}"
        files = sorted(folder.glob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]

    def split(self, name: str, report: dict[str, Any]) -> list[dict[str, Any]]:
        files = sorted((self.dataset(report) / name).glob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]

    def written(self) -> list[str]:
        """Every file below the lake's zones, relative to the root."""
        zones = ("validated", "quarantine", "curated", "datasets")
        return sorted(
            str(path.relative_to(self.root))
            for zone in zones
            for path in (self.root / zone).rglob("*")
            if path.is_file()
        )


def csv(header: Sequence[str], rows: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in [",".join(header), *rows]).encode()


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession) -> Shop:
    """A shop with a good batch: 48 orders of two days, three customers."""
    shop = Shop(tmp_path, spark)
    shop.land_orders(shop.orders())
    shop.land(
        "customers", "customers.csv", csv(CUSTOMERS, ["1,2020-01-01,true", "2,2021-05-05,false", "3,2022-12-31,true"])
    )
    return shop
