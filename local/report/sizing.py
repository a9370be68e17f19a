"""The part of the report about sizes: what was used of machines, workers and memory, what to try, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from local.report.content import Content
from local.report.html import Cell, Fixed, Html, details, join, paragraph, section, table
from local.sizing.figures import DAYS
from local.sizing.things import Cost, Thing

_HEAD = (
    "What",
    "Kind",
    "Size",
    "Seen",
    "Processors",
    "Memory",
    "To try",
    "Why",
    "USD",
    "USD then",
    "Per",
)
_WORDS = {"fits": "nothing", "larger": "a larger size", "smaller": "a smaller size", "no figure": "no figure"}
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
    return [
        thing.name,
        thing.kind,
        thing.size,
        thing.times,
        _share(thing.processors, measured=thing.kind not in ("function", "scaling")),
        _share(thing.memory, measured=thing.kind != "scaling"),
        _WORDS[thing.hint.verdict],
        thing.hint.text,
        *_usd(thing.cost),
    ]


def _share(value: float | None, *, measured: bool) -> Cell:
    """A dash where there is nothing to measure."""
    if value is None:
        return _NO_FIGURE if measured else None
    return Html(f"{value:.0%}")


def _usd(cost: Cost | None) -> Sequence[Cell]:
    if cost is None:
        return None, None, ""
    return Fixed(cost.usd, 3), Fixed(cost.instead, 3), cost.per


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
    return join([paragraph(f"{idle} {_of_run(content)} python -m gate.cost prints what the stacks cost while idle.")])


def _of_run(content: Content) -> str:
    runs = [run for run in content.runs if not run.is_replay and run.text("cost_usd_estimate") != "-"]
    if not runs:
        return "No run has recorded what its jobs cost."
    estimate, run_id = runs[-1].text("cost_usd_estimate"), runs[-1].run_id
    if estimate == "none":
        return f"The jobs of run {run_id} have no estimate: no source gives a price of all of them."
    return f"The jobs of run {run_id} would have cost {float(estimate):.4f} USD on AWS."
