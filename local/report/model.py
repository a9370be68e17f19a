"""The parts of the report about the model and its deployment: metrics, curves, gate, endpoint, golden requests."""

from __future__ import annotations

import json

from local.report.charts import bar_chart, calibration_chart, roc_chart
from local.report.content import Content, Document
from local.report.html import Cell, Fixed, Html, badge, code, details, figure, paragraph, section, table

_MOST_FEATURES = 15
_METRICS = {
    "auc": "Area under the ROC curve",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "accuracy": "Accuracy",
    "base_rate": "Share of positives",
}


def model(content: Content) -> Html:
    """Metrics beside the champion's, ROC, calibration, importance, the files of the artefact."""
    found = content.evaluation
    if found is None:
        return section("model", "Model", paragraph("The run has not evaluated a model."))
    intro = paragraph(
        f"Evaluated on {found['rows']:,} held-back rows, the newest ones; {found['positives']:,} positive."
    )
    roc, calibration = found["curves"]["roc"], found["curves"]["calibration"]
    auc = found["metrics"]["auc"]
    curves = Html(
        '<div class="pair">'
        + figure(roc_chart(roc["fpr"], roc["tpr"], auc), f"ROC curve on held-back rows, area {auc:.3f}").text
        + figure(
            calibration_chart(calibration["predicted"], calibration["observed"]),
            "Calibration: on the dashed line, predicted probabilities are what is observed",
        ).text
        + "</div>"
    )
    return section(
        "model", "Model", intro, _metrics(found), curves, _calibration(calibration), _importance(found), _files(found)
    )


def _metrics(found: Document) -> Html:
    champion = found["champion"]
    before = champion["metrics"] if champion else {}
    rows: list[list[Cell]] = [
        [text, Fixed(found["metrics"].get(key), 4), Fixed(before.get(key), 4)] for key, text in _METRICS.items()
    ]
    return table("Metrics on the same rows", ["Metric", "This model", "Champion before it"], rows)


def _calibration(found: Document) -> Html:
    rows: list[list[Cell]] = [
        [f"group {index}", Fixed(predicted, 4), Fixed(observed, 4), count]
        for index, (predicted, observed, count) in enumerate(
            zip(found["predicted"], found["observed"], found["count"], strict=True), start=1
        )
    ]
    numbers = table("Calibration", ["Group", "Mean prediction", "Observed share", "Rows"], rows)
    return details("Calibration in numbers", numbers)


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


def gate(content: Content) -> Html:
    """What the gate judged."""
    if not content.gate:
        return section("gate", "Gate", paragraph("No model has come to the gate in this run."))
    rows: list[list[Cell]] = [
        [
            item["rule"],
            badge("passed" if item["passed"] else "not passed", good=bool(item["passed"])),
            item.get("value"),
            item.get("limit"),
            item.get("reason"),
        ]
        for item in content.gate
    ]
    return section("gate", "Gate", table("Rules of the gate", ["Rule", "Result", "Value", "Limit", "Reason"], rows))


def deployment(content: Content) -> Html:
    """The package, the endpoint with its configuration, and the golden requests."""
    if content.package is None and content.endpoint is None:
        return section("deployment", "Deployment", paragraph("Nothing has been deployed."))
    parts = [_package(content.package), _endpoint(content.endpoint, content.endpoint_config), _golden(content.golden)]
    return section("deployment", "Deployment", *(part for part in parts if part is not None))


def _package(package: Document | None) -> Html | None:
    if package is None:
        return None
    rows: list[list[Cell]] = [
        ["Model package", code(package["ModelPackageArn"])],
        ["Approval", package["ModelApprovalStatus"]],
        *([name, code(str(value))] for name, value in package.get("CustomerMetadataProperties", {}).items()),
    ]
    return table("What was registered", ["Property", "Value"], rows)


def _endpoint(endpoint: Document | None, config: Document | None) -> Html | None:
    if endpoint is None or config is None:
        return None
    capture = config.get("DataCaptureConfig", {})
    rows: list[list[Cell]] = [
        ["Endpoint", code(endpoint["EndpointName"])],
        ["Status", endpoint["EndpointStatus"]],
        ["Configuration", code(endpoint["EndpointConfigName"])],
        *(_variant_row(variant) for variant in config.get("ProductionVariants", [])),
        ["Requests captured", f"{capture['InitialSamplingPercentage']} %" if capture.get("EnableCapture") else "none"],
    ]
    return table("What is served", ["Property", "Value"], rows)


def _variant_row(variant: Document) -> list[Cell]:
    size = f"{variant.get('InitialInstanceCount', 1)} of {variant.get('InstanceType', 'serverless')}"
    return [f"Variant {variant['VariantName']}", f"{size}, model {variant.get('ModelName', '-')}"]


def _golden(golden: Document | None) -> Html | None:
    if golden is None:
        return None
    rows: list[list[Cell]] = [
        [
            case["name"],
            badge("as expected" if case["passed"] else "not as expected", good=bool(case["passed"])),
            code(json.dumps(case["predictions"])) if case["predictions"] is not None else f"refused: {case['refused']}",
        ]
        for case in golden["cases"]
    ]
    return table("Golden requests, asked before the endpoint was touched", ["Case", "Result", "Answer"], rows)
