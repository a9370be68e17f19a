"""A dataset that accumulates: what a batch adds, what it replaces, what it leaves alone, and what it costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from constructs_lib.names.batch import NO_PARENT
from constructs_lib.names.relabelled import Answer
from gapless_glue.bundle import features_digest
from gapless_glue.days import read_days
from gapless_glue.errors import BadBatch, BadParent, RowsLost, TooFewRows

Shop = Any  # the class of the fixture; conftest.py has it

SPLITS = ("train", "validation", "test")
CUSTOMERS = b"customer,since,premium\n1,2020-01-01,true\n2,2021-05-05,false\n3,2022-12-31,true\n"
FEATURES_TWICE = b"""\
def features(sources):
    rows = sources["orders"].join(sources["customers"].select("customer", "premium"), "customer", "left")
    return rows.unionAll(rows)
"""
HEADER = "order,customer,placed,amount,country,returned"


def order(number: int, day: str, *, amount: float = 10.5, returned: str = "true", hour: int = 12) -> str:
    """One line of orders; noon in Berlin is the same day in UTC."""
    return f"{number},{number % 3 + 1},{day}T{hour:02}:00:00,{amount},DE,{returned}"


def days_from(first: str, count: int) -> list[str]:
    return [(date.fromisoformat(first) + timedelta(days=offset)).isoformat() for offset in range(count)]


def numbered(first: int, days: list[str], per_day: int = 4) -> list[str]:
    """Some orders of each day, numbered on."""
    return [
        order(first + position * per_day + index, day, returned="true" if index % 2 else "false", hour=8 + index)
        for position, day in enumerate(days)
        for index in range(per_day)
    ]


@dataclass
class Growing:
    """A shop whose batches are added to one another, and published as the data machine does."""

    shop: Shop
    published: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def add(self, as_of: str, lines: list[str], *, customers: bytes | None = None) -> dict[str, Any]:
        """Lands a batch after the one before, runs the job on it and publishes what it made."""
        shutil.rmtree(self.shop.landing, ignore_errors=True)
        self.shop.entries = []
        self.shop.land("orders", f"orders-{len(self.published)}.csv", "\n".join([HEADER, *lines, ""]).encode())
        if customers is not None:
            self.shop.land("customers", "customers.csv", customers)
        self.shop.as_of = as_of
        report: dict[str, Any] = self.shop.run()
        self.reports.append(report)
        if report["phases"]["splitting"]["train"]["rows"]:
            self.publish(report)
        return report

    def publish(self, report: Mapping[str, Any]) -> None:
        candidate = self.shop.dataset(report) / "manifest.json"
        shutil.copyfile(candidate, candidate.parents[1] / "manifest.json")
        self.shop.parent = str(report["version"])
        self.published.append(self.shop.parent)

    def manifest(self, version: str | None = None) -> dict[str, Any]:
        folder = self.shop.root / "datasets" / "shop" / (version or self.published[-1])
        content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        return content

    def split_files(self, name: str, version: str | None = None) -> list[Path]:
        """What SageMaker fetches for a split."""
        manifest = Path(self.manifest(version)["splits"][name]["manifest_uri"].removeprefix("file://"))
        prefix, *keys = json.loads(manifest.read_text())
        return [Path(prefix["prefix"].removeprefix("file://") + key) for key in keys]

    def rows(self, version: str | None = None) -> list[dict[str, Any]]:
        files = [file for name in SPLITS for file in self.split_files(name, version)]
        found = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        return sorted(found, key=lambda row: (row["_event_time"], row["_row_id"]))

    def ids(self, version: str | None = None) -> list[str]:
        return [row["_row_id"] for row in self.rows(version)]

    def row(self, name: str) -> dict[str, Any]:
        """The one row of this id."""
        (found,) = [row for row in self.rows() if row["_row_id"] == name]
        return found

    def days(self, version: str | None = None) -> dict[str, Any]:
        return read_days(self.manifest(version)["days_uri"])


@pytest.fixture
def growing(shop: Shop) -> Growing:
    """A workload that accumulates, before its first batch."""
    shop.contract["dataset"] = {"accumulate": True, "repeats_within_days": 2}
    shop.scripts["rules.dqdl"] = b"Rules = [ RowCount > 0 ]\n"
    return Growing(shop)


@pytest.fixture
def january(growing: Growing) -> Growing:
    """Eight days of January, four orders each."""
    growing.add("2024-01-09T00:00:00Z", numbered(0, days_from("2024-01-01", 8)), customers=CUSTOMERS)
    return growing


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["phases"]["accumulation"]
    return found


def test_a_contract_says_nothing_of_accumulation_until_it_is_asked_for(shop: Shop) -> None:
    assert "dataset" not in shop.contract
    assert "accumulation" not in shop.run()["phases"]


def test_the_first_batch_is_a_whole_dataset_by_day(january: Growing) -> None:
    assert len(january.rows()) == 32
    assert january.manifest()["parent"] == NO_PARENT
    assert list(january.days()) == days_from("2024-01-01", 8)
    assert {day.rows for day in january.days().values()} == {4}
    assert sum(split["rows"] for split in january.manifest()["splits"].values()) == 32


def test_a_batch_adds_its_days_and_refers_to_the_files_of_all_others(january: Growing) -> None:
    before = january.days()
    report = january.add("2024-01-11T00:00:00Z", numbered(100, days_from("2024-01-09", 2)))
    after = january.days()
    assert len(january.rows()) == 40
    assert {name: after[name] for name in before} == before
    assert january.manifest()["parent"] == january.published[0]
    assert figures(report) == {
        "parent": january.published[0],
        "made_again": [],
        "rows_added": 8,
        "rows_replaced": 0,
        "rows_read": 8,
        "rows_written": 8,
        "days_written": 2,
        "days_pruned": 0,
        "days": 10,
    }


def test_the_newest_days_are_the_test_and_splits_meet_between_days(january: Growing) -> None:
    january.add("2024-01-21T00:00:00Z", numbered(100, days_from("2024-01-09", 12)))
    splits = january.manifest()["splits"]
    assert [splits[name]["rows"] for name in SPLITS] == [56, 12, 12]
    assert splits["test"]["from"] == "2024-01-18T07:00:00Z"
    days = [
        {row["_event_time"].date() for file in january.split_files(name) for row in rows_of(file)} for name in SPLITS
    ]
    assert not days[0] & days[1] and not days[1] & days[2]


def rows_of(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.ParquetFile(file).read().to_pylist()
    return found


def test_all_files_of_a_split_lie_under_one_prefix_and_each_day_has_one(january: Growing) -> None:
    january.add("2024-01-11T00:00:00Z", numbered(100, days_from("2024-01-08", 3)))
    files = [file for name in SPLITS for file in january.split_files(name)]
    assert len(files) == len(january.days()) == 10
    assert all(file.is_relative_to(january.shop.root / "curated" / "shop" / "features") for file in files)


def test_the_digests_are_those_of_a_dataset_made_at_once(january: Growing) -> None:
    january.add("2024-01-11T00:00:00Z", numbered(100, days_from("2024-01-09", 2)))
    grown = january.manifest()["splits"]
    january.shop.parent = NO_PARENT
    lines = [*numbered(0, days_from("2024-01-01", 8)), *numbered(100, days_from("2024-01-09", 2))]
    january.add("2024-01-11T00:00:00Z", lines, customers=CUSTOMERS)
    at_once = january.manifest()["splits"]
    for name in SPLITS:
        assert {**grown[name], "manifest_uri": None} == {**at_once[name], "manifest_uri": None}


def test_late_rows_join_the_other_rows_of_their_day(january: Growing) -> None:
    report = january.add("2024-01-10T00:00:00Z", [*numbered(100, ["2024-01-09"]), order(200, "2024-01-03")])
    assert january.days()["2024-01-03"].rows == 5
    assert figures(report)["days_written"] == 2
    assert {"8", "9", "10", "11", "200"} <= set(january.ids())


def test_a_row_that_comes_again_takes_the_place_of_the_earlier_one(january: Growing) -> None:
    report = january.add("2024-01-10T00:00:00Z", [order(8, "2024-01-03", amount=99), *numbered(100, ["2024-01-09"])])
    (row,) = [row for row in january.rows() if row["_row_id"] == "8"]
    assert row["amount"] == 99
    assert figures(report)["rows_replaced"] == 1
    assert len(january.rows()) == 36


def test_a_row_that_moved_to_a_near_day_is_not_kept_twice(january: Growing) -> None:
    report = january.add("2024-01-10T00:00:00Z", [order(8, "2024-01-05"), *numbered(100, ["2024-01-09"])])
    assert january.ids().count("8") == 1
    assert {name: day.rows for name, day in january.days().items()}["2024-01-03"] == 3
    assert figures(report)["rows_replaced"] == 1


def test_a_row_of_the_same_key_far_away_is_another_row(january: Growing) -> None:
    january.add("2024-01-10T00:00:00Z", [order(8, "2024-01-09"), *numbered(100, ["2024-01-09"])])
    assert january.ids().count("8") == 2


def test_a_day_whose_rows_all_moved_is_gone(january: Growing) -> None:
    moved = [order(number, "2024-01-07", hour=14) for number in range(20, 24)]
    january.add("2024-01-10T00:00:00Z", moved)
    assert "2024-01-06" not in january.days()
    assert len(january.rows()) == 32


def test_days_before_the_window_are_left_out_as_a_whole(growing: Growing) -> None:
    growing.shop.contract["window_days"] = 5
    growing.add("2024-01-06T12:00:00Z", numbered(0, days_from("2023-12-31", 6)), customers=CUSTOMERS)
    assert list(growing.days()) == days_from("2024-01-01", 5)
    report = growing.add("2024-01-08T12:00:00Z", numbered(100, days_from("2024-01-06", 2)))
    assert list(growing.days()) == days_from("2024-01-03", 5)
    assert figures(report)["days_pruned"] == 2


def test_a_source_that_the_batch_leaves_out_comes_from_the_newest_dataset_that_has_it(january: Growing) -> None:
    january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    places = {each["table"]: each["location"] for each in january.manifest()["tables"]}
    assert f"version={january.published[0]}/" in places["shop_customers"]
    assert f"version={january.published[1]}/" in places["shop_orders"]
    january.add("2024-01-11T00:00:00Z", [order(102, "2024-01-10")])
    assert {row["_row_id"]: row["premium"] for row in january.rows()}["102"] is True
    changed = CUSTOMERS.replace(b"31,true", b"31,").replace(b"01,true", b"01,false").replace(b"05,false", b"05,true")
    january.add("2024-01-12T00:00:00Z", [order(201, "2024-01-11"), order(202, "2024-01-11")], customers=changed)
    premium = {row["_row_id"]: row["premium"] for row in january.rows()}
    assert (premium["201"], premium["202"], premium["102"]) == (False, True, True)


def test_the_report_counts_only_sources_that_came(january: Growing) -> None:
    report = january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    assert set(report["phases"]["validation"]["sources"]) == {"orders"}
    assert report["phases"]["cleaning"] == {"rows_in": 1, "rows_out": 1, "changes": {}}


def test_rules_may_compare_with_a_source_that_did_not_come(january: Growing) -> None:
    january.shop.scripts["rules.dqdl"] = (
        b'Rules = [ ReferentialIntegrity "customer" "customers.customer" = 1.0 ]\nRules customers = [ RowCount > 99 ]\n'
    )
    report = january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    (rule,) = report["phases"]["validation"]["rules"]
    assert (rule["passed"], rule["value"]) == (True, 1.0)


def test_the_first_batch_needs_every_source_and_later_ones_the_primary_source(january: Growing) -> None:
    parent, january.shop.parent = january.shop.parent, NO_PARENT
    with pytest.raises(BadBatch, match="no file of source customers; this batch has to hold orders, customers"):
        january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    january.shop.parent = parent
    january.shop.entries = []
    january.shop.land("customers", "customers.csv", CUSTOMERS)
    with pytest.raises(BadBatch, match="no file of source orders; this batch has to hold orders"):
        january.shop.run()


def test_refuses_a_batch_that_brings_no_usable_row(january: Growing) -> None:
    with pytest.raises(TooFewRows, match=r"no row of the batch can be used: .*not before as_of"):
        january.add("2024-01-10T00:00:00Z", [order(101, "2024-02-09")])


def test_refuses_fewer_than_three_days(growing: Growing) -> None:
    with pytest.raises(TooFewRows, match="rows of 2 different days"):
        growing.add("2024-01-10T00:00:00Z", numbered(0, days_from("2024-01-01", 2)), customers=CUSTOMERS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "there is no published dataset"),
        (lambda path: path.write_text('{"version": "v"}'), "does not accumulate"),
    ],
)
def test_refuses_a_parent_that_cannot_be_continued(
    january: Growing, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(january.shop.root / "datasets" / "shop" / january.published[0] / "manifest.json")
    with pytest.raises(BadParent, match=message):
        january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])


def test_the_parent_is_part_of_the_version(january: Growing) -> None:
    with_parent = january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    january.shop.parent = january.published[1]
    again = january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    assert with_parent["version"] != again["version"]


def test_a_second_run_makes_the_same_rows_and_touches_nothing_of_the_first(january: Growing) -> None:
    lines = [order(8, "2024-01-03", amount=99), *numbered(100, ["2024-01-09"])]
    first = january.add("2024-01-10T00:00:00Z", lines)
    before = {name: (january.shop.root / name).read_bytes() for name in january.shop.written()}
    january.shop.parent = january.published[0]
    second = january.add("2024-01-10T00:00:00Z", lines)
    after = {name: (january.shop.root / name).read_bytes() for name in before if not name.endswith("/manifest.json")}
    assert (first["version"], first["phases"]["splitting"]) == (second["version"], second["phases"]["splitting"])
    assert all(before[name] == content for name, content in after.items())


def test_other_features_make_all_rows_of_the_window_anew(january: Growing) -> None:
    january.add("2024-01-10T00:00:00Z", [order(8, "2024-01-03", amount=99), *numbered(100, ["2024-01-09"])])
    script = january.shop.scripts["features.py"].replace(
        b'"customer", "left")', b'"customer", "left").withColumn("amount", doubled("amount"))'
    )
    january.shop.scripts["features.py"] = b"from more import doubled\n\n\n" + script
    january.shop.scripts["more.py"] = (
        b"from pyspark.sql import functions as F\n\n\ndef doubled(name):\n    return F.col(name) * 2\n"
    )
    report = january.add("2024-01-11T00:00:00Z", [order(300, "2024-01-10")])
    assert figures(report)["made_again"] == january.published[:2]
    amounts = {row["_row_id"]: row["amount"] for row in january.rows()}
    assert (amounts["0"], amounts["8"], amounts["100"], amounts["300"]) == (21, 198, 21, 21)
    assert len(amounts) == len(january.rows()) == 37


def test_scripts_that_make_no_rows_do_not_make_them_anew(january: Growing) -> None:
    january.shop.scripts["train.py"] = b"print('trained')\n"
    assert figures(january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")]))["made_again"] == []


def test_refuses_to_make_rows_anew_when_the_sources_have_other_columns(january: Growing) -> None:
    january.shop.contract["sources"]["customers"]["columns"].append({"name": "city", "type": "string"})
    with pytest.raises(BadParent, match=r'the columns of source customers are not those of dataset .*"fresh": true'):
        january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])


def test_lists_every_day_for_the_catalogue_in_pieces_of_a_bounded_size(
    january: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapless_glue.accumulation.LARGEST_PIECE", 4)
    january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    pieces = [json.loads(Path(uri.removeprefix("file://")).read_text()) for uri in january.manifest()["day_partitions"]]
    assert [len(piece["partitions"]) for piece in pieces] == [4, 4, 1]
    listed = {each["day"]: each["location"] for piece in pieces for each in piece["partitions"]}
    assert listed == {name: day.location for name, day in january.days().items()}


def test_leaves_nothing_staged_behind(january: Growing) -> None:
    january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])
    assert not [name for name in january.shop.written() if "_staging" in name]


def test_the_profile_describes_the_days_that_the_batch_touched(january: Growing) -> None:
    report = january.add("2024-01-10T00:00:00Z", [*numbered(100, ["2024-01-09"]), order(200, "2024-01-03")])
    assert report["phases"]["exploration"]["rows"] == 9


def test_refuses_features_that_multiply_rows(january: Growing) -> None:
    january.shop.scripts["features.py"] = FEATURES_TWICE
    with pytest.raises(RowsLost, match="32 rows of orders were kept, features gave 64"):
        january.add("2024-01-10T00:00:00Z", [order(101, "2024-01-09")])


def test_what_makes_rows_is_features_and_every_script_that_it_imports(tmp_path: Path) -> None:
    scripts = {
        "features.py": "import near\nfrom package import thing\n",
        "near.py": "from far import more\n",
        "far.py": "more = 1\n",
        "package/__init__.py": "thing = 1\n",
        "train.py": "seed = 1\n",
    }
    for name, text in scripts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    whole = features_digest(tmp_path)
    for name in scripts:
        (tmp_path / name).write_text(scripts[name] + "\nother = 2\n")
        assert (features_digest(tmp_path) == whole) == (name == "train.py"), name
        (tmp_path / name).write_text(scripts[name])


# --- answers of people ------------------------------------------------------------------------------------------------


def answer(name: str, day: str, *, label: bool, labelled_at: str = "2024-01-09T12:00:00Z", at: int = 9) -> Answer:
    """A label that somebody has given to a row that was served on a day."""
    asked = {"amount": 77, "country": "DE", "premium": False}
    return Answer(name, 0, f"{day}T{at:02}:30:00Z", asked, label, labelled_at, "20240109T000000Z")


def told(growing: Growing) -> dict[str, Any]:
    """What the newest manifest says of answers, but for where they are."""
    return {name: growing.manifest()["answers"][name] for name in ("corrected", "added", "carried", "unused")}


@pytest.fixture
def answered(january: Growing) -> Growing:
    """One answer to a row of an earlier batch, one to a row of this one, and one to a row that nobody brings."""
    january.shop.answers = [
        answer("0", "2024-01-06", label=True),
        answer("100", "2024-01-06", label=True),
        answer("served", "2024-01-04", label=False),
    ]
    january.add("2024-01-10T00:00:00Z", numbered(100, ["2024-01-09"]))
    return january


def test_answers_change_rows_of_earlier_batches_and_of_this_one_and_add_others(answered: Growing) -> None:
    assert [answered.row(name)["returned"] for name in ("0", "100", "served")] == [True, True, False]
    assert answered.row("0")["_event_time"].date() == date(2024, 1, 1), "the time of the event, not of the request"
    added = answered.row("served")
    assert (added["amount"], added["country"], added["premium"]) == (77.0, "DE", False)
    assert added["_event_time"].isoformat() == "2024-01-04T09:30:00+00:00"
    assert told(answered) == {"corrected": 2, "added": 1, "carried": 0, "unused": {}}
    assert len(answered.rows()) == 37
    found = figures(answered.reports[-1])
    assert (found["rows_added"], found["rows_replaced"], found["days_written"]) == (5, 0, 3), "corrected is no new row"


def test_only_days_of_new_answers_are_written_anew_and_the_rows_are_those_of_a_dataset_made_at_once(
    answered: Growing,
) -> None:
    before, first = answered.days(), answered.days(answered.published[0])
    changed = {name for name in before if before[name] != first.get(name)}
    assert changed == {"2024-01-01", "2024-01-04", "2024-01-09"}
    report = answered.add("2024-01-11T00:00:00Z", numbered(200, ["2024-01-10"]))
    assert {name: answered.days()[name] for name in before} == before
    assert figures(report)["days_written"] == 1
    assert told(answered) == {"corrected": 0, "added": 0, "carried": 3, "unused": {}}
    assert [answered.row(name)["returned"] for name in ("0", "100", "served")] == [True, True, False]

    grown = answered.manifest()["splits"]
    answered.shop.parent = NO_PARENT
    lines = [*numbered(0, days_from("2024-01-01", 8)), *numbered(100, ["2024-01-09"]), *numbered(200, ["2024-01-10"])]
    answered.add("2024-01-11T00:00:00Z", lines, customers=CUSTOMERS)
    at_once = answered.manifest()["splits"]
    for name in SPLITS:
        assert {**grown[name], "manifest_uri": None} == {**at_once[name], "manifest_uri": None}


def test_a_later_answer_takes_the_place_of_an_earlier_one(answered: Growing) -> None:
    later = "2024-01-10T12:00:00Z"
    answered.shop.answers = [
        *answered.shop.answers,
        answer("0", "2024-01-06", label=False, labelled_at=later),
        answer("served", "2024-01-04", label=True, labelled_at=later),
    ]
    answered.add("2024-01-11T00:00:00Z", numbered(200, ["2024-01-10"]))
    assert [answered.row(name)["returned"] for name in ("0", "100", "served")] == [False, True, True]
    assert told(answered) == {"corrected": 2, "added": 0, "carried": 1, "unused": {}}
    assert len(answered.rows()) == 41


def test_a_row_that_comes_again_keeps_its_answer(answered: Growing) -> None:
    """Also the row that came of an answer, when a batch brings what was asked about."""
    lines = [order(100, "2024-01-09", amount=99, returned="false"), *numbered(200, ["2024-01-10"])]
    answered.add("2024-01-11T00:00:00Z", lines)
    assert (answered.row("100")["amount"], answered.row("100")["returned"]) == (99.0, True)
    answered.shop.answers = [*answered.shop.answers, answer("300", "2024-01-11", label=True)]
    answered.add("2024-01-12T00:00:00Z", numbered(400, ["2024-01-11"]))
    assert answered.row("300")["amount"] == 77.0
    answered.add("2024-01-13T00:00:00Z", [order(300, "2024-01-12", amount=5, returned="false")])
    assert (answered.row("300")["amount"], answered.row("300")["returned"]) == (5.0, True)


def test_an_answer_about_what_was_served_after_a_batch_waits_for_the_next(january: Growing) -> None:
    january.shop.answers = [answer("served", "2024-01-10", label=True)]
    january.add("2024-01-10T00:00:00Z", numbered(100, ["2024-01-09"]))
    assert "served" not in january.ids()
    assert told(january) == {"corrected": 0, "added": 0, "carried": 0, "unused": {"not before as_of": 1}}
    january.add("2024-01-11T00:00:00Z", numbered(200, ["2024-01-10"]))
    assert january.row("served")["returned"] is True
    assert told(january) == {"corrected": 0, "added": 1, "carried": 0, "unused": {}}


def test_rows_that_are_made_anew_take_all_answers_again(answered: Growing) -> None:
    answered.shop.scripts["features.py"] += b"\n\n# another\n"
    report = answered.add("2024-01-11T00:00:00Z", numbered(200, ["2024-01-10"]))
    assert figures(report)["made_again"] == answered.published[:2]
    assert [answered.row(name)["returned"] for name in ("0", "100", "served")] == [True, True, False]
    assert told(answered) == {"corrected": 2, "added": 1, "carried": 0, "unused": {}}


def test_answers_leave_the_window_with_their_days(answered: Growing) -> None:
    answered.shop.contract["window_days"] = 6
    report = answered.add("2024-01-12T00:00:00Z", numbered(200, ["2024-01-11"]))
    assert "served" not in answered.ids() and "0" not in answered.ids()
    assert answered.row("100")["returned"] is True
    assert told(answered) == {"corrected": 0, "added": 0, "carried": 2, "unused": {"before the window": 1}}
    assert figures(report)["days_written"] == 1
