"""The only reader of context: which stages there are and in what they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from aws_cdk import App, RemovalPolicy
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from constructs_lib.dataset_cache import check_size
from constructs_lib.experiment_tracking import TrackingServer
from constructs_lib.log_store import Nodes
from constructs_lib.names.naming import STAGE_PATTERN
from constructs_lib.network import ExistingNetwork, OwnNetwork
from constructs_lib.studio import IDLE_MINUTES
from constructs_lib.warehouse import FEWEST_ZONES, check_capacity
from stacks.config_parts import ConfigurationError as ConfigurationError
from stacks.config_parts import Part as _Part
from stacks.config_parts import as_tuple as _tuple
from stacks.config_parts import finding
from stacks.config_parts import shown as _shown
from stacks.pipeline_config import PipelineConfig, check_pipeline, parse_pipeline

ROOT = Path(__file__).parent.parent
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3653)
"""Numbers of days that CloudWatch Logs can keep a log."""


STAGE_TAG = "gapless:stage"
"""Key of the tag that everything of a stage carries."""

Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]


class NetworkConfig(_Part):
    """A new VPC, or an existing one where ``vpc_id`` and ``private_subnet_ids`` are given.

    Attributes:
        vpc_id: An existing VPC; the other three switches are its owner's then.
        private_subnet_ids: Its subnets, one per zone of the stage and in their order.
        cidr: Range of a new VPC, between /16 and /24.
        nat: Whether a new VPC's private subnets reach the internet.
        interface_endpoints: Whether a new VPC reaches AWS's APIs without leaving it.
    """

    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")] | None = None
    private_subnet_ids: Annotated[tuple[SubnetId, ...], BeforeValidator(_tuple)] = ()
    cidr: Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")] = "10.0.0.0/16"
    nat: bool = False
    interface_endpoints: bool = False

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.vpc_id is None) != (not self.private_subnet_ids):
            raise ValueError("vpc_id and private_subnet_ids belong together, only one of them was given")
        own = sorted(self.model_fields_set & {"cidr", "nat", "interface_endpoints"})
        if self.vpc_id is not None and own:
            raise ValueError(f"an existing VPC is given, so allowed: vpc_id, private_subnet_ids; not {', '.join(own)}")
        return self


RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]


class PersonaRoles(_Part):
    """ARNs of roles that people have already, such as those of single sign-on. Default: a role is made for each.

    Attributes:
        data_engineer: Reads everything, raw files and sensitive columns as well.
        data_scientist: Reads validated and curated tables, without sensitive columns.
        ml_engineer: Reads curated tables, without sensitive columns.
        auditor: Sees what tables and grants there are, and reads no row.
    """

    data_engineer: RoleArn | None = None
    data_scientist: RoleArn | None = None
    ml_engineer: RoleArn | None = None
    auditor: RoleArn | None = None

    @property
    def given(self) -> dict[str, str]:
        """Persona to the ARN of its role, where there is one."""
        return {name: arn for name, arn in self if arn is not None}


class WarehouseConfig(_Part):
    """A Redshift Serverless warehouse; queries cost while they run.

    Attributes:
        base_rpu: Redshift processing units that a query starts with, 8 to 512 in steps of 8.
        max_rpu: The most that it may grow to.
    """

    base_rpu: int = 8
    max_rpu: int = 32


class LustreConfig(_Part):
    """An FSx for Lustre file system over the datasets; it costs while it exists.

    Attributes:
        capacity_gb: 1,200 or a multiple of 2,400.
        throughput: Megabytes per second for each terabyte: 125, 250, 500 or 1,000.
    """

    capacity_gb: int = 1200
    throughput: int = 125


class TrackingConfig(_Part):
    """Managed MLflow, to which the model pipelines log their runs.

    Attributes:
        server: ``serverless`` costs nothing while nobody calls it; ``small``, ``medium`` and ``large`` cost by the hour
            while they exist.
    """

    server: TrackingServer = "serverless"


class StudioRepository(_Part):
    """The git repository that every notebook offers to clone.

    Attributes:
        url: Its HTTPS address; CodeCommit's or another.
        branch: The branch. Default: the repository's own.
        secret_arn: Where user name and token are, in Secrets Manager. Default: none is needed.
    """

    url: Annotated[str, Field(pattern=r"^https://[^\s/]+/\S+$", max_length=1024)]
    branch: str | None = None
    secret_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:\S+$")] | None = None


class StudioConfig(_Part):
    """A SageMaker Studio domain; it costs nothing while no notebook runs, but for the volumes of its spaces.

    Attributes:
        idle_minutes: After how many minutes without work a notebook is stopped.
        repository: What notebooks are cloned from. Default: nothing is offered.
    """

    idle_minutes: Annotated[int, Field(ge=IDLE_MINUTES[0], le=IDLE_MINUTES[1])] = 60
    repository: StudioRepository | None = None


KeyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9a-z-]+$")]


class PromotionConfig(_Part):
    """Where approved models are taken over from; the values are outputs of the other stage's stack ``DataLake``.

    Attributes:
        source: Name of the other stage.
        artefacts_bucket: Its output ``ArtefactsBucket``.
        key: Its output ``KeyArn``.
        signing_key: Its output ``SigningKeyArn``: models that another key has signed are refused.
    """

    source: Annotated[str, Field(pattern=STAGE_PATTERN)]
    artefacts_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    key: KeyArn
    signing_key: KeyArn


class AuditTrailConfig(_Part):
    """A trail of who read and wrote which object of the lake; it costs by the number of requests.

    Attributes:
        retention_days: How long it is kept, in days.
    """

    retention_days: Annotated[int, Field(ge=90, le=3653)] = 400


class SignOnConfig(_Part):
    """The single sign-on by which people open Dashboards; without one only signed requests are let in.

    Attributes:
        entity_id: Of the identity provider.
        metadata: The file with its metadata, XML, relative to the project.
        roles_key: The attribute that holds names of personas, such as ``ml_engineer``.
    """

    entity_id: Annotated[str, Field(min_length=8, max_length=512)]
    metadata: Annotated[str, Field(pattern=r"^[\w.][\w./-]*\.xml$")]
    roles_key: str = "Role"


class LogSearchConfig(_Part):
    """An OpenSearch domain with Dashboards over the logs of all workloads; it costs by the hour while it exists.

    Attributes:
        instance_type: Type of its nodes.
        instances: How many there are, in two or three zones.
        volume_gb: Size of the disk of each.
        masters: Type of three dedicated masters. Default: there are none.
        retention_days: How long an index is kept, in days; CloudWatch Logs keeps logs as before.
        sign_on: How people sign on. Default: only signed requests are let in.
    """

    instance_type: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9]+\.search$")] = "r7g.large.search"
    instances: Annotated[int, Field(ge=2, le=30)] = 2
    volume_gb: Annotated[int, Field(ge=10, le=3072)] = 100
    masters: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9]+\.search$")] | None = None
    retention_days: Annotated[int, Field(ge=1, le=365)] = 30
    sign_on: SignOnConfig | None = None

    @model_validator(mode="after")
    def _is_spread_evenly(self) -> Self:
        try:
            Nodes(self.instance_type, self.instances, self.volume_gb, self.masters)
        except ValueError as error:
            raise ValueError(f"instances: {error}") from error
        if self.sign_on is not None and not (ROOT / self.sign_on.metadata).is_file():
            raise ValueError(f"sign_on.metadata: there is no such file in the project, was {self.sign_on.metadata!r}")
        return self


class BudgetConfig(_Part):
    """What the stage may cost in a month, by its tag; people are told at 80 and 100 percent, and by forecast.

    Attributes:
        monthly_usd: The amount, in US dollars.
        unusual_usd: By how much a day must be above what was expected before people are told. Default: they are not.
    """

    monthly_usd: Annotated[float, Field(gt=0)]
    unusual_usd: Annotated[float, Field(gt=0)] | None = None


class StageConfig(_Part):
    """One copy of the platform.

    Attributes:
        name: Starts the name of everything at run time.
        account: Where it is deployed. Default: wherever the credentials at deployment belong to.
        region: Likewise.
        zones: Availability zones to use, two to eight.
        network: The VPC. Default: a new one without NAT and without interface endpoints.
        removable: Whether data may go with the stacks; holds only where the app's context agrees.
        log_retention_days: How long logs are kept, in days.
        on_call_email: Gets every alarm. Default: nobody is subscribed.
        personas: Roles of the people who work with the lake. Default: new ones.
        warehouse: A data warehouse beside the lake. Default: there is none.
        lustre: A fast file system in front of the datasets. Default: there is none.
        tracking: Where experiments are logged and compared. Default: nowhere but in the run records.
        debugger: Whether the account may use SageMaker Debugger, which AWS has closed to new customers.
        model_monitor: Whether the account may use SageMaker Model Monitor and Clarify, which AWS has closed to new
            customers.
        studio: A Studio domain for notebooks. Default: there is none.
        promotion: Where approved models are taken over from. Default: models are trained in the stage itself.
        dashboard: Whether there is a dashboard; an account has three free of charge. Default: there is none.
        workload_dashboards: Whether there is another one for each workload. Default: there is none.
        audit_trail: A trail of every read and write of the lake's objects. Default: there is none.
        log_search: Where logs of all workloads are searched. Default: by CloudWatch Logs alone.
        budget: What it may cost. Default: nobody is told what it costs.
    """

    name: Annotated[str, Field(pattern=STAGE_PATTERN)]
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    zones: Annotated[tuple[Zone, ...], BeforeValidator(_tuple), Field(min_length=2, max_length=8)]
    network: NetworkConfig = NetworkConfig()
    removable: bool = False
    log_retention_days: int = 365
    on_call_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    personas: PersonaRoles = PersonaRoles()
    warehouse: WarehouseConfig | None = None
    lustre: LustreConfig | None = None
    tracking: TrackingConfig | None = None
    debugger: bool = False
    model_monitor: bool = False
    studio: StudioConfig | None = None
    promotion: PromotionConfig | None = None
    dashboard: bool = False
    workload_dashboards: bool = False
    audit_trail: AuditTrailConfig | None = None
    log_search: LogSearchConfig | None = None
    budget: BudgetConfig | None = None

    @property
    def collaborates(self) -> bool:
        """Whether the stage asks for anything that people share beside the lake."""
        return self.tracking is not None or self.studio is not None

    @property
    def reaches_services(self) -> bool:
        """Whether what runs in the network reaches AWS's APIs; an existing network is taken to."""
        network = self.network
        return network.vpc_id is not None or network.nat or network.interface_endpoints

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.log_retention_days not in LOG_RETENTION_DAYS:
            raise ValueError(
                f"log_retention_days: allowed: {', '.join(map(str, LOG_RETENTION_DAYS))}, was {self.log_retention_days}"
            )
        outside = [zone for zone in self.zones if self.region is not None and zone[:-1] != self.region]
        if outside:
            raise ValueError(f"zones: must lie in the stage's region {self.region}, was {', '.join(outside)}")
        try:
            _ = self.network_plan
        except ValueError as error:
            raise ValueError(f"network: {error}") from error
        self._check_stores()
        self._check_studio()
        return self

    def _check_studio(self) -> None:
        if self.studio is not None and not self.reaches_services:
            raise ValueError(
                "studio: notebooks have no other way out than the stage's network, which reaches none of SageMaker's "
                "APIs; allowed: network.interface_endpoints or network.nat, or an existing network"
            )

    def _check_stores(self) -> None:
        if self.warehouse is not None:
            if len(self.zones) < FEWEST_ZONES:
                raise ValueError(f"warehouse: needs at least {FEWEST_ZONES} zones, was {len(self.zones)}")
            try:
                check_capacity(self.warehouse.base_rpu, self.warehouse.max_rpu)
            except ValueError as error:
                raise ValueError(f"warehouse: {error}") from error
        if self.lustre is not None:
            try:
                check_size(self.lustre.capacity_gb, self.lustre.throughput)
            except ValueError as error:
                raise ValueError(f"lustre: {error}") from error

    @property
    def network_plan(self) -> OwnNetwork | ExistingNetwork:
        """What the network stack builds or takes."""
        network = self.network
        if network.vpc_id is not None:
            return ExistingNetwork(
                vpc_id=network.vpc_id, zones=self.zones, private_subnet_ids=network.private_subnet_ids
            )
        return OwnNetwork(
            zones=self.zones, cidr=network.cidr, nat=network.nat, interface_endpoints=network.interface_endpoints
        )

    @property
    def billed_in(self) -> str:
        """The region whose prices hold: the stage's, or that of its zones."""
        return self.region if self.region is not None else self.zones[0][:-1]

    @property
    def tags(self) -> dict[str, str]:
        """What every stack of the stage is tagged with."""
        return {STAGE_TAG: self.name}

    @property
    def removal_policy(self) -> RemovalPolicy:
        """What happens to data when its stack goes."""
        return RemovalPolicy.DESTROY if self.removable else RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


_PARTS: Mapping[str, type[_Part]] = {
    "network": NetworkConfig,
    "personas": PersonaRoles,
    "warehouse": WarehouseConfig,
    "lustre": LustreConfig,
    "studio": StudioConfig,
    "tracking": TrackingConfig,
    "promotion": PromotionConfig,
    "audit_trail": AuditTrailConfig,
    "log_search": LogSearchConfig,
    "budget": BudgetConfig,
}


class PlatformConfig(_Part):
    """All stages, in the order in which they are deployed.

    Attributes:
        stages: The stages.
        pipeline: What deploys them. Default: people do.
        only: The one of the stages that is synthesised. Default: all of them.
    """

    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)]
    pipeline: PipelineConfig | None = None
    only: str | None = None

    @classmethod
    def read(cls, app: App) -> PlatformConfig:
        """Reads the context ``stages``, ``allow_removal``, ``pipeline`` and ``stage`` of an app.

        Raises:
            ConfigurationError: A key is unknown, missing or has a wrong value.
        """
        return cls.parse(*map(app.node.try_get_context, ("stages", "allow_removal", "pipeline", "stage")))

    @classmethod
    def parse(
        cls, stages: object, allow_removal: object = None, pipeline: object = None, only: object = None
    ) -> PlatformConfig:
        """Checks the values of the context.

        Args:
            stages: Stage name to its settings, as ``StageConfig`` has them.
            allow_removal: The second key to removable data: true, false or (from a command line) their names.
            pipeline: The settings of the pipeline, as ``PipelineConfig`` has them. Default: there is none.
            only: The name of the one stage to synthesise. Default: all of them.

        Raises:
            ConfigurationError: A key is unknown, missing or has a wrong value.
        """
        if not isinstance(stages, Mapping) or not stages:
            raise ConfigurationError(f"context stages: must map stage names to settings, was {_shown(stages)}")
        if allow_removal not in (None, True, False, "true", "false"):
            raise ConfigurationError(f"context allow_removal: must be true or false, was {_shown(allow_removal)}")
        if only is not None and only not in list(stages):
            raise ConfigurationError(f"context stage: must be one of {', '.join(stages)}, was {_shown(only)}")
        if only is not None and pipeline is not None:
            raise ConfigurationError(f"context stage: must be absent where a pipeline deploys, was {_shown(only)}")
        agreed = allow_removal in (True, "true")
        config = cls(
            stages=tuple(_stage(name, settings, agreed) for name, settings in stages.items()),
            pipeline=parse_pipeline(pipeline),
            only=None if only is None else str(only),
        )
        for stage in config.stages:
            config.check_promotion(stage)
        if config.pipeline is not None:
            check_pipeline(config.pipeline, {stage.name: (stage.account, stage.region) for stage in config.stages})
        return config

    @property
    def synthesised(self) -> tuple[StageConfig, ...]:
        """The stages whose stacks are synthesised; what is of an account has all of its stages in any case."""
        return tuple(stage for stage in self.stages if self.only in (None, stage.name))

    def check_promotion(self, stage: StageConfig) -> None:
        """Refuses a promotion that cannot work.

        Raises:
            ConfigurationError: It comes from nowhere, from the stage itself or in a circle, an account or region is
                not given, the regions differ (images are of a region), or a key belongs to another account.
        """
        if stage.promotion is None:
            return
        path, name = f"context stages.{stage.name}.promotion", stage.promotion.source
        others = {each.name: each for each in self.stages if each.name != stage.name}
        if name not in others:
            raise ConfigurationError(f"{path}.source: must be another stage ({', '.join(others)}), was {_shown(name)}")
        source = others[name]
        for each in (stage, source):
            if each.account is None or each.region is None:
                raise ConfigurationError(f"{path}: stage {each.name} needs account and region for it")
        if stage.region != source.region:
            raise ConfigurationError(
                f"{path}.source: must be in the same region {stage.region}, {name} is in {source.region}"
            )
        for key, arn in (("key", stage.promotion.key), ("signing_key", stage.promotion.signing_key)):
            if arn.split(":")[3:5] != [source.region, source.account]:
                raise ConfigurationError(f"{path}.{key}: must be a key of stage {name}, was {_shown(arn)}")
        self._check_circle(stage)

    def _check_circle(self, stage: StageConfig) -> None:
        by_name = {each.name: each for each in self.stages}
        seen, here = [stage.name], stage
        while here.promotion is not None:
            here = by_name[here.promotion.source]
            if here.name in seen:
                circle = " from ".join([*seen, here.name])
                raise ConfigurationError(f"context stages.{stage.name}.promotion: goes in a circle: {circle}")
            seen.append(here.name)

    def receivers(self, stage: StageConfig) -> tuple[StageConfig, ...]:
        """The stages that take models over from a stage."""
        return tuple(each for each in self.stages if each.promotion is not None and each.promotion.source == stage.name)


def project_context() -> dict[str, Any]:
    """Returns the context of cdk.json, which the CDK CLI passes on by itself and a plain ``python app.py`` does not."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context


def _stage(name: str, settings: object, removal_agreed: bool) -> StageConfig:
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"context stages.{name}: must be a mapping, was {_shown(settings)}")
    if "name" in settings:
        raise ConfigurationError(f"context stages.{name}.name: is not a known key; the stage's key is its name")
    try:
        stage = StageConfig.model_validate({**settings, "name": name})
    except ValidationError as error:
        findings = [_finding(name, detail) for detail in error.errors(include_url=False)]
        raise ConfigurationError("\n".join(findings)) from error
    return stage.model_copy(update={"removable": stage.removable and removal_agreed})


def _finding(stage: str, detail: ErrorDetails) -> str:
    """Renders one finding: path, value, what is allowed."""
    if list(detail["loc"]) == ["name"]:
        return f"context stages: a stage's name must match {STAGE_PATTERN}, was {_shown(stage)}"
    return finding(f"context stages.{stage}", detail, StageConfig, _PARTS, given="name")
