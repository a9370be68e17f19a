"""What a pipeline deploys, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import CfnOutput, Stage

from stacks.pipeline_config import PipelineConfig, Place


@dataclass(frozen=True)
class DeliveredStage:
    """A stage of the platform that the pipeline deploys.

    Attributes:
        name: Its name.
        stage: The stage.
        outputs: Workload to those outputs of its stack by which it is tested, by the variable that a test reads.
    """

    name: str
    stage: Stage
    outputs: Mapping[str, Mapping[str, CfnOutput]]


@dataclass(frozen=True)
class Wave:
    """Stages that are deployed at the same time.

    Attributes:
        accounts: What their accounts and regions need first, unless an earlier wave has brought it.
        stages: The stages.
        approved: Whether a person has to agree, whatever changes.
    """

    accounts: tuple[Stage, ...]
    stages: tuple[DeliveredStage, ...]
    approved: bool

    @property
    def name(self) -> str:
        """Names of its stages; names of stages hold no dash."""
        return "-".join(stage.name for stage in self.stages)

    @property
    def all(self) -> tuple[Stage, ...]:
        """Everything that it deploys."""
        return (*self.accounts, *(each.stage for each in self.stages))


def arrange(
    config: PipelineConfig, stages: Sequence[DeliveredStage], accounts: Mapping[Place, Stage]
) -> tuple[Wave, ...]:
    """Returns the waves of the configuration; each account and region comes with the first stage that is in it."""
    by_name = {each.name: each for each in stages}
    named = config.waves_of(by_name)
    approved = config.approved(named)
    waiting = dict(accounts)
    waves = []
    for names in named:
        delivered = tuple(by_name[name] for name in names)
        places = dict.fromkeys((str(each.stage.account), str(each.stage.region)) for each in delivered)
        first = tuple(waiting.pop(place) for place in places if place in waiting)
        waves.append(Wave(first, delivered, bool(approved & set(names))))
    return tuple(waves)
