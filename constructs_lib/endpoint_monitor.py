"""What an endpoint serves is looked at again and again: the machine, its schedule, and alarms on what it finds."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm, unusual_alarm
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import grant_metrics
from constructs_lib.machine_schedule import MachineSchedule
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.monitoring import (
    BASELINES,
    CAPTURE,
    MONITORING,
    OUTCOMES,
    MonitoringParts,
    monitoring_machine,
)
from constructs_lib.machines.signing import MODELS
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names import metrics
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.sagemaker_jobs import SageMakerJobs
from constructs_lib.text_asset import TextAsset

_SCHEDULES = {"day": "cron(23 1 * * ? *)", "hour": "cron(23 * * * ? *)"}
"""Some minutes after the window, for what was captured last is written late."""

_HOUR = 3600

_FOUND = {
    "schema": ("has other columns, types, ranges or values", "Ask who sends the requests what has changed"),
    "completeness": ("lacks more values", "Ask who sends the requests why values are missing"),
    "drift": ("is distributed otherwise", "Look at the pictures of what has moved; is it the season, or a new world?"),
    "predictions": (
        "is answered otherwise",
        "Compare with what has moved in the requests; if nothing has, look at the model",
    ),
    "quality": ("is answered worse", "Retrain on newer rows; if the challenger is no better, look at the features"),
    "bias": ("is answered less fairly", "Look at the facet in the report before anything is retrained"),
    "attributions": (
        "is decided by other features",
        "Compare the features' weights in the report; look for a broken one",
    ),
}


class EndpointMonitor(Construct):
    """Defines the machine that compares what was served with the dataset behind the serving model.

    Each family of checks has an alarm, which goes off when a check of the family is broken in a window. How many
    requests and rows come has no right number, so those are compared with what is usual at this time of the week.

    Args:
        around: What is around all machines of the workload.
        parts: What the machine works with.
        lake: Where requests are captured and datasets lie.
        registry: Where models are.
        processing: The kind of jobs that looks.
        options: What the jobs must know.
        on_call: Is told of failed executions.
        alarms: Whom to tell when an execution fails or could not be started.
        found: Whom to tell when a check is broken, or fewer or more rows come than usual.
        log_retention_days: How long logs are kept, in days.

    Attributes:
        machine: The machine.
        alarm_names: Family of checks to the name of its alarm.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        parts: MonitoringParts,
        lake: DataLake,
        registry: ModelRegistry,
        processing: SageMakerJobs,
        options: TextAsset,
        on_call: OnCallTopic,
        alarms: FailureAlarms,
        found: FailureAlarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        folder = f"{around.workload}/"
        options.grant_fetch(processing)
        for each in (BASELINES, MONITORING):
            lake.grant_write(processing, "artefacts", f"{folder}{each}/")
        self.machine = PipelineMachine(
            self,
            "Machine",
            name=around.name_of("monitor"),
            definition=monitoring_machine(around, parts),
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        processing.grant_run(self.machine)
        registry.grant_describe(self.machine)
        grant_metrics(self.machine, metrics.NAMESPACE)
        on_call.grant_publish(self.machine)
        lake.grant_table(self.machine, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        lake.grant_read(self.machine, "datasets", folder)
        lake.grant_read(self.machine, "artefacts", f"{folder}{MONITORING}/")
        listed = (CAPTURE, OUTCOMES, *((MODELS,) if parts.going_back is not None else ()))
        for each in listed:
            lake.grant_list(self.machine, "artefacts", f"{folder}{each}/")
        if parts.going_back is not None:
            lake.grant_table(self.machine, lake.audit_table, "dynamodb:PutItem")
        MachineSchedule(
            self,
            "Schedule",
            workload=around.workload,
            machine=self.machine,
            schedule=_SCHEDULES[parts.every],
            does=f"looks at what {around.workload} has served",
            alarms=alarms,
        )
        self.alarm_names = {family: around.name_of(f"monitor-{family}") for family in _FOUND}
        for family, (what, runbook) in _FOUND.items():
            self._watch(around, family, what, runbook, parts.every, found)
        self._watch_amounts(around, parts, found)

    def _watch(
        self, around: Surroundings, family: str, what: str, runbook: str, every: str, alarms: FailureAlarms
    ) -> None:
        alarm(
            self,
            f"{family.capitalize()}Broken",
            alarms=alarms,
            name=self.alarm_names[family],
            metric=Metric(
                metrics.NAMESPACE,
                metrics.of_family(family)[0],
                metrics.dimensions(around.stage, around.workload),
                statistic="Maximum",
            ),
            threshold=1,
            description=f"What {around.workload} served in the last {every} {what}",
            runbook=f"Read the monitor's page (report_uri of the run's record). {runbook}",
        )

    def _watch_amounts(self, around: Surroundings, parts: MonitoringParts, alarms: FailureAlarms) -> None:
        unusual_alarm(
            self,
            "TrafficUnusual",
            alarms=alarms,
            metric=Metric(
                "AWS/SageMaker",
                "Invocations",
                {"EndpointName": parts.endpoint_name, "VariantName": parts.variant},
                period_seconds=_HOUR,
            ),
            description=f"{around.workload} is asked much more or much less than usual at this time",
            runbook="Ask who sends the requests; if nobody knows of a change, look at what is between them and us",
        )
        unusual_alarm(
            self,
            "RowsUnusual",
            alarms=alarms,
            metric=Metric(
                metrics.NAMESPACE,
                metrics.ROWS_IN,
                metrics.dimensions(around.stage, around.workload),
                period_seconds=24 * _HOUR,
            ),
            description=f"{around.workload} got much more or much fewer rows in a day than usual",
            runbook="Compare the batches of the last days in the run records; ask the producer what has changed",
        )
