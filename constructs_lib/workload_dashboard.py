"""One page for the people of a workload: what is wrong, what runs, what comes in and what is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from constructs_lib.alarms import Incident
from constructs_lib.dashboard_widgets import Series, Widget, graph, lines, placed, states, text
from constructs_lib.grants import arn
from constructs_lib.names import metrics
from constructs_lib.names.naming import runtime_prefix
from constructs_lib.platform_dashboard import four_figures, running

_DAY = 24 * 3600
_ROWS = (metrics.ROWS_IN, metrics.ROWS_VALIDATED, metrics.ROWS_QUARANTINED)


class WorkloadDashboard(Construct):
    """Defines a dashboard with every alarm of a workload, its figures, pipelines, endpoint, rows, checks and errors.

    CloudWatch has three dashboards per account free of charge; more than that cost by the month, looked at or not.

    Args:
        stage, workload: Whose page it is; the dashboard is named after them.
        incidents: What is told of together; all of their alarms have been defined.
        told_by: Names of the composite alarms.
        queries: Saved queries, as ``log_queries`` returns them; what ``errors`` finds is shown.
        monitored: Whether what is served is monitored.

    Attributes:
        name: Name of the dashboard.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        incidents: Sequence[Incident],
        told_by: Sequence[str],
        queries: Mapping[str, Sequence[str]],
        monitored: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = f"gapless-{runtime_prefix(stage, workload).removesuffix('-')}"
        of_workload = metrics.dimensions(stage, workload)
        query, *groups = queries["errors"]
        rows = [
            [text(f"# {workload}, stage {stage}\nWhat to do when an alarm is on: `docs/alarms.md`")],
            [states("Incidents", [arn("cloudwatch", f"alarm:{each}") for each in told_by]), *_alarms(incidents)],
            four_figures(of_workload),
            list(running(stage, workload, ())),
            list(_looked_at(of_workload, monitored)),
            [lines("Errors", query, groups)],
        ]
        body = {"start": "-P7D", "periodOverride": "inherit", "widgets": list(placed(rows))}
        cloudwatch.CfnDashboard(
            self, "Dashboard", dashboard_name=self.name, dashboard_body=Stack.of(self).to_json_string(body)
        )


def _alarms(incidents: Sequence[Incident]) -> Iterator[Widget]:
    for each in incidents:
        alarms = [*each.members, *each.alone]
        if alarms:
            title = each.name.rpartition("-")[2].capitalize()
            yield states(title, [alarm.attr_arn for alarm in alarms])


def _looked_at(of_workload: Mapping[str, str], monitored: bool) -> Iterator[Widget]:
    flat = [part for pair in of_workload.items() for part in pair]

    def of(*names: str) -> Series:
        return [[metrics.NAMESPACE, name, *flat] for name in names]

    yield graph("Rows a day", of(*_ROWS), stat="Sum", period=_DAY)
    if monitored:
        broken = [metrics.of_family(family)[0] for family in metrics.MONITORED]
        yield graph("Rows that were monitored", of(metrics.ROWS_MONITORED), stat="Sum", period=_DAY)
        yield graph("Broken checks of the monitor", of(*broken), stat="Maximum", period=_DAY)
