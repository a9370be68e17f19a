"""The part of the report about the quality of the data: rows in and out, reasons of the quarantine, rules, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from local.report.content import Content, Document
from local.report.html import Cell, Html, Share, badge, details, join, paragraph, section, table


def quality(content: Content) -> Html:
    """Rows in and out per source, why rows were refused, rules, what cleaning changed, how the rows were split."""
    if content.report is None:
        return section("quality", "Data quality", paragraph("The run has not prepared a dataset."))
    phases = content.report["phases"]
    found = phases["validation"]
    total = (
        f"{found['rows_in']:,} rows came in; {found['rows_validated']:,} were validated and "
        f"{found['rows_quarantined']:,} quarantined ({found['quarantined_share']:.2%})."
    )
    return section(
        "quality",
        "Data quality",
        paragraph(total),
        _sources(found["sources"]),
        _reasons(found["sources"]),
        _drift(found["drift"]),
        _rules(found["rules"]),
        _cleaning(phases["cleaning"]),
        _splits(phases["splitting"]),
    )


def _sources(sources: Mapping[str, Document]) -> Html:
    rows: list[list[Cell]] = [
        [name, item["rows_in"], item["validated"], item["quarantined"], Share.of(item["quarantined"], item["rows_in"])]
        for name, item in sources.items()
    ]
    return table("Rows per source", ["Source", "Rows in", "Validated", "Quarantined", "Share quarantined"], rows)


def _reasons(sources: Mapping[str, Document]) -> Html:
    rows: list[list[Cell]] = [
        [name, reason, count]
        for name, item in sources.items()
        for reason, count in sorted(item["reasons"].items(), key=lambda pair: -int(pair[1]))
    ]
    return table("Why rows were quarantined (a row may have several reasons)", ["Source", "Reason", "Rows"], rows)


def _drift(drift: Document) -> Html:
    """Where files have other columns than declared, and what was done about it."""
    if not drift["count"]:
        return paragraph("Every file has the declared columns.")
    rows: list[list[Cell]] = [
        [
            item["source"],
            item["file"],
            f"{item['kind']} {item['column'] or ''}".strip(),
            item["expected"],
            item["observed"],
            Share(item["reads"]),
            item["policy"].replace("_", " "),
            item["rows"],
        ]
        for item in drift["entries"]
    ]
    header = ["Source", "File", "Drift", "Declared", "Found", "Values that read", "Policy", "Rows"]
    shown = f"the first {len(rows)} of {drift['count']}" if drift["count"] > len(rows) else str(drift["count"])
    return table(f"Files with other columns than declared ({shown})", header, rows)


def _rules(rules: Sequence[Document]) -> Html:
    """The rules that did not hold for every row, and on demand the others."""
    header = ["Rule", "Source", "Result", "Value", "Rows refused", "Note"]
    kept = [_rule_row(item) for item in rules if item["passed"]]
    broken = [_rule_row(item) for item in rules if not item["passed"]]
    told = table(f"Rules that did not hold everywhere ({len(broken)} of {len(rules)})", header, broken)
    return join([told, details(f"Rules that held ({len(kept)})", table("Rules that held", header, kept))])


def _rule_row(item: Document) -> list[Cell]:
    refused = int(item["refused_rows"])
    word = "held" if item["passed"] else "rows refused" if refused else "broken"
    result = badge(word, good=bool(item["passed"]))
    return [item["rule"], item["source"], result, item["value"], refused, item.get("note") or ""]


def _cleaning(cleaning: Document) -> Html:
    rows: list[list[Cell]] = [["rows in", cleaning["rows_in"]]]
    rows += [[what, count] for what, count in cleaning["changes"].items()]
    return table("Cleaning", ["What", "Rows"], [*rows, ["rows out", cleaning["rows_out"]]])


def _splits(splits: Mapping[str, Document]) -> Html:
    rows: list[list[Cell]] = [
        [
            name,
            item["rows"],
            Share.of(item["positives"], item["rows"]),
            item["from"],
            item["to"],
            str(item["digest"])[:12],
        ]
        for name, item in sorted(splits.items(), key=lambda pair: str(pair[1]["from"]))
    ]
    return table("Splits by time", ["Split", "Rows", "Share positive", "From", "To", "Row digest"], rows)
