"""The monitor's page: one HTML file that needs nothing else; it shows counts and shares of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any, Final

from gapless_sagemaker.evaluation.page import Html, cards, details, figure, join, page, paragraph, section, table
from gapless_sagemaker.evaluation.pictures import NONE, Bar, Curve, bars, number, plot
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch

MOST_DRAWN: Final = 12
Document = Mapping[str, Any]

_WANT: Final = "for want of labels, a model or a baseline"
_LIMITS: Final = "A distance breaks its limit when it is above both"

TITLES: Final[Mapping[str, str]] = {
    "schema": "Columns, types, ranges and values",
    "completeness": "Missing values",
    "drift": "Distributions of features (largest PSI)",
    "predictions": "Distribution of answers (largest PSI)",
    "quality": "Quality of answers (metric that decides)",
    "bias": "Bias",
    "attributions": "Order of features (NDCG)",
}


def report(
    document: Document, before: Mapping[str, Sketch], now: Mapping[str, Sketch], withheld: Collection[str] = ()
) -> str:
    """Give the page.

    Args:
        document: What the job writes to ``monitoring.json``; with ``judged_by`` somebody else has said what is broken,
            and what was not told is None.
        before: Sketches of the reference, by feature.
        now: Sketches of what was served; a feature may be missing.
        withheld: Features whose values are not shown.
    """
    title = f"What was served until {document['as_of']}"
    head = [Html(f"<h1>{escape(title)}</h1>"), paragraph(_verdict(document)), _summary(document)]
    parts = [
        _families(document),
        _violations(document),
        _distances(document),
        _pictures(document, before, now, withheld),
    ]
    parts += [_quality(document), _bias(document), _attributions(document)]
    foot = "Compared with " + document["reference"]
    if document.get("judged_by"):
        foot += f"; what is broken, {document['judged_by']} says"
    return page(title, join(head), [part for part in parts if part is not None], foot)


def _verdict(document: Document) -> str:
    broken = len(document["violations"])
    if document["rows"] == 0:
        return "Nothing was served, so nothing was compared."
    return "No check is broken." if not broken else f"{broken} {'check is' if broken == 1 else 'checks are'} broken."


def _summary(document: Document) -> Html:
    refused = sum(document["refused"].values()) if document["refused"] is not None else None
    return cards(
        [
            ("Rows", number(document["rows"])),
            ("Captured lines", number(document["lines"])),
            ("Lines that say nothing", number(refused)),
            ("Rows with a label", number(document["labels"])),
            ("First", document["from"] or NONE),
            ("Last", document["to"] or NONE),
        ]
    )


def _families(document: Document) -> Html:
    rows = [
        [TITLES[name], number(found["violations"]), number(found["worst"])]
        for name, found in document["families"].items()
    ]
    unseen = [TITLES[name].partition(" (")[0] for name in TITLES if name not in document["families"]]
    want = "by whoever judges, or not in this window" if document.get("judged_by") else _WANT
    told = [paragraph(f"Not looked at, {want}: {', '.join(unseen)}.")] if unseen else []
    return section(
        "families", "Families of checks", table("Each is one metric", ["Family", "Broken", "Worst"], rows), *told
    )


def _violations(document: Document) -> Html | None:
    if not document["violations"]:
        return None
    rows = [[each["column"], each["check"], each["text"]] for each in document["violations"]]
    return section("violations", "What is broken", table("Checks", ["Column", "Check", "Finding"], rows, texts=3))


def _distances(document: Document) -> Html | None:
    measured = {name: each for name, each in document["columns"].items() if each}
    if not measured:
        return None
    ordered = sorted(measured, key=lambda name: -measured[name]["psi"]["value"])
    drawn = [Bar(name, measured[name]["psi"]["value"], number(measured[name]["psi"]["value"])) for name in ordered[:20]]
    rows = [
        [name, distance, number(each["value"]), number(each.get("matters")), number(each.get("chance"))]
        for name in ordered
        for distance, each in measured[name].items()
    ]
    caption = _LIMITS if not document.get("judged_by") else f"Limits are those of {document['judged_by']}"
    header = ["Feature", "Distance", "Value", "Matters above", "Chance reaches"]
    return section(
        "distances",
        "How far features have moved",
        figure(bars(drawn, "Population stability index by feature"), "Population stability index, the largest first"),
        details("All distances", table(caption, header, rows, texts=2)),
    )


def _pictures(
    document: Document, before: Mapping[str, Sketch], now: Mapping[str, Sketch], withheld: Collection[str]
) -> Html | None:
    broken = [each["column"] for each in document["violations"] if each["check"] == "baseline_drift_check"]
    moved = [name for name in broken if name in now and name not in withheld]
    drawn = [_picture(name, before[name], now[name]) for name in moved[:MOST_DRAWN]]
    return section("moved", "Features that have moved", *drawn) if drawn else None


def _picture(name: str, before: Sketch, now: Sketch) -> Html:
    if isinstance(before, NumberSketch) and isinstance(now, NumberSketch):
        return _functions(name, before, now)
    then, today = before.document()["counts"], now.document()["counts"]
    rows = [
        [
            value,
            f"{then.get(value, 0) / max(1, before.present):.1%}",
            f"{today.get(value, 0) / max(1, now.present):.1%}",
        ]
        for value in list(then)[:MOST_DRAWN]
    ]
    return table(f"Shares of the baseline's values of {name}", ["Value", "Baseline", "Now"], rows)


def _functions(name: str, before: NumberSketch, now: NumberSketch) -> Html:
    points: list[float] = before.edges.tolist()
    curves = [Curve(kind, points, _cumulated(each.counts)[:-1]) for kind, each in (("diagonal", before), ("now", now))]
    low, high = points[0], points[-1]
    label = f"Distribution functions of {name}"
    drawn = plot(curves, (low, high if high > low else low + 1), (0, 1), name, "share of rows", label)
    return figure(drawn, f"{name}: share of rows up to a value; dashed the baseline")


def _cumulated(counts: Any) -> Sequence[float]:
    total = float(counts.sum()) or 1.0
    return [float(each) / total for each in counts.cumsum()]


def _quality(document: Document) -> Html | None:
    found = document["quality"]
    if found is None:
        return None
    rows = [
        [
            name,
            number(value),
            _interval(found["intervals"].get(name)),
            number(found["allowed"]) if name == found["metric"] else NONE,
        ]
        for name, value in found["metrics"].items()
    ]
    caption = f"On {found['rows']} rows whose truth is known"
    return section(
        "quality", "How good the answers were", table(caption, ["Metric", "Value", "95 % interval", "Allowed"], rows)
    )


def _interval(interval: Mapping[str, float] | None) -> str:
    return f"{number(interval['low'])} to {number(interval['high'])}" if interval is not None else NONE


def _bias(document: Document) -> Html | None:
    """Show the metrics of groups where somebody else judges; findings of our own say what they are about."""
    found = document["bias"]
    if found is None or not document.get("judged_by"):
        return None
    rows = [
        [facet["name"], metric, number(value)]
        for facet in found["facets"]
        for metric, value in facet["post_training"].items()
    ]
    header = ["Group", "Metric", "Value"]
    return section("bias", "How groups are treated", table("Of labelled rows", header, rows, texts=2))


def _attributions(document: Document) -> Html | None:
    found = document["attributions"]
    if found is None:
        return None
    rows = [
        [name, number(value), number(found["now"].get(name))] for name, value in list(found["baseline"].items())[:20]
    ]
    caption = f"Mean absolute attributions; NDCG {found['ndcg']:.3f}, allowed {found['allowed']:.2f}"
    return section("attributions", "What features weigh", table(caption, ["Feature", "Baseline", "Now"], rows))
