"""Catalogue tables: of what published datasets are made of, and of the index of datasets."""

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
    partition_keys: Sequence[str] = ("version",),
) -> glue.CfnTable:
    """Defines a table over Parquet files, partitioned by published version; it starts without partitions.

    Args:
        database: Its database.
        name: Its name in the database.
        location: Where its partitions lie, ``s3://bucket/prefix/``.
        columns: Name to Hive type, in order.
        description: What its rows are.
        partition_keys: What its partitions are told apart by, as texts. Default: one partition per version.
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
            partition_keys=[table.ColumnProperty(name=key, type="string") for key in partition_keys] or None,
            storage_descriptor=table.StorageDescriptorProperty(
                location=location,
                columns=[table.ColumnProperty(name=column, type=kind) for column, kind in columns.items()],
                input_format=f"{formats}.MapredParquetInputFormat",
                output_format=f"{formats}.MapredParquetOutputFormat",
                serde_info=table.SerdeInfoProperty(serialization_library=f"{formats}.serde.ParquetHiveSerDe"),
            ),
        ),
    )


def json_table(
    scope: Construct,
    construct_id: str,
    *,
    database: str,
    name: str,
    location: str,
    columns: Mapping[str, str],
    description: str,
) -> glue.CfnTable:
    """Defines a table over JSON objects, one to a line, without partitions: a query reads whatever is there.

    Args:
        database: Its database.
        name: Its name in the database.
        location: Where the objects lie, ``s3://bucket/prefix/``.
        columns: Name to Hive type, in order.
        description: What its rows are.
    """
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
            parameters={"classification": "json"},
            storage_descriptor=table.StorageDescriptorProperty(
                location=location,
                columns=[table.ColumnProperty(name=column, type=kind) for column, kind in columns.items()],
                input_format="org.apache.hadoop.mapred.TextInputFormat",
                output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                serde_info=table.SerdeInfoProperty(serialization_library="org.openx.data.jsonserde.JsonSerDe"),
            ),
        ),
    )
