"""Runs cdk-nag's AwsSolutions pack over the platform and judges what was acknowledged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

from gate.findings import Finding
from gate.wildcards import reason_for

PACK = "AwsSolutions"
REPORT = "validation-report.json"
BY_FINDING = ("AwsSolutions-IAM4", "AwsSolutions-IAM5")
"""Rules that give a finding per policy or wildcard; only such a finding may be acknowledged, never the whole rule."""

SHORTEST_REASON = 40


def check_nag(app: App, stages: Iterable[str], workloads: Iterable[str]) -> list[Finding]:
    """Synthesises an app with the pack and returns every finding that is open, and every careless acknowledgement.

    Wildcards that the naming prefix explains are acknowledged here, one by one: the finding's id holds the reference
    to another stack, which is known only after a first synthesis.

    Args:
        app: The app, not yet synthesised; its context must not let validation fail the synthesis.
        stages: Names of its stages.
        workloads: Names of its workloads.
    """
    app.synth()
    pack = AwsSolutionsChecks(app)
    _acknowledge_naming_prefix(app, pack, tuple(stages), tuple(workloads))
    Validations.of(app).add_plugins(pack)
    assembly = app.synth(force=True)
    report = json.loads((Path(assembly.directory) / REPORT).read_text(encoding="utf-8"))
    return judge_report(report)


def judge_report(report: dict[str, Any]) -> list[Finding]:
    """Returns the open findings and the careless acknowledgements of a validation report.

    Raises:
        LookupError: The pack has not run.
    """
    runs = [run for run in report["pluginReports"] if run["pluginName"].startswith(PACK)]
    if not runs:
        raise LookupError(f"the report has no run of {PACK}: {[run['pluginName'] for run in report['pluginReports']]}")
    findings = []
    for run in runs:
        for violation in run["violations"]:
            findings += [
                Finding(construct["constructPath"], "", violation["ruleName"], violation["description"])
                for construct in violation["violatingConstructs"]
            ]
        findings += [
            Finding(suppressed["acknowledgedAt"], "", suppressed["ruleName"], careless)
            for suppressed in run.get("suppressedViolations", [])
            for careless in _carelessness(suppressed)
        ]
    return sorted(findings)


def _acknowledge_naming_prefix(
    app: App, pack: AwsSolutionsChecks, stages: tuple[str, ...], workloads: tuple[str, ...]
) -> None:
    for violation in pack.validate_scope(app).violations:
        resource = re.fullmatch(r"AwsSolutions-IAM5\[Resource::(.*)\]", violation.rule_name)
        reason = reason_for(resource[1], stages, workloads) if resource else None
        if reason is None:
            continue
        for violating in violation.violating_resources:
            construct = _find(app, str(violating.construct_path))
            Validations.of(construct).acknowledge(Acknowledgment(id=f"{PACK}::{violation.rule_name}", reason=reason))


def _find(app: App, path: str) -> IConstruct:
    construct: IConstruct = app
    for step in path.split("/"):
        construct = construct.node.find_child(step)
    return construct


def _carelessness(suppressed: dict[str, Any]) -> list[str]:
    found = []
    rule = suppressed["ruleName"]
    if rule in BY_FINDING:
        found.append("acknowledges a whole rule; name the finding in brackets")
    if len(suppressed["reason"].strip()) < SHORTEST_REASON:
        found.append(f"acknowledges without a reason of at least {SHORTEST_REASON} characters")
    return found
