"""Shapley values of any model, by what it answers alone.

Source: S. Lundberg, S.-I. Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017 (Kernel SHAP,
theorem 2). A feature that is absent from a coalition takes the values of background rows, over which the answer is
averaged. The weighted least squares problem with its one constraint, that the values add up to answer minus base, is
solved in closed form (I. Covert, S.-I. Lee, Improving KernelSHAP, AISTATS 2021, equation 7).

All coalitions are asked when there are few enough, and the values are exact then. Otherwise whole sizes are asked, the
smallest and largest first, since they weigh most, and what is left over goes to sampled coalitions and their
complements (section 4 of the same paper).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Answers = Callable[[Booleans], Floats]
"""Answers to coalitions of one row, averaged over the background: shape (coalitions, features) to (coalitions, k)."""


@dataclass(frozen=True)
class Coalitions:
    """Which coalitions are asked, how much each counts, and whether these are all.

    Args:
        members: Shape (coalitions, features); neither the empty nor the whole one is among them.
        weights: Shape (coalitions,), with sum 1.
        complete: Whether no coalition is missing.
    """

    members: Booleans
    weights: Floats
    complete: bool


def fewest(features: int) -> int:
    """Give how many coalitions are needed at least: those of one feature, and of all but one."""
    return min(2 * features, (1 << features) - 2)


def coalitions(features: int, most: int, seed: int) -> Coalitions:
    """Choose at most so many coalitions, :func:`fewest` if that is more."""
    room = max(most, fewest(features))
    members: list[Booleans] = []
    weights: list[float] = []
    sizes = list(range(1, features // 2 + 1))
    while sizes and _number(features, sizes[0]) <= room - len(members):
        size = sizes.pop(0)
        own = _of_size(features, size)
        members.extend(own)
        weights.extend([_weight(features, size) / len(own)] * len(own))
    if sizes and room - len(members) >= 2:
        left = sum(_weight(features, size) for size in sizes)
        sampled = _sample(features, sizes, (room - len(members)) // 2, np.random.default_rng(seed))
        total = sum(sampled.values())
        for coalition, times in sampled.items():
            row = np.array(coalition, dtype=np.bool_)
            members.extend([row, ~row])
            weights.extend([left * times / total / 2] * 2)
    told = np.array(weights, dtype=np.float64)
    rows = np.array(members, dtype=np.bool_).reshape(len(members), features)
    return Coalitions(rows, told / told.sum() if len(told) else told, complete=not sizes)


def _number(features: int, size: int) -> int:
    """Give how many coalitions there are of this size or the complement's."""
    return math.comb(features, size) * (1 if 2 * size == features else 2)


def _weight(features: int, size: int) -> float:
    """Give the kernel's weight of all coalitions of this size and the complement's, but for a factor."""
    return (features - 1) / (size * (features - size)) * (1 if 2 * size == features else 2)


def _of_size(features: int, size: int) -> list[Booleans]:
    rows = []
    for chosen in itertools.combinations(range(features), size):
        row = np.zeros(features, dtype=np.bool_)
        row[list(chosen)] = True
        rows.append(row)
    return rows if 2 * size == features else [*rows, *(~row for row in rows)]


def _sample(features: int, sizes: list[int], pairs: int, random: np.random.Generator) -> dict[tuple[bool, ...], int]:
    """Draw coalitions by the kernel's weight of their size, each standing for its complement too."""
    odds = np.array([_weight(features, size) for size in sizes])
    drawn: dict[tuple[bool, ...], int] = {}
    for size in random.choice(sizes, pairs, p=odds / odds.sum()):
        row = np.zeros(features, dtype=np.bool_)
        row[random.choice(features, size, replace=False)] = True
        key = tuple(bool(member) for member in row)
        drawn[key] = drawn.get(key, 0) + 1
    return drawn


def shapley_values(answers: Answers, base: Floats, full: Floats, asked: Coalitions) -> Floats:
    """Give what each feature adds to the answer to one row.

    Args:
        answers: Of the row's coalitions.
        base: The answer with no feature known, shape (k,).
        full: The answer to the row, shape (k,).
        asked: The coalitions.

    Returns:
        Shape (features, k); the sum over features is ``full - base``.
    """
    features = asked.members.shape[1]
    gap = full - base
    if features == 1:
        return gap[None, :]
    members = asked.members.astype(np.float64)
    weighted = members * asked.weights[:, None]
    inverse = np.linalg.inv(members.T @ weighted)
    free = inverse @ (weighted.T @ (answers(asked.members) - base))
    ones = inverse.sum(axis=1)
    values: Floats = free - ones[:, None] * (free.sum(axis=0) - gap) / ones.sum()
    return values
