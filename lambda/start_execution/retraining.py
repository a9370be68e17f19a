"""Tells the policy of trainings, where the workload has one, that a model has lost its approval.

That covers every way in which a model is taken back: on probation, by score, by a person, by the alarms of its rollout,
and by its golden requests. Each of them ends in the rejection of the model package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class NotTold(Exception):
    """The policy's function has failed: to be tried again."""


def run_of(package: Mapping[str, Any]) -> str | None:
    """Give the run that made a model package; None for one that was made elsewhere.

    Args:
        package: What ``DescribeModelPackage`` says.
    """
    run_id: str | None = package.get("CustomerMetadataProperties", {}).get("run_id")
    return run_id


def tell_of_rejection(functions: Any, function_arn: str, package: Mapping[str, Any]) -> None:
    """Tell the policy's function which run's model was taken back; telling it twice is harmless.

    Raises:
        NotTold: The function has failed.
    """
    run_id = run_of(package)
    if run_id is None:
        return
    told = {"action": "taken_back", "run_id": run_id}
    answer = functions.invoke(FunctionName=function_arn, Payload=json.dumps(told).encode())
    if "FunctionError" in answer:
        said = answer["Payload"].read().decode("utf-8", "replace")
        raise NotTold(f"{function_arn} was not told that the model of {run_id} was taken back: {said[:500]}")
