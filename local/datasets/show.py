"""Datasets as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.datasets.difference import Change
from local.datasets.read import Described, Use

SHORT = 12
NOBODY = Use((), ())


def listing(datasets: Sequence[Described], uses: Mapping[str, Use]) -> RenderableType:
    """A row per dataset, in order of ``as_of``."""
    table = _table("version", "as of", "rows", "state", "models", "runs")
    for each in datasets:
        use = uses.get(each.dataset.version, NOBODY)
        rows = sum(split["rows"] for split in each.manifest["splits"].values())
        table.add_row(
            each.dataset.version[:SHORT],
            each.dataset.as_of,
            f"{rows:,}",
            _state(each),
            ", ".join(use.models) or "-",
            str(len(use.runs)),
        )
    return table


def page(described: Described, use: Use) -> RenderableType:
    """Everything about one dataset."""
    manifest = described.manifest
    facts = Table(box=None, pad_edge=False, show_header=False)
    told = {
        "version": described.dataset.version,
        "state": _state(described),
        "as of": described.dataset.as_of,
        "bundle": manifest["bundle"],
        "contract": manifest["contract_digest"],
        "engine": manifest["engine"],
        "attempt": manifest["attempt"],
        "manifest": described.dataset.manifest_uri,
        "report": described.dataset.report_uri,
        "profile": described.dataset.profile_uri,
        "models": ", ".join(use.models) or "none",
        "runs": ", ".join(use.runs) or "none",
    }
    for name, value in told.items():
        facts.add_row(Text(name, style="bold"), value)
    inputs = _table("source", "key", "bytes", "sha256")
    for file in manifest["inputs"]:
        inputs.add_row(file["source"], file["key"], f"{file['bytes']:,}", file["sha256"])
    splits = _table("split", "rows", "positives", "from", "to", "digest")
    for name, split in manifest["splits"].items():
        positives = f"{split['positives']:,}" if split["positives"] is not None else "-"
        figures = (f"{split['rows']:,}", positives, split["from"], split["to"], split["digest"])
        splits.add_row(name, *figures)
    return Group(facts, "", inputs, "", splits)


def changes(
    sections: Mapping[str, Sequence[Change]], before: str, after: str, *, what: str = "datasets"
) -> RenderableType:
    """A table per section of what differs between two things of a kind."""
    if not sections:
        return Text(f"the two {what} do not differ")
    tables: list[RenderableType] = []
    for title, found in sections.items():
        table = _table(title, before[:SHORT], after[:SHORT])
        for change in found:
            table.add_row(change.what, change.before, change.after)
        tables += [table, ""]
    return Group(*tables[:-1])


def _state(described: Described) -> str:
    return "published" if described.published else "retired"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
