"""The data job from a landed batch to a dataset, on files: what it writes, what it refuses, what it never loses."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gapless_glue.batch import Batch
from gapless_glue.bundle import Bundle, load_bundle
from gapless_glue.contract import parse_contract
from gapless_glue.dataset import dataset_schema
from gapless_glue.dqdl.evaluate import Evaluation
from gapless_glue.errors import BadBatch, BadBundle, BadRules, BadSchema, BadVersion, RowsLost, TooFewRows
from gapless_glue.splits import SplitPlan
from gapless_glue.validation import ROWS, conclude
from prepare_dataset import Job, Options, Stopwatch, write_splits

Shop = Any  # the class of the fixture; conftest.py has it

HEADER = b"order,customer,placed,amount,country,returned\n"


def counts(report: dict[str, Any], source: str = "orders") -> dict[str, Any]:
    found: dict[str, Any] = report["phases"]["validation"]["sources"][source]
    return found


def test_makes_a_dataset_of_a_good_batch(shop: Shop) -> None:
    report = shop.run()
    manifest = shop.manifest(report)
    assert counts(report) == {"rows_in": 48, "validated": 48, "quarantined": 0, "reasons": {}}
    assert report["phases"]["cleaning"] == {"rows_in": 48, "rows_out": 48, "changes": {}}
    assert [manifest["splits"][name]["rows"] for name in ("train", "validation", "test")] == [34, 7, 7]
    assert manifest["contract_digest"]
    assert {table["table"] for table in manifest["tables"]} == {"shop_orders", "shop_customers", "shop_features"}


def test_writes_nothing_outside_its_own_attempt(shop: Shop) -> None:
    report = shop.run()
    run = f"attempt={report['attempt']}/"
    assert all(run in name and report["version"] in name for name in shop.written())


def test_leaves_no_staged_rows_behind(shop: Shop) -> None:
    shop.run()
    shop.land("orders", "orders.csv", b"")
    with pytest.raises(BadBatch):
        shop.run()
    assert not [name for name in shop.written() if "_staging" in name]


def test_rows_of_a_dataset_have_features_target_time_and_id_and_nothing_else(shop: Shop) -> None:
    report = shop.run()
    row = shop.split("train", report)[0]
    assert set(row) == {"amount", "country", "premium", "returned", "_event_time", "_row_id"}
    assert row == {
        "amount": 10.5,
        "country": "FR",
        "premium": True,
        "returned": True,
        "_event_time": datetime(2024, 1, 31, 23, 30, tzinfo=UTC),  # half past midnight in Berlin
        "_row_id": "0",
    }


def test_sagemaker_manifests_name_every_file_of_a_split(shop: Shop) -> None:
    report = shop.run()
    for name, split in shop.manifest(report)["splits"].items():
        prefix, *files = json.loads(Path(split["manifest_uri"].removeprefix("file://")).read_text())
        assert prefix["prefix"] == f"file://{shop.dataset(report)}/"
        assert sorted(files) == sorted(f"{name}/{file.name}" for file in (shop.dataset(report) / name).iterdir())


def test_splits_follow_time_and_share_no_row(shop: Shop) -> None:
    report = shop.run()
    train, validation, test = (shop.split(name, report) for name in ("train", "validation", "test"))
    assert max(row["_event_time"] for row in train) < min(row["_event_time"] for row in validation)
    assert max(row["_event_time"] for row in validation) < min(row["_event_time"] for row in test)
    assert len({row["_row_id"] for row in train + validation + test}) == 48


def test_the_report_is_small_and_times_each_phase(shop: Shop) -> None:
    report = shop.run()
    assert len(json.dumps(report)) < 100_000
    assert set(report["seconds"]) == {"loading", "landing_check", "validation", "cleaning", "splitting", "exploration"}


def test_the_same_batch_in_two_orders_and_under_other_keys_is_the_same_dataset(shop: Shop) -> None:
    lines = [
        *shop.orders(),
        shop.order(7, amount="99.5"),
    ]  # one order twice: which of the two stays must not depend on names
    shop.land_orders(lines[:30], "a.csv")
    shop.land_orders(lines[30:], "b.csv")
    shop.entries = [entry for entry in shop.entries if entry["key"] != "orders.csv"]
    first = shop.run()
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land_orders(lines[30:], "1.csv")
    shop.land_orders(lines[:30], "2.csv")
    second = shop.run()
    assert first["version"] == second["version"]
    assert first["phases"]["splitting"] == second["phases"]["splitting"]
    assert counts(first) == counts(second)


def test_a_second_run_gives_the_same_digests(shop: Shop) -> None:
    assert shop.run()["phases"]["splitting"] == shop.run()["phases"]["splitting"]


def test_another_value_gives_another_digest(shop: Shop) -> None:
    first = shop.run()
    shop.land_orders([shop.order(0, amount="10.500001"), *shop.orders()[1:]])
    second = shop.run()
    assert first["version"] != second["version"]
    assert first["phases"]["splitting"]["train"]["digest"] != second["phases"]["splitting"]["train"]["digest"]
    assert first["phases"]["splitting"]["test"]["digest"] == second["phases"]["splitting"]["test"]["digest"]


@pytest.mark.parametrize(
    "key", ["with space.csv", "a+b.csv", "grüße/日本.csv", "per%20cent.csv", "deep/er/o.csv.gz", "a&b=c.csv"]
)
def test_reads_files_under_unusual_keys(shop: Shop, key: str) -> None:
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land_orders([shop.order(0, amount="-1"), *shop.orders(48)[1:]], key)
    report = shop.run()
    assert counts(report)["rows_in"] == 48
    assert [row["_source_key"] for row in shop.rows("quarantine", "orders", report)] == [key]


@pytest.mark.parametrize(
    "key", ["../orders.csv", "/etc/passwd", "a/../../b.csv", "a//b.csv", "./a.csv", "", "a\x00b", "a\\..\\b"]
)
def test_refuses_keys_that_leave_the_folder(shop: Shop, key: str) -> None:
    shop.entries[0]["key"] = key
    with pytest.raises(BadBatch, match="must be relative to the folder"):
        shop.run()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("orders.csv", b"", "orders.csv: is empty"),
        ("orders.csv.gz", b"", "orders.csv.gz: is empty"),
        ("orders.csv", HEADER, "source orders has header lines only, no rows"),
        ("orders.csv", HEADER + b"1,2,2024-02-01T00:00:00,1.5,D\xff,true\n", "orders.csv: is not UTF-8, byte 0xff"),
    ],
)
def test_refuses_a_file_without_readable_rows(shop: Shop, name: str, content: bytes, message: str) -> None:
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land("orders", name, content)
    with pytest.raises(BadBatch) as error:
        shop.run()
    assert message in str(error.value)


def gzipped() -> bytes:
    return gzip.compress(HEADER + os.urandom(50_000).hex().encode() + b"\n", mtime=0)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-4], lambda data: data[: len(data) // 2], lambda data: data[:5] + b"\x00" * 9 + data[14:]],
)
def test_refuses_damaged_gzip(shop: Shop, damage: Callable[[bytes], bytes]) -> None:
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land("orders", "orders.csv.raw", damage(gzipped()))
    (shop.landing / "orders.csv.raw").rename(shop.landing / "orders.csv.gz")
    shop.entries[-1]["key"] = "orders.csv.gz"
    with pytest.raises(BadBatch, match=r"orders\.csv\.gz: is damaged gzip"):
        shop.run()


def test_refuses_plain_text_that_claims_to_be_gzip(shop: Shop) -> None:
    (shop.landing / "orders.csv").rename(shop.landing / "orders.csv.gz")
    shop.entries[0]["key"] = "orders.csv.gz"
    with pytest.raises(BadBatch, match=r"orders\.csv\.gz: is damaged gzip"):
        shop.run()


def test_reads_gzip_of_several_members(shop: Shop) -> None:
    text = "".join(f"{line}\n" for line in shop.orders()).encode()
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land("orders", "orders.raw", gzip.compress(HEADER + text[:1000]) + gzip.compress(text[1000:]))
    (shop.landing / "orders.raw").rename(shop.landing / "orders.csv.gz")
    shop.entries[-1]["key"] = "orders.csv.gz"
    assert counts(shop.run())["rows_in"] == 48


def test_refuses_a_file_that_is_absent(shop: Shop) -> None:
    (shop.landing / "customers.csv").unlink()
    with pytest.raises(BadBatch, match=r"customers\.csv: named by _batch\.json and absent"):
        shop.run()


def test_refuses_another_checksum(shop: Shop) -> None:
    shop.entries[0]["sha256"] = "0" * 64
    with pytest.raises(BadBatch, match=r"orders\.csv: has SHA-256 [0-9a-f]{64}, _batch\.json says 0{64}"):
        shop.run()


def test_refuses_another_size_and_says_so_before_anything_else(shop: Shop) -> None:
    data = gzip.compress(HEADER + "".join(shop.orders()).encode())
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land("orders", "orders.raw", data[:-8], bytes=len(data))
    (shop.landing / "orders.raw").rename(shop.landing / "orders.csv.gz")
    shop.entries[-1]["key"] = "orders.csv.gz"
    with pytest.raises(BadBatch, match=f"has {len(data) - 8} bytes, _batch.json says {len(data)}"):
        shop.run()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("order,customer,placed,amount,country", "missing column 'returned' (source orders has: order, customer"),
        ("order,customer,placed,amount,country,returned,colour", "unexpected column 'colour'"),
        ("order,customer,placed,amount,country,return", "missing column 'returned', renamed to 'return'?"),
        ("order,customer,placed,amount,country,country", "column 'country' is given twice"),
        ("order;customer;placed;amount;country;returned", "missing column 'order'"),
    ],
)
def test_refuses_another_header_and_names_the_columns(shop: Shop, header: str, message: str) -> None:
    shop.land("orders", "orders.csv", "\n".join([header, *shop.orders()]).encode())
    with pytest.raises(BadSchema) as error:
        shop.run()
    assert str(error.value).startswith("orders.csv: ")
    assert message in str(error.value)


def test_reads_columns_in_any_order_and_a_byte_order_mark(shop: Shop) -> None:
    rows = [",".join(reversed(line.split(","))) for line in shop.orders()]
    text = "\r\n".join(["returned,country,amount,placed,customer,order", *rows])
    shop.land("orders", "orders.csv", b"\xef\xbb\xbf" + text.encode())
    report = shop.run()
    assert counts(report)["validated"] == 48
    assert shop.split("train", report)[0]["amount"] == 10.5


def test_quarantines_rows_with_the_reason_and_the_place(shop: Shop) -> None:
    lines = shop.orders(100)
    lines[3] = shop.order(3, amount="a lot")
    lines[5] = shop.order(5, amount="-5", country="XX")
    lines[7] = shop.order(6)
    lines[9] = "9,1,2024-02-01T09:30:00"
    lines[11] = shop.order(11) + ",more,and more"
    shop.land_orders(lines)
    report = shop.run()
    assert counts(report)["reasons"] == {
        "column amount is not double": 1,
        'rule ColumnValues "amount" > 0': 1,
        'rule ColumnValues "country" in ["DE", "FR"]': 1,
        "duplicate key (order)": 1,
        "line has 3 fields instead of 6": 1,
        "line has 8 fields instead of 6": 1,
    }
    assert (counts(report)["validated"], counts(report)["quarantined"]) == (95, 5)
    refused = {row["_row"]: row for row in shop.rows("quarantine", "orders", report)}
    assert set(refused) == {5, 7, 9, 11, 13}
    assert refused[5]["amount"] == "a lot"
    assert refused[7]["_reasons"] == 'rule ColumnValues "amount" > 0; rule ColumnValues "country" in ["DE", "FR"]'
    assert refused[13]["returned"] == "false,more,and more"
    assert {row["_source_key"] for row in refused.values()} == {"orders.csv"}


def test_a_key_column_that_is_the_same_in_every_row_still_finds_repeats(shop: Shop) -> None:
    shop.contract["sources"]["orders"]["key"] = ["country", "order"]
    shop.land_orders([shop.order(n, country="DE") for n in range(48)] + [shop.order(7, country="DE")])
    assert counts(shop.run())["reasons"] == {"duplicate key (country, order)": 1}


def test_makes_no_dataset_when_too_many_rows_are_refused(shop: Shop) -> None:
    shop.land_orders([shop.order(n, amount="many") for n in range(24)] + shop.orders(48)[24:])
    report = shop.run()
    assert report["phases"]["validation"]["quarantined_share"] == pytest.approx(24 / 51)
    assert report["phases"]["splitting"]["train"]["rows"] == 0
    assert not (shop.dataset(report) / "manifest.json").exists()


def test_makes_no_dataset_when_every_row_of_a_source_is_refused(shop: Shop) -> None:
    shop.land_orders([shop.order(n, amount="many") for n in range(48)])
    report = shop.run()
    assert counts(report) == {
        "rows_in": 48, "validated": 0, "quarantined": 48, "reasons": {"column amount is not double": 48},
    }  # fmt: skip
    assert not (shop.dataset(report) / "manifest.json").exists()


def test_makes_no_dataset_when_a_table_rule_fails(shop: Shop) -> None:
    shop.land(
        "customers", "customers.csv", b"customer,since,premium\n1,2020-01-01,\n2,2021-05-05,\n3,2022-12-31,true\n"
    )
    report = shop.run()
    rule = next(rule for rule in report["phases"]["validation"]["rules"] if rule["rule"].startswith("Completeness"))
    assert rule == {
        "rule": 'Completeness "premium" > 0.5',
        "source": "customers",
        "blocking": True,
        "passed": False,
        "value": pytest.approx(1 / 3),
        "refused_rows": 0,
        "note": "Column.premium.Completeness is 0.333333, which the rule does not allow",
    }
    assert not (shop.dataset(report) / "manifest.json").exists()


def test_drops_rows_without_an_outcome_and_rows_of_the_future_and_counts_them(shop: Shop) -> None:
    shop.as_of = "2024-02-02T20:30:00Z"  # 21:30 in Berlin: order 45 is placed then, 46 and 47 later
    shop.land_orders([shop.order(0, returned=""), shop.order(1, returned="NA"), *shop.orders()[2:]])
    report = shop.run()
    assert report["phases"]["cleaning"] == {
        "rows_in": 48,
        "rows_out": 43,
        "changes": {"no outcome (target missing)": 2, "not before as_of": 3},
    }


def test_uses_only_the_window_before_as_of(shop: Shop) -> None:
    shop.contract["window_days"] = 1
    shop.as_of = "2024-02-03T00:00:00Z"
    report = shop.run()
    assert report["phases"]["cleaning"]["changes"] == {"before the window": 25}


def test_refuses_to_split_rows_of_two_hours(shop: Shop) -> None:
    shop.land_orders(shop.orders(2))
    with pytest.raises(TooFewRows, match="rows of 2 different hours"):
        shop.run()


def test_refuses_a_version_that_is_not_that_of_its_inputs(shop: Shop) -> None:
    shop.version = "0" * 32
    with pytest.raises(BadVersion, match=r"make version [0-9a-f]{32}, the job was started for 0{32}"):
        shop.run()


def test_refuses_features_that_multiply_rows(shop: Shop) -> None:
    shop.scripts["features.py"] = b"""
def features(sources):
    known = sources["customers"].select("premium")
    return sources["orders"].crossJoin(known)
"""
    with pytest.raises(RowsLost, match="48 rows of orders were kept, features gave 144"):
        shop.run()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def features(sources):\n    return sources['orders']\n", "the result of features has no column premium"),
        ("def features(sources):\n    return sources['nothing']\n", "features failed: KeyError: 'nothing'"),
        ("import nothing_at_all\n", "features.py cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_refuses_features_that_do_not_do_what_the_contract_says(shop: Shop, script: str, message: str) -> None:
    shop.scripts["features.py"] = script.encode()
    with pytest.raises(BadBundle) as error:
        shop.run()
    assert message in str(error.value)


@pytest.mark.parametrize(("source", "column"), [("orders", "returned"), ("orders", "amount"), ("customers", "premium")])
def test_features_cannot_use_what_is_known_only_later(shop: Shop, source: str, column: str) -> None:
    shop.contract["features"] = [{"name": "clue", "type": "string"}]
    shop.contract["sources"]["orders"]["known_later"] = ["returned", "amount"]
    shop.contract["sources"]["customers"]["known_later"] = ["premium"]
    shop.scripts["features.py"] = f"""
def features(sources):
    clues = sources["{source}"].selectExpr("customer as who", "cast({column} as string) as clue").dropDuplicates()
    orders = sources["orders"]
    return orders.join(clues, orders["customer"] == clues["who"], "left")
""".encode()
    with pytest.raises(BadBundle, match=rf"features failed: AnalysisException: .*{column}"):
        shop.run()


def test_refuses_a_bundle_that_is_not_what_its_name_says(shop: Shop) -> None:
    shop.run()
    archive = next(shop.root.glob("shop/bundles/*/sourcedir.tar.gz"))
    uri = f"file://{archive}"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(BadBundle, match=r"has SHA-256 [0-9a-f]{64}"):
        load_bundle(uri, shop.root / "unpacked")
    archive.unlink()
    with pytest.raises(BadBundle, match="there is no bundle at file:///"):
        load_bundle(uri, shop.root / "unpacked")


@pytest.mark.parametrize("member", ["../escape.py", "link"])
def test_refuses_a_bundle_with_anything_but_plain_files_below_its_root(tmp_path: Path, member: str) -> None:
    entry = tarfile.TarInfo(member)
    entry.type, entry.linkname = (tarfile.SYMTYPE, "/etc/passwd") if member == "link" else (tarfile.REGTYPE, "")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(entry)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (tmp_path / digest).mkdir()
    (tmp_path / digest / "sourcedir.tar.gz").write_bytes(buffer.getvalue())
    with pytest.raises(BadBundle):
        load_bundle(f"file://{tmp_path}/{digest}/sourcedir.tar.gz", tmp_path / "unpacked")
    assert not (tmp_path / "escape.py").exists()


def test_says_so_when_rows_were_lost_between_reading_and_writing(shop: Shop) -> None:
    contract = parse_contract(shop.contract)
    measured = {"orders": Evaluation([], {ROWS: 46.0}), "customers": Evaluation([], {ROWS: 3.0})}
    refused = {"orders": (1, Counter({"a reason": 1}))}
    message = "source orders: 48 rows were read, 46 validated and 1 quarantined"
    with pytest.raises(RowsLost, match=message):
        conclude(contract, [], {"orders": 48, "customers": 3}, refused, measured)


def test_says_so_when_a_split_has_not_the_planned_rows(shop: Shop) -> None:
    contract = parse_contract(shop.contract)
    options = Options(*[field.name for field in fields(Options)])
    options = replace(options, datasets_uri=f"file://{shop.root}/")
    job = Job(shop.spark, options, contract, Bundle("", "", None, None), Batch("", ()), [], Stopwatch())
    curated = shop.spark.createDataFrame([], dataset_schema(contract))
    with pytest.raises(RowsLost, match="split train: 5 rows were planned, 0 are written"):
        write_splits(job, curated, [SplitPlan("train", 0, 1, 5, 1, "", "")])


def test_refuses_rules_that_it_does_not_know(shop: Shop) -> None:
    shop.scripts["rules.dqdl"] = b'Rules = [ IsShiny "amount" ]'
    with pytest.raises(BadRules, match="unknown rule 'IsShiny'"):
        shop.run()


def test_a_workload_without_scripts_takes_the_columns_of_its_primary_source(shop: Shop) -> None:
    shop.contract["features"] = [{"name": "amount", "type": "double"}]
    shop.scripts = {"bundle.json": b"{}"}
    assert set(shop.split("train", shop.run())[0]) == {"amount", "returned", "_event_time", "_row_id"}


def test_the_manifest_comes_last(shop: Shop) -> None:
    report = shop.run()
    written = {path: path.stat().st_mtime_ns for path in shop.dataset(report).rglob("*") if path.is_file()}
    assert max(written, key=lambda path: written[path]).name == "manifest.json"


def test_publishes_nothing(shop: Shop) -> None:
    report = shop.run()
    assert [path.name for path in shop.dataset(report).parent.iterdir()] == [f"attempt={report['attempt']}"]
