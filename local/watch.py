"""Watch a run to its end, in a table that changes (terminal) or line by line (anything else)."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from local.chain import Chain
from local.errors import Failure
from local.executions import RUNNING, SUCCEEDED, Execution, StateRun

_POLL_SECONDS = 0.5
_START_SECONDS = 60.0
_STYLES = {SUCCEEDED: "green", RUNNING: "cyan"}
_PIPELINES = {"loop": "loop", "data": "data pipeline", "model": "model pipeline", "deployment": "deployment pipeline"}


Now = Callable[[], dt.datetime]


def machine_now() -> dt.datetime:
    """What the machine's clock says."""
    return dt.datetime.now(dt.UTC)


def watch(read: Callable[[], Chain], console: Console, *, timeout_seconds: float, now: Now = machine_now) -> Chain:
    """Ask again and again until the run has finished, showing what it does.

    Args:
        read: Gives what the run has done so far.
        console: Where that is shown.
        timeout_seconds: For how long to ask.
        now: The clock by which executions are dated.

    Raises:
        Failure: Nothing was started within a minute, or the run did not finish in time.
    """
    return (
        _watch_live(read, console, timeout_seconds, now)
        if console.is_terminal
        else _watch_lines(read, console, timeout_seconds, now)
    )


def _watch_live(read: Callable[[], Chain], console: Console, timeout_seconds: float, now: Now) -> Chain:
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        chain = _poll(read, timeout_seconds, lambda chain: live.update(live_table(chain, console.height, now)))
    console.print(state_table(chain, now))
    return chain


def _watch_lines(read: Callable[[], Chain], console: Console, timeout_seconds: float, now: Now) -> Chain:
    told: set[tuple[str, str, bool]] = set()

    def tell(chain: Chain) -> None:
        for execution in chain.executions:
            for state in execution.states:
                again = state.visits > 1
                mark = (execution.arn, state.name, again)
                over = state.exited is not None and (not again or execution.status != RUNNING)
                if over and mark not in told:
                    told.add(mark)
                    name = f"{state.name} x{state.visits}" if again else state.name
                    console.print(f"{execution.machine:<10} {name:<28} {_seconds(state, now):>8}", highlight=False)

    chain = _poll(read, timeout_seconds, tell)
    for execution in chain.executions:
        console.print(f"{execution.machine:<10} {execution.status:<28} {_duration(execution, now):>8}", highlight=False)
    return chain


def _poll(read: Callable[[], Chain], timeout_seconds: float, show: Callable[[Chain], None]) -> Chain:
    begun = time.monotonic()
    while True:
        chain = read()
        show(chain)
        if chain.finished:
            return chain
        waited = time.monotonic() - begun
        if not chain.executions and waited > _START_SECONDS:
            raise Failure(
                f"nothing was started within {_START_SECONDS:.0f} s of the landing; "
                "see `python -m local status` for messages that could not be delivered"
            )
        if waited > timeout_seconds:
            raise Failure(f"the run {chain.run_id} has not finished within {timeout_seconds:.0f} s; it goes on")
        time.sleep(_POLL_SECONDS)


def live_table(chain: Chain, height: int, now: Now = machine_now) -> Group:
    """The pipelines with their status, and as many states of the running one as fit."""
    table = _new_table()
    for execution in chain.executions:
        _add_execution(table, execution, now)
    running = [item for item in chain.executions if item.status == RUNNING and item.machine != "loop"]
    room = max(3, height - len(chain.executions) - 8)
    for execution in running[-1:]:
        for state in execution.states[-room:]:
            _add_state(table, execution, state, now)
    return Group(table, Text(chain.outcome() if chain.executions else "waiting for the start of the loop", style="dim"))


def state_table(chain: Chain, now: Now = machine_now) -> Table:
    """Every pipeline with all of its states."""
    table = _new_table()
    for execution in chain.executions:
        _add_execution(table, execution, now)
        for state in execution.states:
            _add_state(table, execution, state, now)
    return table


def _new_table() -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("state", min_width=30, no_wrap=True)
    table.add_column("status")
    table.add_column("seconds", justify="right")
    return table


def _add_execution(table: Table, execution: Execution, now: Now) -> None:
    style = _STYLES.get(execution.status, "red")
    table.add_row(
        Text(_PIPELINES[execution.machine], style="bold"),
        Text(execution.status.lower(), style=style),
        _duration(execution, now),
    )


def _add_state(table: Table, execution: Execution, state: StateRun, now: Now) -> None:
    status = "failed" if state.error else "done" if state.exited else "running"
    if state.error and execution.status == SUCCEEDED:
        status = "caught"
    if status == "running" and execution.status != RUNNING:
        status = "ended here"
    style = {"failed": "red", "caught": "yellow", "done": "green", "running": "cyan", "ended here": "red"}[status]
    visits = f" x{state.visits}" if state.visits > 1 else ""
    table.add_row(f"  {state.name}{visits}", Text(status, style=style), _seconds(state, now))


def _seconds(state: StateRun, now: Now) -> str:
    end = state.exited if state.exited is not None else now()
    return f"{max(0.0, (end - state.entered).total_seconds()):.1f}"


def _duration(execution: Execution, now: Now) -> str:
    end = execution.ended if execution.ended is not None else now()
    return f"{max(0.0, (end - execution.started).total_seconds()):.1f}"
