"""What AWS charges, as far as a dated source says it: for jobs by the hour, and for what costs while it is there.

Every figure names its source, and a source its date. A price that no source gives is not in the table, and whoever asks
for it is told that there is none: nothing in the table is derived from a neighbouring size, region or service. An
estimate may assume what ``STANDS_IN`` says, and then tells it. All are on-demand list prices in US dollars, without
discounts, free tiers and taxes. ``docs/cost.md`` says how the table is renewed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

HOURS_PER_MONTH: Final = 730

Component = Literal["Training", "Processing", "Transform", "Hosting"]
"""What SageMaker charges for a machine by, as its price list tells uses apart."""


@dataclass(frozen=True)
class Source:
    """Where figures were read.

    Args:
        date: When they were valid, ``YYYY-MM-DD``.
        text: What was read.
    """

    date: str
    text: str


@dataclass(frozen=True)
class Price:
    """One figure.

    Args:
        usd: What a unit costs.
        source: Key of its source.
    """

    usd: float
    source: str


@dataclass(frozen=True)
class Estimate:
    """The price that an estimate counts with.

    Args:
        price: The figure.
        assumption: What is assumed by taking it, in a sentence. Default: nothing, it is the price of what was asked.
    """

    price: Price
    assumption: str | None = None


SOURCES: Final[Mapping[str, Source]] = {
    "bill-2023-12": Source(
        "2023-12-31",
        "An AWS bill of December 2023 for EU (Ireland), published by AWS in aws-samples/sagemaker-ssh-helper, "
        "Sample_Costs.md",
    ),
    "list-2026-05": Source(
        "2026-05-01",
        "AWS Glue's price list, as quoted by awsnegotiations.com/glue-job-cost-optimization.html, May 2026",
    ),
    "list-2026-07": Source(
        "2026-07-30",
        "AWS Price List API, usage types USE1-Host, USE1-Processing and CW:AlarmMonitorUsage, read 2026-07-30",
    ),
    "page-2026-07": Source(
        "2026-07-30", "Amazon CloudWatch's prices of dashboards beyond the three without a price, read 2026-07-30"
    ),
    "list-2026-08": Source("2026-08-11", "AWS Price List API, usage type USE1-Train:ml.m5.large, read 2026-08-11"),
    "list-2026-08-g5": Source("2026-08-20", "AWS Price List API, usage type USE1-Train:ml.g5.2xlarge, read 2026-08-20"),
    "list-2026-08-nat": Source("2026-08-01", "AWS price list of AmazonEC2, us-east-1, effective 2026-08-01"),
    "list-2026-09": Source("2026-09-28", "AWS Price List API, usage type USE1-Host, read 2026-09-28"),
    "list-2026-09-vpc": Source("2026-09-17", "AWS price list of AmazonVPC, us-east-1, published 2026-09-17"),
    "list-2026-09-nat": Source("2026-09-25", "AWS price list of AmazonEC2, eu-west-1, published 2026-09-25"),
    "page-2026-03": Source("2026-03-14", "aws.amazon.com/kms/pricing, the same in every region, as of March 2026"),
    "page-2026-10-05": Source(
        "2026-10-05", "An example of aws.amazon.com/sagemaker/ai/pricing for a small MLflow server, read 2026-10-05"
    ),
    "page-2026-11": Source("2026-11-29", "c3x.dev on aws_cloudwatch_metric_alarm: composite alarms, read 2026-11-29"),
    "page-2026-10": Source("2026-10-06", "aws.amazon.com/secrets-manager/pricing, read 2026-10-06"),
}
"""Key to source. The price lists were read by others than this project; what they published is quoted here."""

MACHINE_HOURS: Final[Mapping[str, Mapping[Component, Mapping[str, Price]]]] = {
    "us-east-1": {
        "Training": {
            "ml.m5.large": Price(0.115, "list-2026-08"),
            "ml.g5.2xlarge": Price(1.515, "list-2026-08-g5"),
        },
        "Processing": {
            "ml.m5.large": Price(0.115, "list-2026-07"),
            "ml.m5.xlarge": Price(0.23, "list-2026-07"),
            "ml.t3.medium": Price(0.05, "list-2026-07"),
        },
        "Transform": {},
        "Hosting": {
            "ml.m5.large": Price(0.115, "list-2026-07"),
            "ml.m5.xlarge": Price(0.23, "list-2026-09"),
            "ml.m5.2xlarge": Price(0.461, "list-2026-09"),
        },
    },
    "eu-west-1": {
        "Training": {
            "ml.m5.xlarge": Price(0.257, "bill-2023-12"),
            "ml.g4dn.xlarge": Price(0.822, "bill-2023-12"),
            "ml.g5.xlarge": Price(1.57, "bill-2023-12"),
            "ml.p3.2xlarge": Price(4.131, "bill-2023-12"),
        },
        "Processing": {"ml.m5.xlarge": Price(0.257, "bill-2023-12")},
        "Transform": {"ml.m5.xlarge": Price(0.257, "bill-2023-12")},
        "Hosting": {
            "ml.m5.xlarge": Price(0.257, "bill-2023-12"),
            "ml.g4dn.xlarge": Price(0.821, "bill-2023-12"),
            "ml.g4dn.4xlarge": Price(1.678, "bill-2023-12"),
            "ml.g4dn.12xlarge": Price(5.453, "bill-2023-12"),
            "ml.g5.12xlarge": Price(7.91, "bill-2023-12"),
        },
    },
}
"""Region, use and machine to the price of an hour."""

STANDS_IN: Final[Mapping[Component, Component]] = {"Transform": "Processing"}
"""Use to the use whose price an estimate takes for the same machine in the same region, where its own has no source.

Wherever the table has both, they are equal."""

Thing = Literal[
    "alarm month",
    "composite alarm month",
    "dashboard month",
    "glue DPU hour",
    "interface endpoint hour",
    "key month",
    "MLflow small server hour",
    "NAT gateway hour",
    "public address hour",
    "secret month",
]

THINGS: Final[Mapping[str, Mapping[Thing, Price]]] = {
    "us-east-1": {
        "alarm month": Price(0.10, "list-2026-07"),
        "composite alarm month": Price(0.50, "page-2026-11"),
        "dashboard month": Price(3.0, "page-2026-07"),
        "glue DPU hour": Price(0.44, "list-2026-05"),
        "interface endpoint hour": Price(0.01, "list-2026-09-vpc"),
        "key month": Price(1.0, "page-2026-03"),
        "MLflow small server hour": Price(0.60, "page-2026-10-05"),
        "NAT gateway hour": Price(0.045, "list-2026-08-nat"),
        "public address hour": Price(0.005, "list-2026-09-vpc"),
        "secret month": Price(0.40, "page-2026-10"),
    },
    "eu-west-1": {
        "key month": Price(1.0, "page-2026-03"),
        "NAT gateway hour": Price(0.048, "list-2026-09-nat"),
    },
}
"""Region and thing to the price of a unit."""


def machine_hour(region: str, component: Component, instance_type: str) -> Price | None:
    """Returns what an hour of a machine costs, or nothing where no source says it."""
    return MACHINE_HOURS.get(region, {}).get(component, {}).get(instance_type)


def estimated_hour(region: str, component: Component, instance_type: str) -> Estimate | None:
    """Returns the price of an hour of a machine that an estimate counts with, or nothing where there is none."""
    own = machine_hour(region, component, instance_type)
    if own is not None:
        return Estimate(own)
    use = STANDS_IN.get(component)
    other = machine_hour(region, use, instance_type) if use is not None else None
    if other is None:
        return None
    return Estimate(
        other,
        f"no source gives the price of {component} on {instance_type} in {region}: that of {use} is assumed",
    )


def price_of(region: str, thing: Thing) -> Price | None:
    """Returns what a unit of a thing costs, or nothing where no source says it."""
    return THINGS.get(region, {}).get(thing)
