"""Watching a run: what is shown while it goes on, and when watching ends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from local import watch as watching
from local.chain import Chain
from local.errors import Failure
from local.executions import StateRun
from local.watch import live_table, state_table, watch
from tests.local.cli.report_fixture import RUN_ID, any_chain, at, execution


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0.0)


def _console() -> Console:
    return Console(file=io.StringIO(), width=100, height=20)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _chains() -> Iterator[Chain]:
    yield Chain(RUN_ID, (), None)
    looping = StateRun("WaitForCrawler", at(1), at(2), visits=2)
    data = execution("data", 0, 1, [("CheckBatch", 0, 1)], status="RUNNING", ended=None)
    yield Chain(RUN_ID, (replace(data, states=(*data.states, looping)),), None)
    ended = StateRun("WaitForCrawler", at(1), at(4), visits=5)
    chain = any_chain()
    data = replace(chain.executions[1], states=(*data.states, ended))
    yield replace(chain, executions=(chain.executions[0], data, *chain.executions[2:]))


def test_each_state_is_told_once_and_a_loop_when_its_pipeline_has_ended() -> None:
    chains, console = _chains(), _console()
    chain = watch(lambda: next(chains), console, timeout_seconds=60)
    assert chain.outcome() == "deployed"
    lines = [" ".join(line.split()[:-1]) for line in _text(console).splitlines()]
    assert lines.count("data CheckBatch") == 1
    assert [line for line in lines if "WaitForCrawler" in line] == ["data WaitForCrawler x5"]
    assert lines[-1] == "deployment SUCCEEDED"


def test_a_run_that_goes_on_too_long_is_left_alone() -> None:
    running = Chain(RUN_ID, (execution("loop", 0, 0, [], status="RUNNING", ended=None),), None)
    with pytest.raises(Failure, match=r"has not finished within 0 s; it goes on"):
        watch(lambda: running, _console(), timeout_seconds=0.0)


def test_a_batch_that_starts_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_START_SECONDS", 0.0)
    with pytest.raises(Failure, match="nothing was started"):
        watch(lambda: Chain(RUN_ID, (), None), _console(), timeout_seconds=60)


def test_the_live_table_shows_the_states_of_the_running_pipeline_that_fit() -> None:
    states = [(f"State{number}", float(number), number + 0.5) for number in range(50)]
    loop = execution("loop", 0, 0, [("RunData", 0, 1)], status="RUNNING", ended=None)
    data = execution("data", 0, 0, states, status="RUNNING", ended=None)
    console = _console()
    console.print(live_table(Chain(RUN_ID, (loop, data), None), console.height))
    text = _text(console)
    assert len(text.splitlines()) <= console.height
    assert "State49" in text
    assert "State0 " not in text
    assert "RunData" not in text


def test_an_error_that_the_machine_expected_is_not_shown_as_a_failure() -> None:
    ended = execution("deployment", 0, 3, [("DescribeEndpoint", 0, 1)])
    ended = replace(ended, states=(replace(ended.states[0], error="SageMaker.SageMakerException"),))
    console = Console(record=True, width=120)
    console.print(state_table(Chain(RUN_ID, (ended,), None)))
    assert ["DescribeEndpoint", "caught"] in [line.split()[:2] for line in console.export_text().splitlines()]


def test_the_last_table_shows_every_state_and_where_it_failed() -> None:
    failed = execution("data", 0, 3, [("CheckBatch", 0, 1)], status="FAILED")
    failed = replace(failed, states=(*failed.states, StateRun("Ingest", at(1), error="BadSchema")))
    console = _console()
    console.print(state_table(Chain(RUN_ID, (failed,), None)))
    rows = [line.split()[:2] for line in _text(console).splitlines()]
    assert ["CheckBatch", "done"] in rows
    assert ["Ingest", "failed"] in rows
