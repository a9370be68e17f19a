"""``python -m delivery.retirement cdk.out STACK``: refuses to forget stacks that the pipeline has deployed.

The pipeline's template remembers which stacks it deploys and what of each stays when it goes. Before the pipeline
updates itself, the record of the deployed template is compared with that of the new one. A stack that is missing
belongs to a stage or workload under ``pipeline.retired``, or nothing is deployed. What is left behind is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from delivery.settings import RETRIES

STAGES_METADATA = "gapless:stages"
RETIRED_METADATA = "gapless:retired"
OF_OTHERS = ("", "Delivery", "Figures")
"""Parts of a stack's name after the stage whose stacks come and go with others: the account's has no such part."""


Record = Mapping[str, Mapping[str, Any]]


def left_behind(deployed: Record, wanted: Record) -> dict[str, list[str]]:
    """Return the stacks that are deployed and no longer wanted, each with what of it stays when it is deleted.

    A stack is known by account, region and name; the name of the stage is not part of it.

    Args:
        deployed: Stage to its account, region and stacks.
        wanted: The same, after the change.
    """
    there = {_key(stage, name) for stage in wanted.values() for name in stage["stacks"]}
    return {
        _key(stage, name): list(stays)
        for stage in deployed.values()
        for name, stays in stage["stacks"].items()
        if _key(stage, name) not in there
    }


def _key(stage: Mapping[str, Any], stack: str) -> str:
    return f"{stage['account']}/{stage['region']}/{stack}"


def unannounced(left: Mapping[str, Sequence[str]], retired: Sequence[str]) -> list[str]:
    """Return those of the stacks whose stage or workload is not retired.

    An account's stack has no stage in its name; it is left behind only with all stages of its account and region, and
    roles for deliveries and their figures only with all workloads. It is these that have to be retired.

    Args:
        left: Stacks, as from :func:`left_behind`.
        retired: Names of stages and workloads.
    """
    workloads = {"".join(word.capitalize() for word in name.split("_")) for name in retired}
    endings = {f"{workload}{part}" for workload in workloads for part in ("State", "Workload")}

    def is_retired(key: str) -> bool:
        stage, _, part = key.rpartition("/")[2].partition("-")
        return stage in retired or part in endings or part in OF_OTHERS

    return [key for key in left if not is_retired(key)]


def deployed_record(cloudformation: Any, stack: str) -> Record:
    """Read what the deployed pipeline remembers; nothing where there is none yet."""
    try:
        summary = cloudformation.get_template_summary(StackName=stack)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return {}
        raise
    metadata = json.loads(summary.get("Metadata") or "{}")
    return dict(metadata.get(STAGES_METADATA, {}))


def main(arguments: Sequence[str]) -> int:
    """Compare and return the exit code."""
    assembly, stack = arguments
    metadata = json.loads(Path(assembly, "Pipeline.template.json").read_text(encoding="utf-8"))["Metadata"]
    cloudformation = boto3.client("cloudformation", config=RETRIES)
    left = left_behind(deployed_record(cloudformation, stack), metadata[STAGES_METADATA])
    for key, stays in left.items():
        print(f"{key} is no longer deployed; of it stays: {', '.join(stays) or 'nothing'}")  # noqa: T201
    refused = unannounced(left, metadata[RETIRED_METADATA])
    if refused:
        print(  # noqa: T201
            f"not deployed: {', '.join(refused)} would be left behind; name the stage or workload under "
            "pipeline.retired in cdk.json if that is meant, and delete the stacks by hand",
            file=sys.stderr,
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
