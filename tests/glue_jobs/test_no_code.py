"""A recipe or a flow makes the features between two runs of the job; here, a few lines of pyarrow stand in for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gapless_glue.errors import BadBundle, BadFeatures, RowsLost, TakenOver, TooFewRows
from prepare_dataset import Options, run
from tests.glue_jobs.test_feature_groups import with_group

Shop = Any  # the class of the fixture; conftest.py has it
Change = Callable[[pa.Table], pa.Table]
RECIPE = {"features_by": {"kind": "databrew_recipe", "digest": "d" * 64}}
ROW_ID = "_row_id"


@pytest.fixture
def slot(shop: Shop) -> Shop:
    """The shop, whose features are made by a recipe."""
    shop.contract = {**shop.contract, **RECIPE}
    shop.scripts = {"rules.dqdl": shop.scripts["rules.dqdl"]}
    return shop


def handed(shop: Shop, options: Options, source: str) -> pa.Table:
    folder = Path(options.zone("curated", "handover").removeprefix("file://"), "in", source)
    return pq.read_table(folder)


def transformed(shop: Shop, options: Options) -> pa.Table:
    """What ``features.py`` of the shop does, as somebody without code would click it."""
    customers = handed(shop, options, "customers").select(["customer", "premium"])
    return handed(shop, options, "orders").join(customers, "customer", join_type="left outer")


def give_back(shop: Shop, options: Options, change: Change = lambda table: table) -> dict[str, Any]:
    """Puts changed features where the service would, and runs the job again."""
    returned = shop.root / "returned"
    (returned / "job_01Jan2024").mkdir(parents=True)
    pq.write_table(change(transformed(shop, options)), returned / "job_01Jan2024" / "part_00000.parquet")
    (returned / "_SUCCESS").touch()
    run(shop.spark, replace(options, returned_uri=f"file://{returned}/"))
    report: dict[str, Any] = shop.report(options)
    return report


def without(name: str) -> Change:
    return lambda table: table.drop_columns([name])


def set_to(name: str, values: Any) -> Change:
    return lambda table: table.set_column(table.schema.get_field_index(name), name, values(table))


def test_gives_the_rows_that_a_script_gives(slot: Shop, shop: Shop) -> None:
    by_recipe = give_back(slot, slot.start())
    digests = {name: split["digest"] for name, split in by_recipe["phases"]["splitting"].items()}
    shop.contract = {name: value for name, value in shop.contract.items() if name != "features_by"}
    shop.scripts["features.py"] = (
        b"def features(sources):\n"
        b"    known = sources['customers'].select('customer', 'premium')\n"
        b"    return sources['orders'].join(known, 'customer', 'left')\n"
    )
    by_script = shop.run()
    assert digests == {name: split["digest"] for name, split in by_script["phases"]["splitting"].items()}
    assert by_recipe["phases"]["validation"] == by_script["phases"]["validation"]
    assert by_recipe["phases"]["cleaning"] == by_script["phases"]["cleaning"]


def test_hands_over_what_is_known_in_time_of_rows_that_can_be_used(slot: Shop) -> None:
    slot.land_orders([*slot.orders(), slot.order(90, placed="2024-03-02T00:30:00"), slot.order(91, returned="NA")])
    options = slot.start()
    orders = handed(slot, options, "orders")
    assert sorted(orders[ROW_ID].to_pylist()) == sorted(str(number) for number in range(48))
    assert {"_event_time", "_target", "amount", "country"} <= set(orders.column_names)
    assert "returned" not in orders.column_names and "_dropped" not in orders.column_names
    assert handed(slot, options, "customers").num_rows == 3


def test_a_run_that_hands_over_makes_no_dataset_yet(slot: Shop) -> None:
    options = slot.start()
    assert sorted(path.name for path in slot.attempt(options).iterdir()) == ["handover.json"]
    assert json.loads((slot.attempt(options) / "handover.json").read_text())["validation"]["rows_in"] == 51


def test_a_refused_batch_hands_nothing_over(slot: Shop) -> None:
    slot.land_orders([slot.order(number, country="XX") for number in range(48)])
    options = slot.start()
    assert not (slot.attempt(options) / "handover.json").exists()
    assert slot.report(options)["phases"]["splitting"]["train"]["rows"] == 0


def test_both_runs_write_below_one_attempt_and_leave_nothing_that_was_handed_over(slot: Shop) -> None:
    report = give_back(slot, slot.start())
    assert {table["location"].split("/attempt=")[1] for table in slot.manifest(report)["tables"]} == {"run-1-0-0/"}
    assert not [path for path in slot.written() if "/handover/" in path]


def test_time_and_target_are_those_that_were_handed_over(slot: Shop) -> None:
    def forge(table: pa.Table) -> pa.Table:
        return set_to("_target", lambda rows: pc.invert(rows["_target"]))(table).drop_columns(["_event_time"])

    report = give_back(slot, slot.start(), forge)
    rows = [row for split in ("train", "validation", "test") for row in slot.split(split, report)]
    assert {row[ROW_ID]: row["returned"] for row in rows} == {str(number): number % 4 == 0 for number in range(48)}


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (lambda table: table.slice(1), "48 rows of orders were handed to the recipe, 47 came back (1 missing)"),
        (lambda table: pa.concat_tables([table, table.slice(0, 2)]), "50 came back (2 repeated)"),
        (
            set_to(ROW_ID, lambda rows: pc.replace_substring_regex(rows[ROW_ID], "^4.$", "nobody")),
            "48 came back (8 missing, 8 unknown)",
        ),
        (
            set_to(ROW_ID, lambda rows: pc.if_else(pc.equal(rows[ROW_ID], "7"), None, rows[ROW_ID])),
            "48 came back (1 missing, 1 unknown)",
        ),
    ],
)
def test_every_row_has_to_come_back_once(slot: Shop, change: Change, figures: str) -> None:
    options = slot.start()
    with pytest.raises(RowsLost) as refused:
        give_back(slot, options, change)
    assert figures in str(refused.value)
    assert not (slot.attempt(options) / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("premium"), "what the recipe gave has no column premium"),
        (without(ROW_ID), "what the recipe gave has no column _row_id"),
        (
            set_to("amount", lambda rows: pa.array(["much" if n < 3 else "1.5" for n in range(rows.num_rows)])),
            "amount (3 values are not double)",
        ),
        (
            set_to("amount", lambda rows: pa.array([{"a": 1.0}] * rows.num_rows)),
            "what the recipe gave cannot be cast",
        ),
    ],
)
def test_refuses_features_that_are_not_those_of_the_contract(slot: Shop, change: Change, message: str) -> None:
    options = slot.start()
    with pytest.raises(BadFeatures) as refused:
        give_back(slot, options, change)
    assert message in str(refused.value)


def test_a_number_that_came_back_as_text_is_a_number(slot: Shop) -> None:
    report = give_back(slot, slot.start(), set_to("amount", lambda rows: pc.cast(rows["amount"], pa.string())))
    assert {type(row["amount"]) for row in slot.split("train", report)} == {float}


@pytest.mark.parametrize(("files", "message"), [([], "gave no file"), (["a.parquet"], "is not Parquet")])
def test_refuses_what_cannot_be_read(slot: Shop, files: list[str], message: str) -> None:
    options = slot.start()
    returned = slot.root / "returned"
    returned.mkdir()
    for name in files:
        (returned / name).write_text("order,amount\n1,2\n")
    with pytest.raises(BadFeatures, match=message):
        run(slot.spark, replace(options, returned_uri=f"file://{returned}/"))


def test_only_one_run_goes_on_with_what_was_handed_over(slot: Shop) -> None:
    options = slot.start()
    give_back(slot, options)
    with pytest.raises(TakenOver, match="redrive the execution"):
        run(slot.spark, replace(options, returned_uri=f"file://{slot.root}/returned/"))


def test_refuses_to_go_on_where_nothing_was_handed_over(slot: Shop) -> None:
    options = slot.start()
    with pytest.raises(BadFeatures, match="nothing was handed over"):
        run(slot.spark, replace(options, attempt="another", returned_uri="file:///tmp/none/"))


def test_refuses_a_script_that_wants_the_same_place(slot: Shop) -> None:
    slot.scripts["features.py"] = b"def features(sources):\n    return sources['orders']\n"
    with pytest.raises(BadBundle, match="gives its place to the recipe"):
        slot.start()


def test_a_script_may_still_derive_the_target(slot: Shop) -> None:
    slot.contract = {**slot.contract, "derived": [{"name": "kept", "type": "boolean"}], "target": "kept"}
    slot.scripts["features.py"] = (
        b"from pyspark.sql import functions as F\n"
        b"def derive(orders):\n    return orders.withColumn('kept', ~F.col('returned'))\n"
    )
    report = give_back(slot, slot.start())
    assert {row[ROW_ID]: row["kept"] for row in slot.split("train", report)}["0"] is False


def test_features_of_a_group_go_in_as_they_were_known_and_come_back(shop: Shop) -> None:
    by_script = with_group(shop).run()
    shop.contract, shop.scripts = {**shop.contract, **RECIPE}, {"rules.dqdl": shop.scripts["rules.dqdl"]}
    by_recipe = give_back(shop, shop.start())
    assert {row["pages"] for row in shop.split("train", by_recipe)} > {None}
    digests = [
        {name: split["digest"] for name, split in report["phases"]["splitting"].items()}
        for report in (by_recipe, by_script)
    ]
    assert digests[0] == digests[1]
    groups = [shop.manifest(report)["feature_groups"].keys() for report in (by_recipe, by_script)]
    assert groups == [{"visits_of"}, {"visits_of"}]


def test_nothing_is_handed_over_when_no_row_can_be_used(slot: Shop) -> None:
    slot.land_orders([slot.order(number, placed="2024-04-01T00:30:00") for number in range(48)])
    with pytest.raises(TooFewRows, match="not before as_of"):
        slot.start()
