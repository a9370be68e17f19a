"""Validates templates with the engine that is inside the CDK, and with our own guard rules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cloudformation_validate as engine

from gate.assembly import StackTemplate
from gate.findings import Finding

RULES = Path(__file__).parent / "rules"

NOT_HELD = {
    "W9013": "accounts are named in the configuration, and the CDK writes them into the ARNs of permission boundaries",
    "W3010": "zones are named in the configuration, so that synthesis never has to look anything up",
}
"""Rules of the engine that this project does not hold, each with the reason."""


def check_templates(templates: Iterable[StackTemplate], rules: Path = RULES) -> list[Finding]:
    """Returns every warning and error of the engine's own rules, and every breach of the guard rules in a folder.

    Raises:
        cloudformation_validate.ValidationError: A guard rule cannot be parsed or a template cannot be read.
    """
    validator = _validator(rules)
    return sorted(finding for template in templates for finding in _findings(validator, template))


@cache
def _validator(rules: Path) -> engine.CelEngine:
    sources = [engine.file_to_external_rule_source(path) for path in sorted(rules.glob("*.guard"))]
    return engine.CelEngine(engine.EngineConfig(guard_rules=sources))


def _findings(validator: engine.CelEngine, template: StackTemplate) -> Iterable[Finding]:
    for diagnostic in validator.validate_template(template.path).diagnostics:
        if diagnostic.severity.value < engine.Severity.WARN.value or diagnostic.rule_id in NOT_HELD:
            continue
        resource = diagnostic.entity.logical_id if diagnostic.entity is not None else None
        yield Finding(
            where=template.stack if resource is None else f"{template.stack}/{resource}",
            path=diagnostic.property_path or "",
            rule=diagnostic.rule_id,
            message=diagnostic.message,
        )
