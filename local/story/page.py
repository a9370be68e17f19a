"""The page of a story: what three policies came to, and what Gapless did when and why."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from local.report.charts import bar_chart, story_chart
from local.report.html import Fixed, Html, badge, cards, code, figure, join, page, paragraph, section, table
from local.story.replay import ALWAYS, NEVER, POLICIES

_NAMES: Final = {"never": "never retrained", "always": "retrained every step", "gapless": "Gapless"}
_PARTS: Final = {"quality": "Quality", "timeline": "Timeline", "steps": "Steps", "decisions": "Decisions"}
_LIVE: Final = {"live": "On the deployed platform"}
_KINDS: Final = {
    "start": "start",
    "alarm": "alarm",
    "decision": "decision",
    "promoted": "took over",
    "refused": "refused",
    "failed": "failed",
    "rollout": "rolled out",
    "rollback": "rolled back",
}
_GOOD: Final = ("start", "promoted", "rollout")
_NEUTRAL: Final = ("decision",)
_MARKED: Final = ("alarm", "promoted", "refused", "failed")
_MARKED_LIVE: Final = ("alarm", "rollout", "refused", "rollback")

Document = Mapping[str, Any]


def render(story: Document) -> str:
    """The page of ``story.json``."""
    head = join([paragraph(_told(story)), cards(_facts(story))])
    parts = [_quality(story), _timeline(story), _steps(story), _decisions(story)]
    names = dict(_PARTS)
    if "live" in story:
        parts.append(_live(story, story["live"]))
        names |= _LIVE
    footer = "Times are UTC. Every figure on this page was computed in this run."
    return page(f"{story['workload']}: a story", f"The story of {story['workload']}", head, names, parts, footer)


def _told(story: Document) -> str:
    steps = story["gapless"]["steps"]
    better = "more" if story["higher_is_better"] else "less"
    days = story["label_delay_seconds"] / 86400
    return (
        f"{story['rows']:,} events since {story['first_event'][:10]}, told from {story['start'][:10]} on, "
        f"{len(steps)} steps. The same first model serves under three policies; what came true is known "
        f"{days:g} day{'' if days == 1 else 's'} after an event. "
        f"{story['metric']}: {better} is better; over all steps, each as heavy as it has rows."
    )


def _facts(story: Document) -> dict[str, str]:
    return {f"{_NAMES[name]}, {story[name]['retrains']} retrains": _figure(story[name]["quality"]) for name in POLICIES}


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _quality(story: Document) -> Html:
    labels = [step["step"] for step in story["gapless"]["steps"]]
    lines = {_NAMES[name]: [_number(step["quality"]) for step in story[name]["steps"]] for name in POLICIES}
    ends = {step["end"]: place for place, step in enumerate(story["gapless"]["steps"])}
    marks = {
        _KINDS[kind]: [ends[each["at"]] for each in story["events"] if each["kind"] == kind and each["at"] in ends]
        for kind in _MARKED
    }
    drawn = story_chart(labels, lines, {kind: sorted(set(places)) for kind, places in marks.items()}, story["metric"])
    measured = {name: story[name]["quality"] for name in POLICIES if story[name]["quality"] is not None}
    bars = bar_chart([_NAMES[name] for name in measured], list(measured.values()), story["metric"])
    return section(
        "quality",
        "Quality",
        figure(drawn, f"{story['metric']} of each step under the three policies, and what happened at its end"),
        figure(bars, f"{story['metric']} over all steps"),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _timeline(story: Document) -> Html:
    return section("timeline", "Timeline", _happened("What happened under Gapless, and why", story["events"]))


def _happened(title: str, events: Sequence[Document]) -> Html:
    rows: list[Sequence[Any]] = [[code(_day(each["at"])), _badge(each["kind"]), each["text"]] for each in events]
    return table(title, ["When", "What", "Why"], rows)


def _day(text: str) -> str:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")


def _badge(kind: str) -> Html | str:
    name = _KINDS.get(kind, kind)
    return name if kind in _NEUTRAL else badge(name, good=kind in _GOOD)


def _steps(story: Document) -> Html:
    header = ["Step", "Rows", *(_NAMES[name] for name in POLICIES), "Gapless's model"]
    rows: list[Sequence[Any]] = [
        [code(steps[0]["step"]), steps[0]["rows"], *(Fixed(step["quality"], 4) for step in steps), steps[-1]["model"]]
        for steps in zip(*(story[name]["steps"] for name in POLICIES), strict=True)
    ]
    return section("steps", "Steps", table(f"{story['metric']} per step", header, rows))


def _decisions(story: Document) -> Html:
    rows: list[Sequence[Any]] = []
    for each in story["gapless"]["decisions"]:
        tried = "; ".join(
            f"{_window(one['window_days'])}: {_figure(one['quality'])}" for one in each.get("candidates", [])
        )
        gate = "; ".join(rule["reason"] for rule in each.get("gate", []))
        rows.append(
            [code(each["step"]), each["trigger"], each["text"], each.get("outcome"), tried or None, gate or None]
        )
    header = ["End of", "Who asks", "Decision", "Outcome", "Windows, by back-test", "Gate"]
    return section("decisions", "Decisions", table("Every decision of Gapless", header, rows))


def _window(days: int | None) -> str:
    return "all events" if days is None else f"{days} days"


def _live(story: Document, live: Document) -> Html:
    months, events = live["months"], live["events"]
    told = {name: [_number(month["told"][name]) for month in months] for name in (NEVER, ALWAYS)}
    lines = {_NAMES[name]: values for name, values in told.items()}
    lines["the endpoint"] = [_number(month["quality"]) for month in months]
    marks = {_KINDS[kind]: _months_of(kind, months, events) for kind in _MARKED_LIVE}
    drawn = story_chart([month["step"] for month in months], lines, marks, story["metric"])
    header = [
        "Month",
        "Rows asked",
        "Labels in time",
        "The endpoint",
        *(_NAMES[name] for name in POLICIES),
        "Served by",
    ]
    rows: list[Sequence[Any]] = [
        [
            code(month["step"]),
            month["rows"],
            month["labels"],
            Fixed(month["quality"], 4),
            *(Fixed(month["told"][name], 4) for name in POLICIES),
            month["model"],
        ]
        for month in months
    ]
    return section(
        "live",
        _LIVE["live"],
        paragraph(
            "The same months, one after the other by the clock of a local AWS: what the deployed endpoint answered to "
            "some of each month's rows, beside what the told policies answered to the same rows; and what monitor, "
            "alarms, policy, gate and rollouts of the deployed platform made of it."
        ),
        figure(drawn, f"{story['metric']} of what was asked in each month, and what happened after it"),
        table(f"{story['metric']} of the same rows", header, rows),
        _happened("What happened on the deployed platform, and why", events),
    )


def _months_of(kind: str, months: Sequence[Document], events: Sequence[Document]) -> list[int]:
    """The months after whose end something of a kind happened."""
    return [
        place
        for place, month in enumerate(months)
        if any(each["kind"] == kind and month["begin"] < each["at"] <= month["end"] for each in events)
    ]
