"""Catalogue tables of published datasets."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_glue as glue
from constructs import Construct

from constructs_lib.place import ACCOUNT


def parquet_table(
    scope: Construct,
    construct_id: str,
    *,
    database: str,
    name: str,
    location: str,
    columns: Mapping[str, str],
    description: str,
    partition: str | None = "version",
) -> glue.CfnTable:
    """Defines a table over Parquet files; it starts without partitions.

    Args:
        database: Its database.
        name: Its name in the database.
        location: Where its partitions lie, ``s3://bucket/prefix/``.
        columns: Name to Hive type, in order.
        description: What its rows are.
        partition: The column of its partitions, of which there is one per published version. Default: ``version``.
    """
    formats = "org.apache.hadoop.hive.ql.io.parquet"
    table = glue.CfnTable
    return table(
        scope,
        construct_id,
        catalog_id=ACCOUNT,
        database_name=database,
        table_input=table.TableInputProperty(
            name=name,
            description=description,
            table_type="EXTERNAL_TABLE",
            parameters={"classification": "parquet"},
            partition_keys=None if partition is None else [table.ColumnProperty(name=partition, type="string")],
            storage_descriptor=table.StorageDescriptorProperty(
                location=location,
                columns=[table.ColumnProperty(name=column, type=kind) for column, kind in columns.items()],
                input_format=f"{formats}.MapredParquetInputFormat",
                output_format=f"{formats}.MapredParquetOutputFormat",
                serde_info=table.SerdeInfoProperty(serialization_library=f"{formats}.serde.ParquetHiveSerDe"),
            ),
        ),
    )
