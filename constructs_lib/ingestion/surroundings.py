"""What every ingestion path of a workload is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.intake import EventIntake
from constructs_lib.names.landing import LandingFolders
from constructs_lib.python_function import PythonFunction


@dataclass(frozen=True)
class Surroundings:
    """Where a path runs, where its files go, and whom to tell.

    Args:
        stage, workload: Names.
        lake: Where files land, and whose runs table remembers how far a path has come.
        alarms: Whom to tell of failures, or why nobody is told.
        log_retention_days: How long logs are kept, in days.
    """

    stage: str
    workload: str
    lake: DataLake
    alarms: Alarms
    log_retention_days: int

    @cached_property
    def folders(self) -> LandingFolders:
        """The workload's folders of the landing zone."""
        return LandingFolders.of(self.workload)

    def function(
        self,
        scope: Construct,
        construct_id: str,
        *,
        folder: str,
        description: str,
        timeout_seconds: int,
        environment: Mapping[str, str],
        memory_mb: int = 512,
    ) -> PythonFunction:
        """Defines a function of a path; it knows the landing bucket and the table that remembers."""
        return PythonFunction(
            scope,
            construct_id,
            folder=folder,
            description=description,
            timeout_seconds=timeout_seconds,
            alarms=self.alarms,
            log_key=self.lake.key,
            log_retention_days=self.log_retention_days,
            memory_mb=memory_mb,
            environment={
                "LANDING_BUCKET": self.lake.landing.bucket_name,
                "STATE_TABLE": self.lake.runs_table.table_name,
                **environment,
            },
        )

    def on_schedule(
        self, scope: Construct, construct_id: str, *, function: PythonFunction, seconds: int, every: str, lost: str
    ) -> EventIntake:
        """Defines what calls a function of a path: a schedule, a queue with retries, and a queue of what was given up.

        Args:
            seconds: The function's time limit.
            every: Such as ``rate(1 hour)``.
            lost: What is not done when the function fails for good, for the alarm.
        """
        return EventIntake(
            scope,
            construct_id,
            patterns={},
            schedules={"Schedule": every},
            starter=function,
            starter_timeout_seconds=seconds,
            batch_size=1,
            waiting_minutes=4 * 6 * seconds // 60,
            lost=lost,
            alarms=self.alarms,
        )
