"""How deliveries of a stage go, in figures and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.alarms import FailureAlarms
from constructs_lib.audit_export import AuditExport
from constructs_lib.audit_trail import AuditTrail
from constructs_lib.data_lake import DataLake
from constructs_lib.delivery_figures import DeliveryFigures
from constructs_lib.grants import arn
from constructs_lib.incidents import IncidentAlarms, platform_incident
from constructs_lib.on_call import OnCallTopic
from constructs_lib.platform_dashboard import PlatformDashboard
from stacks.config import StageConfig


class FiguresStack(Stack):
    """Holds no state: deliveries are recorded in the lake's table of runs.

    Args:
        endpoint_alarms: Workload to the names of the alarms of its endpoint.
        pipelines: Pipelines of this account that deliver the platform, name to region.
        incident_alarms: Names of the alarms that tell of incidents of workloads.
        trail: The audit trail, beside which the audit table is exported; or there is none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        lake: DataLake,
        on_call: OnCallTopic,
        endpoint_alarms: Mapping[str, Sequence[str]],
        pipelines: Mapping[str, str],
        incident_alarms: Sequence[str],
        trail: AuditTrail | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: figures of deliveries",
            termination_protection=False,
            tags=stage.tags,
        )
        workloads = list(endpoint_alarms)
        incident = platform_incident(stage.name)
        alarms = FailureAlarms(on_call, incident)
        DeliveryFigures(
            self,
            "Deliveries",
            stage=stage.name,
            records=lake.runs_table,
            key=lake.key,
            alarms=alarms,
            log_retention_days=stage.log_retention_days,
            workloads=workloads,
        )
        if trail is not None:
            AuditExport(self, "AuditExport", trail=trail, decisions=lake.audit_table, key=lake.key, alarms=alarms)
        told_by = [*incident_alarms, *IncidentAlarms(self, "Incidents", alarms=[alarms]).names]
        if stage.dashboard:
            PlatformDashboard(
                self,
                "Platform",
                stage=stage.name,
                workloads=workloads,
                endpoint_alarms=endpoint_alarms,
                pipelines=pipelines,
                incidents=[arn("cloudwatch", f"alarm:{each}") for each in told_by],
                platform_alarms=[each.attr_arn for each in (*incident.members, *incident.alone)],
            )
