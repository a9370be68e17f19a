"""How far two samples of predictions lie apart.

Both distances are linear in a mixture: where a share ``s`` of the answers comes from another model, the mixture is
``s`` times as far from the old model as that model is. So a limit for a whole fleet, times its share, is the limit for
a part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

LEAST = 50
"""Predictions on either side below which nothing is said."""

_CHANCE = 1.95
"""Two samples of one distribution are farther apart than this over the square root of their size once in 1,000 times
(Smirnov, Annals of Mathematical Statistics 19, 1948)."""

_SCORES = ("probability", "value", "distance", "error")


def said(prediction: Mapping[str, Any]) -> float | str | None:
    """Gives what is compared of a prediction: its score, otherwise its label, otherwise nothing."""
    for name in _SCORES:
        if isinstance(prediction.get(name), int | float):
            return float(prediction[name])
    classes = prediction.get("probabilities")
    if isinstance(classes, Mapping) and classes:
        return float(max(classes.values()))
    label = prediction.get("label", prediction.get("cluster"))
    return None if label is None else str(label)


def shift(before: Sequence[float | str], since: Sequence[float | str]) -> float | None:
    """Gives the distance beyond what chance explains, between 0 and 1; nothing where there are too few to tell.

    Scores are compared by Kolmogorov and Smirnov's distance, labels by half the sum of the differences of their shares.
    """
    if min(len(before), len(since)) < LEAST:
        return None
    numbers = all(isinstance(each, float) for each in (*before, *since))
    distance = (_of_scores if numbers else _of_labels)(Counter(before), Counter(since))
    chance = _CHANCE * math.sqrt(1 / len(before) + 1 / len(since))
    return max(0.0, distance - chance)


def _of_scores(before: Counter[Any], since: Counter[Any]) -> float:
    ahead = largest = 0.0
    for score in sorted({*before, *since}):
        ahead += before[score] / before.total() - since[score] / since.total()
        largest = max(largest, abs(ahead))
    return largest


def _of_labels(before: Counter[Any], since: Counter[Any]) -> float:
    labels = {*before, *since}
    return sum(abs(before[each] / before.total() - since[each] / since.total()) for each in labels) / 2
