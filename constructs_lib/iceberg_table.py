"""A table in Iceberg's format: rows of many versions under one name, with history, kept small by the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_glue as glue
from constructs import Construct

from constructs_lib.place import ACCOUNT

VERSION: Final = "version"

_TYPES: Final[Mapping[str, str]] = {
    "string": "string",
    "int": "int",
    "bigint": "long",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}


class IcebergTable(Construct):
    """Defines an empty Iceberg table, partitioned by ``version``; it stays when its stack goes.

    The catalogue entry is what knows which files are the table's, so it is state, like the files.

    Args:
        database: Its database.
        name: Physical name; other columns need another name.
        location: Where its files go, ``s3://bucket/prefix``, without a slash at the end.
        columns: Name to Hive type, in order; ``version`` is added as the last.
        removal_policy: What happens when the stack goes. Default: the table stays.

    Attributes:
        name: Physical name.
        resource: The table in the template.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        database: str,
        name: str,
        location: str,
        columns: Mapping[str, str],
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        table = glue.CfnTable
        fields = [*columns.items(), (VERSION, "string")]
        self.resource = table(
            self,
            "Table",
            catalog_id=ACCOUNT,
            database_name=database,
            name=self.name,
            open_table_format_input=table.OpenTableFormatInputProperty(
                iceberg_input=table.IcebergInputProperty(
                    metadata_operation="CREATE",
                    version="2",
                    iceberg_table_input=table.IcebergTableInputProperty(
                        location=f"{location}/{self.name}",
                        schema=table.IcebergSchemaProperty(
                            type="struct",
                            fields=[
                                table.IcebergStructFieldProperty(
                                    id=number, name=column, type=_TYPES[kind], required=column == VERSION
                                )
                                for number, (column, kind) in enumerate(fields, 1)
                            ],
                        ),
                        partition_spec=table.IcebergPartitionSpecProperty(
                            fields=[
                                table.IcebergPartitionFieldProperty(
                                    name=VERSION, source_id=len(fields), transform="identity"
                                )
                            ]
                        ),
                        properties={"write.format.default": "parquet", "write.parquet.compression-codec": "zstd"},
                    ),
                )
            ),
        )
        self.resource.apply_removal_policy(removal_policy)
