"""``workload.yaml``: what one machine-learning workload is, as frozen, checked values.

The file is the only thing that a team writes to get its pipelines. Unknown keys and wrong values are refused with the
path of the key, the value that was given and what is allowed; everything that has a safe default may be left out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from constructs_lib.names.dataset_file import Dataset
from constructs_lib.names.drift_file import SchemaDrift, Settle
from constructs_lib.names.feature_groups_file import FeatureGroup, GroupName, check_feature_groups
from constructs_lib.names.features_file import FOLDER, SCRIPT, NoCode, script_is_none
from constructs_lib.names.file_parts import ColumnName, ColumnType, Part, Share, shown, unknown
from constructs_lib.names.frameworks import IMAGES
from constructs_lib.names.ingestion_file import Ingestion, check_ingestion
from constructs_lib.names.retention_file import DatasetRetention
from constructs_lib.names.stores_file import Iceberg, WarehouseUse

WORKLOAD_NAME: Final = r"^[a-z][a-z0-9_]{2,19}$"
SOURCE_KEY_COLUMN: Final = "_source_key"
ROW_COLUMN: Final = "_row"
REASONS_COLUMN: Final = "_reasons"
EVENT_TIME_COLUMN: Final = "_event_time"
ROW_ID_COLUMN: Final = "_row_id"
EVENT_DAY_COLUMN: Final = "event_day"


class WorkloadFileError(ValueError):
    """Raised when a workload file is not valid; the message has one line per finding."""


def _known_zone(name: str) -> str:
    zones = zoneinfo.available_timezones()
    if name in zones or (not zones and re.fullmatch(r"[A-Za-z_+\-0-9/]+", name)):
        return name
    near = difflib.get_close_matches(name, zones, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"must be UTC or an IANA time zone such as America/New_York, was {name!r}{hint}")


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"must be a number, a text, true or false, was {shown(value)}")
    return value


def _known_image(image: str) -> str:
    if image not in IMAGES:
        raise ValueError(f"must be one of {', '.join(IMAGES)}, was {shown(image)}")
    return image


TimeZone = Annotated[str, AfterValidator(_known_zone)]
MlInstance = Annotated[str, Field(pattern=r"^ml\.[a-z][a-z0-9-]*\.[a-z0-9]+$")]
FrameworkImage = Annotated[str, AfterValidator(_known_image), WithJsonSchema({"type": "string", "enum": list(IMAGES)})]
Hyperparameter = Annotated[
    Any, AfterValidator(_plain), WithJsonSchema({"type": ["boolean", "integer", "number", "string"]})
]


class Source(Part):
    """One kind of file in every batch: a table of text columns and the types they must have.

    Attributes:
        format: ``csv``: UTF-8, a header line, comma-separated, quoted by ``"``. ``json_lines``: UTF-8, one object per
            line. Both are gzip when the key ends in ``.gz``. ``parquet``: columns have exactly the physical types.
        time_zone: Where the clocks stand that wrote the times without an offset. Stored times are always UTC.
        key: The columns that name a row. A second row with the same key is quarantined. Default: no such check.
        columns: Column name → type; what becomes of a file with other columns is up to ``schema_drift``.
        known_later: Columns whose value is known only after the event that is to be predicted. They may make the
            target and are removed before features are computed.
        sensitive: Columns that only those see who may see restricted data, wherever the column goes under its name.
        missing: The texts that stand for a missing value.
        schema_drift: What differs from the workload's own ``schema_drift`` for this source.
        settle: Of rows with the same key the newest stays. Default: the first one stays.
    """

    format: Literal["csv", "json_lines", "parquet"] = "csv"
    time_zone: TimeZone = "UTC"
    key: tuple[ColumnName, ...] = ()
    columns: dict[ColumnName, ColumnType] = Field(min_length=1)
    known_later: tuple[ColumnName, ...] = ()
    sensitive: tuple[ColumnName, ...] = ()
    missing: tuple[str, ...] = ("",)
    schema_drift: SchemaDrift | None = None
    settle: Settle | None = None

    @model_validator(mode="after")
    def _names_its_own_columns(self) -> Self:
        for field in ("key", "known_later", "sensitive"):
            for column in getattr(self, field):
                if column not in self.columns:
                    raise ValueError(f"{field}: {unknown(column, self.columns, 'column')}")
        twice = [column for column in self.sensitive if self.sensitive.count(column) > 1]
        if twice:
            raise ValueError(f"sensitive: column {twice[0]!r} is given twice")
        late = [column for column in self.key if column in self.known_later]
        if late:
            raise ValueError(f"key: column {late[0]!r} is in known_later; a key must be known before the event")
        return self

    @model_validator(mode="after")
    def _settles_by_a_time(self) -> Self:
        if self.settle is None:
            return self
        if not self.key:
            raise ValueError("settle: needs a key, so that rows can be versions of one thing")
        by = self.settle.by
        if by not in self.columns:
            raise ValueError(f"settle.by: {unknown(by, self.columns, 'column')}")
        if self.columns[by] != "timestamp":
            raise ValueError(f"settle.by: column {by!r} must be of type timestamp, was {self.columns[by]}")
        return self

    def contract(self, general: SchemaDrift) -> dict[str, Any]:
        """Returns what the data job must know; ``drift`` and ``settle`` are there only where the source has them."""
        content = self.model_dump(mode="json", exclude={"sensitive", "schema_drift", "settle"})
        drift = general if self.schema_drift is None else self.schema_drift.over(general)
        settle = self.settle.model_dump(mode="json", exclude_none=True) if self.settle is not None else {}
        optional = {"drift": drift.contract(), "settle": settle}
        return {**content, "columns": _listed(self.columns), **{key: value for key, value in optional.items() if value}}


class Split(Part):
    """Shares of the rows, by event time: the newest become the test split, the next newest the validation split."""

    validation: Share = 0.15
    test: Share = 0.15

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        if self.validation + self.test > 0.8:
            raise ValueError(f"validation and test take {self.validation + self.test:g} of the rows; at most 0.8")
        return self


class Quality(Part):
    """When a batch is too bad to train on: the largest share of its rows that may be quarantined."""

    max_quarantined_share: Annotated[float, Field(ge=0, le=1)] = 0.05


class Preparation(Part):
    """The compute of the data job: Glue workers and the time one run may take.

    Attributes:
        workers: How many workers a run has, the driver included; with ``auto_scaling``, how many it may have.
        auto_scaling: Whether Glue takes only as many of them as there is work for, and is paid for no more.
        features: Who makes the features: ``script``, the workload's ``features.py``, or a recipe or flow without code.
    """

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: Annotated[int, Field(ge=2, le=100)] = 2
    auto_scaling: bool = False
    timeout_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    features: Annotated[NoCode | None, BeforeValidator(script_is_none)] = None


class Training(Part):
    """One training run: the framework image, its machine, hyperparameters, seed and time limit.

    Attributes:
        read_from: Where the splits are read from: ``s3``, or ``lustre``, the file system that the stage must have.
    """

    image: FrameworkImage = "xgboost:3.2-0"
    instance_type: MlInstance = "ml.m5.large"
    hyperparameters: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Hyperparameter] = Field(default={})
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    max_runtime_minutes: Annotated[int, Field(ge=1, le=7200)] = 60
    read_from: Literal["s3", "lustre"] = "s3"


class Gate(Part):
    """What a model must reach on the held-back test split before it is registered.

    Attributes:
        metric: The metric that decides. ``log_loss`` and ``brier`` are better when smaller: for them ``floor`` is a
            ceiling.
        floor: The value it must reach.
        better_than_champion: Whether it must also be at least as good as the approved model on the same rows.
        tolerance: By how much it may be worse than the approved model.
    """

    metric: Literal["auc", "log_loss", "brier", "accuracy"] = "auc"
    floor: float = 0.5
    better_than_champion: bool = True
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0


class AllAtOnce(Part):
    """The new fleet takes all traffic at once; the old one is kept for the bake time."""

    strategy: Literal["all_at_once"] = "all_at_once"
    bake_minutes: Annotated[int, Field(ge=1, le=60)] = 5


class Canary(Part):
    """A share of the fleet takes traffic first; the rest follows when no alarm went off during the bake time."""

    strategy: Literal["canary"] = "canary"
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    bake_minutes: Annotated[int, Field(ge=1, le=60)] = 5


def _strategy_only(value: Any) -> Any:
    return {"strategy": value} if isinstance(value, str) else value


ROLLOUTS: Final[dict[str, type[Part]]] = {"all_at_once": AllAtOnce, "canary": Canary}
Rollout = Annotated[AllAtOnce | Canary, Field(discriminator="strategy")]


class Serving(Part):
    """The endpoint: its machines, how a new model takes over, and when its latency raises an alarm.

    Attributes:
        latency_alarm_ms: The 99th percentile of the model's latency, in milliseconds, above which an alarm goes off.
        capture_percent: How many of 100 requests are kept with their answers.
    """

    instance_type: MlInstance = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=50)] = 1
    rollout: Annotated[Rollout, BeforeValidator(_strategy_only)] = AllAtOnce()
    latency_alarm_ms: Annotated[int, Field(ge=1, le=60_000)] = 500
    capture_percent: Annotated[int, Field(ge=0, le=100)] = 100

    @model_validator(mode="after")
    def _has_instances_for_a_canary(self) -> Self:
        if isinstance(self.rollout, Canary) and self.instance_count < 2:
            raise ValueError(
                f"instance_count: a canary needs at least two instances, was {self.instance_count}; "
                "allowed: 2 to 50, or rollout: all_at_once"
            )
        return self


class WorkloadFile(Part):
    """One workload, as its ``workload.yaml`` says it is.

    Attributes:
        name: Starts the name of everything at run time: lower case, digits and ``_``, 3 to 20 characters.
        owner: Whom to ask: a team or an address.
        problem: What is predicted: a yes or a no.
        target: The column to predict, a boolean column of the primary source or of ``derived``.
        event_time: When the predicted event was due, a timestamp column of the primary source or of ``derived``.
            Splits and windows go by it.
        primary: The source whose rows become the rows of the dataset. Default: the first one.
        sources: The kinds of file that every batch holds.
        derived: Columns that ``features.py`` adds to the primary source by its function ``derive``.
        features: The columns a model sees, name → type. Default: every column of the primary source that is known
            in time and is neither key, target nor event time, and every feature of ``feature_groups``.
        feature_groups: Features of things that change over time, kept in the Feature Store. Default: none.
        window_days: Only events of the last so many days before ``as_of`` are used. Default: all events before it.
            With ``dataset.accumulate`` the first of these days counts as a whole.
        schema_drift: What becomes of files whose columns are not the declared ones; a source may differ.
        approval: Whether a model that passed the gate is approved at once or by a person.
        dataset_retention: Which datasets are kept. Default: all, and nothing is cleaned up.
        ingestion: How the files of the sources get into the landing zone. Default: somebody else lands batches.
        warehouse: Loads the features of each dataset into the stage's warehouse. Default: it does not.
        iceberg: Keeps the features of all datasets in one Iceberg table. Default: it does not.
    """

    name: Annotated[str, Field(pattern=WORKLOAD_NAME)]
    description: str = ""
    owner: Annotated[str, Field(min_length=1)]
    problem: Literal["binary_classification"] = "binary_classification"
    target: ColumnName
    event_time: ColumnName
    primary: str = ""
    sources: dict[ColumnName, Source] = Field(min_length=1)
    derived: dict[ColumnName, ColumnType] = Field(default={})
    features: dict[ColumnName, ColumnType] = Field(default={})
    feature_groups: dict[GroupName, FeatureGroup] = Field(default={})
    window_days: Annotated[int, Field(ge=1, le=3660)] | None = None
    dataset: Dataset = Dataset()
    split: Split = Split()
    quality: Quality = Quality()
    schema_drift: SchemaDrift = SchemaDrift()
    preparation: Preparation = Preparation()
    dataset_retention: DatasetRetention | None = None
    training: Training = Training()
    gate: Gate = Gate()
    approval: Literal["automatic", "manual"] = "manual"
    serving: Serving = Serving()
    ingestion: Ingestion | None = None
    warehouse: WarehouseUse | None = None
    iceberg: Iceberg | None = None

    @classmethod
    def load(cls, path: Path | str) -> WorkloadFile:
        """Reads and checks a workload file.

        Raises:
            WorkloadFileError: The file is not YAML or not a valid workload. Each line of the message has the path of
                a key, the value that was given and what is allowed.
        """
        path = Path(path)
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise WorkloadFileError(f"{path.name} is not valid YAML: {error}") from error
        if not isinstance(content, dict):
            raise WorkloadFileError(f"{path.name} must be a mapping of keys to values, was {shown(content)}")
        return cls.parse(content, path.name, folder=path.parent)

    @classmethod
    def parse(
        cls, content: Mapping[str, Any], origin: str = "workload.yaml", *, folder: Path | None = None
    ) -> WorkloadFile:
        """Checks the content of a workload file; ``origin`` starts each line of an error.

        Args:
            folder: Where the files lie that it names. Default: it names none.

        Raises:
            WorkloadFileError: As ``load``.
        """
        try:
            return cls.model_validate(content, context={FOLDER: folder})
        except ValidationError as error:
            lines = [f"{origin}: {_finding(detail)}" for detail in error.errors(include_url=False)]
            raise WorkloadFileError("\n".join(lines)) from error

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.primary and self.primary not in self.sources:
            raise ValueError(f"primary: {unknown(self.primary, self.sources, 'source')}")
        if not self.primary_source.key:
            raise ValueError(
                f"sources.{self.primary_name}.key: the primary source needs a key, so that rows have names"
            )
        if self.ingestion is not None:
            check_ingestion(self.ingestion, self.sources)
        self._check_derived()
        if self.dataset.accumulate:
            self._check_accumulation()
        for field, wanted in (("target", "boolean"), ("event_time", "timestamp")):
            self._check_role(field, wanted)
        if self.event_time in self.primary_source.known_later:
            raise ValueError(f"event_time: column {self.event_time!r} is in known_later; it must be known in time")
        self._check_views()
        self._check_no_code()
        for column in self.features:
            if column == self.target or column in self.primary_source.known_later:
                raise ValueError(
                    f"features.{column}: is known only after the event; allowed: columns that are known before it"
                )
        check_feature_groups(
            self.feature_groups,
            sources={name: source.columns for name, source in self.sources.items()},
            primary=self.primary_columns,
            known_later=(*self.primary_source.known_later, self.target),
            features=self.features,
        )
        return self

    def _check_views(self) -> None:
        for name, view in (self.iceberg.views if self.iceberg else {}).items():
            words = set(re.findall(r"\w+|\*", view.sql.lower()))
            shown_columns = [column for column in self.sensitive_features if {column, "*"} & words]
            if shown_columns:
                raise ValueError(
                    f"iceberg.views.{name}.sql: shows the sensitive column {shown_columns[0]!r}; a view is open to all "
                    "who may read curated tables"
                )

    def _check_no_code(self) -> None:
        if self.preparation.features is not None:
            try:
                self.preparation.features.check_sources(self.sources, self.primary_name)
            except ValueError as error:
                raise ValueError(f"preparation.features.{error}") from error

    def _check_derived(self) -> None:
        for column in self.derived:
            if column in self.primary_source.columns:
                raise ValueError(f"derived.{column}: the primary source has a column of this name; choose another name")

    def _check_accumulation(self) -> None:
        if EVENT_DAY_COLUMN in (*self.feature_types, self.target):
            raise ValueError(f"features.{EVENT_DAY_COLUMN}: days are told apart by this name; choose another name")
        asked = {
            "warehouse": self.warehouse is not None,
            "iceberg": self.iceberg is not None,
            "training.read_from: lustre": self.training.read_from == "lustre",
            "feature_groups": bool(self.feature_groups),
        }
        for name in (name for name, is_asked in asked.items() if is_asked):
            raise ValueError(
                f"dataset.accumulate: does not go together with {name}, which takes a dataset from one folder, and the "
                "days of one that accumulates lie in many"
            )
        if self.preparation.features is not None:
            raise ValueError(
                "dataset.accumulate: does not go together with preparation.features: "
                f"{self.preparation.features.kind}, for rows of earlier batches may have to be made anew"
            )

    def _check_role(self, field: str, wanted: str) -> None:
        columns = self.primary_columns
        column = getattr(self, field)
        if column not in columns:
            raise ValueError(f"{field}: {unknown(column, columns, 'column of the primary source or of derived')}")
        if columns[column] != wanted:
            raise ValueError(f"{field}: column {column!r} must be of type {wanted}, was {columns[column]}")

    @property
    def primary_name(self) -> str:
        """The name of the source whose rows become the rows of the dataset."""
        return self.primary or next(iter(self.sources))

    @property
    def primary_source(self) -> Source:
        return self.sources[self.primary_name]

    @property
    def primary_columns(self) -> dict[str, ColumnType]:
        """The columns of the primary source after ``derive``: name → type."""
        return {**self.primary_source.columns, **self.derived}

    @property
    def feature_types(self) -> dict[str, ColumnType]:
        """The columns a model sees: the file's ``features``, or its default."""
        if self.features:
            return dict(self.features)
        source = self.primary_source
        out = {self.target, self.event_time, *source.key, *source.known_later}
        own = {name: kind for name, kind in self.primary_columns.items() if name not in out}
        for group in self.feature_groups.values():
            own.update(group.features)
        return own

    @property
    def sensitive_features(self) -> tuple[str, ...]:
        """The columns of the curated table that carry the name of a sensitive column, of whichever source."""
        return self.sensitive_among(self.curated_columns())

    def sensitive_among(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of the columns that carry the name of a sensitive column, of whichever source."""
        sensitive = {column for source in self.sources.values() for column in source.sensitive}
        return tuple(column for column in columns if column in sensitive)

    def key_type(self, group: str) -> str:
        """The type of the column by which rows find their record of a feature group."""
        return self.primary_columns[self.feature_groups[group].row_key]

    def history_columns(self, group: str) -> dict[str, str]:
        """The columns of the history of a feature group: name → Hive type."""
        return self.feature_groups[group].history_columns(self.key_type(group))

    def validated_columns(self, source: str) -> dict[str, str]:
        """The columns of the validated table of a source: name → Hive type."""
        columns: dict[str, str] = dict(self.sources[source].columns)
        return {**columns, SOURCE_KEY_COLUMN: "string", ROW_COLUMN: "bigint"}

    def quarantine_columns(self, source: str) -> dict[str, str]:
        """The columns of the quarantine table of a source, as they were read, with the reasons: name → Hive type."""
        columns = dict.fromkeys(self.sources[source].columns, "string")
        return {**columns, SOURCE_KEY_COLUMN: "string", ROW_COLUMN: "bigint", REASONS_COLUMN: "string"}

    def curated_columns(self) -> dict[str, str]:
        """The columns of the curated table and of each dataset: features, target, time, row id: name → Hive type."""
        columns: dict[str, str] = dict(self.feature_types)
        return {**columns, self.target: "boolean", EVENT_TIME_COLUMN: "timestamp", ROW_ID_COLUMN: "string"}

    @property
    def features_partition_keys(self) -> tuple[str, ...]:
        """What the partitions of the curated table are told apart by."""
        return ("version", EVENT_DAY_COLUMN) if self.dataset.accumulate else ("version",)

    def contract(self) -> dict[str, Any]:
        """Returns what the data job must know, as JSON types; columns are lists, so that their order survives."""
        content = self.model_dump(
            mode="json", include={"name", "problem", "target", "event_time", "window_days", "split", "quality"}
        )
        accumulation = {"dataset": self.dataset.model_dump(mode="json")} if self.dataset.accumulate else {}
        no_code = self.preparation.features
        slot = {"features_by": no_code.contract()} if no_code is not None else {}
        sources = {name: source.contract(self.schema_drift) for name, source in self.sources.items()}
        groups = [group.contract(name, self.key_type(name)) for name, group in self.feature_groups.items()]
        return {
            **content,
            **accumulation,
            **({"feature_groups": groups} if groups else {}),
            **slot,
            "primary": self.primary_name,
            "sources": sources,
            "derived": _listed(self.derived),
            "features": _listed(self.feature_types),
        }

    def contract_json(self) -> str:
        """Returns the contract as canonical JSON: sorted keys, no spaces, UTF-8 text."""
        return json.dumps(self.contract(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def contract_digest(self) -> str:
        """Returns the SHA-256 of the canonical contract, in hex."""
        return hashlib.sha256(self.contract_json().encode()).hexdigest()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Returns the JSON Schema of a workload file, for editors."""
        schema = cls.model_json_schema()
        serving = schema["$defs"]["Serving"]["properties"]["rollout"]
        serving["anyOf"] = [{"enum": ["all_at_once", "canary"]}, {"oneOf": serving.pop("oneOf")}]
        serving.pop("discriminator")
        by = schema["$defs"]["Preparation"]["properties"]["features"]
        by.update(anyOf=[{"const": SCRIPT}, *(each for each in by["anyOf"] if "$ref" in each)], default=SCRIPT)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "workload.yaml"}


def render_schema() -> str:
    """Returns the text of ``workloads/workload.schema.json``."""
    return json.dumps(WorkloadFile.json_schema(), indent=2, ensure_ascii=False) + "\n"


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that is given twice and reads ``on``/``off``/``no`` as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_UniqueKeys.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"^(?:true|false)$") if tag == "tag:yaml.org,2002:bool" else pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _listed(columns: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in columns.items()]


def _finding(detail: ErrorDetails) -> str:
    """Renders one finding: path, value, what is allowed."""
    steps = [str(step) for step in detail["loc"] if step != "[key]"]
    path = ".".join(step for step in steps if step not in ROLLOUTS) or "the file"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(steps)
    if kind == "missing":
        return f"{path}: is required"
    if kind == "value_error":
        return _own_finding(path, str(context["error"]))
    return f"{path}: {_allowed(kind, context, detail['msg'])}, was {shown(detail['input'])}"


def _own_finding(path: str, text: str) -> str:
    """Joins the path of a model and the message of its check, which may start with the key that it is about."""
    if path == "the file":
        return text
    names_a_key = re.match(r"[a-z0-9_.]+: ", text)
    return f"{path}.{text}" if names_a_key else f"{path}: {text}"


def _allowed(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in ("literal_error", "union_tag_invalid"):
        return f"allowed: {context.get('expected') or context.get('expected_tags')}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    return message[:1].lower() + message[1:]


def _unknown_key(path: list[str]) -> str:
    model: type[BaseModel] = WorkloadFile
    for step in path[:-1]:
        model = _model_under(model, step)
    steps = [step for step in path if step not in ROLLOUTS]
    return f"{'.'.join(steps)}: {unknown(steps[-1], model.model_fields, 'known key')}"


def _model_under(model: type[BaseModel], step: str) -> type[BaseModel]:
    """Returns the model that holds the keys below ``step``; a name that the team chose stays with its model."""
    if step in ROLLOUTS:
        return ROLLOUTS[step]
    field = model.model_fields.get(step)
    models = list(_models_in(field.annotation)) if field is not None else []
    return models[0] if models else model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (dict, Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _models_in(part)
