"""The context ``pipeline``: what deploys the stages, from which repository, in which order and after whose approval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from constructs_lib.names.naming import STAGE_PATTERN
from stacks.config_parts import ConfigurationError, Part, as_tuple, finding, shown

Place = tuple[str | None, str | None]
"""Account and region."""

StageName = Annotated[str, Field(pattern=STAGE_PATTERN)]
SecretArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$",
        max_length=700,
    ),
]
Branch = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./-]{0,99}$")]


@dataclass(frozen=True)
class Deliverer:
    """Who delivers to a stage.

    Args:
        pipeline: Name of the pipeline.
        account: Its account.
        region: Its region.
        trains: Whether a change of scripts starts trainings in the stage.
    """

    pipeline: str
    account: str
    region: str
    trains: bool

    def seen_from(self, account: str | None) -> dict[str, str]:
        """Pipeline to the region of its figures, where a dashboard of an account can show them."""
        return {self.pipeline: self.region} if account == self.account else {}

    def build_role(self, purpose: str) -> str:
        """Name of the role that builds have which take a role of a stage."""
        return f"{self.pipeline}-{purpose}-delivery"

    def stage_role(self, stage: str, purpose: str) -> str:
        """Name of the role of a stage that such builds take."""
        return f"{stage}-{self.pipeline}-{purpose}-delivery"


class ConnectionSource(Part):
    """A repository at GitHub, GitLab or Bitbucket, reached through a connection that exists already.

    Attributes:
        arn: The connection, in the account and region of the pipeline.
        provider: Whose repository it is.
        repository: Owner and name.
        branch: What is deployed.
        comment_token: ARN of a secret, in the account and region of the pipeline, that holds a token with which pull
            requests are commented. Default: the difference is in the build's log only.
    """

    kind: Literal["connection"]
    arn: Annotated[
        str,
        Field(
            pattern=r"^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[0-9a-f-]+$"
        ),
    ]
    provider: Literal["github", "gitlab", "bitbucket"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)+$", max_length=200)]
    branch: Branch = "main"
    comment_token: SecretArn | None = None


class CodeCommitSource(Part):
    """A repository of CodeCommit in the account and region of the pipeline, which exists already.

    Attributes:
        repository: Its name.
        branch: What is deployed.
    """

    kind: Literal["codecommit"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    branch: Branch = "main"


class PipelineConfig(Part):
    """A pipeline that deploys every stage, itself first.

    Attributes:
        name: Starts the names of what the pipeline consists of; unique in its account.
        account: Where it lives, usually an account of its own.
        region: Likewise.
        source: What it deploys.
        waves: Names of stages that are deployed at the same time, wave after wave. Default: one after the other.
        approve: Stages before which a person has to agree. Default: those of the last wave, if there are several.
        notify_email: Is told of failures and asked for approvals. Default: nobody is subscribed.
        test_command: What has to succeed before anything is synthesised.
        compute: Size of the machine that tests and synthesises.
        bake_minutes: For how long a stage's alarms have to stay silent after its deployment.
        train_in: The stage in which a change of a workload's scripts starts a training. Default: none does.
        retired: Stages and workloads that were deployed once and whose stacks are left behind knowingly.
        dashboard: Whether there is a dashboard of its figures; an account has three free of charge.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,18}[a-z0-9]$")] = "gapless"
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    source: Annotated[ConnectionSource | CodeCommitSource, Field(discriminator="kind")]
    waves: Annotated[
        tuple[
            Annotated[
                tuple[StageName, ...],
                BeforeValidator(as_tuple),
                Field(min_length=1),
            ],
            ...,
        ],
        BeforeValidator(as_tuple),
    ] = ()
    approve: Annotated[tuple[StageName, ...], BeforeValidator(as_tuple)] | None = None
    notify_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    test_command: Annotated[str, Field(min_length=1)] = "make test"
    compute: Literal["small", "medium", "large"] = "large"
    bake_minutes: Annotated[int, Field(ge=0, le=60)] = 10
    train_in: StageName | None = None
    retired: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    dashboard: bool = False

    @property
    def place(self) -> Place:
        """Its account and region."""
        return self.account, self.region

    def deliverer(self, stage: str) -> Deliverer:
        """Who delivers to a stage."""
        return Deliverer(self.name, self.account, self.region, trains=self.train_in == stage)

    def waves_of(self, stages: Mapping[str, object]) -> tuple[tuple[str, ...], ...]:
        """Names of the stages, wave after wave."""
        return self.waves or tuple((name,) for name in stages)

    def approved(self, waves: tuple[tuple[str, ...], ...]) -> frozenset[str]:
        """Stages before which a person has to agree."""
        if self.approve is not None:
            return frozenset(self.approve)
        return frozenset(waves[-1]) if len(waves) > 1 else frozenset()


_PARTS: Mapping[str, type[Part]] = {"connection": ConnectionSource, "codecommit": CodeCommitSource}


def parse_pipeline(settings: object) -> PipelineConfig | None:
    """Checks the context ``pipeline``.

    Raises:
        ConfigurationError: A key is unknown, missing or has a wrong value.
    """
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"context pipeline: must be a mapping, was {shown(settings)}")
    try:
        return PipelineConfig.model_validate(dict(settings))
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = [finding("context pipeline", detail, PipelineConfig, _PARTS) for detail in details]
        raise ConfigurationError("\n".join(found)) from error


def check_pipeline(pipeline: PipelineConfig, places: Mapping[str, Place]) -> None:
    """Refuses a pipeline that does not fit the stages.

    Args:
        places: Stage to its account and region.

    Raises:
        ConfigurationError: It names an unknown stage, a stage twice or not at all, or one without account or region;
            its connection or the secret of its token is somewhere else; or what is retired is still there.
    """
    named = [stage for wave in pipeline.waves_of(places) for stage in wave]
    known = f"allowed: {', '.join(places)}"
    for key, names in (("waves", named), ("approve", pipeline.approve or ()), ("train_in", _one(pipeline.train_in))):
        for name in names:
            if name not in places:
                raise ConfigurationError(f"context pipeline.{key}: there is no stage {shown(name)} ({known})")
    for name in places:
        if named.count(name) != 1:
            times = "in no wave" if name not in named else "more than once"
            raise ConfigurationError(f"context pipeline.waves: each stage is deployed once, {name} is named {times}")
        if None in places[name]:
            raise ConfigurationError(
                f"context stages.{name}: needs account and region, as a pipeline deploys it from {pipeline.account}"
            )
    for name in pipeline.retired:
        if name in places:
            raise ConfigurationError(f"context pipeline.retired: stage {name} is not retired, it is one of the stages")
    partitions = sorted({partition_of(str(region)) for _, region in places.values()})
    if partitions != [partition_of(pipeline.region)]:
        raise ConfigurationError(
            f"context pipeline.region: must be in the partition of the stages ({', '.join(partitions)}), as no role of "
            f"one is taken from another, was {pipeline.region}"
        )
    if isinstance(pipeline.source, ConnectionSource):
        for key, kind, given in (
            ("arn", "connection", pipeline.source.arn),
            ("comment_token", "secret", pipeline.source.comment_token),
        ):
            if given is not None and given.split(":")[3:5] != [pipeline.region, pipeline.account]:
                raise ConfigurationError(
                    f"context pipeline.source.{key}: must be a {kind} of account {pipeline.account} in "
                    f"{pipeline.region}, was {shown(given)}"
                )


def _one(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def partition_of(region: str) -> str:
    """The partition of a region; its name says it."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
