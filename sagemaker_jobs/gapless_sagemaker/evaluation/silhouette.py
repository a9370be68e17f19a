"""The silhouette: how much nearer a row lies to its own cluster than to the next one.

Of a row, ``(b - a) / max(a, b)``: ``a`` is its mean distance to the other rows of its cluster, ``b`` the least mean
distance to those of another one; alone in its cluster a row has 0 (P. J. Rousseeuw, "Silhouettes: a graphical aid to
the interpretation and validation of cluster analysis", Journal of Computational and Applied Mathematics 20, 1987). It
takes all pairs of rows, so it is measured on a sample whose seed is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.evaluation.scored import Floats, Integers

MOST_ROWS = 2000
MOST_VALUES = 50
"""Of a text, so many of its most frequent values are told apart."""

_SEED = 0


def points_of(table: pa.Table, features: Sequence[str]) -> Floats:
    """Give rows as points, shape (rows, dimensions).

    Numbers, truth values and times are brought to mean 0 and deviation 1, a missing one lies at the mean; each value of
    a text is a dimension of its own.
    """
    columns: list[Floats] = []
    for name in (each for each in features if each in table.column_names):
        column = table[name].combine_chunks()
        if pa.types.is_string(column.type):
            columns.extend(_per_value(column))
        else:
            columns.append(_standardised(column))
    return np.column_stack(columns) if columns else np.zeros((table.num_rows, 1))


def silhouettes(points: Floats, clusters: Integers) -> Floats:
    """Give the silhouette of each row of a sample, NaN of the others and where there is one cluster; shape (rows,).

    Args:
        points: Shape (rows, dimensions).
        clusters: Shape (rows,).
    """
    found = np.full(len(clusters), np.nan)
    chosen = _sample(len(clusters))
    near, labels = points[chosen], clusters[chosen]
    names, members = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return found
    squares = (near**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * near @ near.T, 0))
    np.fill_diagonal(distances, 0)
    sizes = np.bincount(members).astype(np.float64)
    sums = np.stack([distances[:, members == each].sum(axis=1) for each in range(len(names))], axis=1)
    own = np.arange(len(chosen)), members
    within = sums[own] / np.maximum(sizes[members] - 1, 1)
    means = sums / sizes
    means[own] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    values = np.divide(between - within, larger, out=np.zeros(len(chosen)), where=larger > 0)
    found[chosen] = np.where(sizes[members] > 1, values, 0.0)
    return found


def _sample(rows: int) -> Integers:
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(_SEED).choice(rows, MOST_ROWS, replace=False))


def _standardised(column: pa.Array) -> Floats:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    mean = values[finite].mean()
    centred: Floats = np.where(finite, values - mean, 0.0)
    deviation = float(centred.std())
    if deviation > 0:
        centred /= deviation
    return centred


def _per_value(column: pa.Array) -> list[Floats]:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    counts = sorted((-each["counts"], each["values"]) for each in counted)
    return [
        pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False).astype(np.float64)
        for _, value in counts[:MOST_VALUES]
    ]
