"""The part of the report about the evaluation: metrics beside the champion's, curves, slices, importance."""

from __future__ import annotations

from collections.abc import Mapping

from constructs_lib.names.problems import BINARY, CLUSTERING, MULTICLASS, PROJECTION, REGRESSION
from local.report.charts import bar_chart, calibration_chart, histogram_chart, roc_chart
from local.report.content import Content, Document
from local.report.html import (
    Cell,
    Fixed,
    Html,
    Share,
    badge,
    code,
    details,
    figure,
    framed,
    join,
    paragraph,
    section,
    table,
)

METRICS: Mapping[str, str] = {
    "auc": "Area under the ROC curve",
    "pr_auc": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "macro_f1": "F1, mean of the classes",
    "macro_precision": "Precision, mean of the classes",
    "macro_recall": "Recall, mean of the classes",
    "mcc": "Matthews correlation",
    "base_rate": "Share of positives",
    "rmse": "Root mean square error",
    "mae": "Mean absolute error",
    "median_ae": "Median absolute error",
    "r2": "Variance explained (R²)",
    "mape": "Mean absolute error as a share of the truth",
    "mean_distance": "Mean distance to the centre",
    "rms_distance": "Root mean square distance to the centre",
    "clusters": "Clusters in use",
    "smallest_share": "Share of the smallest cluster",
    "mean_error": "Mean squared error of the reconstruction",
    "root_mean_error": "Root mean square error of the reconstruction",
}
"""What people call a metric."""

_MOST_FEATURES = 15


def model(content: Content) -> Html:
    """Metrics with intervals, the comparison with the champion, curves, slices, importance, files of the artefact."""
    found, drawn = content.evaluation, content.evaluation_details
    if found is None or drawn is None:
        return section("model", "Model", paragraph("The run has not evaluated a model."))
    positive = f"; {found['positives']:,} positive" if "positives" in found else ""
    return section(
        "model",
        "Model",
        paragraph(f"Evaluated on {found['rows']:,} held-back rows, the newest ones{positive}."),
        _metrics(found),
        _comparison(found),
        _curves(found, drawn["curves"]),
        _calibration(found["calibration"], drawn["curves"].get("calibration")),
        _slices(found),
        _importance(found),
        _files(found),
        _page(content.evaluation_page),
    )


def headline(found: Document) -> tuple[str, float]:
    """The metric that decides, in words, and its value."""
    return METRICS[found["metric"]], float(found["metrics"][found["metric"]])


def _page(page: str | None) -> Html:
    """The report that the evaluation wrote beside the model package."""
    if page is None:
        return join([])
    return details("Evaluation report of the model package: bias, explanations, cost", framed("Evaluation", page))


def _metrics(found: Document) -> Html:
    champion = found["champion"]
    before = champion["metrics"] if champion else {}
    rows: list[list[Cell]] = [
        [METRICS[key], Fixed(value, 4), _interval(found["intervals"].get(key)), Fixed(before.get(key), 4)]
        for key, value in found["metrics"].items()
    ]
    header = ["Metric", "This model", "95 % interval", "Champion before it"]
    return table("Metrics on the same rows", header, rows)


def _interval(interval: Document | None) -> str | None:
    return None if interval is None else f"{interval['low']:.4f} to {interval['high']:.4f}"


def _comparison(found: Document) -> Html:
    """How the model compares with the champion, by a paired test per metric."""
    if not found["champion"]:
        return paragraph("There was no champion to compare with.")
    compared = found["champion"]["comparison"]
    rows: list[list[Cell]] = [
        [METRICS[name], Fixed(each["difference"], 4), _interval(each), Fixed(each["p_value"], 4), _words(each["test"])]
        for name, each in compared.items()
    ]
    certain = 1 - 2 * min((each["level"] for each in compared.values()), default=0.05)
    header = ["Metric", "Difference", f"{100 * certain:g} % interval", "p", "Test"]
    return table("This model minus the champion, on the same rows", header, rows)


def _words(name: str) -> str:
    return {"delong": "DeLong", "mcnemar": "McNemar"}.get(name, name.replace("_", " "))


def _curves(found: Document, curves: Document) -> Html:
    """The picture of the problem, beside its calibration where there is one."""
    pictures = [_PICTURES[found["problem"]](found, curves)]
    if "calibration" in curves:
        calibration = curves["calibration"]
        kind = "value" if found["problem"] == REGRESSION else "probability"
        drawn = calibration_chart(calibration["predicted"], calibration["observed"], kind)
        caption = f"Calibration: on the dashed line, each predicted {kind} is what is observed"
        pictures.append(figure(drawn, caption))
    return Html(f'<div class="pair">{"".join(picture.text for picture in pictures)}</div>')


def _roc(found: Document, curves: Document) -> Html:
    area = found["metrics"]["auc"]
    drawn = roc_chart(curves["roc"]["fpr"], curves["roc"]["tpr"], area)
    return figure(drawn, f"ROC curve on held-back rows, area {area:.3f}")


def _confusion(found: Document, curves: Document) -> Html:  # noqa: ARG001
    classes, counts = curves["confusion"]["classes"], curves["confusion"]["rows"]
    rows: list[list[Cell]] = [[name, *own] for name, own in zip(classes, counts, strict=True)]
    return table("Rows of each class by what they were taken for", ["Class", *classes], rows)


def _errors(found: Document, curves: Document) -> Html:
    what = "error (predicted minus true)" if found["problem"] == REGRESSION else "squared error"
    drawn = histogram_chart(curves["errors"]["edges"], curves["errors"]["rows"], what)
    return figure(drawn, f"How large errors are: held-back rows by their {what}")


def _clusters(found: Document, curves: Document) -> Html:  # noqa: ARG001
    counts = curves["clusters"]["rows"]
    drawn = bar_chart([f"cluster {place}" for place in range(len(counts))], counts, "rows")
    return figure(drawn, "How many held-back rows each cluster has")


_PICTURES = {
    BINARY: _roc,
    MULTICLASS: _confusion,
    REGRESSION: _errors,
    CLUSTERING: _clusters,
    PROJECTION: _errors,
}


def _calibration(found: Document | None, curve: Document | None) -> Html:
    if found is None or curve is None:
        return Html("")
    line = (
        f"; slope {found['slope']:.3f} and intercept {found['intercept']:.3f}, which are 1 and 0 at best"
        if found["slope"] is not None
        else ""
    )
    told = paragraph(f"Calibration error {found['error']:.4f} on average of {found['groups']} groups{line}.")
    rows: list[list[Cell]] = [
        [f"group {index}", Fixed(predicted, 4), Fixed(observed, 4), count]
        for index, (predicted, observed, count) in enumerate(
            zip(curve["predicted"], curve["observed"], curve["count"], strict=True), start=1
        )
    ]
    numbers = table("Calibration", ["Group", "Mean prediction", "Observed mean", "Rows"], rows)
    return join([told, details("Calibration in numbers", numbers)])


def _slices(found: Document) -> Html:
    """Each slice, by the metric that decides."""
    if not found["slices"]:
        return Html("")
    metric = found["metric"]
    rows: list[list[Cell]] = [
        [
            f"{each['column']}: {each['slice']}",
            each["rows"],
            Share.of(each["rows"], found["rows"]),
            Fixed(each["metrics"].get(metric), 4) if each["enough"] else badge("too few rows", good=False),
            _interval(each["interval"]),
        ]
        for each in found["slices"]
    ]
    header = ["Slice", "Rows", "Share", METRICS[metric], "95 % interval"]
    return table("Parts of the held-back rows", header, rows)


def _importance(found: Document) -> Html:
    gains = sorted(found["importance"].items(), key=lambda pair: -float(pair[1]))[:_MOST_FEATURES]
    if not gains:
        return paragraph("The model tells no importance of its features.")
    chart = bar_chart([name for name, _ in gains], [float(gain) for _, gain in gains], "gain")
    numbers = table("Importance", ["Feature", "Gain"], [[name, float(gain)] for name, gain in gains])
    caption = f"What the model relies on: the {len(gains)} features with the largest gain"
    return Html(figure(chart, caption).text + details("Importance in numbers", numbers).text)


def _files(found: Document) -> Html:
    rows: list[list[Cell]] = [
        [item["path"], item["bytes"], item.get("kind"), code(item["sha256"][:12])] for item in found["model"]["files"]
    ]
    return details("Files of the model artefact", table("Artefact", ["File", "Bytes", "Kind", "SHA-256"], rows))
