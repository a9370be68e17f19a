"""One page that shows how deliveries, pipelines and endpoints of a stage are doing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from constructs_lib.dashboard_widgets import Series, Widget, graph, number, placed, states, text
from constructs_lib.grants import arn
from constructs_lib.names import metrics
from constructs_lib.names.delivery import DEPLOYMENT_MACHINE, ENDPOINT
from constructs_lib.names.naming import runtime_name
from constructs_lib.place import REGION

_HOUR, _DAY = 3600, 24 * 3600

MACHINES = ("loop", "data", "model", DEPLOYMENT_MACHINE)


class PlatformDashboard(Construct):
    """Defines a dashboard: DORA's four figures of platform and models, and each workload's pipelines and endpoint.

    CloudWatch has three dashboards per account free of charge, with up to 50 metrics each; more than that cost by the
    month, looked at or not. This one has 4 metrics per pipeline and 15 per workload.

    Args:
        stage: The stage; the dashboard is named after it.
        workloads: What runs in it.
        endpoint_alarms: Workload to the names of the alarms of its endpoint.
        incidents: ARNs of the alarms that tell of incidents. Default: none are shown.
        platform_alarms: ARNs of the alarms on what the stage has beside its workloads. Default: none are shown.
        pipelines: Pipelines of this account whose figures are shown as the platform's, name to region. Default: none.

    Attributes:
        name: Name of the dashboard.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workloads: Sequence[str],
        endpoint_alarms: Mapping[str, Sequence[str]],
        incidents: Sequence[str] = (),
        platform_alarms: Sequence[str] = (),
        pipelines: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        rows = [[text(f"# Gapless, stage {stage}\nFigures of the last four weeks; see `docs/delivery-figures.md`")]]
        alarms = {"Incidents": incidents, "Alarms of the platform": platform_alarms}
        if any(alarms.values()):
            rows.append([states(title, arns) for title, arns in alarms.items() if arns])
        for pipeline, region in (pipelines or {}).items():
            rows += _delivered_by(pipeline, region)
        for workload in workloads:
            rows += [
                [text(f"## {workload}")],
                four_figures(metrics.dimensions(stage, workload)),
                list(running(stage, workload, endpoint_alarms.get(workload, ()))),
            ]
        self.name = f"gapless-{stage}"
        _define(self, self.name, rows)


class PipelineDashboard(Construct):
    """Defines a dashboard in the account of a pipeline: DORA's four figures of the platform.

    It has 4 metrics; stages of other accounts cannot show them.

    Args:
        pipeline: The pipeline; the dashboard is named after it.

    Attributes:
        name: Name of the dashboard.
    """

    def __init__(self, scope: Construct, construct_id: str, *, pipeline: str) -> None:
        super().__init__(scope, construct_id)
        self.name = f"{pipeline}-pipeline"
        title = text("# Delivery of the platform\nFigures of the last four weeks; see `docs/delivery-figures.md`")
        _define(self, self.name, [[title], *_delivered_by(pipeline, REGION)])


def four_figures(dimensions: Mapping[str, str], region: str = REGION) -> list[Widget]:
    """Returns one row: deliveries, lead time, share of failed ones, time to restore.

    Args:
        dimensions: Of the figures of one workload or pipeline.
    """

    def of(name: str, **options: Any) -> Series:
        flat = [part for pair in dimensions.items() for part in pair]
        return [metrics.NAMESPACE, name, *flat, options]

    made = of(metrics.DELIVERIES, id="made", stat="Sum", visible=False)
    failed = of(metrics.DELIVERIES_FAILED, id="failed", stat="Sum", visible=False)
    succeeded = [{"expression": "made - FILL(failed, 0)", "label": "deployed", "id": "deployed"}]
    share = [{"expression": "100 * FILL(failed, 0) / made", "label": "failed, %", "id": "share"}]
    restored = of(metrics.TIME_TO_RESTORE, stat="p50", label="restored")
    return [
        number("Deployment frequency, in four weeks", [made, failed, succeeded], region),
        number("Lead time, median in seconds", [of(metrics.LEAD_TIME, stat="p50", label="lead time")], region),
        number("Change failure rate", [made, failed, share], region),
        number("Time to restore, median in seconds", [restored], region),
    ]


def _delivered_by(pipeline: str, region: str) -> list[list[Widget]]:
    return [[text(f"## Platform: pipeline {pipeline}")], four_figures({metrics.PIPELINE: pipeline}, region)]


def _define(scope: Construct, name: str, rows: Sequence[Sequence[Widget]]) -> None:
    body = {"start": "-P28D", "periodOverride": "inherit", "widgets": list(placed(rows))}
    cloudwatch.CfnDashboard(
        scope, "Dashboard", dashboard_name=name, dashboard_body=Stack.of(scope).to_json_string(body)
    )


def running(stage: str, workload: str, alarms: Sequence[str]) -> Iterator[Widget]:
    """Yields how a workload's pipelines and its endpoint are doing.

    Args:
        alarms: Names of the alarms of the endpoint.
    """
    executions = [
        ["AWS/States", f"Executions{outcome}", "StateMachineArn", _machine(stage, workload, machine), {"label": label}]
        for machine in MACHINES
        for outcome, label in (("Succeeded", machine), ("Failed", f"{machine} failed"))
    ]
    yield graph("Pipelines: executions a day", executions, stat="Sum", period=_DAY)
    endpoint = ["EndpointName", runtime_name(stage, workload, ENDPOINT), "VariantName", "primary"]
    yield graph(
        "Endpoint",
        [
            ["AWS/SageMaker", "Invocations", *endpoint, {"stat": "Sum"}],
            ["AWS/SageMaker", "Invocation5XXErrors", *endpoint, {"stat": "Sum"}],
            ["AWS/SageMaker", "ModelLatency", *endpoint, {"stat": "p99", "yAxis": "right"}],
        ],
        stat="Sum",
        period=_HOUR,
    )
    if alarms:
        yield states("Alarms of the endpoint", [arn("cloudwatch", f"alarm:{each}") for each in alarms])


def _machine(stage: str, workload: str, machine: str) -> str:
    return arn("states", f"stateMachine:{runtime_name(stage, workload, machine)}")
