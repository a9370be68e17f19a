"""Runs cdk-nag's AwsSolutions pack over the platform and judges what was acknowledged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

from gate.assembly import StackTemplate, templates
from gate.findings import Finding
from gate.wildcards import needs_every_resource, reason_for

PACK = "AwsSolutions"
REPORT = "validation-report.json"
BY_FINDING = ("AwsSolutions-IAM4", "AwsSolutions-IAM5")
"""Rules that give a finding per policy or wildcard; only such a finding may be acknowledged, never the whole rule."""

SHORTEST_REASON = 40


@dataclass(frozen=True)
class Platform:
    """What reasons are judged by.

    Attributes:
        stages: Names of the stages.
        workloads: Names of the workloads.
        configurations: Names of the Glue security configurations that encrypt everything.
    """

    stages: tuple[str, ...]
    workloads: tuple[str, ...]
    configurations: frozenset[str] = frozenset()


def check_nag(app: App, stages: Iterable[str], workloads: Iterable[str]) -> list[Finding]:
    """Synthesises an app with the pack and returns every finding that is open, and every careless acknowledgement.

    Some findings are acknowledged here, one by one, because only the whole of the platform shows whether their reason
    is true: wildcards that are a naming prefix (the finding's id holds the reference to another stack, which is known
    only after a first synthesis), and encryption that another stack defines.

    Args:
        app: The app, not yet synthesised; its context must not let validation fail the synthesis.
        stages: Names of its stages.
        workloads: Names of its workloads.
    """
    synthesised = templates(Path(app.synth().directory))
    platform = Platform(tuple(stages), tuple(workloads), frozenset(_encrypting_configurations(synthesised)))
    pack = AwsSolutionsChecks(app)
    for violation in pack.validate_scope(app).violations:
        for violating in violation.violating_resources:
            construct = _find(app, str(violating.construct_path))
            reason = _reason(violation.rule_name, construct, platform)
            if reason is not None:
                Validations.of(construct).acknowledge(
                    Acknowledgment(id=f"{PACK}::{violation.rule_name}", reason=reason)
                )
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


def _reason(rule: str, construct: IConstruct, platform: Platform) -> str | None:
    """Returns why a finding is right as it is, as far as the whole of the platform shows it."""
    if rule == "AwsSolutions-IAM5[Resource::*]":
        return _without_resource(construct)
    if rule in ("AwsSolutions-GL1", "AwsSolutions-GL3"):
        return _encrypted_elsewhere(construct, platform)
    wildcard = re.fullmatch(r"AwsSolutions-IAM5\[Resource::(.*)\]", rule)
    return reason_for(wildcard[1], platform.stages, platform.workloads) if wildcard else None


def _without_resource(construct: IConstruct) -> str | None:
    if not isinstance(construct, iam.CfnPolicy):
        return None
    document = Stack.of(construct).resolve(construct.policy_document)
    actions = needs_every_resource(document["Statement"])
    return f"IAM knows no resource that exists before the call for {', '.join(actions)}" if actions else None


def _encrypted_elsewhere(construct: IConstruct, platform: Platform) -> str | None:
    if isinstance(construct, glue.CfnJob):
        name = construct.security_configuration
    elif isinstance(construct, glue.CfnCrawler):
        name = construct.crawler_security_configuration
    else:
        return None
    if name not in platform.configurations:
        return None
    return (
        f"Security configuration {name} encrypts logs and bookmarks; it is in the lake's stack, where the rule is blind"
    )


def _encrypting_configurations(synthesised: Iterable[StackTemplate]) -> Iterator[str]:
    for stack in synthesised:
        for configuration in stack.of_type("AWS::Glue::SecurityConfiguration").values():
            encryption = configuration["Properties"]["EncryptionConfiguration"]
            if (
                encryption["CloudWatchEncryption"]["CloudWatchEncryptionMode"] == "SSE-KMS"
                and encryption["JobBookmarksEncryption"]["JobBookmarksEncryptionMode"] == "CSE-KMS"
            ):
                yield configuration["Properties"]["Name"]


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
