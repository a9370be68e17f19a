"""Finds the profile of the dataset that came before."""

from __future__ import annotations

import json
from typing import Any

from gapless_glue import store
from gapless_glue.index import read_index
from gapless_glue.profile.compare import compare
from gapless_glue.profile.describe import FORMAT


def compare_with_last(described: dict[str, Any], datasets_uri: str, as_of: str) -> dict[str, Any] | None:
    """Returns what changed since the newest dataset before ``as_of``; None when there is none.

    The answer names that dataset: ``{"version", "as_of", "unavailable", …}``. ``unavailable`` says why nothing could be
    compared: its profile is gone, or of another format; otherwise it is None and ``compare``'s keys follow.

    Args:
        described: The profile of the dataset that is being made.
        datasets_uri: The workload's folder of datasets, with a ``/`` at its end.
        as_of: ISO 8601 with an offset.
    """
    last = next(iter(read_index(datasets_uri, before=as_of, newest=1)), None)
    if last is None:
        return None
    named = {"version": last.version, "as_of": last.as_of}
    try:
        before = json.loads(store.read(last.profile_uri))
    except FileNotFoundError:
        return {**named, "unavailable": f"there is no profile at {last.profile_uri} any more", "warnings": []}
    if before.get("format") != FORMAT:
        told = f"its profile has format {before.get('format', 1)}, this one {FORMAT}"
        return {**named, "unavailable": told, "warnings": []}
    return {**named, "unavailable": None, **compare(before, described)}
