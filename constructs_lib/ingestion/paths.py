"""All ingestion paths of one workload."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.ingestion.api_pull import ApiPull
from constructs_lib.ingestion.batch_close import BatchClose
from constructs_lib.ingestion.bucket_drop import BucketDrop
from constructs_lib.ingestion.database_pull import DatabasePull
from constructs_lib.ingestion.stream import StreamIngestion
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.names.ingestion_file import Api, Database, Drop, Stream
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.network import Network


class IngestionPaths(Construct):
    """Defines how the files of a workload's sources get into the landing zone; nothing when its file does not say.

    Args:
        around: Where the paths run.
        network: The stage's network, for what pulls databases.
        workload: The workload.

    Attributes:
        intakes: What calls each path's function: ``batches``, and the sources that have one.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, around: Surroundings, network: Network, workload: WorkloadFile
    ) -> None:
        super().__init__(scope, construct_id)
        self._around, self._network, self._workload = around, network, workload
        self.intakes: dict[str, EventIntake] = {}
        self._kinds = {"batches": "batches"}
        self._streams: dict[str, str] = {}
        self._producers: dict[str, str] = {}
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
            self._kinds[source] = path.kind
            if path.api is not None:
                self._pull_api(source, path.api)
            if path.stream is not None:
                self._stream(source, path.stream)
            if path.database is not None:
                self._pull_database(source, path.database)
            if path.drop is not None:
                self._drop(source, path.drop, close.intake)

    @property
    def outputs(self) -> dict[str, str]:
        """What a person needs to start a path by hand or do again what failed: output to value."""
        if not self.intakes:
            return {}
        queues = {
            name: {"kind": self._kinds[name], "queue": intake.queue_arn, "failed": intake.dead_letter_queue_arn}
            for name, intake in self.intakes.items()
        }
        found = {"IngestionQueues": queues, "IngestionStreams": self._streams, "ProducerRoles": self._producers}
        return {name: Stack.of(self).to_json_string(values) for name, values in found.items() if values}

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

    def _stream(self, source: str, stream: Stream) -> None:
        ingestion = StreamIngestion(
            self,
            _id(source),
            around=self._around,
            source=source,
            columns=self._workload.sources[source].columns,
            stream=stream,
        )
        self.intakes[source] = ingestion.intake
        self._streams[source] = ingestion.name
        self._note_producers(source, ingestion.producer_role_arn)

    def _pull_database(self, source: str, database: Database) -> None:
        pull = DatabasePull(
            self,
            _id(source),
            around=self._around,
            network=self._network,
            source=source,
            columns=self._workload.sources[source].columns,
            database=database,
        )
        self.intakes[source] = pull.intake

    def _drop(self, source: str, drop: Drop, batches: EventIntake) -> None:
        bucket = BucketDrop(
            self, _id(source), around=self._around, source=source, batches=batches, producers=drop.producers
        )
        self._note_producers(source, bucket.producer_role_arn)

    def _note_producers(self, source: str, role_arn: str | None) -> None:
        if role_arn is not None:
            self._producers[source] = role_arn


def _id(source: str) -> str:
    return "".join(word.capitalize() for word in source.split("_")) + "Path"
