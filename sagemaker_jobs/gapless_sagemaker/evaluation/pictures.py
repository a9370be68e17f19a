"""Pictures of the report as inline SVG, drawn by hand: framework images have no library for it.

Colours are classes of the page's style sheet. Each picture scales with the page and says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW = 22
_LETTER = 7.4
_WIDTH = 640
_SIDE = 320
_EDGE = 40
_MOST_LETTERS = 34

NONE = "\N{EN DASH}"
"""Stands for a figure that there is none of."""


@dataclass(frozen=True)
class Bar:
    """A bar from zero to a value, with an interval that may be left out, and a text at the right edge."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> list[float]:
        """Every place that has to be on the picture."""
        return [0.0, *(end for end in (self.value, self.low, self.high) if end is not None)]


@dataclass(frozen=True)
class Scale:
    """Maps values to places on a picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


@dataclass(frozen=True)
class Curve:
    """Points that are joined, and the class that it is drawn with."""

    kind: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


def number(value: float | None) -> str:
    """Write a figure with about four digits, a dash for none."""
    if value is None:
        return NONE
    if isinstance(value, int) or (abs(value) >= 1000 and float(value).is_integer()):
        return f"{value:,.0f}"
    return f"{value:,.4g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.2e}"


def bars(rows: Sequence[Bar], label: str) -> str:
    """Draw horizontal bars around zero, one per row."""
    ends = [end for row in rows for end in row.ends]
    names = 14 + _LETTER * max(len(_cut(row.name)) for row in rows)
    texts = 18 + _LETTER * max(len(row.text) for row in rows)
    x = Scale(min(ends), max(ends), names, _WIDTH - texts)
    height = _ROW * len(rows) + 8
    axis = f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height}"/>'
    drawn = "".join(_bar(row, 4 + place * _ROW, names, x) for place, row in enumerate(rows))
    return _svg(axis + drawn, _WIDTH, height, label)


def _bar(row: Bar, top: float, names: float, x: Scale) -> str:
    start, end = sorted((x(0), x(row.value)))
    middle = top + _ROW / 2
    drawn = (
        f'<text class="name" x="{names - 8:.1f}" y="{middle:.1f}">{escape(_cut(row.name))}</text>'
        f'<rect class="{"bar" if row.value >= 0 else "bar less"}" x="{start:.1f}" y="{top + 4:.1f}" '
        f'width="{max(end - start, 0.5):.1f}" height="{_ROW - 8}"/>'
        f'<text class="value" x="{_WIDTH - 4}" y="{middle:.1f}">{escape(row.text)}</text>'
    )
    if row.low is None or row.high is None:
        return drawn
    low, high = x(row.low), x(row.high)
    whiskers = f"M{low:.1f} {middle - 4:.1f}v8m0 -4H{high:.1f}m0 -4v8"
    return f'{drawn}<path class="interval" d="{whiskers}"/>'


def square(curves: Sequence[Curve], x_name: str, y_name: str, label: str) -> str:
    """Draw curves over the unit square, with its diagonal."""
    return plot([Curve("diagonal", (0, 1), (0, 1)), *curves], (0, 1), (0, 1), x_name, y_name, label)


def plot(
    curves: Sequence[Curve],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_name: str,
    y_name: str,
    label: str,
) -> str:
    """Draw curves in a frame with named axes."""
    x = Scale(*x_range, _EDGE + 12, _SIDE - 8)
    y = Scale(*y_range, _SIDE - _EDGE, 8)
    parts = [_ticks(x, y, x_range, y_range)]
    for curve in curves:
        points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
        parts.append(f'<polyline class="{curve.kind}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
        if curve.dots:
            parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in points]
    parts.append(f'<text class="axis-name" x="{_SIDE / 2 + 20:.0f}" y="{_SIDE - 6}">{escape(x_name)}</text>')
    turned = f'transform="translate(12 {_SIDE / 2 - 12:.0f}) rotate(-90)"'
    parts.append(f'<text class="axis-name" {turned}>{escape(y_name)}</text>')
    return _svg("".join(parts), _SIDE, _SIDE, label)


def _ticks(x: Scale, y: Scale, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        across, up = (low + share * (high - low) for low, high in (x_range, y_range))
        parts.append(f'<line class="grid" x1="{x(across):.1f}" x2="{x(across):.1f}" y1="{y.start}" y2="{y.end}"/>')
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(up):.1f}" y2="{y(up):.1f}"/>')
        parts.append(f'<text class="tick" x="{x(across):.1f}" y="{y.start + 14}">{number(_round(across))}</text>')
        parts.append(f'<text class="tick up" x="{x.start - 4}" y="{y(up):.1f}">{number(_round(up))}</text>')
    return "".join(parts)


def _round(value: float) -> float:
    """Cut a figure to three digits, so that it fits beside an axis."""
    return float(f"{value:.3g}") if math.isfinite(value) else value


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"


def _svg(inner: str, width: float, height: float, label: str) -> str:
    said = escape(label, quote=True)
    kind = "square" if width == height else "wide"
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{said}">{inner}</svg>'
