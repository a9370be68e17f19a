"""Something that has a size: what was used of it at the most, what to try, and what it costs."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from constructs_lib.names.naming import runtime_prefix
from constructs_lib.names.prices import HOURS_PER_MONTH, Component, machine_hour
from local.aws import Aws
from local.outputs import Outputs, stack_name
from local.settings import REGION, Settings
from local.sizing.figures import DAYS
from local.sizing.hints import Hint

Kind = Literal["job", "Glue job", "endpoint", "scaling", "function"]
Period = Literal["hour", "month"]


@dataclass(frozen=True)
class Cost:
    """What something costs.

    Args:
        usd: Now; None where no source gives a price.
        instead: If the hint is followed; None where it names no other machine, or no source gives a price.
        per: An hour in which it works, or a month in which it is there.
    """

    usd: float | None
    instead: float | None
    per: Period


@dataclass(frozen=True)
class Thing:
    """Something that has a size.

    Args:
        name: What it is called.
        size: What it runs on.
        times: How often it was seen: runs or calls; None of what is there all the time.
        processors, memory: Shares that were used at the most; None where nobody measured.
        cost: None where it is not paid for by its size, or nobody knows by what.
    """

    kind: Kind
    name: str
    size: str
    times: int | None
    processors: float | None
    memory: float | None
    hint: Hint
    cost: Cost | None = None


@dataclass(frozen=True)
class Place:
    """The workload that is looked at, and until when."""

    settings: Settings
    aws: Aws
    outputs: Outputs
    now: dt.datetime

    @property
    def prefix(self) -> str:
        """What the names of its run-time things begin with."""
        return runtime_prefix(self.settings.stage, self.settings.workload)

    @property
    def since(self) -> dt.datetime:
        """From when on is looked."""
        return self.now - dt.timedelta(days=DAYS)

    def client(self, service: str) -> Any:
        """A client of the local AWS."""
        return self.aws.client(service)

    def resources(self, kind: str) -> dict[str, str]:
        """Physical ids of the workload's stack, by logical id."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages.paginate(StackName=stack_name(self.settings))
            for each in page["StackResourceSummaries"]
            if each["ResourceType"] == kind
        }


def cost_of(use: Component, machine: str, count: int, hint: Hint, per: Period) -> Cost:
    """What machines cost, by the table of prices."""
    amount = count * (HOURS_PER_MONTH if per == "month" else 1)
    return Cost(_usd(use, machine, amount), _usd(use, hint.instead, amount), per)


def _usd(use: Component, machine: str | None, amount: float) -> float | None:
    price = None if machine is None else machine_hour(REGION, use, machine)
    return None if price is None else price.usd * amount
