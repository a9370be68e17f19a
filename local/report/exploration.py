"""The part of the report about the profile: warnings, target over time, features, pairs, and what has changed."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from html import escape

from local.report.charts import balance_chart, bar_chart
from local.report.content import Content, Document
from local.report.html import Cell, Fixed, Html, Share, badge, details, figure, join, paragraph, section, table

_FORMAT = 3
_BAR_WIDTH, _BAR_HEIGHT = 5, 26
_MOST_VALUES = 20
_MOST_IN_PICTURE = 25
_MOST_PAIRS = 30
_MOST_CHANGES = 15
_MOST_LISTED = 5
_SHIFT = 0.25
_CELL, _MARGIN = 20, 150
_MEASURES = {"pearson": "correlation", "cramers_v": "Cramér's V"}


def profile(content: Content) -> Html:
    """Every feature with its distribution and what it tells, pairs of features, and the dataset before."""
    found = content.profile
    if found is None:
        return section("profile", "Data profile", paragraph("The run has not profiled a dataset."))
    if found.get("format") != _FORMAT:
        return section("profile", "Data profile", paragraph("The dataset was profiled by an earlier release."))
    return section(
        "profile",
        "Data profile",
        _intro(found),
        _warnings(found["warnings"]),
        _balance(found["target"], content.report),
        _features(found["columns"]),
        _pairs(found),
        _comparison(found["comparison"]),
    )


def _intro(found: Document) -> Html:
    target = found["target"]
    size = f"{found['rows']:,} rows, {len(found['columns'])} features"
    if target["shown"] is None:
        return paragraph(f"{size}; there is no target.")
    classes = f" {target['classes']} classes are told apart from each other." if "classes" in target else ""
    return paragraph(
        f"{size}; {target['shown']} in {_percent(target['share'])} of the rows. Strength is the area under the ROC "
        f"curve that a feature reaches alone (0.5 tells nothing).{classes} In the pictures, the strong part of a bar "
        f"is the rows in which {target['shown']}."
    )


def _warnings(warnings: Sequence[Document]) -> Html:
    items = "".join(f"<li>{badge(found['text'], good=False).text}</li>" for found in warnings)
    return Html(f'<ul class="warnings">{items}</ul>') if items else Html("")


def _balance(target: Document, report: Document | None) -> Html:
    """The target over time, with the bounds of the splits."""
    over_time = target["over_time"]
    begins = [_instant(edge) for edge in over_time["edges"]]
    if len(begins) < 3 or target["shown"] is None:
        return Html("")
    rows, positives = over_time["rows"], over_time["positives"]
    shares = [positive / count if count else math.nan for positive, count in zip(positives, rows, strict=True)]
    splits = report["phases"]["splitting"] if report is not None else {}
    marks = {name: _instant(split["from"]) for name, split in splits.items() if split["from"] is not None}
    caption = f"How often {target['shown']} over time, and on how many rows that rests; dashed: where splits begin"
    numbers = table(
        "Target over time",
        ["From", "Rows", "Share positive"],
        [
            [begin, count, Share.of(positive, count)]
            for begin, count, positive in zip(over_time["edges"][:-1], rows, positives, strict=True)
        ],
    )
    drawn = balance_chart(begins, rows, shares, marks).replace('class="plot"', 'class="plot wide"')
    return join([figure(drawn, caption), details("Target over time in numbers", numbers)])


def _features(columns: Mapping[str, Document]) -> Html:
    ordered = sorted(columns.items(), key=lambda pair: (-(pair[1]["strength"] or 0.0), pair[0]))
    header = ["Feature", "Distribution", "Type", "Missing", "Distinct", "Smallest", "Median", "Mean", "Largest"]
    rows = [_feature_row(name, column) for name, column in ordered]
    return table("Features, the most telling first", [*header, "Strength"], rows)


def _feature_row(name: str, column: Document) -> list[Cell]:
    quantiles = column.get("quantiles") or []
    median = quantiles[len(quantiles) // 2] if quantiles else None
    numbers: list[Cell] = [column.get("min"), median, column.get("mean"), column.get("max")]
    common: list[Cell] = [name, _distribution(name, column), column["type"], Share(column["missing_share"])]
    return [*common, column["distinct"], *numbers, Fixed(column["strength"], 3)]


def _distribution(name: str, column: Document) -> Html:
    """Bars per bin or frequent value, each split into rows with and without the target."""
    if "histogram" in column:
        counts = list(zip(column["histogram"]["rows"], column["histogram"]["positives"], strict=True))
        edges = column["histogram"]["edges"]
        label = f"histogram of {name} from {edges[0]:g} to {edges[-1]:g}" if edges else f"{name} has no values"
        return _spark(counts, label)
    shown = column["values"][:_MOST_VALUES]
    label = f"frequencies of {name}: " + ", ".join(f"{item['value']} {item['rows']}" for item in shown[:5])
    return _spark([(item["rows"], item["positives"]) for item in shown], label)


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


def _pairs(found: Document) -> Html:
    """Which features say the same: a picture of all pairs, the strongest ones in numbers."""
    pairs = found["pairs"]
    if not pairs:
        return Html("")
    rows: list[list[Cell]] = [
        [f"{pair['left']}, {pair['right']}", _MEASURES[pair["measure"]], Fixed(pair["value"], 3)]
        for pair in pairs[:_MOST_PAIRS]
    ]
    caption = (
        "What features say about each other: the fuller a field, the closer two features; two numbers by correlation "
        "(red: one falls as the other rises), others by Cramér's V"
    )
    numbers = table(f"The {len(rows)} closest pairs", ["Features", "Measure", "Value"], rows)
    left_out = f" Left out: {', '.join(found['not_paired'])}." if found["not_paired"] else ""
    told = paragraph(f"Measured on {found['sample_rows']:,} of the rows.{left_out}")
    return join([figure(_pair_map(found), caption), told, details("Pairs in numbers", numbers)])


def _pair_map(found: Document) -> str:
    """The lower triangle of the matrix of pairs; features in the order of their strength."""
    columns = found["columns"]
    paired = [name for name in columns if name not in found["not_paired"]]
    names = sorted(paired, key=lambda name: (-(columns[name]["strength"] or 0.0), name))[:_MOST_IN_PICTURE]
    values = {frozenset((pair["left"], pair["right"])): pair["value"] for pair in found["pairs"]}
    fields = "".join(
        _field(row, column, names, values.get(frozenset((names[row], names[column]))))
        for row in range(1, len(names))
        for column in range(row)
    )
    below = _CELL * (len(names) - 1)
    beside = "".join(
        f'<text x="{_MARGIN - 6}" y="{_CELL * row - 6}" text-anchor="end">{escape(names[row])}</text>'
        for row in range(1, len(names))
    )
    under = "".join(
        f'<text transform="translate({_MARGIN + _CELL * column + 14} {below + 6}) rotate(-90)" text-anchor="end">'
        f"{escape(names[column])}</text>"
        for column in range(len(names) - 1)
    )
    size = _MARGIN + below
    return f'<svg class="pairs" viewBox="0 0 {size} {size}" style="max-width: {size}px">{fields}{beside}{under}</svg>'


def _field(row: int, column: int, names: Sequence[str], value: float | None) -> str:
    if value is None:
        return ""
    text = escape(f"{names[row]}, {names[column]}: {value:.3f}")
    kind = ' class="opposite"' if value < 0 else ""
    place = f'x="{_MARGIN + _CELL * column}" y="{_CELL * (row - 1)}" width="{_CELL}" height="{_CELL}"'
    return f'<rect{kind} {place} fill-opacity="{abs(value):.2f}"><title>{text}</title></rect>'


def _comparison(found: Document | None) -> Html:
    """How far each feature has moved since the dataset before."""
    if found is None:
        return paragraph("There is no earlier dataset to compare with.")
    named = f"the dataset {found['version'][:10]} of {found['as_of'].partition('T')[0]}"
    if found["unavailable"] is not None:
        return paragraph(f"Not compared with {named}: {found['unavailable']}.")
    intro = paragraph(
        f"Compared with {named}: {found['rows'][0]:,} rows then and {found['rows'][1]:,} now"
        f"{_target_change(found['target'])}."
    )
    ordered = sorted(found["columns"].items(), key=lambda pair: (-(pair[1]["psi"] or 0.0), pair[0]))
    moved = [(name, column) for name, column in ordered if column["psi"] is not None]
    parts = [Html("<h3>What has changed</h3>"), intro, _warnings(found["warnings"])]
    if moved:
        shown = moved[:_MOST_CHANGES]
        drawn = bar_chart(
            [name for name, _ in shown],
            [float(column["psi"]) for _, column in shown],
            "population stability index",
            limit=_SHIFT,
        )
        parts.append(
            figure(drawn, "How far features have moved; beyond the dashed line, with many rows, it is a shift")
        )
    header = ["Feature", "PSI", "Warned above", "Missing then", "Missing now", "New values", "Vanished values"]
    rows = [_change_row(name, column) for name, column in ordered]
    parts.append(details("Changes in numbers", table("Features then and now", header, rows)))
    return join(parts)


def _target_change(target: Document) -> str:
    before, now = target["share"]
    if "psi" in target:
        return f"; {target['name']} has moved by PSI {target['psi']:.2f}"
    return f"; {target['name']} held in {_percent(before)} and holds in {_percent(now)}" if now is not None else ""


def _change_row(name: str, column: Document) -> list[Cell]:
    then, now = column["missing_share"]
    came, went = _listed(column.get("new_values", [])), _listed(column.get("vanished_values", []))
    return [name, Fixed(column["psi"], 3), Fixed(column["psi_limit"], 2), Share(then), Share(now), came, went]


def _listed(values: Sequence[str]) -> str | None:
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(values[:_MOST_LISTED]) + more if values else None


def _instant(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _percent(share: float | None) -> str:
    return f"{share:.1%}" if share is not None else "-"
