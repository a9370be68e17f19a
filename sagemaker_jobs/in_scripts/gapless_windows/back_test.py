"""What a window is worth: how much better its models did in past steps than models of all rows, trained as early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Pair = tuple[float | None, float | None]
"""What models of a window and of all rows reached in one step; None where it cannot be said."""


@dataclass(frozen=True)
class Worth:
    """What a back-test says of a window.

    Attributes:
        quality: What its models have reached, on average; None where nothing is known.
        gain: By how much that is better than models of all rows in the same steps; 0 where nothing is known.
        steps: In how many steps that was seen.
    """

    quality: float | None
    gain: float
    steps: int


def worth(pairs: Sequence[Pair], *, higher_is_better: bool) -> Worth:
    """Say what a window is worth by the steps in which both, it and all rows, could be measured."""
    sign = 1.0 if higher_is_better else -1.0
    known = [(own, whole) for own, whole in pairs if own is not None and whole is not None]
    if not known:
        return Worth(None, 0.0, 0)
    return Worth(
        quality=sum(own for own, _ in known) / len(known),
        gain=sign * sum(own - whole for own, whole in known) / len(known),
        steps=len(known),
    )


def best(found: Sequence[Worth]) -> int:
    """Give the place of the window with the largest gain; of equal ones the first."""
    return max(range(len(found)), key=lambda place: found[place].gain)
