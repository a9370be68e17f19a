"""The parts of the report about the data: quality with quarantine reasons, and the profile of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from local.report.content import Content, Document
from local.report.html import Cell, Fixed, Html, Share, badge, details, join, paragraph, section, table

_BAR_WIDTH, _BAR_HEIGHT = 5, 26


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


def profile(content: Content) -> Html:
    """Every feature with its distribution, what is missing, and how much it tells by itself."""
    found = content.profile
    if found is None:
        return section("profile", "Data profile", paragraph("The run has not profiled a dataset."))
    target = found["target"]
    intro = paragraph(
        f"{found['rows']:,} rows, {len(found['columns'])} features; {target['name']} holds in "
        f"{_percent(target['share'])} of the rows. Strength is the area under the ROC curve that a feature reaches "
        "alone (0.5 tells nothing). In the pictures, the strong part of a bar is the rows in which the target holds."
    )
    warnings = [Html(f"<p>{badge(text, good=False).text}</p>") for text in found["warnings"]]
    ordered = sorted(found["columns"].items(), key=lambda pair: -(pair[1]["strength"] or 0.0))
    header = ["Feature", "Distribution", "Type", "Missing", "Distinct", "Smallest", "Mean", "Largest", "Strength"]
    rows = [_feature_row(name, column) for name, column in ordered]
    return section("profile", "Data profile", intro, *warnings, table("Features, the most telling first", header, rows))


def _feature_row(name: str, column: Document) -> list[Cell]:
    numbers: list[Cell] = [column.get("min"), column.get("mean"), column.get("max")]
    common: list[Cell] = [name, _distribution(name, column), column["type"], Share(column["missing_share"])]
    return [*common, column["distinct"], *numbers, Fixed(column["strength"], 3)]


def _distribution(name: str, column: Document) -> Html:
    """Bars per bin or frequent value, each split into rows with and without the target."""
    if "histogram" in column:
        counts = list(zip(column["histogram"]["rows"], column["histogram"]["positives"], strict=True))
        edges = column["histogram"]["edges"]
        label = f"histogram of {name} from {edges[0]:g} to {edges[-1]:g}" if edges else f"{name} has no values"
    else:
        counts = [(item["rows"], item["positives"]) for item in column["values"]]
        label = f"frequencies of {name}: " + ", ".join(
            f"{item['value']} {item['rows']}" for item in column["values"][:5]
        )
    return _spark(counts, label)


def _spark(counts: Sequence[tuple[int, int]], label: str) -> Html:
    top = max((rows for rows, _ in counts), default=0)
    if top == 0:
        return Html('<span class="none">&ndash;</span>')
    bars = "".join(_spark_bar(index, rows, positives, top) for index, (rows, positives) in enumerate(counts))
    width = len(counts) * _BAR_WIDTH
    text = escape(label, quote=True)
    return Html(
        f'<svg class="spark" role="img" aria-label="{text}" width="{width}" height="{_BAR_HEIGHT}" '
        f'viewBox="0 0 {width} {_BAR_HEIGHT}"><title>{text}</title>{bars}</svg>'
    )


def _spark_bar(index: int, rows: int, positives: int, top: int) -> str:
    whole, dark = _BAR_HEIGHT * rows / top, _BAR_HEIGHT * positives / top
    x, width = index * _BAR_WIDTH, _BAR_WIDTH - 1
    return (
        f'<rect x="{x}" y="{_BAR_HEIGHT - whole:.1f}" width="{width}" height="{whole - dark:.1f}"/>'
        f'<rect class="positive" x="{x}" y="{_BAR_HEIGHT - dark:.1f}" width="{width}" height="{dark:.1f}"/>'
    )


def _percent(share: float | None) -> str:
    return f"{share:.1%}" if share is not None else "-"
