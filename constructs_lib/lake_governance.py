"""Lake Formation over one stage's lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnResource
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.lake_grants import grant_location, grant_tagged
from constructs_lib.lake_locations import LakeLocations
from constructs_lib.lake_tags import tag_database
from constructs_lib.names.governance import PERSONAS, SEE, database_expression, database_tags, table_expression
from constructs_lib.names.naming import ZONES
from constructs_lib.personas import Personas


class LakeGovernance(Construct):
    """Defines locations, tags of databases, personas and their grants, in this order.

    Args:
        stage: Whose lake it is.
        lake: The lake; its databases are governed from the moment they are made.
        administrator: ARN of the role that deploys stacks. It may define tables over the zones.
        workloads: Names of the workloads that share the lake.
        roles: Persona to the ARN of a role that exists already. Default: a role is made for each.
        in_studio: Whether the personas\' roles are those of notebooks too. Default: they are not.

    Attributes:
        personas: The personas' roles and workgroup.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        lake: DataLake,
        administrator: str,
        workloads: Sequence[str],
        roles: Mapping[str, str] | None = None,
        in_studio: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        bucket_arns: dict[str, str] = {
            zone: bucket.bucket_arn for zone, bucket in lake.buckets.items() if zone in lake.databases
        }
        locations = LakeLocations(
            self,
            "Locations",
            bucket_arns=bucket_arns,
            datasets_arn=lake.datasets.bucket_arn,
            key=lake.key,
            workloads=workloads,
        )
        tags: list[CfnResource] = []
        for zone in ZONES:
            database, location = lake.database_resources[zone], locations.locations[zone]
            location.add_resource_dependency(database)
            tag = tag_database(
                self, f"{zone.capitalize()}Tags", database=lake.databases[zone], tags=database_tags(stage, zone)
            )
            tag.add_resource_dependency(location)
            tags.append(tag)
            self._let_define_tables(zone, administrator, bucket_arns[zone], location)
        indexes = locations.locations["datasets"]
        indexes.add_resource_dependency(lake.database_resources["curated"])
        self._let_define_tables("datasets", administrator, lake.datasets.bucket_arn, indexes)
        self.personas = Personas(
            self,
            "Personas",
            stage=stage,
            roles=roles if roles is not None else {},
            databases=list(lake.databases.values()),
            workloads=workloads,
            in_studio=in_studio,
        )
        self._grant_personas(stage, workloads, tags)

    def _let_define_tables(self, place: str, administrator: str, location_arn: str, location: CfnResource) -> None:
        name = f"{place.capitalize()}Tables"
        access = grant_location(self, name, principal=administrator, location_arn=location_arn)
        access.add_resource_dependency(location)

    def _grant_personas(self, stage: str, workloads: Sequence[str], tags: Sequence[CfnResource]) -> None:
        for persona in PERSONAS:
            name, principal = persona.name.title().replace("_", ""), self.personas.role_arns[persona.name]
            seen = database_expression(persona, stage)
            databases = grant_tagged(
                self, f"{name}Databases", principal=principal, kind="DATABASE", expression=seen, permissions=[SEE]
            )
            tables = grant_tagged(
                self,
                f"{name}Tables",
                principal=principal,
                kind="TABLE",
                expression=table_expression(persona, stage, workloads),
                permissions=[persona.permission],
            )
            for tag in tags:
                databases.add_resource_dependency(tag)
                tables.add_resource_dependency(tag)
