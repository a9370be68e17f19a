"""The flip test of Clarify: would the model decide otherwise if a row were of the other group?

Source: E. Black, S. Yeom, M. Fredrikson, FlipTest: Fairness Testing via Optimal Transport, FAT* 2020, in the
approximation that Clarify publishes: each row of facet *d* is compared with what the model says of its nearest
neighbours in facet *a*.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.neighbors import KNeighborsClassifier

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

NEIGHBOURS = 5
FEW = 9
MOST_ROWS = 10_000


def flip_test(matrix: Floats, facet: Booleans, predicted: Booleans) -> float:
    """Give (F+ - F-) / n_d, from -1 to 1.

    F+ are the rows of *d* that are predicted to be accepted while most of their neighbours in *a* are not, F- those of
    which the opposite is true. Five neighbours count; only one while *a* has at most nine rows.

    Args:
        matrix: What rows are compared by, shape (rows, columns), without gaps.
        facet: Whether a row is of facet *d*, shape (rows,).
        predicted: Whether it is predicted to be accepted, shape (rows,).

    Returns:
        The metric; NaN while one of the facets is empty.
    """
    if facet.all() or not facet.any():
        return float("nan")
    nearest = KNeighborsClassifier(n_neighbors=NEIGHBOURS if (~facet).sum() > FEW else 1)
    others = nearest.fit(matrix[~facet], predicted[~facet]).predict(matrix[facet])
    own = predicted[facet]
    return float((np.sum(own & ~others) - np.sum(~own & others)) / len(own))


def comparable(table: pa.Table) -> Floats:
    """Give the columns as numbers: dates and times as they are counted, texts as one column per value, gaps filled.

    A gap in a column of numbers becomes its median, in a column of texts it is a value of its own. Numbers keep their
    scale, as with Clarify; shape (rows, columns).
    """
    columns: list[Floats] = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            codes = column.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
            columns.append(np.equal.outer(codes, np.unique(codes)).astype(np.float64))
        else:
            columns.append(_numbers(column)[:, None])
    return np.hstack(columns) if columns else np.zeros((table.num_rows, 0))


def _numbers(column: pa.Array) -> Floats:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    numbers: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    known = np.isfinite(numbers)
    return np.where(known, numbers, np.median(numbers[known]) if known.any() else 0.0)
