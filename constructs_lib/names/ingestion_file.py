"""``ingestion`` of a workload file: how the files of each source get into the landing zone, and when they make a batch.

Off unless the file has it: without it somebody else lands files and ``_batch.json``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal, Protocol, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from constructs_lib.names.file_parts import ColumnName, Part, unknown

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
KEY_TYPES: Final = ("int", "bigint", "date", "timestamp", "string")
FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    "stream": ("parquet",),
    "api": ("csv", "json_lines"),
    "database": ("parquet",),
    "drop": ("csv", "json_lines", "parquet"),
}
"""Path to the formats of files that it can write."""

DATABASE_PORTS: Final[Mapping[str, int]] = {"postgresql": 5432, "mysql": 3306, "redshift": 5439, "sqlserver": 1433}
"""Databases that are pulled from, each with its usual port."""


def _schedule(text: str) -> str:
    rate = re.fullmatch(r"rate\(([1-9][0-9]{0,4}) (minute|hour|day)(s?)\)", text)
    if rate and (rate[1] == "1") == (rate[3] == ""):
        return text
    if re.fullmatch(r"cron\(\S+ \S+ \S+ \S+ \S+ \S+\)", text):
        return text
    raise ValueError(f"must be a schedule such as rate(1 hour), rate(15 minutes) or cron(0 3 * * ? *), was {text!r}")


def _api_url(text: str) -> str:
    url = urlsplit(text)
    if url.username or url.password or url.fragment or not url.hostname:
        raise ValueError(f"must be the address of an API without user, password and fragment, was {text!r}")
    if url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK):
        return text
    raise ValueError(f"must start with https:// (http:// is allowed for this machine only), was {text!r}")


def _jdbc_url(text: str) -> str:
    if re.fullmatch(rf"jdbc:({'|'.join(DATABASE_PORTS)})://[A-Za-z0-9.-]+(:[0-9]{{2,5}})?([/;][^\s?@]*)?", text):
        return text
    kinds = ", ".join(DATABASE_PORTS)
    raise ValueError(f"must be jdbc:<kind>://<host>[:<port>]/<database> without user (kinds: {kinds}), was {text!r}")


Schedule = Annotated[str, AfterValidator(_schedule)]
ApiUrl = Annotated[str, AfterValidator(_api_url)]
JdbcUrl = Annotated[str, AfterValidator(_jdbc_url)]
SecretName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=30)]
PrincipalArn = Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+$")]
ValuePath = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~\[\]-]{1,64}$")]


class Drop(Part):
    """Somebody puts files under ``<workload>/incoming/<source>/`` of the landing bucket.

    Attributes:
        producers: ARNs of the roles and users that deliver; a role is made that they may take, and that may put files
            there and nothing else. Default: none, whoever may write there already does.
    """

    producers: tuple[PrincipalArn, ...] = ()


class Stream(Part):
    """Somebody puts records, as JSON objects, on a Firehose stream; they land as Parquet.

    Attributes:
        partition_by: The column by whose value records are put into objects. Default: records are not parted.
        buffer_seconds: After how many seconds at most an object is written.
        buffer_mb: At how many MB an object is written.
        producers: As for ``drop``; the role may put records on the stream and nothing else.
    """

    partition_by: ColumnName | None = None
    buffer_seconds: Annotated[int, Field(ge=60, le=900)] = 300
    buffer_mb: Annotated[int, Field(ge=64, le=128)] = 64
    producers: tuple[PrincipalArn, ...] = ()


class Pagination(Part):
    """How an API hands out its rows.

    Attributes:
        style: ``none``: one answer has all rows. ``page`` and ``offset``: pages are asked for by number or by the
            number of rows before them, until one is empty. ``cursor``: each answer has the cursor of the next, the last
            has none. ``link``: each answer has the address of the next, the last has none.
        parameter: The query parameter of page number, offset or cursor.
        first: Number of the first page.
        size_parameter: The query parameter of the number of rows per page. Default: it is not asked for.
        size: What is asked for by it.
        next: Where in the answer the next cursor or address is, such as ``meta.next``. Default, for ``link``: in the
            header ``Link``, with the relation ``next`` (RFC 8288).
    """

    style: Literal["none", "page", "offset", "cursor", "link"] = "none"
    parameter: Name | None = None
    first: Annotated[int, Field(ge=0)] = 1
    size_parameter: Name | None = None
    size: Annotated[int, Field(ge=1, le=100_000)] = 100
    next: ValuePath | None = None

    @model_validator(mode="after")
    def _has_what_its_style_needs(self) -> Self:
        if self.style in ("page", "offset", "cursor") and self.parameter is None:
            raise ValueError(f"parameter: is required for style {self.style}")
        if self.style == "cursor" and self.next is None:
            raise ValueError("next: is required for style cursor")
        if self.style in ("none", "link") and self.parameter is not None:
            raise ValueError(f"parameter: style {self.style} has none (allowed for: page, offset, cursor)")
        if self.style in ("none", "page", "offset") and self.next is not None:
            raise ValueError(f"next: style {self.style} has none (allowed for: cursor, link)")
        return self


class Watermark(Part):
    """What makes a pull fetch only what is new.

    Attributes:
        field: Where in each row the value is that grows, such as ``updated_at``.
        parameter: The query parameter that asks for rows from a value on.
        start: The value of the first pull.
        kind: How values are compared: as times with an offset, as numbers, or as texts.
    """

    field: ValuePath
    parameter: Name
    start: Annotated[str, Field(min_length=1)]
    kind: Literal["time", "number", "text"] = "time"


class SecretHeader(Part):
    """A header whose value is a secret, kept in Secrets Manager as ``<stage>-<workload>-<name>``.

    Attributes:
        name: The last part of the secret's name.
        field: The key, when the secret is a JSON object. Default: the secret is the value.
        header: The header.
        prefix: What comes before the value.
    """

    name: SecretName
    field: Annotated[str, Field(min_length=1)] | None = None
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "Authorization"
    prefix: str = "Bearer "


class Api(Part):
    """An HTTP API with JSON answers is pulled on a schedule.

    Attributes:
        url: Its address.
        every: When it is pulled.
        rows: Where in the answer the list of rows is, such as ``data.items``. Default: the answer is the list.
        fields: Column to where its value is in a row. Default: every member of a row becomes a column.
        parameters: Query parameters of every request.
        headers: Headers of every request, none of them secret.
        pagination: How it hands out its rows.
        watermark: What is new. Default: every pull fetches everything.
        secret: A secret header. Default: none.
        requests_per_second: At most so many.
    """

    url: ApiUrl
    every: Schedule = "rate(1 hour)"
    rows: ValuePath | None = None
    fields: dict[ColumnName, ValuePath] = Field(default={})
    parameters: dict[Name, str] = Field(default={})
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")], str] = Field(default={})
    pagination: Pagination = Pagination()
    watermark: Watermark | None = None
    secret: SecretHeader | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=100)] = 5


class Database(Part):
    """A table of a database is pulled on a schedule, by a Glue job in the stage's network.

    Attributes:
        url: ``jdbc:postgresql://host:5432/database``.
        secret: The secret ``<stage>-<workload>-<secret>`` holds ``username`` and ``password``.
        table: The table or view, ``schema.table``.
        key: The column that grows with every new or changed row: a number that counts up, or the time of the change.
        every: When it is pulled.
    """

    url: JdbcUrl
    secret: SecretName
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}$")]
    key: ColumnName
    every: Schedule = "rate(1 day)"

    @property
    def port(self) -> int:
        """The port that the database listens on."""
        kind, host = self.url.split(":", 1)[1].split("://", 1)
        found = re.match(r"[^:/;]+:([0-9]+)", host)
        return int(found[1]) if found else DATABASE_PORTS[kind]


class SourcePath(Part):
    """How one source gets into the landing zone: exactly one of ``drop``, ``stream``, ``api`` and ``database``.

    Attributes:
        collect: ``new``: a batch has the files that came since the last one, or the last ones when none came. ``all``:
            a batch has every file that ever came.
    """

    collect: Literal["new", "all"] = "new"
    drop: Drop | None = None
    stream: Stream | None = None
    api: Api | None = None
    database: Database | None = None

    @model_validator(mode="after")
    def _is_one_path(self) -> Self:
        given = [name for name in FORMATS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have exactly one of {', '.join(FORMATS)}, was {' and '.join(given) if given else 'none'}"
            )
        return self

    @property
    def kind(self) -> str:
        """Which of the paths it is."""
        return next(name for name in FORMATS if getattr(self, name) is not None)


class Ingestion(Part):
    """How files get into the landing zone and when they make a batch.

    Attributes:
        every: How often it is looked whether there is a batch to be made.
        needs: The sources of which a batch needs new files. Default: the primary source.
        sources: Source to path; every source of the workload.
    """

    every: Schedule = "rate(1 hour)"
    needs: tuple[ColumnName, ...] = ()
    sources: dict[ColumnName, SourcePath] = Field(min_length=1)


class SourceLike(Protocol):
    """What is asked of a source of the workload."""

    @property
    def format(self) -> str:
        """Of its files."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """Column to type."""


def check_ingestion(ingestion: Ingestion, sources: Mapping[str, SourceLike]) -> None:
    """Checks that the paths are those of the workload's sources.

    Raises:
        ValueError: A source has no path or is unknown, a format is not one that its path writes, or a column is
            unknown or of a wrong type.
    """
    _check_known("ingestion.sources", ingestion.sources, sources, "source")
    _check_known("ingestion.needs", ingestion.needs, sources, "source")
    if "batches" in sources:
        raise ValueError("ingestion.sources: 'batches' is what makes batches of all sources; choose another name")
    without = [name for name in sources if name not in ingestion.sources]
    if without:
        raise ValueError(
            f"ingestion.sources: source {without[0]!r} has no path; a batch holds every source "
            f"(allowed: {', '.join(FORMATS)}, such as drop: {{}})"
        )
    for name, path in ingestion.sources.items():
        _check_path(f"ingestion.sources.{name}", path, sources[name])


def _check_path(where: str, path: SourcePath, source: SourceLike) -> None:
    allowed = FORMATS[path.kind]
    if source.format not in allowed:
        raise ValueError(f"{where}.{path.kind}: writes {' or '.join(allowed)}, the source's format is {source.format}")
    if path.stream and path.stream.partition_by:
        _check_known(f"{where}.stream.partition_by", [path.stream.partition_by], source.columns, "column")
    if path.api:
        _check_known(f"{where}.api.fields", path.api.fields, source.columns, "column")
        without = [column for column in source.columns if path.api.fields and column not in path.api.fields]
        if without:
            raise ValueError(f"{where}.api.fields: column {without[0]!r} is missing; give all columns or none")
    if path.database:
        _check_known(f"{where}.database.key", [path.database.key], source.columns, "column")
        kind = source.columns[path.database.key]
        if kind not in KEY_TYPES:
            raise ValueError(f"{where}.database.key: must be of type {', '.join(KEY_TYPES)}, was {kind}")


def _check_known(where: str, names: Collection[str], allowed: Collection[str], what: str) -> None:
    for name in names:
        if name not in allowed:
            raise ValueError(f"{where}: {unknown(name, allowed, what)}")
