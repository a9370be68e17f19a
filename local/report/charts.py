"""Charts as inline SVG that takes its colours from the page, so that they follow a dark screen.

matplotlib draws in stand-in colours, which are replaced by the page's CSS variables afterwards.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, FIRST, SECOND, BAD = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    BAD: "var(--bad)",
}
_MOST_DATES = 5
_BAD_MARKS = ("alarm", "refused", "failed", "rolled back")
# What a picture of its own needs and a part of a page must not have: a prologue, rules and ids for the whole document,
# a fixed size, a font of its own.
_FOR_A_PAGE = [
    (re.compile(r"^.*?(?=<svg)", re.DOTALL), ""),
    (re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL), ""),
    (re.compile(r' xmlns(:\w+)?="[^"]*"'), ""),
    (re.compile(r' id="(?![mp][0-9a-f]{10}")[^"]*"'), ""),
    (re.compile(r"font-family: [^;\"]*; "), ""),
    (re.compile(r'<svg width="([\d.]+)pt" height="[\d.]+pt"'), r'<svg class="plot" style="max-width: \1pt"'),
]
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gapless",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Bar:
    """One bar of a timeline: a label, its start and length in seconds, and how it is meant."""

    label: str
    start: float
    seconds: float
    strong: bool = False
    failed: bool = False


def roc_chart(fpr: Sequence[float], tpr: Sequence[float], auc: float) -> str:
    """The receiver operating characteristic, with the diagonal of guessing."""
    with _style():
        figure, axes = _square()
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="guessing")
        axes.plot(fpr, tpr, color=FIRST, linewidth=2, label=f"model, AUC {auc:.3f}")
        axes.fill_between(fpr, tpr, color=FIRST, alpha=0.12)
        axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="lower right")
        return _svg(figure)


def calibration_chart(predicted: Sequence[float], observed: Sequence[float], kind: str) -> str:
    """What was observed against the mean prediction, with the diagonal of perfect calibration.

    Args:
        kind: ``probability`` or ``value``, what is predicted.
    """
    with _style():
        figure, axes = _square()
        low, top = 0.0, min(1.0, 1.08 * max(0.1, *predicted, *observed))
        if kind == "value":
            low, top = (side([*predicted, *observed]) for side in (min, max))
            low, top = low - 0.04 * (top - low), top + 0.04 * (top - low)
        axes.plot([low, top], [low, top], color=MUTED, linestyle="--", linewidth=1, label="perfect")
        axes.plot(predicted, observed, color=FIRST, linewidth=2, marker="o", markersize=4, label="model")
        axes.set(xlabel=f"predicted {kind}", ylabel="observed mean", xlim=(low, top), ylim=(low, top))
        axes.legend(loc="upper left")
        return _svg(figure)


def histogram_chart(edges: Sequence[float], rows: Sequence[int], label: str) -> str:
    """Rows per bin; there is one more edge than bins."""
    with _style():
        figure, axes = _square()
        axes.stairs(rows, edges, fill=True, color=FIRST)
        axes.set(xlabel=label, ylabel="rows")
        return _svg(figure)


def bar_chart(names: Sequence[str], values: Sequence[float], label: str, *, limit: float | None = None) -> str:
    """Horizontal bars, the first on top; a limit is a dashed line."""
    with _style():
        figure = _figure(7.2, 0.6 + 0.3 * len(names))
        axes = figure.add_subplot()
        axes.barh(list(names), list(values), color=FIRST, height=0.65)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        if limit is not None:
            axes.axvline(limit, color=MUTED, linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.tick_params(axis="y", length=0)
        return _svg(figure)


def balance_chart(
    begins: Sequence[dt.datetime], rows: Sequence[int], shares: Sequence[float], marks: Mapping[str, dt.datetime]
) -> str:
    """The share of positives over time, above the rows that it is taken from; marks are named vertical lines.

    Args:
        begins: When each span begins, and when the last one ends: one more than spans.
        rows: How many rows there are in each span.
        shares: The share of positives in each span; NaN where there is no row.
    """
    places = [begin.timestamp() for begin in begins]
    width = places[1] - places[0]
    middles = [place + width / 2 for place in places[:-1]]
    top = 1.25 * max((share for share in shares if not math.isnan(share)), default=0.0) or 1.0
    with _style():
        figure = _figure(9.6, 3.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        upper.plot(middles, shares, color=FIRST, linewidth=2, marker="o", markersize=4)
        upper.set(ylabel="share positive", ylim=(0, top))
        lower.bar(middles, rows, width=0.9 * width, color=SECOND)
        lower.set(ylabel="rows", xlim=(places[0], places[-1]))
        for name, instant in marks.items():
            for axes in (upper, lower):
                axes.axvline(instant.timestamp(), color=MUTED, linestyle="--", linewidth=1)
            upper.text(instant.timestamp(), top, f" {name}", va="top", fontsize=9, color=MUTED, clip_on=True)
        steps = range(0, len(begins), max(1, len(begins) // _MOST_DATES))
        lower.set_xticks([places[step] for step in steps], [f"{begins[step]:%Y-%m-%d}" for step in steps])
        return _svg(figure)


def trail_chart(
    labels: Sequence[str], values: Sequence[float], filled: Sequence[bool], label: str, legend: Mapping[str, bool]
) -> str:
    """Values one after the other, each a filled or an open point; the line between them only guides the eye."""
    with _style():
        figure = _figure(9.6, 3.0)
        axes = figure.add_subplot()
        places = range(len(values))
        axes.plot(places, values, color=GRID, linewidth=2, zorder=1)
        for name, full in legend.items():
            those = [place for place in places if filled[place] == full]
            face = FIRST if full else "none"
            heights = [values[place] for place in those]
            axes.scatter(those, heights, s=46, facecolors=face, edgecolors=FIRST, linewidths=1.5, label=name, zorder=2)
        steps = range(0, len(values), math.ceil(len(values) / 10))
        axes.set_xticks(list(steps), [labels[step] for step in steps])
        axes.set_ylabel(label)
        axes.margins(x=0.04, y=0.2)
        axes.legend(loc="best")
        return _svg(figure)


def story_chart(
    labels: Sequence[str], qualities: Mapping[str, Sequence[float]], marks: Mapping[str, Sequence[int]], label: str
) -> str:
    """Lines over the steps of a story, the last one strong, above a row of points for each kind of mark.

    Args:
        labels: Of the steps.
        qualities: Line → a value per step; NaN where there is none.
        marks: Kind → the steps, from 0, at whose end something of it happened.
    """
    looks: Sequence[Any] = (
        {"color": MUTED, "linestyle": "--", "linewidth": 1.5},
        {"color": SECOND, "linewidth": 2},
        {"color": FIRST, "linewidth": 2.5},
    )
    with _style():
        figure = _figure(9.6, 3.4 + 0.3 * len(marks))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[9, len(marks) or 1])
        for (name, values), look in zip(qualities.items(), looks, strict=True):
            upper.plot(range(len(labels)), values, marker="o", markersize=4, label=name, **look)
        upper.set_ylabel(label)
        upper.legend(loc="best", ncols=len(qualities))
        for row, (kind, places) in enumerate(marks.items()):
            bad = kind in _BAD_MARKS
            lower.scatter([place + 0.5 for place in places], [row] * len(places), s=46, color=BAD if bad else FIRST)
        lower.set_yticks(range(len(marks)), list(marks))
        lower.set(ylim=(len(marks) - 0.5, -0.5), xlim=(-0.4, len(labels) - 0.4))
        lower.tick_params(axis="y", length=0)
        steps = range(0, len(labels), math.ceil(len(labels) / 12))
        lower.set_xticks(list(steps), [labels[step] for step in steps])
        return _svg(figure)


def timeline_chart(bars: Sequence[Bar]) -> str:
    """Bars over time, the first on top; seconds since the start of the run."""
    with _style():
        figure = _figure(9.6, 0.7 + 0.3 * len(bars))
        axes = figure.add_subplot()
        end = max(bar.start + bar.seconds for bar in bars)
        for row, bar in enumerate(bars):
            colour = BAD if bar.failed else FIRST if bar.strong else SECOND
            axes.barh(row, max(bar.seconds, end / 400), left=bar.start, color=colour, height=0.62)
            _label_bar(axes, row, bar, end)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="seconds since the start of the run", xlim=(0, end * 1.08))
        axes.tick_params(axis="y", length=0)
        return _svg(figure)


def _label_bar(axes: Axes, row: int, bar: Bar, end: float) -> None:
    axes.text(bar.start + bar.seconds + end * 0.006, row, f"{bar.seconds:.1f}", va="center", fontsize=9, color=MUTED)


def _style() -> AbstractContextManager[None]:
    """Give the context in which figures are drawn; matplotlib is loaded here, as most commands draw nothing."""
    from matplotlib import rc_context

    return rc_context(_STYLE)


def _figure(width: float, height: float) -> Figure:
    """Give an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _square() -> tuple[Figure, Axes]:
    figure = _figure(4.4, 4.2)
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    for pattern, replacement in _FOR_A_PAGE:
        text = pattern.sub(replacement, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text
