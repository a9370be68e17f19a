"""The part of the report about the pipelines that ran, with their timings."""

from __future__ import annotations

from local.chain import Chain
from local.executions import SUCCEEDED, Execution
from local.report.charts import Bar, timeline_chart
from local.report.content import Content
from local.report.html import Cell, Fixed, Html, badge, code, details, figure, paragraph, section, table

_SHORTEST_SHARE = 0.01


def pipelines(content: Content) -> Html:
    """A timeline, a table of executions, and on demand every state."""
    chain = content.chain
    if not chain.executions:
        return section("pipelines", "Pipelines", paragraph("Nothing has run yet."))
    chart = timeline_chart(bars(chain)).replace('class="plot"', 'class="plot wide"')
    executions = table(
        "State machine executions",
        ["Pipeline", "Status", "Started (UTC)", "Seconds", "Execution"],
        [_execution_row(execution) for execution in chain.executions],
    )
    states = table(
        "States in the order in which they were entered",
        ["State", "Pipeline", "Seconds", "Entered", "Error"],
        [row for execution in chain.executions for row in _state_rows(execution)],
    )
    drawing = figure(chart, "When each pipeline and its longer states ran")
    return section("pipelines", "Pipelines", drawing, executions, details("Every state", states))


def bars(chain: Chain) -> list[Bar]:
    """Pipelines, and below each its states that took at least a hundredth of the whole run."""
    begin = min(item.started for item in chain.executions)
    end = max(item.ended or item.started for item in chain.executions)
    shortest = max((end - begin).total_seconds(), 1e-3) * _SHORTEST_SHARE
    found = []
    for item in chain.executions:
        start = (item.started - begin).total_seconds()
        failed = item.status not in {SUCCEEDED, "RUNNING"}
        found.append(Bar(item.machine, start, item.seconds or 0.0, strong=True, failed=failed))
        for state in item.states:
            seconds = (state.exited - state.entered).total_seconds() if state.exited else 0.0
            if seconds >= shortest:
                offset = (state.entered - begin).total_seconds()
                found.append(Bar(f"  {state.name}", offset, seconds, failed=state.error is not None))
    return found


def _execution_row(execution: Execution) -> list[Cell]:
    status = badge(execution.status.lower(), good=execution.status == SUCCEEDED)
    started = f"{execution.started:%Y-%m-%d %H:%M:%S}"
    return [execution.machine, status, started, Fixed(execution.seconds), code(execution.name)]


def _state_rows(execution: Execution) -> list[list[Cell]]:
    return [
        [
            state.name if state.visits == 1 else f"{state.name} (entered {state.visits} times)",
            execution.machine,
            Fixed((state.exited - state.entered).total_seconds() if state.exited else None),
            f"{state.entered:%H:%M:%S.%f}"[:-3],
            state.error or "",
        ]
        for state in execution.states
    ]
