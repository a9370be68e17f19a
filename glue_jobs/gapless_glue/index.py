"""The index of published datasets: one small object each, under ``index/``, named so that it sorts by ``as_of``.

The data machine enters a dataset after it is published; the job reads what was published before its own ``as_of``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from constructs_lib.names.batch import index_stamp
from gapless_glue import store


@dataclass(frozen=True)
class Entry:
    """One published dataset.

    Attributes:
        version: Its 32 hex digits.
        as_of: The instant that stood for now when it was made, ISO 8601 in UTC.
        manifest_uri: Where its published manifest is; likewise ``report_uri`` and ``profile_uri``.
    """

    version: str
    as_of: str
    manifest_uri: str
    report_uri: str
    profile_uri: str


def read_index(datasets_uri: str, *, before: str, newest: int) -> list[Entry]:
    """Returns the datasets whose ``as_of`` lies strictly before an instant, oldest first.

    Args:
        datasets_uri: The workload's folder of datasets, with a ``/`` at its end.
        before: ISO 8601 with an offset.
        newest: At most so many, the last ones; each costs a read.
    """
    folder = f"{datasets_uri}index/"
    limit = folder + index_stamp(before)
    earlier = [uri for uri in store.store_of(folder).list(folder) if uri < limit]
    return [_entry(uri) for uri in earlier[-newest:]]


def _entry(uri: str) -> Entry:
    return Entry(**json.loads(store.read(uri)))
