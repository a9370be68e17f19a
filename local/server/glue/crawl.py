"""One crawl: what lies under the crawler's targets is listed and read, and becomes tables; all under its role."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.server.glue.crawl_grouping import Found, Table, group
from local.server.glue.crawl_schema import SAMPLE_BYTES, NoSchema, Schema, needs_whole_file, schema_of

_MARK = "UPDATED_BY_CRAWLER"
_MOST_PARTITIONS = 100
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
_FORMATS = {
    "parquet": (
        f"{_PARQUET}.MapredParquetInputFormat",
        f"{_PARQUET}.MapredParquetOutputFormat",
        f"{_PARQUET}.serde.ParquetHiveSerDe",
    ),
    "csv": (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    ),
}
_QUOTED_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"


class Cancelled(Exception):
    """The crawl was stopped."""


@dataclass
class Counts:
    """What a crawl did to the catalogue."""

    tables_created: int = 0
    tables_updated: int = 0
    tables_deleted: int = 0
    partitions_created: int = 0


@dataclass
class Crawl:
    """One crawl.

    Args:
        crawler: The crawler's record.
        s3, glue: Clients with the role's session.
        say: Takes the lines of the crawl's log.
        cancelled: Set when the crawl shall end.
    """

    crawler: Mapping[str, Any]
    s3: Any
    glue: Any
    say: Callable[[str], None]
    cancelled: threading.Event
    counts: Counts = field(default_factory=Counts)

    def run(self) -> Counts:
        """Crawl every target.

        Raises:
            botocore.exceptions.ClientError: The role may not list, read or write something.
            Cancelled: The crawl was stopped.
        """
        database = self.crawler["DatabaseName"]
        self.glue.get_database(Name=database)
        seen: set[str] = set()
        for target in self.crawler["Targets"].get("S3Targets", []):
            bucket, _, prefix = target["Path"].removeprefix("s3://").partition("/")
            prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            files = list(self._files(bucket, prefix, target.get("Exclusions", [])))
            root_name = prefix.rstrip("/").rpartition("/")[2] or bucket
            for table in group(files, root_name):
                self._look_at_the_clock()
                seen.add(self._store(table, f"s3://{bucket}/{prefix}"))
        self._forget_what_is_gone(seen)
        return self.counts

    def _look_at_the_clock(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled

    # -- reading

    def _files(self, bucket: str, prefix: str, exclusions: Sequence[str]) -> Iterator[Found]:
        excluded = [re.compile(glob_pattern(pattern)) for pattern in exclusions]
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                self._look_at_the_clock()
                key = entry["Key"].removeprefix(prefix)
                if is_hidden(key) or entry["Size"] == 0 or any(pattern.fullmatch(key) for pattern in excluded):
                    continue
                try:
                    yield Found(key, entry["Size"], self._schema(bucket, entry["Key"], entry["Size"]))
                except NoSchema as reason:
                    self.say(f"WARN : no classifier recognises s3://{bucket}/{entry['Key']}: {reason}")

    def _schema(self, bucket: str, key: str, size: int) -> Schema:
        sample = self._read(bucket, key, f"bytes=0-{SAMPLE_BYTES - 1}")
        if needs_whole_file(sample) and size > len(sample):
            sample = self._read(bucket, key, f"bytes=0-{size - 1}")
        return schema_of(sample, whole=size <= len(sample))

    def _read(self, bucket: str, key: str, span: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()
        return content

    # -- writing

    def _store(self, table: Table, root: str) -> str:
        name = f"{self.crawler.get('TablePrefix', '')}{table.name}"
        made = self._existing().get(name)
        if made is not None and [key["Name"] for key in made.get("PartitionKeys", [])] != list(table.keys):
            self.say(f"WARN : table {name} has other partition keys than {list(table.keys)}; it stays as it is")
            return name
        wanted = self._table_input(name, table, root)
        if made is None:
            self.glue.create_table(DatabaseName=self.crawler["DatabaseName"], TableInput=wanted)
            self.counts.tables_created += 1
            self.say(f"INFO : Created table {name} in database {self.crawler['DatabaseName']}")
        elif _columns(made) != _columns(wanted):
            self._change(name, wanted)
        self._store_partitions(name, table, root)
        return name

    def _existing(self) -> dict[str, dict[str, Any]]:
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.crawler["DatabaseName"])
        return {table["Name"]: table for page in pages for table in page["TableList"]}

    def _change(self, name: str, wanted: dict[str, Any]) -> None:
        if self._policy("UpdateBehavior", "UPDATE_IN_DATABASE") == "LOG":
            self.say(f"INFO : table {name} has other columns now; the policy says to log it only")
            return
        self.glue.update_table(DatabaseName=self.crawler["DatabaseName"], TableInput=wanted)
        self.counts.tables_updated += 1
        self.say(f"INFO : Updated table {name}")

    def _store_partitions(self, name: str, table: Table, root: str) -> None:
        where = {"DatabaseName": self.crawler["DatabaseName"], "TableName": name}
        pages = self.glue.get_paginator("get_partitions").paginate(**where) if table.keys else ()
        known = {tuple(partition["Values"]) for page in pages for partition in page["Partitions"]}
        storage = _storage(table.schema, root)
        new = [
            {"Values": list(values), "StorageDescriptor": {**storage, "Location": root + location}}
            for values, location in table.partitions.items()
            if values not in known
        ]
        for part in _chunks(new, _MOST_PARTITIONS):
            self.glue.batch_create_partition(**where, PartitionInputList=list(part))
        self.counts.partitions_created += len(new)

    def _forget_what_is_gone(self, seen: set[str]) -> None:
        behaviour = self._policy("DeleteBehavior", "DEPRECATE_IN_DATABASE")
        database = self.crawler["DatabaseName"]
        for name, table in self._existing().items():
            if name in seen or table.get("Parameters", {}).get(_MARK) != self.crawler["Name"]:
                continue
            self.say(f"INFO : nothing lies under table {name} any more ({behaviour})")
            if behaviour == "DELETE_FROM_DATABASE":
                self.glue.delete_table(DatabaseName=database, Name=name)
                self.counts.tables_deleted += 1
            elif behaviour == "DEPRECATE_IN_DATABASE":
                kept = ("Name", "StorageDescriptor", "PartitionKeys", "TableType")
                wanted = {member: table[member] for member in kept if member in table}
                parameters = {**table["Parameters"], "DEPRECATED_BY_CRAWLER": self.crawler["Name"]}
                self.glue.update_table(DatabaseName=database, TableInput={**wanted, "Parameters": parameters})

    def _policy(self, name: str, default: str) -> str:
        return str(self.crawler.get("SchemaChangePolicy", {}).get(name, default))

    def _table_input(self, name: str, table: Table, root: str) -> dict[str, Any]:
        schema = table.schema
        parameters = {
            _MARK: self.crawler["Name"],
            "classification": schema.classification,
            "compressionType": schema.compression,
            "objectCount": str(len(table.files)),
            "sizeKey": str(sum(file.size for file in table.files)),
            "typeOfData": "file",
        }
        if schema.classification == "csv":
            parameters |= {"delimiter": schema.delimiter, "areColumnsQuoted": str(schema.quoted).lower()}
            parameters |= {"skip.header.line.count": "1"} if schema.header else {}
        return {
            "Name": name,
            "Owner": "owner",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": parameters,
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.keys],
            "StorageDescriptor": {**_storage(schema, root), "Location": root + table.location},
        }


def _storage(schema: Schema, root: str) -> dict[str, Any]:
    input_format, output_format, serde = _FORMATS[schema.classification]
    parameters = {"serialization.format": "1"}
    if schema.classification == "csv":
        parameters = {"field.delim": schema.delimiter}
        if schema.quoted:
            serde, parameters = _QUOTED_CSV, {"separatorChar": schema.delimiter, "quoteChar": '"'}
    return {
        "Columns": [{"Name": name, "Type": kind} for name, kind in schema.columns],
        "Location": root,
        "InputFormat": input_format,
        "OutputFormat": output_format,
        "Compressed": schema.compression != "none",
        "NumberOfBuckets": -1,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": parameters},
        "StoredAsSubDirectories": False,
    }


def _columns(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def is_hidden(key: str) -> bool:
    """Whether a key's file or one of its folders is hidden: ``_…``, ``.…``, or a folder's own marker."""
    return key.endswith("/") or any(part.startswith(("_", ".")) for part in key.split("/"))


def glob_pattern(pattern: str) -> str:
    """An exclude pattern of a crawler as a regular expression over keys relative to the target.

    ``*`` and ``?`` stay within a folder, ``**`` does not, ``{a,b}`` is a choice and ``[a-z]`` a character.
    """
    rules = (
        (r"\*\*/", "(?:.*/)?"),
        (r"\*\*", ".*"),
        (r"\*", "[^/]*"),
        (r"\?", "[^/]"),
        (r"\{", "(?:"),
        (r"\}", ")"),
        (r",", "|"),
        (r"\[[^\]]+\]", None),
    )
    scanner = re.Scanner(  # type: ignore[attr-defined]
        [(rule, (lambda _, text, out=out: out if out is not None else text)) for rule, out in rules]
        + [(r".", lambda _, text: re.escape(text))]
    )
    return "".join(scanner.scan(pattern)[0])
