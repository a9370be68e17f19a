"""One page for the log search: what is wrong, and how it fills."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from constructs_lib.dashboard_widgets import graph, placed, states
from constructs_lib.log_store import LogStore
from constructs_lib.names.naming import check_stage
from constructs_lib.place import ACCOUNT

_PERIOD = 300


class LogDashboard(Construct):
    """Defines a dashboard with every alarm of the log search, its disks and what it takes.

    Args:
        stage: Whose logs they are; the dashboard is named after it.
        store: The domain.
        alarms: The alarms.

    Attributes:
        name: Name of the dashboard.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        store: LogStore,
        alarms: Sequence[cloudwatch.CfnAlarm],
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = f"gapless-{check_stage(stage)}-logs"
        of_domain = ["DomainName", store.name, "ClientId", ACCOUNT]
        rows = [
            [states("Alarms", [each.attr_arn for each in alarms])],
            [
                graph("Free disk, MiB", [["AWS/ES", "FreeStorageSpace", *of_domain]], stat="Minimum", period=_PERIOD),
                graph("Lines taken", [["AWS/ES", "IndexingRate", *of_domain]], stat="Sum", period=_PERIOD),
            ],
        ]
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=self.name,
            dashboard_body=Stack.of(self).to_json_string({"widgets": list(placed(rows))}),
        )
