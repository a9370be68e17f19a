"""In what two datasets differ: what they were made of, with what, and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.datasets.read import Described

NOTHING = "-"
FIGURES = ("missing_share", "distinct", "min", "max", "mean", "stddev", "strength")
"""What is compared of a column; a profile may say more."""

_MADE_WITH = {"bundle": "bundle", "contract_digest": "contract", "engine": "engine", "as_of": "as of"}

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One thing and how it is in each dataset; ``-`` where there is no such thing."""

    what: str
    before: str
    after: str


def difference(before: Described, after: Described) -> dict[str, list[Change]]:
    """What differs, by section: made with, inputs, splits, schema, profile; sections without a change are left out."""
    sections = {
        "made with": made_with(before.manifest, after.manifest),
        "inputs": inputs(before.manifest, after.manifest),
        "splits": splits(before.manifest, after.manifest),
        "schema": schema(before.profile, after.profile),
        "profile": profile(before.profile, after.profile),
    }
    found = {
        title: [change for change in changes if change.before != change.after] for title, changes in sections.items()
    }
    return {title: changes for title, changes in found.items() if changes}


def made_with(before: Document, after: Document) -> Iterator[Change]:
    """Instant, scripts, contract and engine."""
    for key, title in _MADE_WITH.items():
        yield Change(title, str(before[key]), str(after[key]))


def inputs(before: Document, after: Document) -> Iterator[Change]:
    """Files by content: the same bytes under another key are the same file."""
    files = [{(file["source"], file["sha256"]): file for file in one["inputs"]} for one in (before, after)]
    for source, digest in sorted(files[0].keys() ^ files[1].keys()):
        told = [_file(one.get((source, digest))) for one in files]
        yield Change(source, *told)


def splits(before: Document, after: Document) -> Iterator[Change]:
    """Rows, positives, times and canonical digest of every split."""
    for name in _names(before["splits"], after["splits"]):
        pair = [one["splits"].get(name, {}) for one in (before, after)]
        for figure in ("rows", "positives", "from", "to", "digest"):
            yield Change(f"{name} {figure}", *(_text(one.get(figure)) for one in pair))


def schema(before: Document, after: Document) -> Iterator[Change]:
    """Columns that a model sees, and their types."""
    for name in _names(before["columns"], after["columns"]):
        yield Change(name, *(_text(one["columns"].get(name, {}).get("type")) for one in (before, after)))


def profile(before: Document, after: Document) -> Iterator[Change]:
    """The share of positives, and figures of the columns that both have."""
    yield Change("target share", _text(before["target"]["share"]), _text(after["target"]["share"]))
    for name in [name for name in before["columns"] if name in after["columns"]]:
        pair = [one["columns"][name] for one in (before, after)]
        for figure in FIGURES:
            yield Change(f"{name} {figure}", *(_text(one.get(figure)) for one in pair))


def _names(before: Document, after: Document) -> list[str]:
    return [*before, *(name for name in after if name not in before)]


def _file(file: Document | None) -> str:
    return f"{file['key']} ({file['bytes']:,} bytes, {file['sha256'][:12]})" if file is not None else NOTHING


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:.6g}" if isinstance(value, float) else str(value)
