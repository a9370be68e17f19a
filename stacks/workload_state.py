"""What one workload must not lose."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.image_repository import ImageRepository
from constructs_lib.model_promotion import IMAGES, Receiver
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names.naming import history_table, pascal_case, runtime_name, table_name
from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import StageConfig


class WorkloadStateStack(Stack):
    """Stateful.

    Args:
        receivers: Stages that take over models of this one.

    Attributes:
        registry: Every model of the workload that passed its gate.
        feature_groups: The workload's feature groups, by their names in ``workload.yaml``.
        history: The features of all its datasets in Iceberg's format, where the workload asks for it.
        images: The images of its own container, where it has one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        workload: WorkloadFile,
        lake: DataLake,
        receivers: tuple[Receiver, ...],
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Gapless: models of {workload.name}",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.registry = ModelRegistry(
            self,
            "Registry",
            name=runtime_name(stage.name, workload.name, "models"),
            description=workload.description,
            readers=[receiver.role_arn(workload.name) for receiver in receivers],
            removal_policy=stage.removal_policy,
        )
        self.feature_groups = {
            name: FeatureGroup(
                self,
                f"{pascal_case(name)}Features",
                name=runtime_name(stage.name, workload.name, name.replace("_", "-")),
                key=group.key,
                event_time=group.event_time,
                definitions=group.definitions(workload.key_type(name)),
                lake=lake,
                prefix=f"{workload.name}/feature_store/{name}/",
                table=table_name(workload.name, name),
                columns=workload.history_columns(name),
                keep_days=group.keep_days,
                removal_policy=stage.removal_policy,
            )
            for name, group in workload.feature_groups.items()
        }
        self.images = self._images(stage, workload, lake, receivers) if workload.model.kind == "container" else None
        self.history = self._history(stage, workload, lake) if workload.iceberg is not None else None

    def _images(
        self, stage: StageConfig, workload: WorkloadFile, lake: DataLake, receivers: tuple[Receiver, ...]
    ) -> ImageRepository:
        return ImageRepository(
            self,
            "Images",
            name=runtime_name(stage.name, workload.name, IMAGES),
            key=lake.key,
            readers=[receiver.role_arn(workload.name) for receiver in receivers],
            removal_policy=stage.removal_policy,
        )

    def _history(self, stage: StageConfig, workload: WorkloadFile, lake: DataLake) -> IcebergTable:
        columns = workload.curated_columns()
        return IcebergTable(
            self,
            "History",
            database=lake.databases["curated"],
            name=history_table(workload.name, columns),
            location=f"s3://{lake.curated.bucket_name}/{workload.name}/iceberg",
            columns=columns,
            removal_policy=stage.removal_policy,
        )

    @property
    def model_package_group_name(self) -> str:
        """Name of the workload's model package group."""
        return self.registry.group_name

    @property
    def model_package_group_arn(self) -> str:
        """ARN of the workload's model package group."""
        return self.registry.group_arn
