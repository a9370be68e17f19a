"""What the live part of a story is made of, without a platform."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from constructs_lib.names.workload_file import WorkloadFile
from local.errors import UserError
from local.settings import CHECKOUT
from local.story.history import History
from local.story.live import SECTIONS, check_live
from local.story.project import make_project
from local.story.rules import ASKS, CHOSEN, policy_of
from local.story.schedule import Step
from local.synth import inputs_digest

FLIGHTS = CHECKOUT / "workloads" / "flight_delays"


def workload_of(project: Path) -> WorkloadFile:
    return WorkloadFile.load(project / "workloads" / "flight_delays" / "workload.yaml")


def test_the_project_is_the_application_with_one_workload_that_is_monitored_by_the_rules_of_stories(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path / "project", FLIGHTS, SECTIONS)
    assert [each.name for each in (project / "workloads").iterdir()] == ["flight_delays"]
    workload, plain = workload_of(project), WorkloadFile.load(FLIGHTS / "workload.yaml")
    assert plain.monitoring is None
    assert workload.monitoring is not None
    assert workload.monitoring.every == "day"
    assert policy_of(workload) == replace(CHOSEN, triggers=ASKS)
    assert workload.contract_json() == plain.contract_json(), "datasets and scripts are those of the workload"


def test_a_project_is_made_anew_and_templates_follow_its_workload(tmp_path: Path) -> None:
    plain = make_project(tmp_path / "project", FLIGHTS, {})
    before = inputs_digest(plain)
    assert inputs_digest(make_project(plain, FLIGHTS, {})) == before
    assert inputs_digest(make_project(plain, FLIGHTS, SECTIONS)) != before
    assert workload_of(plain).retraining is not None


def history(workload: Path, starts: list[dt.datetime], label: str) -> History:
    """A history of steps from one instant to the next; nothing is read."""
    steps = [
        Step(number, begin.strftime(label), begin, end) for number, (begin, end) in enumerate(pairwise(starts), start=1)
    ]
    found = WorkloadFile.load(workload / "workload.yaml")
    return History(Path(), found, steps, starts[0], dt.timedelta(days=1), {})


def firsts(*months: int) -> list[dt.datetime]:
    return [dt.datetime(2013, month, 1, 4, tzinfo=dt.UTC) for month in months]


def test_lives_through_months_of_flights_that_a_batch_of_earlier_ones_can_begin() -> None:
    check_live(history(FLIGHTS, firsts(5, 6, 7), "%Y-%m"))


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (history(FLIGHTS, firsts(4, 5, 6), "%Y-%m"), "from 2013-04 to 2013-05"),
        (history(FLIGHTS, firsts(5, 8, 11), "%Y-Q"), "from 2013-Q to 2013-Q"),
        (history(CHECKOUT / "workloads" / "loan_approval", firsts(5, 6, 7), "%Y-%m"), "--live with loan_approval"),
    ],
)
def test_refuses_to_live_through_anything_else(told: History, wrong: str) -> None:
    with pytest.raises(UserError, match=rf"{wrong}.*\(allowed: flight_delays by month, from the first of May 2013"):
        check_live(told)
