"""Models that nobody needs any more go, and with them archives and what jobs have left behind."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names.retention_file import ModelRetention
from constructs_lib.names.segments import SETS
from constructs_lib.nightly import run_every_night
from constructs_lib.python_function import PythonFunction

FOLDERS = ("models", "training", "scoring")
"""Folders of a workload's artefacts in which something is deleted."""


class ModelRetirement(Construct):
    """Defines a function that deletes a workload's model packages every night, and archives that no package names.

    What serves, what served before it, what is pinned and what waits for approval is never touched. The bucket keeps
    deleted objects for a while.

    Args:
        workload: Whose models they are.
        keep: Which of them are kept.
        lake: Where archives are.
        registry: The packages.
        endpoint: What they serve behind.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.
        has_sets: Whether versions are sets of models, which are unpacked for the endpoint.

    Attributes:
        function: The function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        keep: ModelRetention,
        lake: DataLake,
        registry: ModelRegistry,
        endpoint: GuardedEndpoint,
        alarms: Alarms,
        log_retention_days: int,
        has_sets: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "Function",
            folder="retire_models",
            description="Deletes models that nobody needs any more, and removes leftovers",
            timeout_seconds=900,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": workload,
                "ARTEFACTS_BUCKET": lake.artefacts.bucket_name,
                "RUNS_TABLE": lake.runs_table.table_name,
                "MODEL_PACKAGE_GROUP": registry.group_name,
                "ENDPOINT_NAME": endpoint.name,
                "KEEP_NEWEST": str(keep.keep_newest),
                "KEEP_DAYS": str(keep.keep_days),
                **({"HAS_SETS": "true"} if has_sets else {}),
            },
        )
        registry.grant_retire(self.function)
        endpoint.grant_describe(self.function)
        lake.grant_table(self.function, lake.runs_table, "dynamodb:GetItem")
        for folder in (*FOLDERS, *([SETS] if has_sets else [])):
            lake.grant_list(self.function, "artefacts", f"{workload}/{folder}/")
            lake.grant_delete(self.function, "artefacts", f"{workload}/{folder}/")
        run_every_night(
            self,
            self.function,
            schedule="cron(47 3 * * ? *)",
            description=f"Retires models of {workload}",
            not_done="Models were not looked through",
            alarms=alarms,
        )
