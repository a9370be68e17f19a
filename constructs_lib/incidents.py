"""One incident, one message: composite alarms over what one cause sets off together."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Incident
from constructs_lib.names.naming import incident_name

PAGE = "docs/alarms.md"
_MOST_MEMBERS = 100
"""Alarms that CloudWatch lets one rule name."""


def serving_incident(stage: str, workload: str) -> Incident:
    """Returns the incident of what answers requests."""
    what = f"Requests for predictions of {workload} are not answered as they should be"
    return Incident(incident_name(stage, workload, "serving"), what, "critical", f"{PAGE}#serving")


def pipelines_incident(stage: str, workload: str) -> Incident:
    """Returns the incident of machines, jobs, functions and queues."""
    what = f"A pipeline of {workload} stands still"
    return Incident(incident_name(stage, workload, "pipelines"), what, "high", f"{PAGE}#pipelines")


def findings_incident(stage: str, workload: str) -> Incident:
    """Returns the incident of what was found out about data and models, while everything runs."""
    what = f"Data or predictions of {workload} are not what they were"
    return Incident(incident_name(stage, workload, "findings"), what, "low", f"{PAGE}#findings")


def platform_incident(stage: str) -> Incident:
    """Returns the incident of what a stage has beside its workloads."""
    what = f"What stage {stage} knows of its own deliveries is incomplete"
    return Incident(incident_name(stage, None, "platform"), what, "low", f"{PAGE}#platform")


class IncidentAlarms(Construct):
    """Defines the composite alarm of each incident; it is the only one of its alarms that tells anybody.

    It goes off with the first of its alarms and is over with the last. An incident of a single alarm has no composite
    one, which would say nothing more: that alarm tells by itself.

    Args:
        alarms: The incidents, each with whom to tell; all of their alarms have been defined.

    Attributes:
        names: Names of the composite alarms.

    Raises:
        ValueError: An incident has more alarms than a rule may name.
    """

    def __init__(self, scope: Construct, construct_id: str, *, alarms: Sequence[FailureAlarms]) -> None:
        super().__init__(scope, construct_id)
        self.names: list[str] = []
        for each in alarms:
            if each.incident is not None and each.incident.members:
                self._define(each, each.incident)

    def _define(self, alarms: FailureAlarms, incident: Incident) -> None:
        members, told = incident.members, [alarms.topic_arn]
        if len(members) > _MOST_MEMBERS:
            raise ValueError(
                f"incident {incident.name} may have at most {_MOST_MEMBERS} alarms, got: {len(members)}; split it"
            )
        if len(members) == 1:
            members[0].alarm_actions = told
            members[0].ok_actions = told
            return
        self.names.append(incident.name)
        cloudwatch.CfnCompositeAlarm(
            self,
            incident.name.rpartition("-")[2].capitalize(),
            alarm_name=incident.name,
            alarm_description=(
                f"{incident.what}\nSeverity: {incident.severity}\nPage: {incident.page}\n"
                "Runbook: See which of its alarms is on; the description of each says what to do"
            ),
            alarm_rule=" OR ".join(f'ALARM("{each.ref}")' for each in members),
            actions_enabled=True,
            alarm_actions=told,
            ok_actions=told,
        )
