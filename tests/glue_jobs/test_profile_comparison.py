"""What a profile says of the one before it."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from gapless_glue.profile import compare
from gapless_glue.profile.compare import psi, shift_limit

Shop = Any  # the class of the fixture; conftest.py has it


def number(values: list[float], rows: int, kind: str = "double") -> dict[str, Any]:
    """A numeric column of a profile; what is not a value of the rows is missing."""
    inner = quantiles(values, n=100, method="inclusive")
    return {
        "type": kind,
        "missing_share": 1 - len(values) / rows,
        "quantiles": [min(values), *inner, max(values)],
    }


def text(counts: dict[str, int], kind: str = "string") -> dict[str, Any]:
    """A column of texts of a profile."""
    values = [{"value": value, "rows": rows, "positives": 0} for value, rows in counts.items()]
    return {"type": kind, "missing_share": 0.0, "values": values}


def profile_of(columns: dict[str, Any], rows: int = 10_000, share: float = 0.2) -> dict[str, Any]:
    return {"rows": rows, "sample_rows": rows, "target": {"name": "late", "share": share}, "columns": columns}


def normal(mean: float, count: int, seed: int) -> list[float]:
    values = random.Random(seed)  # noqa: S311 - nothing secret
    return [values.gauss(mean, 1) for _ in range(count)]


def kinds(compared: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found["kind"], found["columns"][0]) for found in compared["warnings"]]


def test_the_index_of_counts_is_the_published_sum() -> None:
    # shares 0.5 and 0.5 become 0.8 and 0.2; half a row in each bin is next to nothing here
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert psi([500_000, 500_000], [800_000, 200_000]) == pytest.approx(expected, rel=1e-5)
    assert psi([10, 20, 30], [10, 20, 30]) == 0


def test_the_limit_is_the_rule_of_thumb_for_many_rows_and_chance_for_few() -> None:
    assert shift_limit([1000] * 10, [1000] * 10) == 0.25
    assert shift_limit([5] * 10, [5] * 10) == pytest.approx(27.88 * (1 / 50 + 1 / 50), rel=0.01)  # chi-square table: 9


def test_says_nothing_of_rows_of_the_same_kind() -> None:
    before = profile_of({"temp": number(normal(0, 10_000, 1), 10_000), "town": text({"a": 7000, "b": 3000})})
    now = profile_of({"temp": number(normal(0, 10_000, 2), 10_000), "town": text({"a": 6950, "b": 3050})}, share=0.21)
    found = compare(before, now)
    assert found["warnings"] == []
    assert found["columns"]["temp"]["psi"] < 0.01


def test_few_rows_of_the_same_kind_are_no_shift() -> None:
    moved = [
        compare(
            profile_of({"temp": number(normal(0, 40, seed), 40)}, rows=40),
            profile_of({"temp": number(normal(0, 40, seed + 1000), 40)}, rows=40),
        )["warnings"]
        for seed in range(50)
    ]
    assert moved == [[]] * 50


def test_warns_of_a_number_that_has_moved() -> None:
    before = profile_of({"temp": number(normal(0, 10_000, 1), 10_000)})
    found = compare(before, profile_of({"temp": number(normal(1, 10_000, 2), 10_000)}))
    # two normal distributions one spread apart: the sum over tenths is a little below the integral, which is 1
    assert found["columns"]["temp"]["psi"] == pytest.approx(0.95, abs=0.05)
    assert kinds(found) == [("moved", "temp")]


@pytest.mark.parametrize("constant", [-1.0, 1.0, 5.0])
def test_warns_of_a_constant_that_has_become_another(constant: float) -> None:
    before = profile_of({"rate": number([0.0] * 1000, 1000)}, rows=1000)
    assert kinds(compare(before, profile_of({"rate": number([constant] * 1000, 1000)}, rows=1000))) == [
        ("moved", "rate")
    ]
    assert compare(before, before)["warnings"] == []


def test_a_heap_at_one_value_is_compared_as_a_heap() -> None:
    before = profile_of({"rain": number([0.0] * 9500 + normal(5, 500, 1), 10_000)})
    same = profile_of({"rain": number([0.0] * 9480 + normal(5, 520, 2), 10_000)})
    wet = profile_of({"rain": number([0.0] * 5000 + normal(5, 5000, 3), 10_000)})
    assert compare(before, same)["warnings"] == []
    assert kinds(compare(before, wet)) == [("moved", "rain")]


def test_warns_of_values_that_came_and_went() -> None:
    found = compare(
        profile_of({"town": text({"a": 9000, "b": 1000})}), profile_of({"town": text({"a": 9000, "c": 1000})})
    )
    assert (found["columns"]["town"]["new_values"], found["columns"]["town"]["vanished_values"]) == (["c"], ["b"])
    assert {kind for kind, _ in kinds(found)} == {"moved", "new_values", "vanished_values"}


def test_a_rare_value_that_may_have_been_among_the_others_is_not_new() -> None:
    before = profile_of({"town": text({"a": 9000, "(other)": 1000})})
    now = profile_of({"town": text({"a": 9000, "b": 90, "c": 110, "(other)": 800})})
    assert compare(before, now)["columns"]["town"]["new_values"] == ["c"]


def test_a_new_value_of_very_few_rows_is_told_without_a_warning() -> None:
    found = compare(profile_of({"town": text({"a": 9999})}), profile_of({"town": text({"a": 9990, "b": 9})}))
    assert found["columns"]["town"]["new_values"] == ["b"]
    assert found["columns"]["town"]["new_share"] == pytest.approx(0.0009, rel=0.01)
    assert found["warnings"] == []


def test_warns_of_values_that_are_missing_more_often() -> None:
    before = profile_of({"temp": number(normal(0, 9900, 1), 10_000)})
    found = compare(before, profile_of({"temp": number(normal(0, 8000, 2), 10_000)}))
    assert [item["text"] for item in found["warnings"]] == ["temp was missing in 1.0% of the rows and now in 20.0%"]


def test_warns_of_a_target_that_holds_more_often() -> None:
    found = compare(profile_of({}, share=0.2), profile_of({}, share=0.3))
    assert [item["text"] for item in found["warnings"]] == ["late held in 20.0% of the rows and now in 30.0%"]
    assert compare(profile_of({}, rows=20, share=0.2), profile_of({}, rows=20, share=0.3))["warnings"] == []


def test_warns_of_columns_that_came_went_or_have_another_type() -> None:
    before = profile_of({"gone": text({"a": 1}), "size": text({"1": 1})})
    found = compare(before, profile_of({"size": number([1.0, 2.0], 2, "int"), "fresh": text({"a": 1})}))
    assert (found["added"], found["removed"], found["retyped"]) == (["fresh"], ["gone"], {"size": ["string", "int"]})
    assert kinds(found) == [("added", "fresh"), ("removed", "gone"), ("retyped", "size")]


def test_a_column_without_any_value_is_compared_by_what_is_missing() -> None:
    empty = {"type": "double", "missing_share": 1.0, "quantiles": []}
    found = compare(profile_of({"temp": empty}), profile_of({"temp": number(normal(0, 10_000, 1), 10_000)}))
    assert found["columns"]["temp"]["psi"] is None
    assert kinds(found) == [("missing_changed", "temp")]


# --- in the job -------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def publish(shop: Shop, report: dict[str, Any], profile_uri: str | None = None) -> None:
    """Enters a dataset into the index, as the machine does after publishing."""
    version, folder = report["version"], shop.root / "datasets" / "shop" / "index"
    folder.mkdir(exist_ok=True)
    place = f"file://{shop.dataset(report)}"
    stamp = report["as_of"].replace("-", "").replace(":", "").partition(".")[0].rstrip("Z")
    (folder / f"{stamp}.000000Z_{version}.json").write_text(
        json.dumps(
            {
                "version": version,
                "as_of": report["as_of"],
                "manifest_uri": f"{place}/manifest.json",
                "report_uri": f"{place}/report.json",
                "profile_uri": profile_uri or f"{place}/profile.json",
            }
        )
    )


def test_the_first_dataset_is_compared_with_none(shop: Shop) -> None:
    report = shop.run()
    assert read(shop.dataset(report) / "profile.json")["comparison"] is None
    assert report["phases"]["exploration"]["compared_with"] is None


def test_a_dataset_is_compared_with_the_one_before_it(shop: Shop) -> None:
    first = shop.run()
    publish(shop, first)
    shop.as_of = "2024-03-02T00:00:00Z"
    shop.land_orders([shop.order(number, country="FR") for number in range(48)])
    second = shop.run()
    comparison = read(shop.dataset(second) / "profile.json")["comparison"]
    assert (comparison["version"], comparison["unavailable"]) == (first["version"], None)
    assert comparison["columns"]["country"]["vanished_values"] == ["DE"]
    exploration = second["phases"]["exploration"]
    assert exploration["compared_with"] == first["version"]
    assert "country: 1 values that are gone had 50.0% of the rows" in exploration["changes"]


def test_the_report_of_a_run_names_no_value(shop: Shop) -> None:
    first = shop.run()
    publish(shop, first)
    shop.as_of = "2024-03-02T00:00:00Z"
    shop.scripts["rules.dqdl"] = b"Rules = [ RowCount > 0 ]"
    shop.land_orders([shop.order(number, country="SECRETLAND") for number in range(48)])
    second = shop.run()
    assert any(text.startswith("country: 1 new values") for text in second["phases"]["exploration"]["changes"])
    assert "SECRETLAND" not in json.dumps(second)


def test_a_dataset_is_not_compared_with_one_of_a_later_day(shop: Shop) -> None:
    publish(shop, shop.run())
    shop.as_of = "2024-02-29T00:00:00Z"
    assert shop.run()["phases"]["exploration"]["compared_with"] is None


def test_says_why_it_cannot_be_compared(shop: Shop) -> None:
    first = shop.run()
    publish(shop, first, profile_uri=f"file://{shop.root}/nothing.json")
    shop.as_of = "2024-03-02T00:00:00Z"
    gone = read(shop.dataset(shop.run()) / "profile.json")["comparison"]
    assert gone["unavailable"].startswith("there is no profile at ")
    (shop.dataset(first) / "profile.json").write_text('{"rows": 1}')
    publish(shop, first)
    old = read(shop.dataset(shop.run()) / "profile.json")["comparison"]
    assert old["unavailable"] == "its profile has format 1, this one 3"
