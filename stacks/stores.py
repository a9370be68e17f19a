"""Other stores beside the lake, for stages that ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.dataset_cache import DatasetCache
from constructs_lib.network import Network
from constructs_lib.warehouse import Warehouse
from stacks.config import LustreConfig, StageConfig, WarehouseConfig


@dataclass(frozen=True)
class Stores:
    """What a stage has beside the lake."""

    warehouse: Warehouse | None
    cache: DatasetCache | None


class WarehouseStack(Stack):
    """Stateful.

    Args:
        people: Persona to the ARN of its role, for those roles that are the platform's own.

    Attributes:
        warehouse: The stage's data warehouse.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        config: WarehouseConfig,
        lake: DataLake,
        network: Network,
        workloads: Sequence[str],
        people: Mapping[str, str],
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: data warehouse",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.warehouse = Warehouse(
            self,
            "Warehouse",
            stage=stage.name,
            lake=lake,
            workloads=workloads,
            key=lake.key,
            vpc_id=network.vpc_id,
            subnet_ids=network.subnet_ids,
            base_rpu=config.base_rpu,
            max_rpu=config.max_rpu,
            removal_policy=stage.removal_policy,
        )
        for persona, role_arn in people.items():
            self.warehouse.grant_connect(persona, role_arn)


class DatasetCacheStack(Stack):
    """Holds no state: the file system shows what the datasets bucket has.

    Attributes:
        cache: The file system.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        config: LustreConfig,
        lake: DataLake,
        network: Network,
    ) -> None:
        super().__init__(scope, construct_id, description="Gapless: file system of datasets", tags=stage.tags)
        self.cache = DatasetCache(
            self,
            "Cache",
            bucket_name=lake.datasets.bucket_name,
            key=lake.key,
            vpc_id=network.vpc_id,
            subnet_id=network.subnet_ids[0],
            client_group_id=network.security_group_id,
            capacity_gb=config.capacity_gb,
            throughput=config.throughput,
        )
