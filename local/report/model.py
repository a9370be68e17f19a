"""The parts of the report about what became of the model: gate, package, endpoint, golden requests."""

from __future__ import annotations

import json

from local.report.content import Content, Document
from local.report.html import Cell, Html, badge, code, paragraph, section, table


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
            _outcome(case),
            code(json.dumps(case["predictions"])) if case["predictions"] is not None else _refusal(case),
        ]
        for case in golden["cases"]
    ]
    return table("Golden requests, asked before the endpoint was touched", ["Case", "Result", "Answer"], rows)


def _outcome(case: Document) -> Cell:
    if case["passed"] is None:
        return "-"
    return badge("as expected" if case["passed"] else "not as expected", good=bool(case["passed"]))


def _refusal(case: Document) -> Cell:
    """What came instead of predictions, or why a case was not asked then."""
    return f"refused: {case['refused']}" if case["passed"] is not None else case["reason"]
