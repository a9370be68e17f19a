"""How large a model is and how long it takes to answer, as far as the evaluation can tell.

Time is measured inside this process, from the JSON of a request with one instance to the JSON of its answer: what the
model's code takes, without server and network. It is that of the evaluation's machine, and so a bound from below for
the endpoint rather than its latency.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

WARM_UP = 20
REQUESTS = 300


def latency_ms(answer: Callable[[Mapping[str, Any]], object], rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Give the 50th and 99th percentile, in milliseconds, of the time that one request takes.

    Args:
        answer: Answers a request ``{"instances": [row]}``.
        rows: Instances, at least one; they are taken in turn.
    """
    taken = []
    for number in range(WARM_UP + REQUESTS):
        request = {"instances": [rows[number % len(rows)]]}
        begun = time.perf_counter_ns()
        answer(request)
        taken.append((time.perf_counter_ns() - begun) / 1e6)
    p50, p99 = np.quantile(taken[WARM_UP:], [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99)}
