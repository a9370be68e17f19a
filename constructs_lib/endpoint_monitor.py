"""What an endpoint serves is looked at again and again: the machine, its schedule, and alarms on what it finds."""

from __future__ import annotations

from collections.abc import Sequence

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
from constructs_lib.monitor_functions import MonitorSetter
from constructs_lib.names import metrics
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.sagemaker_jobs import SageMakerJobs
from constructs_lib.text_asset import TextAsset

SCHEDULES = {"day": "cron(23 1 * * ? *)", "hour": "cron(23 * * * ? *)"}
"""Some minutes after the window, for what was captured last is written late."""

_HOUR = 3600
_PAGE = "Read the monitor's page (report_uri of the run's record)."

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
        removing: The function that removes schedules of SageMaker's monitors, which looked before. Default: none did.

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
        removing: MonitorSetter | None = None,
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
            definition=monitoring_machine(around, parts, removing.function_arn if removing is not None else None),
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        if removing is not None:
            removing.grant_invoke(self.machine)
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
            schedule=SCHEDULES[parts.every],
            does=f"looks at what {around.workload} has served",
            alarms=alarms,
        )
        self.alarm_names = watch_families(self, around, tuple(_FOUND), parts.every, found, _PAGE)
        watch_amounts(self, around, parts, found)


def watch_families(
    scope: Construct, around: Surroundings, families: Sequence[str], every: str, alarms: FailureAlarms, reading: str
) -> dict[str, str]:
    """Defines an alarm for each family of checks, which goes off when one of them is broken; gives their names.

    Args:
        scope: Gets the alarms.
        around: Whose checks they are.
        families: The families.
        every: The window.
        alarms: Whom to tell.
        reading: Where people read what was found, in a sentence.
    """
    names = {family: around.name_of(f"monitor-{family}") for family in families}
    for family, name in names.items():
        what, runbook = _FOUND[family]
        alarm(
            scope,
            f"{family.capitalize()}Broken",
            alarms=alarms,
            name=name,
            metric=Metric(
                metrics.NAMESPACE,
                metrics.of_family(family)[0],
                metrics.dimensions(around.stage, around.workload),
                statistic="Maximum",
            ),
            threshold=1,
            description=f"What {around.workload} served in the last {every} {what}",
            runbook=f"{reading} {runbook}",
        )
    return names


def watch_amounts(scope: Construct, around: Surroundings, parts: MonitoringParts, alarms: FailureAlarms) -> None:
    """Defines the alarms on how many requests and rows come, which have no right number."""
    unusual_alarm(
        scope,
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
        scope,
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
