"""Learning curves out of a training job's log.

A line counts when it starts with its round and goes on with ``name:value`` or ``name=value`` pairs, as frameworks write
them: ``[12]  train-auc:0.81  validation-auc:0.69``, ``epoch 3 loss=0.25``, ``step 100: loss: 0.25``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MOST_POINTS = 20_000
"""Points of all curves together; what comes later is left out."""

_ROUND = re.compile(r"\s*(?:\[(\d+)\]|(?:epoch|step|round|iteration)[ =:#]*(\d+)(?:/\d+)?)[\s:,|-]*", re.IGNORECASE)
_PAIR = re.compile(r"([A-Za-z][\w./@-]*)\s*[:=]\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])")


def curves(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the points of all curves as MLflow's metrics: ``{"key", "value", "timestamp", "step"}``.

    Args:
        events: Of the log: ``timestamp`` in milliseconds and ``message``.
    """
    count = 0
    for event in events:
        for line in str(event["message"]).splitlines():
            for name, value, step in points(line):
                if count == MOST_POINTS:
                    return
                count += 1
                yield {"key": name, "value": value, "timestamp": int(event["timestamp"]), "step": step}


def points(line: str) -> list[tuple[str, float, int]]:
    """Give name, value and round of each finite figure in a line."""
    found = _ROUND.match(line)
    if found is None:
        return []
    step = int(found[1] or found[2])
    pairs = [(name, float(text)) for name, text in _PAIR.findall(line[found.end() :])]
    return [(name, value, step) for name, value in pairs if math.isfinite(value)]
