"""Catalogue tables of published datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    partitions: Sequence[str] = ("version",),
) -> glue.CfnTable:
    """Defines a table over Parquet files that starts without partitions.

    Args:
        database: Its database.
        name: Its name in the database.
        location: Where its partitions lie, ``s3://bucket/prefix/``.
        columns: Name to Hive type, in order.
        description: What its rows are.
        partitions: Names of the partition keys, all of them texts. Default: one partition per published version.
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
            partition_keys=[table.ColumnProperty(name=key, type="string") for key in partitions],
            storage_descriptor=table.StorageDescriptorProperty(
                location=location,
                columns=[table.ColumnProperty(name=column, type=kind) for column, kind in columns.items()],
                input_format=f"{formats}.MapredParquetInputFormat",
                output_format=f"{formats}.MapredParquetOutputFormat",
                serde_info=table.SerdeInfoProperty(serialization_library=f"{formats}.serde.ParquetHiveSerDe"),
            ),
        ),
    )
