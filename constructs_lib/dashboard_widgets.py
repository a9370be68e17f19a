"""What dashboards are made of, in CloudWatch's format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from constructs_lib.place import REGION

_WIDTH = 24
_TALL, _LOW = 6, 4
_WINDOW = 28 * 24 * 3600
"""Of what single numbers tell: the last four weeks."""

Widget = dict[str, Any]
Series = list[Any]


def text(markdown: str) -> Widget:
    """Returns a line or two of Markdown."""
    return {"type": "text", "height": 1 + markdown.count("\n"), "properties": {"markdown": markdown}}


def number(title: str, series: Series, region: str = REGION) -> Widget:
    """Returns single numbers over the last four weeks."""
    properties = {"title": title, "view": "singleValue", "region": region, "period": _WINDOW, "metrics": series}
    return {"type": "metric", "height": _LOW, "properties": properties}


def graph(title: str, series: Series, *, stat: str, period: int) -> Widget:
    """Returns curves."""
    properties = {"title": title, "view": "timeSeries", "region": REGION, "stat": stat, "period": period}
    return {"type": "metric", "height": _TALL, "properties": {**properties, "metrics": series}}


def placed(rows: Sequence[Sequence[Widget]]) -> Iterator[Widget]:
    """Yields the widgets of each row side by side, each row below the one before."""
    y = 0
    for row in rows:
        width = _WIDTH // len(row)
        for column, widget in enumerate(row):
            yield {"x": column * width, "y": y, "width": width, **widget}
        y += max(widget["height"] for widget in row)


def states(title: str, alarm_arns: Sequence[str]) -> Widget:
    """Returns which alarms are on."""
    return {"type": "alarm", "height": _TALL, "properties": {"title": title, "alarms": list(alarm_arns)}}


def lines(title: str, query: str, groups: Sequence[str]) -> Widget:
    """Returns the lines that a query of Logs Insights finds in log groups."""
    sources = "".join(f"SOURCE '{group}' | " for group in groups)
    properties = {"title": title, "view": "table", "region": REGION, "query": sources + query}
    return {"type": "log", "height": _TALL, "properties": properties}
