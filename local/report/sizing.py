"""The part of the report about sizes: what was used of machines, workers and memory, what to try, what it costs."""

from __future__ import annotations

from local.report.content import Content
from local.report.html import Cell, Html, Share, details, paragraph, section, table
from local.sizing.figures import DAYS
from local.sizing.things import Thing

_HEAD = ("What", "Size", "Seen", "Processors", "Memory", "To try", "USD", "USD then")
_WORDS = {"fits": "Nothing", "larger": "More", "smaller": "Less", "no figure": "No figure"}
_NO_FIGURE = Html('<span class="none">no figure</span>')


def sizes(content: Content) -> Html:
    """What to try first, then everything that has a size."""
    if not content.sizes:
        return section("sizes", "Sizes and costs", paragraph("Nothing of the workload has run or is deployed."))
    told = [each for each in content.sizes if each.hint.verdict in ("larger", "smaller")]
    others = [each for each in content.sizes if each not in told]
    rest = table("Everything else that has a size", _HEAD, [_row(each) for each in others])
    return section(
        "sizes",
        "Sizes and costs",
        paragraph(_measured()),
        table(f"What to try ({len(told)} of {len(content.sizes)})", _HEAD, [_row(each) for each in told]),
        details(f"Everything else that has a size ({len(others)})", rest),
        _costs(content),
    )


def _measured() -> str:
    return (
        f"Shares are the most that was used in the last {DAYS} days, by CloudWatch and the logs of functions: "
        "on this machine, what its processes used, held against the size that AWS would give. Its processors are not "
        "those of AWS, and share them with everything else here. Look at four weeks on AWS before anything is changed."
    )


def _row(thing: Thing) -> list[Cell]:
    cost = thing.cost
    return [
        f"{thing.kind} {thing.name}",
        thing.size,
        thing.times,
        _share(thing.processors, measured=thing.kind not in ("function", "scaling")),
        _share(thing.memory, measured=thing.kind != "scaling"),
        f"{_WORDS[thing.hint.verdict]}: {thing.hint.text}",
        *((None, None) if cost is None else (_usd(cost.usd, cost.per), _usd(cost.instead, cost.per))),
    ]


def _share(value: float | None, *, measured: bool) -> Cell:
    """A dash where there is nothing to measure."""
    return _NO_FIGURE if value is None and measured else Share(value)


def _usd(value: float | None, per: str) -> Cell:
    return None if value is None else f"{value:,.2f} a month" if per == "month" else f"{value:,.3f} an hour"


def _costs(content: Content) -> Html:
    """What is paid while nothing happens, and what the newest run has cost by its own record."""
    monthly = [each.cost.usd for each in content.sizes if each.cost is not None and each.cost.per == "month"]
    known = [usd for usd in monthly if usd is not None]
    if not monthly:
        idle = "There is no endpoint that is paid for while nothing happens."
    elif len(known) < len(monthly):
        idle = "While nothing happens, the endpoint costs what no source gives a price of."
    else:
        idle = f"While nothing happens, the endpoint costs {sum(known):,.2f} USD a month."
    return paragraph(f"{idle} {_of_run(content)} python -m gate.cost prints what the stacks cost while idle.")


def _of_run(content: Content) -> str:
    runs = [run for run in content.runs if not run.is_replay and run.text("cost_usd_estimate") != "-"]
    if not runs:
        return "No run has recorded what its jobs cost."
    estimate, run_id = runs[-1].text("cost_usd_estimate"), runs[-1].run_id
    if estimate == "none":
        return f"The jobs of run {run_id} have no estimate: no source gives a price of all of them."
    assumed = runs[-1].text("cost_assumption")
    more = "" if assumed in ("-", "none") else f" (assumed: {assumed})"
    return f"The jobs of run {run_id} would have cost {float(estimate):.4f} USD on AWS{more}."
