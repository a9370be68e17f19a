"""``workload.yaml``: what one machine-learning workload is, as frozen, checked values.

The file is the only thing that a team writes to get its pipelines. Unknown keys and wrong values are refused with the
path of the key, the value that was given and what is allowed; everything that has a safe default may be left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from constructs_lib.names.api_file import attributes_of, check_api
from constructs_lib.names.automl_file import AutoMLModel, check_automl
from constructs_lib.names.batch_scoring_file import BatchScoring, check_batch_scoring
from constructs_lib.names.built_in_file import BuiltInModel, check_built_in
from constructs_lib.names.container_file import ContainerModel
from constructs_lib.names.dataset_file import Dataset
from constructs_lib.names.drift_file import SchemaDrift, Settle
from constructs_lib.names.evaluation_file import Evaluation
from constructs_lib.names.experiment_file import check_experiment
from constructs_lib.names.fairness_file import ModelCard, check_fairness, favourable_of
from constructs_lib.names.feature_groups_file import FeatureGroup, GroupName, check_feature_groups
from constructs_lib.names.features_file import FOLDER, SCRIPT, NoCode, script_is_none
from constructs_lib.names.file_parts import ColumnName, ColumnType, Part, Share, TimeZone, shown, unknown
from constructs_lib.names.gate_file import Gate
from constructs_lib.names.ingestion_file import Ingestion, check_ingestion
from constructs_lib.names.model_file import (
    MODELS,
    Model,
    PipelineModel,
    ScriptModel,
    check_compute,
    check_machines,
    check_multi_model,
)
from constructs_lib.names.monitoring_file import Monitoring, check_backend, why_never
from constructs_lib.names.openapi import Described
from constructs_lib.names.problems import PROBLEMS
from constructs_lib.names.relabelling_file import Relabelling, check_relabelling, relabelling_options
from constructs_lib.names.retention_file import DatasetRetention, ModelRetention
from constructs_lib.names.retraining_file import ALARMED, Retraining, check_retraining
from constructs_lib.names.serving_file import ROLLOUTS, Serving
from constructs_lib.names.serving_modes import MODES, MultiModel
from constructs_lib.names.stages_file import StageName, StageValues
from constructs_lib.names.stores_file import Iceberg, WarehouseUse
from constructs_lib.names.training_file import Training
from constructs_lib.names.tuning_objective import Compared, check_tuning, compared_by

WORKLOAD_NAME: Final = r"^[a-z][a-z0-9_]{2,19}$"
SOURCE_KEY_COLUMN: Final = "_source_key"
ROW_COLUMN: Final = "_row"
REASONS_COLUMN: Final = "_reasons"
EVENT_TIME_COLUMN: Final = "_event_time"
ROW_ID_COLUMN: Final = "_row_id"
EVENT_DAY_COLUMN: Final = "event_day"


class WorkloadFileError(ValueError):
    """Raised when a workload file is not valid; the message has one line per finding."""


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


_TAGGED: Final[Mapping[str, Mapping[str, type[Part]]]] = {
    "rollout": ROLLOUTS,
    "model": MODELS,
    "mode": MODES,
}
"""Keys whose part is told apart by a tag, which a finding's path has behind the key."""


class WorkloadFile(Part):
    """One workload, as its ``workload.yaml`` says it is.

    Attributes:
        name: Starts the name of everything at run time: lower case, digits and ``_``, 3 to 20 characters.
        owner: Whom to ask: a team or an address.
        problem: What is predicted: a yes or a no, one of several classes, a number, or without a target the cluster
            that a row belongs to or a projection of it.
        target: The column to predict, a column of the primary source or of ``derived``: boolean, for classes string or
            int, for a number int, bigint or double. Clustering and projection have none.
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
        evaluation: On which parts of the rows a model is measured on its own. Default: on all rows together.
        gate: What a model must reach before it is registered.
        model: What makes a model, one of five ways; by default the workload's script in a framework image.
        model_card: What the card of each model package says beside figures.
        approval: Whether a model that passed the gate is approved at once or by a person.
        dataset_retention: Which datasets are kept. Default: all, and nothing is cleaned up.
        model_retention: Which models are kept. Default: all, and nothing is cleaned up.
        batch_scoring: Files of rows are scored by batch transforms. Default: none are.
        ingestion: How the files of the sources get into the landing zone. Default: somebody else lands batches.
        warehouse: Loads the features of each dataset into the stage's warehouse. Default: it does not.
        iceberg: Keeps the features of all datasets in one Iceberg table. Default: it does not.
        monitoring: Compares what is served with the dataset behind the serving model. Default: nobody looks.
        retraining: When a landed batch, an alarm or the clock leads to a training. Default: every batch does.
        relabelling: Gives people rows to label that the model was unsure of. Default: nobody is asked.
        stages: Stage to the compute that it has instead of what the rest of the file says. Default: all have the same.
    """

    name: Annotated[str, Field(pattern=WORKLOAD_NAME)]
    description: str = ""
    owner: Annotated[str, Field(min_length=1)]
    problem: Literal["binary_classification", "multiclass_classification", "regression", "clustering", "projection"] = (
        "binary_classification"
    )
    target: ColumnName | None = None
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
    model_retention: ModelRetention | None = None
    model: Model = ScriptModel()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    model_card: ModelCard = ModelCard()
    approval: Literal["automatic", "manual"] = "manual"
    serving: Serving = Serving()
    batch_scoring: BatchScoring | None = None
    ingestion: Ingestion | None = None
    warehouse: WarehouseUse | None = None
    iceberg: Iceberg | None = None
    monitoring: Monitoring | None = None
    retraining: Retraining | None = None
    relabelling: Relabelling | None = None
    stages: dict[StageName, StageValues] = Field(default={})

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
        self._check_whole()
        return self

    def _check_whole(self) -> None:
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
        self._check_target()
        self._check_role("event_time", ("timestamp",))
        self._check_evaluation()
        if self.event_time in self.primary_source.known_later:
            raise ValueError(f"event_time: column {self.event_time!r} is in known_later; it must be known in time")
        self._check_views()
        self._check_no_code()
        self._check_model()
        self._check_serving()
        if self.batch_scoring is not None:
            check_batch_scoring(
                self.batch_scoring,
                key=self.primary_source.key,
                features=self.feature_types,
                target=self.target_columns,
                is_script=isinstance(self.model, ScriptModel | ContainerModel),
            )
        for column in self.features:
            if column in self.target_columns or column in self.primary_source.known_later:
                raise ValueError(
                    f"features.{column}: is known only after the event; allowed: columns that are known before it"
                )
        check_feature_groups(
            self.feature_groups,
            sources={name: source.columns for name, source in self.sources.items()},
            primary=self.primary_columns,
            known_later=(*self.primary_source.known_later, *self.target_columns),
            features=self.features,
        )
        if self.serving.api is not None:
            check_api(self.serving.api, self.request_attributes)
        if self.monitoring is not None and self.monitoring.rollback_by_score and not self.model.evaluated_in_process:
            raise ValueError(
                "monitoring.rollback_by_score: needs a model that a job can load; allowed here: leave it out"
            )
        if self.monitoring is not None:
            check_backend(
                self.monitoring,
                problem=self.problem,
                metric=self.gate.deciding(self.problem),
                captures=self.serving.captured_percent > 0,
                in_process=self.model.evaluated_in_process,
                facets=self.evaluation.facets,
                explanations=self.evaluation.explanations,
                features=self.feature_types,
            )
        if self.retraining is not None:
            check_retraining(self.retraining, monitored=self.monitoring is not None, never=self._alarms_never_set_off())
        if self.relabelling is not None:
            self._check_relabelling(self.relabelling)
        if self.serving.judging is not None:
            check_experiment(self.serving.judging, self.problem)
        for stage in self.stages:
            self._in_stage(stage)

    def for_stage(self, name: str) -> WorkloadFile:
        """Returns the workload as it is in one stage: a whole file whose values are that stage's.

        Args:
            name: The stage; one that the file says nothing of has the file's own values.
        """
        return self._in_stage(name) if name in self.stages else self

    def _in_stage(self, name: str) -> WorkloadFile:
        """Puts the values of a stage into the places of the file's own, and looks at the whole again.

        Raises:
            ValueError: They do not fit together; the message starts with the path below ``stages``.
        """
        sections: dict[str, Part] = {}
        for section, values in self.stages[name].given().items():
            own: Part = getattr(self, section)
            try:
                sections[section] = type(own).model_validate(_put_over(own, values))
            except ValidationError as error:
                found = [_finding(detail) for detail in error.errors(include_url=False)]
                raise ValueError("; ".join(f"stages.{name}.{section}.{text}" for text in found)) from error
        whole = self.model_copy(update={**sections, "stages": {}})
        try:
            whole._check_whole()
        except ValueError as error:
            raise ValueError(f"stages.{name}.{error}") from error
        return whole

    def _alarms_never_set_off(self) -> dict[str, str]:
        """Families of the monitor's checks whose alarms can never go off, and why; none where nothing is monitored."""
        if self.monitoring is None:
            return {}
        reasons = {
            family: why_never(
                family,
                self.monitoring,
                problem=self.problem,
                captures=self._captured,
                facets=self.evaluation.facets,
            )
            for family in ALARMED
        }
        return {family: why for family, why in reasons.items() if why is not None}

    @property
    def _captured(self) -> bool:
        """Whether requests are kept with their answers."""
        return self.serving.captured_percent > 0 or self.serving.captured_by_api

    def _check_relabelling(self, asked: Relabelling) -> None:
        check_relabelling(
            asked,
            problem=self.problem,
            sensitive=self.sensitive_among(self.feature_types),
            captured=self._captured,
            shadowed=self.serving.rollout.strategy == "shadow",
            without_code=self.preparation.features is not None,
        )

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

    def _check_model(self) -> None:
        guard = self.training.guard
        if isinstance(self.model, ContainerModel) and guard is not None and guard.watch != "log":
            raise ValueError(
                f"training.guard.watch: a container is watched from outside, was {guard.watch} (allowed: log)"
            )
        check_machines(
            self.model,
            training=self.training.compute.instance_type,
            evaluation=self.evaluation.instance_type,
            serving=self.serving.instance_type,
        )
        check_compute(self.model, self.training.compute)
        if isinstance(self.model, AutoMLModel):
            check_automl(
                self.model,
                problem=self.problem,
                features=self.feature_types,
                training=self.training,
            )
        if isinstance(self.model, BuiltInModel):
            check_built_in(
                self.model,
                problem=self.problem,
                hyperparameters=self.training.hyperparameters,
                features=self.feature_types,
                instance_type=self.training.instance_type,
                searched=self.training.tuning.ranges if self.training.tuning is not None else (),
            )
            if self.training.read_from != "s3":
                raise ValueError("training.read_from: a built-in algorithm reads what was encoded, which lies in s3")
        if self.training.window is not None and not isinstance(self.model, ScriptModel | PipelineModel):
            raise ValueError(
                f"training.window: is carried out by train.py, and model.kind: {self.model.kind} has none "
                "(allowed: script, pipeline)"
            )
        self._check_tuning()

    def _check_tuning(self) -> None:
        tuning = self.training.tuning
        if tuning is None:
            return
        try:
            check_tuning(
                tuning,
                model=self.model,
                problem=self.problem,
                deciding=self.gate.deciding(self.problem),
                training=self.training,
            )
        except ValueError as error:
            below = "" if str(error).startswith("tuning: ") else "tuning."
            raise ValueError(f"training.{below}{error}") from error

    def compared_by(self) -> Compared | None:
        """What the trials of a tuning are compared by; None where nothing is tuned."""
        if self.training.tuning is None:
            return None
        return compared_by(
            self.training.tuning,
            model=self.model,
            problem=self.problem,
            deciding=self.gate.deciding(self.problem),
        )

    def _check_serving(self) -> None:
        kind = self.serving.mode.kind
        if kind == "serverless" and isinstance(self.model, BuiltInModel | AutoMLModel):
            raise ValueError(
                f"serving.mode: a serverless endpoint runs one container, and model.kind: {self.model.kind} needs "
                "several in a line (allowed: real_time, asynchronous)"
            )
        if kind == "asynchronous" and self.feature_groups:
            raise ValueError(
                "serving.mode: features from the online store are asked for by requests that are answered at once "
                "(allowed with feature_groups: real_time, serverless)"
            )
        if kind == "asynchronous" and self.serving.api is not None:
            raise ValueError(
                "serving.mode: an API answers at once, and an asynchronous endpoint does not (allowed with api: "
                "real_time, serverless, multi_model)"
            )
        if isinstance(self.serving.mode, MultiModel):
            self._check_multi_model(self.serving.mode)

    def _check_multi_model(self, mode: MultiModel) -> None:
        check_multi_model(self.model, self.serving.instance_type)
        if self.feature_groups:
            raise ValueError(
                "serving.mode: the function that reads features from the online store names no model of several "
                "(allowed with feature_groups: real_time, serverless)"
            )
        if self.monitoring is not None and not self.monitoring.is_own:
            raise ValueError(
                f"serving.mode: AWS monitors endpoints of a single model only, was monitoring.backend: "
                f"{self.monitoring.backend} (allowed with mode multi_model: builtin)"
            )
        kind = self.feature_types.get(mode.segment)
        if kind is None:
            raise ValueError(f"serving.mode.segment: {unknown(mode.segment, self.feature_types, 'feature')}")
        if kind != "string":
            raise ValueError(f"serving.mode.segment: a segment is a feature of type string, was {kind}")

    def _check_derived(self) -> None:
        for column in self.derived:
            if column in self.primary_source.columns:
                raise ValueError(f"derived.{column}: the primary source has a column of this name; choose another name")

    def _check_accumulation(self) -> None:
        if EVENT_DAY_COLUMN in (*self.feature_types, *self.target_columns):
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

    def _check_evaluation(self) -> None:
        self.gate.check(self.problem)
        self.evaluation.check(self.feature_types, self.sensitive_features)
        if self.gate.slices is not None and not self._slices():
            raise ValueError("gate.slices: has no meaning without evaluation.slices")
        check_fairness(
            facets=self.evaluation.facets,
            favourable=self.evaluation.favourable,
            explanations=self.evaluation.explanations,
            rules=self.gate.bias,
            limits=self.gate.limits,
            problem=self.problem,
            columns=self.feature_types,
            target=self.target_columns,
            in_process=self.model.evaluated_in_process,
        )

    def _check_target(self) -> None:
        problem = PROBLEMS[self.problem]
        if not problem.targets:
            if self.target is not None:
                raise ValueError(f"target: has no meaning for problem: {self.problem}, was {shown(self.target)}")
            return
        if self.target is None:
            raise ValueError(f"target: is required for problem: {self.problem}")
        self._check_role("target", problem.targets)

    def _check_role(self, field: str, wanted: Sequence[str]) -> None:
        columns = self.primary_columns
        column = getattr(self, field)
        if column not in columns:
            raise ValueError(f"{field}: {unknown(column, columns, 'column of the primary source or of derived')}")
        if columns[column] not in wanted:
            kinds = " or ".join(wanted)
            raise ValueError(f"{field}: column {column!r} must be of type {kinds}, was {columns[column]}")

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
    def target_columns(self) -> dict[str, ColumnType]:
        """The target and its type; nothing for a problem without a target."""
        return {} if self.target is None else {self.target: self.primary_columns[self.target]}

    @property
    def feature_types(self) -> dict[str, ColumnType]:
        """The columns a model sees: the file's ``features``, or its default."""
        if self.features:
            return dict(self.features)
        source = self.primary_source
        out = {*self.target_columns, self.event_time, *source.key, *source.known_later}
        own = {name: kind for name, kind in self.primary_columns.items() if name not in out}
        for group in self.feature_groups.values():
            own.update(group.features)
        return own

    @property
    def request_attributes(self) -> dict[str, ColumnType]:
        """What an instance of a request to the API has: name → type."""
        return attributes_of(self.feature_types, self.feature_groups, self.primary_columns)

    def described(self) -> Described:
        """What the document of the API says of the workload."""
        return Described(
            name=self.name,
            description=self.description,
            problem=self.problem,
            attributes=self.request_attributes,
            takes_as_of=bool(self.feature_groups),
        )

    @property
    def job_machine(self) -> str:
        """The machine of processing jobs."""
        own = self.evaluation.instance_type
        return own if own is not None else self.training.instance_type

    @property
    def sensitive_features(self) -> tuple[str, ...]:
        """The columns of the curated table that carry the name of a sensitive column, of whichever source."""
        return self.sensitive_among(self.curated_columns())

    @property
    def _sensitive_row_id(self) -> tuple[str, ...]:
        """The row id, where it is made of a sensitive column."""
        return (ROW_ID_COLUMN,) if set(self.primary_source.key) & set(self.primary_source.sensitive) else ()

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
        return {**columns, **self.target_columns, EVENT_TIME_COLUMN: "timestamp", ROW_ID_COLUMN: "string"}

    def prediction_columns(self) -> dict[str, str]:
        """The columns of the table of scored rows: name → Hive type; nothing where no files are scored."""
        if self.batch_scoring is None:
            return {}
        return self.batch_scoring.table_columns(self.problem, self.row_key, self.feature_types)

    @property
    def row_key(self) -> dict[str, ColumnType]:
        """The columns that name a row of the dataset: name → type."""
        return {name: self.primary_source.columns[name] for name in self.primary_source.key}

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
            **({"relabelling": True} if self.relabelling is not None else {}),
            **slot,
            "primary": self.primary_name,
            "sources": sources,
            "derived": _listed(self.derived),
            "features": _listed(self.feature_types),
        }

    def _slices(self) -> list[dict[str, Any]]:
        """How the rows are cut: as asked for, and by segment where there is a model for each."""
        asked: list[dict[str, Any]] = self.evaluation.options()["slices"]
        mode = self.serving.mode
        if not isinstance(mode, MultiModel) or any(each["column"] == mode.segment for each in asked):
            return asked
        return [*asked, mode.slicing()]

    def evaluation_options(self) -> dict[str, Any]:
        """Returns what the evaluation of a model must know, as JSON types."""
        return {
            "problem": self.problem,
            "target": self.target,
            "metric": self.gate.deciding(self.problem),
            "level": self.gate.champion.level,
            **self.evaluation.options(),
            "slices": self._slices(),
            "favourable": favourable_of(self.evaluation.favourable, self.problem),
            "features": list(self.feature_types),
            "sensitive": [*self.sensitive_features, *self._sensitive_row_id],
            **self.model_dump(mode="json", include={"name", "owner", "description", "model_card"}),
            **({"window": True} if self.training.window is not None else {}),
        }

    def monitoring_options(self) -> dict[str, Any]:
        """Returns what the monitor must know, as JSON types; what is not asked for has its defaults."""
        metric = self.gate.deciding(self.problem)
        return {
            **self.evaluation_options(),
            "more_is_better": PROBLEMS[self.problem].metrics[metric],
            "monitoring": (self.monitoring or Monitoring()).options(),
        }

    def relabelling_options(self) -> dict[str, Any]:
        """Returns what the functions of relabelling must know, as JSON types; what is not said has its defaults."""
        return relabelling_options(
            self.relabelling or Relabelling(),
            problem=self.problem,
            target=self.target_columns,
            features=self.feature_types,
            hidden=self.sensitive_among(self.feature_types),
        )

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
        serving["anyOf"] = [{"enum": list(ROLLOUTS)}, {"oneOf": serving.pop("oneOf")}]
        serving.pop("discriminator")
        mode = schema["$defs"]["Serving"]["properties"]["mode"]
        mode["anyOf"] = [{"enum": list(MODES)}, {"oneOf": mode.pop("oneOf")}]
        mode.pop("discriminator")
        by = schema["$defs"]["Preparation"]["properties"]["features"]
        by.update(anyOf=[{"const": SCRIPT}, *(each for each in by["anyOf"] if "$ref" in each)], default=SCRIPT)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "workload.yaml"}


def render_schema() -> str:
    """Returns the text of ``workloads/workload.schema.json``."""
    return json.dumps(WorkloadFile.json_schema(), indent=2, ensure_ascii=False) + "\n"


def _put_over(own: Part, values: Mapping[str, Any]) -> dict[str, Any]:
    """Puts values into the places of a part's own, and below it where both have a part."""
    below = {key: value for key, value in values.items() if isinstance(value, dict)}
    parts = {key: _put_over(part, value) for key, value in below.items() if isinstance(part := getattr(own, key), Part)}
    return {**dict(own), **values, **parts}


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
    path = ".".join(_without_tags(steps)) or "the file"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(steps)
    if kind == "missing":
        return f"{path}: is required"
    if kind == "value_error":
        return _own_finding(path, str(context["error"]))
    return f"{path}: {_allowed(kind, context, detail['msg'])}, was {shown(detail['input'])}"


def _without_tags(path: Sequence[str]) -> list[str]:
    """Drops the tags behind the keys that have them."""
    return [
        step for position, step in enumerate(path) if not position or step not in _TAGGED.get(path[position - 1], {})
    ]


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
    for position, step in enumerate(path[:-1]):
        tags = _TAGGED.get(path[position - 1], {}) if position else {}
        model = tags[step] if step in tags else _model_under(model, step)
    steps = _without_tags(path)
    return f"{'.'.join(steps)}: {unknown(steps[-1], model.model_fields, 'known key')}"


def _model_under(model: type[BaseModel], step: str) -> type[BaseModel]:
    """Returns the model that holds the keys below ``step``; a name that the team chose stays with its model."""
    field = model.model_fields.get(step)
    models = list(_models_in(field.annotation)) if field is not None else []
    return models[0] if models else model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (dict, tuple, Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _models_in(part)
