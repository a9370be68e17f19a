"""Datasets that nobody needs any more go; so does what broken-off runs have left behind."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import RETIRED_TAG, DataLake, Zone
from constructs_lib.machines.makers.adapters import FOLDER as ENCODED
from constructs_lib.machines.scoring import FOLDER as SCORING
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names.retention_file import DatasetRetention
from constructs_lib.nightly import run_every_night
from constructs_lib.python_function import PythonFunction

_ZONES: tuple[Zone, ...] = ("validated", "quarantine", "curated")
_DERIVED = (ENCODED, SCORING)
"""Folders of artefacts where models' runs keep what they have made of rows; it goes with the dataset."""


class DatasetRetirement(Construct):
    """Defines a function that retires a workload's datasets every night.

    It withdraws datasets and marks their rows; what removes marked rows is the lifecycle of the datasets bucket. What
    models' runs have made of these rows it deletes. The lake must have been made with ``expires_retired``.

    Args:
        workload: Whose datasets they are.
        keep: Which of them are kept.
        lake: Where they are.
        registry: The models that keep datasets from being retired.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.

    Attributes:
        function: The function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        keep: DatasetRetention,
        lake: DataLake,
        registry: ModelRegistry,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "Function",
            folder="retire_datasets",
            description="Retires datasets that nobody needs any more, and removes leftovers",
            timeout_seconds=900,
            memory_mb=512,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": workload,
                **{
                    f"{zone.upper()}_BUCKET": lake.buckets[zone].bucket_name
                    for zone in ("datasets", "artefacts", *_ZONES)
                },
                "MODEL_PACKAGE_GROUP": registry.group_name,
                "KEEP_NEWEST": str(keep.keep_newest),
                "KEEP_DAYS": str(keep.keep_days),
                "RETIRED_TAG": RETIRED_TAG,
            },
        )
        self._grant(lake, registry, f"{workload}/")
        run_every_night(
            self,
            self.function,
            schedule="cron(17 3 * * ? *)",
            description=f"Retires datasets of {workload}",
            not_done="Datasets were not looked through",
            alarms=alarms,
        )

    def _grant(self, lake: DataLake, registry: ModelRegistry, folder: str) -> None:
        lake.grant_read(self.function, "datasets", folder)
        lake.grant_write(self.function, "datasets", folder)
        lake.grant_mark(self.function, "datasets", folder)
        lake.grant_delete(self.function, "datasets", folder)
        for zone in _ZONES:
            lake.grant_list(self.function, zone, folder)
            lake.grant_delete(self.function, zone, folder)
        for part in _DERIVED:
            lake.grant_list(self.function, "artefacts", f"{folder}{part}/")
            lake.grant_delete(self.function, "artefacts", f"{folder}{part}/")
        registry.grant_list(self.function)
