"""What a pipeline remembers of what it deploys, so that nothing is left behind unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aws_cdk import Stage

RETIRED_METADATA = "gapless:retired"
STAGES_METADATA = "gapless:stages"
STAYS = ("Retain", "RetainExceptOnCreate")


def stage_record(stage: Stage) -> dict[str, Any]:
    """Returns where a stage is deployed, and what of each of its stacks stays when the stack goes."""
    folder = Path(stage.synth().directory)
    artefacts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    stacks = {
        artefact["properties"].get("stackName", name): _staying(folder / artefact["properties"]["templateFile"])
        for name, artefact in artefacts.items()
        if artefact["type"] == "aws:cloudformation:stack"
    }
    return {"account": stage.account, "region": stage.region, "stacks": stacks}


def _staying(template: Path) -> list[str]:
    resources = json.loads(template.read_text(encoding="utf-8")).get("Resources", {})
    return sorted(
        f"{name} ({resource['Type']})"
        for name, resource in resources.items()
        if resource.get("DeletionPolicy") in STAYS
    )
