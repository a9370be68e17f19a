"""What people have answered of served rows changes the next dataset, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.names.relabelled import Answer, answers_digest, holding, read_answers, written
from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.answers import OTHER_TYPE, load_answers
from gapless_glue.contract import parse_contract
from gapless_glue.dataset import NOT_YET, TOO_OLD
from gapless_glue.errors import BadVersion
from tests.glue_jobs.conftest import AS_OF, SHOP

Shop = Any  # the class of the fixture; conftest.py has it

SERVED = "2024-02-10T08:00:00Z"
ANSWERED = "2024-02-20T08:00:00Z"


def any_answer(inference_id: str = "any-request", **changed: Any) -> Answer:
    answer = Answer(
        inference_id=inference_id,
        position=0,
        at=SERVED,
        asked={"amount": 77, "country": "DE", "premium": False},
        label=True,
        labelled_at=ANSWERED,
        run="20240215T000000Z",
    )
    return replace(answer, **changed)


def rows_of(shop: Shop, report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of all splits, by their names."""
    splits = ("train", "validation", "test")
    return {row["_row_id"]: row for name in splits for row in shop.split(name, report)}


def test_answers_correct_rows_that_the_dataset_has_and_add_those_it_lacks(shop: Shop) -> None:
    before = rows_of(shop, shop.run())
    shop.answers = [any_answer("1"), any_answer("served"), any_answer("served", position=2, label=False)]
    report = shop.run()
    after = rows_of(shop, report)

    assert (before["1"]["returned"], after["1"]["returned"]) == (False, True)
    assert {**after["1"], "returned": False} == before["1"]  # nothing of it but the target
    added = after["served"]
    assert (added["amount"], added["country"], added["premium"], added["returned"]) == (77.0, "DE", False, True)
    assert added["_event_time"].isoformat() == "2024-02-10T08:00:00+00:00"
    assert after["served#2"]["returned"] is False
    assert set(after) - set(before) == {"served", "served#2"}
    assert all(after[name] == row for name, row in before.items() if name != "1")

    told = report["phases"]["answers"]
    assert (told["corrected"], told["added"], told["unused"]) == (1, 2, {})
    assert shop.manifest(report)["answers"] == told
    assert sum(split["rows"] for split in report["phases"]["splitting"].values()) == 50


def test_a_dataset_knows_no_answer_that_came_after_its_instant(shop: Shop) -> None:
    before = shop.run()
    shop.answers = [any_answer("1", labelled_at="2024-03-01T00:00:01Z"), any_answer("later", at=AS_OF)]
    shop.as_of = AS_OF
    report = shop.run()
    assert rows_of(shop, report) == rows_of(shop, before)
    assert report["phases"]["answers"]["unused"] == {NOT_YET: 1}
    shop.answers = shop.answers[:1]
    assert shop.run()["version"] == before["version"]


def test_another_answer_is_another_version_and_the_job_looks_at_it(shop: Shop) -> None:
    shop.answers = [any_answer("1")]
    first = shop.run()["version"]
    shop.version, shop.answers = first, [any_answer("1", label=False)]
    with pytest.raises(BadVersion):
        shop.run()


def test_answers_out_of_the_window_or_of_another_type_are_told_and_not_used(shop: Shop) -> None:
    contract = parse_contract(WorkloadFile.parse({**SHOP, "window_days": 5}).contract())
    path = shop.root / "answers.jsonl"
    path.write_bytes(written([any_answer("old"), any_answer("odd", at="2024-02-28T00:00:00Z", label="yes")]))
    found = load_answers(f"file://{path}", contract, AS_OF)
    assert (found.used, found.unused) == ([], {TOO_OLD: 1, OTHER_TYPE: 1})


def test_of_several_answers_to_a_row_the_latest_holds_and_all_are_kept() -> None:
    first, second = any_answer(), any_answer(label=False, labelled_at="2024-02-21T08:00:00Z")
    kept = read_answers(written([second, first]))
    assert kept == [second, first]
    assert holding(kept, AS_OF) == [second]
    assert holding(kept, ANSWERED) == [first]
    assert holding(kept, SERVED) == []
    assert answers_digest(holding(kept, AS_OF)) == answers_digest(holding([first, second], AS_OF)) != ""
