"""Read the records of training runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.aws import Aws
from local.errors import UserError
from local.outputs import Outputs
from local.settings import Settings

SHORTEST_NAME = 4
_MACHINE = "model#"


@dataclass(frozen=True)
class Run:
    """One run of the model pipeline, as its record tells.

    Args:
        run_id: Of the run.
        record: Attribute to text; figures and objects are JSON in it.
    """

    run_id: str
    record: Mapping[str, str]

    def text(self, name: str) -> str:
        """An attribute, or ``-`` where the record has none."""
        return self.record.get(name, "-")

    def parsed(self, name: str) -> Mapping[str, Any]:
        """An attribute that is an object, or an empty one where the record has none."""
        found = json.loads(self.record.get(name, "null"))
        return found if isinstance(found, dict) else {}

    @property
    def metrics(self) -> Mapping[str, float]:
        """What the evaluation measured."""
        return self.parsed("metrics")

    @property
    def rules(self) -> list[Mapping[str, Any]]:
        """How the gate judged, rule by rule."""
        found: list[Mapping[str, Any]] = json.loads(self.record.get("rules", "[]"))
        return found

    @property
    def tuning(self) -> Mapping[str, Any]:
        """How its hyperparameters were found; empty where nothing was tuned."""
        return self.parsed("tuning")

    @property
    def is_replay(self) -> bool:
        """Whether it only made the model of another run again."""
        return "replay_of" in self.record


class RunReader:
    """Reads the runs of one workload."""

    def __init__(self, settings: Settings, aws: Aws, outputs: Outputs) -> None:
        self._aws = aws
        self._table = outputs.runs_table
        self._workload = settings.workload

    def all(self) -> list[Run]:
        """Every run of the model pipeline, oldest first."""
        pages = (
            self._aws.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self._table,
                FilterExpression="begins_with(#run, :machine) AND #workload = :workload",
                ExpressionAttributeNames={"#run": "run", "#workload": "workload"},
                ExpressionAttributeValues={":machine": {"S": _MACHINE}, ":workload": {"S": self._workload}},
                ConsistentRead=True,
            )
        )
        items = [{name: value["S"] for name, value in item.items()} for page in pages for item in page["Items"]]
        runs = [Run(item["run"].removeprefix(_MACHINE), item) for item in items]
        return sorted(runs, key=lambda run: (run.text("started"), run.run_id))

    def trials(self, run: Run) -> list[Mapping[str, Any]]:
        """Every trial of a run's tuning, in the order of their start; none where nothing was tuned."""
        uri = run.tuning.get("trials_uri")
        if uri is None:
            return []
        bucket, _, key = str(uri).removeprefix("s3://").partition("/")
        body = self._aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        found: list[Mapping[str, Any]] = json.loads(body)["trials"]
        return found

    def find(self, name: str) -> Run:
        """The run whose id starts with ``name``.

        Raises:
            UserError: The name is too short, or fits no run or several.
        """
        runs = self.all()
        found = [run for run in runs if run.run_id == name] or [run for run in runs if run.run_id.startswith(name)]
        if len(name) >= SHORTEST_NAME and len(found) == 1:
            return found[0]
        known = ", ".join(run.run_id for run in runs) or "none was started yet"
        problem = "fits several runs" if len(found) > 1 else "is no run of the model pipeline"
        if len(name) < SHORTEST_NAME:
            problem = f"is too short, at least {SHORTEST_NAME} characters are needed"
        raise UserError(f"run {name!r} {problem} (allowed: {known})")
