"""The index of published datasets: one small object each, under ``index/``, named so that it sorts by ``as_of``.

The data machine enters a dataset after it is published; the job reads what was published before its own ``as_of``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from gapless_glue import store
from gapless_glue.batch import parse_instant


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


def index_key(version: str, as_of: str) -> str:
    """Returns an entry's name below the workload's folder: ``index/20130501T000000.000000Z_<version>.json``.

    Raises:
        ValueError: ``as_of`` is not ISO 8601 with an offset.
    """
    return f"index/{_stamp(parse_instant(as_of))}_{version}.json"


def read_index(datasets_uri: str, *, before: str, newest: int) -> list[Entry]:
    """Returns the datasets whose ``as_of`` lies strictly before an instant, oldest first.

    Args:
        datasets_uri: The workload's folder of datasets, with a ``/`` at its end.
        before: ISO 8601 with an offset.
        newest: At most so many, the last ones; each costs a read.
    """
    folder = f"{datasets_uri}index/"
    limit = folder + _stamp(parse_instant(before))
    earlier = [uri for uri in store.store_of(folder).list(folder) if uri < limit]
    return [_entry(uri) for uri in earlier[-newest:]]


def _entry(uri: str) -> Entry:
    return Entry(**json.loads(store.read(uri)))


def _stamp(instant: datetime) -> str:
    return instant.strftime("%Y%m%dT%H%M%S.%fZ")
