"""The evaluation report: one HTML file that needs nothing else, made inside the evaluation job.

It shows what ``evaluation.json`` and ``details.json`` say. Whether that is enough is for the gate, which judges later;
its verdict is in the run's record and, as ``verdict.html``, beside this page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from gapless_sagemaker.evaluation.page import (
    Html,
    cards,
    details,
    figure,
    join,
    page,
    pair,
    paragraph,
    section,
    subheading,
    table,
)
from gapless_sagemaker.evaluation.pictures import NONE, Bar, Curve, bars, number, plot, square

MOST_FEATURES = 20
MOST_METRICS = 5

Document = Mapping[str, Any]

MEANINGS = {
    "CI": "Class imbalance: how many more rows the others have",
    "DPL": "Difference in favourable outcomes observed",
    "KL": "Kullback-Leibler divergence of the outcomes",
    "JS": "Jensen-Shannon divergence of the outcomes",
    "LP": "Euclidean distance of the outcomes' shares",
    "TVD": "Total variation distance of the outcomes",
    "KS": "Largest difference of the outcomes' shares",
    "CDDL": "Disparity of observed outcomes within groups",
    "DPPL": "Difference in favourable outcomes predicted",
    "DI": "Disparate impact: ratio of these, 1 is parity",
    "DCAcc": "Difference in conditional acceptance",
    "DCR": "Difference in conditional rejection",
    "SD": "Difference in specificity",
    "RD": "Difference in recall",
    "DAR": "Difference in acceptance rates (precision)",
    "DRR": "Difference in rejection rates",
    "AD": "Difference in accuracy",
    "TE": "Treatment equality: difference of error ratios",
    "GE": "Generalised entropy of benefits, all rows",
    "CDDPL": "Disparity of predicted outcomes within groups",
    "FT": "Flip test against nearest neighbours of the others",
}
"""What the abbreviations of bias metrics stand for."""

_UNBOUNDED = ("DI", "DCAcc", "DCR", "TE", "KL")
"""Metrics that may be far beyond 1, and are not drawn beside those that cannot."""


def report(document: Document, more: Document, options: Mapping[str, Any]) -> str:
    """Give the page.

    Args:
        document, more: What the job writes to ``evaluation.json`` and to ``details.json``.
        options: ``name``, ``description``, ``owner`` and ``target`` of the workload.
    """
    title = f"Evaluation of {options['name']}"
    head = [
        Html(f"<h1>{escape(title)}</h1>"),
        paragraph(options["description"]),
        _summary(document, options),
        Html('<p>The gate judges when this page is written: <a href="verdict.html">its verdict</a>.</p>'),
    ]
    sections = (_metrics, _curves, _window, _slices, _bias, _attributions, _limits)
    parts = [part for make in sections if (part := make(document, more)) is not None]
    return page(title, join(head), parts, f"Digest of the model {document['model']['sha256']}")


def _summary(document: Document, options: Mapping[str, Any]) -> Html:
    shown = [
        ("Problem", document["problem"].replace("_", " ")),
        ("Target", options["target"] or "none"),
        ("Rows of the test split", number(document["rows"])),
        ("Owner", options["owner"]),
    ]
    if "positives" in document:
        shown.insert(3, ("Positive", f"{document['positives'] / document['rows']:.1%}"))
    return cards(shown)


def _interval(interval: Mapping[str, float] | None) -> str:
    return f"{number(interval['low'])} to {number(interval['high'])}" if interval is not None else NONE


def _metrics(document: Document, more: Document) -> Html:  # noqa: ARG001
    champion, header = document["champion"], ["Metric", "Value", "95 % interval"]
    rows = [
        [name, number(value), _interval(document["intervals"].get(name))] for name, value in document["metrics"].items()
    ]
    if champion is not None:
        header += ["Champion", "Difference", "within", "p"]
        rows = [[*row, *_compared(champion["metrics"].get(row[0]), champion["comparison"].get(row[0]))] for row in rows]
    methods = sorted({str(found["method"]).replace("_", " ") for found in document["intervals"].values()})
    told = [paragraph(f"Intervals: {', '.join(methods)}.")] if methods else []
    return section("metrics", "How good it is", table("On the held-back test split", header, rows), *told)


def _compared(value: float | None, found: Document | None) -> list[str]:
    if found is None:
        return [number(value), NONE, NONE, NONE]
    return [number(value), number(found["difference"]), _interval(found), number(found["p_value"])]


def _window(document: Document, more: Document) -> Html | None:  # noqa: ARG001
    found = document.get("window")
    if found is None:
        return None
    told = paragraph(
        f"Trained on {found['rows']} of {found['of_rows']} rows of the train split; window: {_named(found['window'])}."
    )
    if not found["candidates"]:
        return section("window", "The window", told)
    spans = ", ".join(f"{step['from']} to {step['to']}" for step in found["steps"])
    rows = [
        [_named(each), number(each["quality"]), number(each["gain"]), number(each["steps"])]
        for each in found["candidates"]
    ]
    tried = table("Back-test", ["Window", "Reached", "Better than all rows by", "Steps"], rows)
    return section("window", "The window", told, tried, paragraph(f"Steps: {spans}."))


def _named(window: Document) -> str:
    days = window.get("days", window.get("half_life_days"))
    return str(window["kind"]) if days is None else f"{window['kind']}, {number(days)} days"


# --- curves ----------------------------------------------------------------------------------------------------------


def _curves(document: Document, more: Document) -> Html | None:
    drawn = [draw(more["curves"][name], document["problem"]) for name, draw in _DRAWN.items() if name in more["curves"]]
    return section("curves", "Curves", pair(*drawn)) if drawn else None


def _roc(curve: Document, problem: str) -> Html:  # noqa: ARG001
    line = Curve("curve", curve["fpr"], curve["tpr"])
    return figure(square([line], "false positive rate", "true positive rate", "ROC curve"), "ROC curve")


def _calibration(curve: Document, problem: str) -> Html:
    line = Curve("curve", curve["predicted"], curve["observed"], dots=True)
    caption = "Calibration: on the dashed line, predictions are what is observed"
    if problem != "regression":
        return figure(square([line], "mean prediction", "observed share", "calibration"), caption)
    ends = [*curve["predicted"], *curve["observed"]]
    span = (min(ends), max(ends))
    return figure(
        plot([Curve("diagonal", span, span), line], span, span, "prediction", "truth", "calibration"), caption
    )


def _errors(curve: Document, problem: str) -> Html:
    edges, rows = curve["edges"], curve["rows"]
    steps = Curve("curve", [edge for edge in edges for _ in (0, 1)], [0, *(n for n in rows for _ in (0, 1)), 0])
    name = "prediction less truth" if problem == "regression" else "error of the reconstruction"
    drawn = plot([steps], (edges[0], edges[-1]), (0, max(rows)), name, "rows", "distribution of errors")
    return figure(drawn, "How far off the model is")


def _clusters(curve: Document, problem: str) -> Html:  # noqa: ARG001
    drawn = [Bar(f"cluster {place}", rows, number(rows)) for place, rows in enumerate(curve["rows"])]
    return figure(bars(drawn, "rows per cluster"), "Rows per cluster")


def _confusion(curve: Document, problem: str) -> Html:  # noqa: ARG001
    names = [str(name) for name in curve["classes"]]
    rows = [[name, *map(number, counts)] for name, counts in zip(names, curve["rows"], strict=True)]
    return table("True class down, predicted class across", ["", *names], rows)


_DRAWN: Mapping[str, Callable[[Document, str], Html]] = {
    "roc": _roc,
    "calibration": _calibration,
    "errors": _errors,
    "clusters": _clusters,
    "confusion": _confusion,
}
"""Curves of ``details.json`` and how they are drawn."""


def _slices(document: Document, more: Document) -> Html | None:  # noqa: ARG001
    slices = document["slices"]
    if not slices:
        return None
    names = list(dict.fromkeys(name for each in slices for name in each["metrics"]))[:MOST_METRICS]
    rows = [
        [
            f"{each['column']}: {each['slice']}",
            number(each["rows"]) if each["enough"] else f"{number(each['rows'])}, too few",
            _interval(each["interval"]),
            *(number(each["metrics"].get(name)) for name in names),
        ]
        for each in slices
    ]
    header = ["Slice", "Rows", "95 % interval", *names]
    return section("slices", "Slices", table("Metrics by slice", header, rows))


# --- bias ------------------------------------------------------------------------------------------------------------


def _bias(document: Document, more: Document) -> Html | None:  # noqa: ARG001
    bias = document["bias"]
    if bias is None:
        return None
    outcome = bias["favourable"]
    favourable = (
        ", ".join(str(value).lower() for value in outcome["values"])
        if "values" in outcome
        else f"above {outcome['above']:g}"
    )
    intro = paragraph(
        f"A group against everybody else; the favourable outcome is {favourable}. Metrics before training are of the "
        "rows that the model was trained on, the others of the held-back test split. Above 0 the group is worse off, "
        "in the flip test it is better off; disparate impact is 1 at parity. "
        f"Intervals of {bias['level']:.0%}: {bias['method']}."
    )
    before = {facet["name"]: facet for facet in bias["training"]}
    facets = [part for facet in bias["facets"] for part in _facet(facet, before.get(facet["name"], facet))]
    return section("bias", "Bias", intro, *facets)


def _facet(facet: Document, before: Document) -> Iterator[Html]:
    yield subheading(facet["name"])
    missing = f", {number(facet['missing_rows'])} more in which it is not known" if facet["missing_rows"] else ""
    yield paragraph(f"{number(facet['group_rows'])} of {number(facet['rows'])} rows{missing}.")
    if facet["reason"] is not None:
        yield paragraph(f"No metrics: {facet['reason']}.")
        return
    figures = [
        *((name, value, before["intervals"].get(name)) for name, value in before["pre_training"].items()),
        *((name, value, facet["intervals"].get(name)) for name, value in facet["post_training"].items()),
    ]
    drawn = [
        Bar(name, value, number(value), *((interval["low"], interval["high"]) if interval else ()))
        for name, value, interval in figures
        if value is not None and name not in _UNBOUNDED
    ]
    yield figure(bars(drawn, f"bias metrics of {facet['name']}"), "Metrics that lie between -1 and 1, with intervals")
    rows = [[name, MEANINGS[name], number(value), _interval(interval)] for name, value, interval in figures]
    header = ["Metric", "Meaning", "Value", "95 % interval"]
    yield details("All of them in numbers", table(f"Bias metrics of {facet['name']}", header, rows, texts=2))


# --- attributions ----------------------------------------------------------------------------------------------------


def _attributions(document: Document, more: Document) -> Html | None:
    found = document["attributions"]
    if found is None:
        return None
    method = {"tree_shap": "exact SHAP values of trees", "kernel_shap": "Kernel SHAP"}[found["method"]]
    how = "" if found["exact"] else ", estimated from sampled coalitions"
    unit = found["output"].replace("_", " ")
    intro = paragraph(f"By {method}{how}, in units of {unit}, over {number(found['rows'])} rows of the test split.")
    largest = list(found["global"].items())[:MOST_FEATURES]
    chart = bars([Bar(name, value, number(value)) for name, value in largest], "mean absolute SHAP values")
    caption = f"How much a feature moves the answer on average: the {len(largest)} that move it most"
    return section("attributions", "What it goes by", intro, figure(chart, caption), *_rows(more["attributions"]))


def _rows(shown: Sequence[Document]) -> Iterator[Html]:
    if shown:
        yield subheading("Single rows, from the lowest to the highest answer")
    for row in shown:
        kept = row["features"][:MOST_FEATURES]
        drawn = [
            Bar(f"{each['name']} = {_value(each['value'])}", each["attribution"], number(each["attribution"]))
            for each in kept
        ]
        text = (
            f"{row['row']}: {row['output'].replace('_', ' ')} {number(row['answer'])}, on average {number(row['base'])}"
        )
        yield details(text, figure(bars(drawn, f"SHAP values of row {row['row']}"), "What each feature added"))


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


# --- limits and files ------------------------------------------------------------------------------------------------


def _limits(document: Document, more: Document) -> Html:  # noqa: ARG001
    latency = document["limits"]["latency_ms"]
    shown = [("Unpacked archive", f"{number(document['limits']['bytes'])} bytes")]
    if latency is not None:
        shown += [("One request, median", f"{latency['p50']:.2f} ms"), ("99th percentile", f"{latency['p99']:.2f} ms")]
    rows = [
        [file["path"], file["kind"], number(file["bytes"]), file["sha256"][:12]] for file in document["model"]["files"]
    ]
    files = table("Files of the archive", ["File", "Kind", "Bytes", "SHA-256"], rows, texts=2)
    return section("limits", "What it costs to serve", cards(shown), details("What the archive holds", files))
