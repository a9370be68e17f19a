"""All ingestion paths of one workload."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.ingestion.api_pull import ApiPull
from constructs_lib.ingestion.batch_close import BatchClose
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.names.ingestion_file import Api
from constructs_lib.names.workload_file import WorkloadFile


class IngestionPaths(Construct):
    """Defines how the files of a workload's sources get into the landing zone; nothing when its file does not say.

    Args:
        around: Where the paths run.
        workload: The workload.

    Attributes:
        intakes: What calls each path's function: ``batches``, and the sources that have one.
    """

    def __init__(self, scope: Construct, construct_id: str, *, around: Surroundings, workload: WorkloadFile) -> None:
        super().__init__(scope, construct_id)
        self._around, self._workload = around, workload
        self.intakes: dict[str, EventIntake] = {}
        if workload.ingestion is None:
            return
        close = BatchClose(
            self,
            "Batches",
            around=around,
            ingestion=workload.ingestion,
            sources=workload.sources,
            primary=workload.primary_name,
        )
        self.intakes["batches"] = close.intake
        for source, path in workload.ingestion.sources.items():
            if path.api is not None:
                self._pull_api(source, path.api)

    @property
    def outputs(self) -> dict[str, str]:
        """What a person needs to start a path by hand or do again what failed: output to value."""
        if not self.intakes:
            return {}
        queues = {
            name: {"queue": intake.queue_arn, "failed": intake.dead_letter_queue_arn}
            for name, intake in self.intakes.items()
        }
        return {"IngestionQueues": Stack.of(self).to_json_string(queues)}

    def _pull_api(self, source: str, api: Api) -> None:
        declared = self._workload.sources[source]
        pull = ApiPull(
            self,
            _id(source),
            around=self._around,
            source=source,
            file_format=declared.format,
            columns=declared.columns,
            api=api,
        )
        self.intakes[source] = pull.intake


def _id(source: str) -> str:
    return "".join(word.capitalize() for word in source.split("_")) + "Path"
