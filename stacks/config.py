"""The only reader of context: which stages there are and in what they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from aws_cdk import App, RemovalPolicy
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from constructs_lib.dataset_cache import check_size
from constructs_lib.names.naming import STAGE_PATTERN
from constructs_lib.network import ExistingNetwork, OwnNetwork
from constructs_lib.warehouse import FEWEST_ZONES, check_capacity

ROOT = Path(__file__).parent.parent
LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3653)
"""Numbers of days that CloudWatch Logs can keep a log."""


class ConfigurationError(ValueError):
    """Raised when the context or a workload file is not valid; the message has one line per finding."""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
        return self

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
    def tags(self) -> dict[str, str]:
        """What every stack of the stage is tagged with."""
        return {"gapless:stage": self.name}

    @property
    def removal_policy(self) -> RemovalPolicy:
        """What happens to data when its stack goes."""
        return RemovalPolicy.DESTROY if self.removable else RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


_PARTS: Mapping[str, type[_Part]] = {
    "network": NetworkConfig,
    "personas": PersonaRoles,
    "warehouse": WarehouseConfig,
    "lustre": LustreConfig,
}


class PlatformConfig(_Part):
    """All stages, in the order in which they are deployed."""

    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)]

    @classmethod
    def read(cls, app: App) -> PlatformConfig:
        """Reads the context ``stages`` and ``allow_removal`` of an app.

        Raises:
            ConfigurationError: A key is unknown, missing or has a wrong value.
        """
        return cls.parse(app.node.try_get_context("stages"), app.node.try_get_context("allow_removal"))

    @classmethod
    def parse(cls, stages: object, allow_removal: object = None) -> PlatformConfig:
        """Checks the values of the context.

        Args:
            stages: Stage name to its settings, as ``StageConfig`` has them.
            allow_removal: The second key to removable data: true, false or (from a command line) their names.

        Raises:
            ConfigurationError: A key is unknown, missing or has a wrong value.
        """
        if not isinstance(stages, Mapping) or not stages:
            raise ConfigurationError(f"context stages: must map stage names to settings, was {_shown(stages)}")
        if allow_removal not in (None, True, False, "true", "false"):
            raise ConfigurationError(f"context allow_removal: must be true or false, was {_shown(allow_removal)}")
        agreed = allow_removal in (True, "true")
        return cls(stages=tuple(_stage(name, settings, agreed) for name, settings in stages.items()))


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
    steps = [str(step) for step in detail["loc"]]
    if steps == ["name"]:
        return f"context stages: a stage's name must match {STAGE_PATTERN}, was {_shown(stage)}"
    path = ".".join(["context stages", stage, *steps])
    kind = detail["type"]
    if kind == "missing":
        return f"{path}: is required"
    if kind == "extra_forbidden":
        model = _PARTS.get(steps[0], StageConfig) if len(steps) > 1 else StageConfig
        known = [field for field in model.model_fields if field != "name"]
        return f"{path}: is not a known key (allowed: {', '.join(known)})"
    if kind == "value_error":
        return _own_finding(path, str(detail["ctx"]["error"]))
    if kind == "string_pattern_mismatch":
        return f"{path}: must match {detail['ctx']['pattern']}, was {_shown(detail['input'])}"
    if kind == "too_short":
        return f"{path}: needs at least {detail['ctx']['min_length']}, was {_shown(detail['input'])}"
    if kind == "too_long":
        return f"{path}: takes at most {detail['ctx']['max_length']}, was {_shown(detail['input'])}"
    message = detail["msg"]
    return f"{path}: {message[:1].lower()}{message[1:]}, was {_shown(detail['input'])}"


def _own_finding(path: str, text: str) -> str:
    """Joins the path of a model and the message of its check, which may start with the key that it is about."""
    names_a_key = re.match(r"[a-z_]+: ", text)
    return f"{path}.{text}" if names_a_key else f"{path}: {text}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
