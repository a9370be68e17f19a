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
    return _table(
        scope,
        construct_id,
        database,
        name,
        description,
        classification="parquet",
        partition_keys=partition_keys,
        storage=_storage(
            location,
            columns,
            reads=f"{formats}.MapredParquetInputFormat",
            writes=f"{formats}.MapredParquetOutputFormat",
            serde=f"{formats}.serde.ParquetHiveSerDe",
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
    partition_keys: Sequence[str] = (),
    members: Mapping[str, str] | None = None,
) -> glue.CfnTable:
    """Defines a table over JSON objects, one to a line; without partitions a query reads whatever is there.

    Args:
        database: Its database.
        name: Its name in the database.
        location: Where the objects lie, ``s3://bucket/prefix/``.
        columns: Name to Hive type, in order.
        description: What its rows are.
        partition_keys: What its partitions are told apart by, as texts. Default: it has none.
        members: Column to the member of the objects that it is, where that has capital letters. Default: none has.
    """
    return _table(
        scope,
        construct_id,
        database,
        name,
        description,
        classification="json",
        partition_keys=partition_keys,
        storage=_storage(
            location,
            columns,
            reads="org.apache.hadoop.mapred.TextInputFormat",
            writes="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            serde="org.openx.data.jsonserde.JsonSerDe",
            parameters={f"mapping.{column}": member for column, member in (members or {}).items()},
        ),
    )


def trail_table(
    scope: Construct,
    construct_id: str,
    *,
    database: str,
    name: str,
    location: str,
    columns: Mapping[str, str],
    description: str,
    day: str,
    days: int,
) -> glue.CfnTable:
    """Defines a table over files of CloudTrail whose partitions are worked out from their days: nobody adds them.

    Args:
        database, name, columns, description: As for ``json_table``.
        location: Where the trail is, with days in folders ``yyyy/MM/dd/`` below.
        day: The partition key.
        days: How far back there are any.
    """
    return _table(
        scope,
        construct_id,
        database,
        name,
        description,
        classification="cloudtrail",
        partition_keys=(day,),
        storage=_storage(
            location,
            columns,
            reads="com.amazon.emr.cloudtrail.CloudTrailInputFormat",
            writes="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            serde="org.apache.hive.hcatalog.data.JsonSerDe",
        ),
        more={
            "projection.enabled": "true",
            f"projection.{day}.type": "date",
            f"projection.{day}.format": "yyyy/MM/dd",
            f"projection.{day}.range": f"NOW-{days}DAYS,NOW",
            f"projection.{day}.interval": "1",
            f"projection.{day}.interval.unit": "DAYS",
            "storage.location.template": f"{location}${{{day}}}",
        },
    )


def _storage(
    location: str,
    columns: Mapping[str, str],
    *,
    reads: str,
    writes: str,
    serde: str,
    parameters: Mapping[str, str] | None = None,
) -> glue.CfnTable.StorageDescriptorProperty:
    return glue.CfnTable.StorageDescriptorProperty(
        location=location,
        columns=[glue.CfnTable.ColumnProperty(name=column, type=kind) for column, kind in columns.items()],
        input_format=reads,
        output_format=writes,
        serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=serde, parameters=parameters or None),
    )


def _table(
    scope: Construct,
    construct_id: str,
    database: str,
    name: str,
    description: str,
    *,
    classification: str,
    partition_keys: Sequence[str],
    storage: glue.CfnTable.StorageDescriptorProperty,
    more: Mapping[str, str] | None = None,
) -> glue.CfnTable:
    return glue.CfnTable(
        scope,
        construct_id,
        catalog_id=ACCOUNT,
        database_name=database,
        table_input=glue.CfnTable.TableInputProperty(
            name=name,
            description=description,
            table_type="EXTERNAL_TABLE",
            parameters={"classification": classification, **(more or {})},
            partition_keys=[glue.CfnTable.ColumnProperty(name=key, type="string") for key in partition_keys] or None,
            storage_descriptor=storage,
        ),
    )
