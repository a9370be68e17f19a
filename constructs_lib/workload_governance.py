"""Lake Formation over one workload's tables, and for its pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnResource
from constructs import Construct

from constructs_lib.data_lake import CatalogueZone, DataLake
from constructs_lib.lake_grants import grant_location, grant_tagged
from constructs_lib.lake_tags import tag_columns, tag_table
from constructs_lib.names.governance import GovernedTable, domain, table_tags


class WorkloadGovernance(Construct):
    """Defines the tags of a workload's tables and sensitive columns, and grants for its pipelines that come after them.

    Args:
        stage: Where the workload runs.
        workload: Its name.
        lake: Where its tables are.
        tables: Each table, with its resource in the template.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        lake: DataLake,
        tables: Mapping[GovernedTable, CfnResource],
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage, self._workload, self._lake = stage, workload, lake
        self._tags = [tag for table, resource in tables.items() for tag in self._tag(table, resource)]

    def grant_crawl(self, name: str, role_arn: str) -> list[CfnResource]:
        """Lets a role make and change tables over raw files; returns the grants, to wait for."""
        return [
            self._databases(f"{name}Databases", role_arn, ["landing"], ["DESCRIBE", "CREATE_TABLE", "ALTER"]),
            self._tables(f"{name}Tables", role_arn, self._stage, ["landing"], ["DESCRIBE", "ALTER", "INSERT"]),
            *self._locations(name, role_arn, ["landing"]),
        ]

    def grant_register(self, name: str, role_arn: str, zones: Sequence[CatalogueZone]) -> list[CfnResource]:
        """Lets a role see and change the workload's tables and add partitions to them; returns the grants."""
        own = domain(self._stage, self._workload)
        return [
            self._databases(f"{name}Databases", role_arn, zones, ["DESCRIBE"]),
            self._tables(f"{name}Tables", role_arn, own, zones, ["DESCRIBE", "ALTER", "INSERT"]),
            *self._locations(name, role_arn, zones),
        ]

    def grant_rows(self, name: str, role_arn: str, zones: Sequence[CatalogueZone]) -> list[CfnResource]:
        """Lets a role read rows of the workload's tables and add some, every column; returns the grants."""
        own = domain(self._stage, self._workload)
        return [
            self._databases(f"{name}Databases", role_arn, zones, ["DESCRIBE"]),
            self._tables(f"{name}Tables", role_arn, own, zones, ["DESCRIBE", "SELECT", "INSERT"]),
        ]

    def grant_views(self, name: str, role_arn: str) -> list[CfnResource]:
        """Lets a role keep an Iceberg table and make views over it in the curated zone; returns the grants."""
        own = domain(self._stage, self._workload)
        return [
            self._databases(f"{name}Databases", role_arn, ["curated"], ["DESCRIBE", "CREATE_TABLE"]),
            self._tables(
                f"{name}Tables", role_arn, own, ["curated"], ["DESCRIBE", "SELECT", "INSERT", "DELETE", "ALTER"]
            ),
            *self._locations(name, role_arn, ["curated"]),
        ]

    def _tag(self, table: GovernedTable, resource: CfnResource) -> list[CfnResource]:
        name = f"{table.zone.capitalize()}{table.name.title().replace('_', '')}"
        place = {"database": self._lake.databases[table.zone], "table": table.name}
        own = tag_table(self, f"{name}Tags", **place, tags=table_tags(self._stage, self._workload))
        own.add_resource_dependency(resource)
        if not table.sensitive:
            return [own]
        columns = tag_columns(
            self, f"{name}Sensitive", **place, columns=table.sensitive, tags={"sensitivity": "restricted"}
        )
        columns.add_resource_dependency(own)
        return [own, columns]

    def _databases(self, name: str, role_arn: str, zones: Sequence[str], permissions: Sequence[str]) -> CfnResource:
        expression = {"domain": [self._stage], "zone": list(zones)}
        return self._after_tags(
            grant_tagged(
                self, name, principal=role_arn, kind="DATABASE", expression=expression, permissions=permissions
            )
        )

    def _tables(
        self, name: str, role_arn: str, of_domain: str, zones: Sequence[str], permissions: Sequence[str]
    ) -> CfnResource:
        expression = {"domain": [of_domain], "zone": list(zones)}
        return self._after_tags(
            grant_tagged(self, name, principal=role_arn, kind="TABLE", expression=expression, permissions=permissions)
        )

    def _locations(self, name: str, role_arn: str, zones: Sequence[CatalogueZone]) -> list[CfnResource]:
        return [
            grant_location(
                self,
                f"{name}{zone.capitalize()}",
                principal=role_arn,
                location_arn=self._lake.buckets[zone].bucket_arn,
            )
            for zone in zones
        ]

    def _after_tags(self, grant: CfnResource) -> CfnResource:
        for tag in self._tags:
            grant.add_resource_dependency(tag)
        return grant
