"""What an endpoint serves is looked at by SageMaker Model Monitor and Clarify, in accounts that still have them."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.alarms import FailureAlarms
from constructs_lib.asset_path import asset_path
from constructs_lib.data_lake import DataLake
from constructs_lib.endpoint_monitor import SCHEDULES, watch_amounts, watch_families
from constructs_lib.grants import arn, grant, grant_metrics
from constructs_lib.images import Pullable, RegistryImage
from constructs_lib.machine_schedule import MachineSchedule, MachineTrigger
from constructs_lib.machines.aws_monitors import AFTER_DEPLOYMENT, AwsMonitorsParts, monitors_machine
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.monitoring import BASELINES, CAPTURE, MONITORING, MONITORS, OUTCOMES
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.monitor_functions import MonitorReader, MonitorSetter
from constructs_lib.names import metrics, monitor_images
from constructs_lib.names.monitoring_file import LOOKS_AT
from constructs_lib.network import Network
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.sagemaker_jobs import SageMakerJobs, SageMakerRole, grant_service_use
from constructs_lib.text_asset import TextAsset

_READING = (
    "Read the monitor's page (report_uri of the run's record), or constraint_violations.json below monitors/results/."
)


def preprocessor_script() -> str:
    """Returns the script that names the columns of what was captured, which Model Monitor loads."""
    return (asset_path("sagemaker_jobs") / "record_preprocessor.py").read_text(encoding="utf-8")


class MonitorImages(Construct):
    """Finds the images of Model Monitor and of Clarify in the region that the stack is deployed to.

    Args:
        clarify: Whether Clarify looks as well.

    Attributes:
        model_monitor: Model Monitor's image.
        clarify: Clarify's, or nothing.
    """

    def __init__(self, scope: Construct, construct_id: str, *, clarify: bool) -> None:
        super().__init__(scope, construct_id)
        repository, tag = monitor_images.MODEL_MONITOR
        self.model_monitor = RegistryImage(
            self,
            "ModelMonitor",
            registries=monitor_images.MODEL_MONITOR_REGISTRIES,
            repository=repository,
            tag=tag,
        )
        self.clarify: RegistryImage | None = None
        if clarify:
            repository, tag = monitor_images.CLARIFY
            self.clarify = RegistryImage(
                self, "Clarify", registries=monitor_images.CLARIFY_REGISTRIES, repository=repository, tag=tag
            )


class MonitorRole(SageMakerRole):
    """Defines the role of the monitors' jobs: they read what was served and what came true, and write what they found.

    Args:
        around: What is around the workload.
        model_monitor, clarify: What runs; the second may be left out.
        lake: Where everything is.
        network: Where the jobs run.
        preprocessor: The script that names columns.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        model_monitor: Pullable,
        clarify: Pullable | None,
        lake: DataLake,
        network: Network,
        preprocessor: TextAsset,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"SageMaker's monitors of {around.workload}",
            image=model_monitor,
            network=network,
            key=lake.key,
            logs="ProcessingJobs",
        )
        if clarify is not None:
            clarify.grant_pull(self)
        preprocessor.grant_fetch(self)
        for folder in (BASELINES, CAPTURE, OUTCOMES, MONITORS):
            lake.grant_read(self, "artefacts", f"{around.workload}/{folder}/")
        lake.grant_write(self, "artefacts", f"{around.workload}/{MONITORS}/results/")
        grant_metrics(self, "aws/sagemaker/Endpoints/*")
        grant_service_use(self, lake.key)

    def grant_explain(self, prefix: str) -> None:
        """Lets Clarify ask a model by an endpoint that it makes and removes."""
        grant(self, ["sagemaker:DescribeModel"], arn("sagemaker", f"model/{prefix}*"))
        grant(
            self,
            ["sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:DeleteEndpointConfig"],
            arn("sagemaker", f"endpoint-config/{prefix}clarify*"),
        )
        grant(
            self,
            [
                "sagemaker:CreateEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:InvokeEndpoint",
                "sagemaker:DeleteEndpoint",
            ],
            arn("sagemaker", f"endpoint/{prefix}clarify*"),
            arn("sagemaker", f"endpoint-config/{prefix}clarify*"),
        )
        grant(
            self,
            ["sagemaker:AddTags"],
            arn("sagemaker", f"endpoint/{prefix}clarify*"),
            arn("sagemaker", f"endpoint-config/{prefix}clarify*"),
        )


class AwsMonitors(Construct):
    """Defines the machine that keeps the schedules of SageMaker's monitors, and reads what they found.

    It runs after every deployment, as a schedule needs an endpoint when it is made, and after each window. The alarms
    are those of the platform's own monitor, for the families of checks that SageMaker's monitors have.

    Args:
        around: What is around all machines of the workload.
        parts: What the machine works with.
        deployment: The machine after which schedules are set.
        setter, reader: The functions.
        lake: Where requests are captured and datasets lie.
        registry: Where models are.
        processing: The kind of jobs that makes baselines.
        options: What these jobs must know.
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
        parts: AwsMonitorsParts,
        deployment: PipelineMachine,
        setter: MonitorSetter,
        reader: MonitorReader,
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
        options.grant_fetch(processing)
        for folder in (BASELINES, MONITORING):
            lake.grant_write(processing, "artefacts", f"{around.workload}/{folder}/")
        self.machine = PipelineMachine(
            self,
            "Machine",
            name=around.name_of(MONITORS),
            definition=monitors_machine(around, parts),
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        self._grant(around, setter, reader, lake, registry, processing)
        on_call.grant_publish(self.machine)
        does = f"keeps SageMaker's monitors of {around.workload}"
        MachineSchedule(
            self,
            "Schedule",
            workload=around.workload,
            machine=self.machine,
            schedule=SCHEDULES[parts.making.every],
            does=does,
            alarms=alarms,
        )
        MachineTrigger(
            self,
            "Deployed",
            workload=around.workload,
            machine=self.machine,
            pattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {"stateMachineArn": [deployment.machine_arn], "status": ["SUCCEEDED"]},
            },
            triggered_by=AFTER_DEPLOYMENT,
            does=does,
            alarms=alarms,
        )
        families = [family for kind in parts.kinds for family in LOOKS_AT[kind]]
        self.alarm_names = watch_families(self, around, families, parts.making.every, found, _READING)
        watch_amounts(self, around, parts.making, found)

    def _grant(
        self,
        around: Surroundings,
        setter: MonitorSetter,
        reader: MonitorReader,
        lake: DataLake,
        registry: ModelRegistry,
        processing: SageMakerJobs,
    ) -> None:
        machine = self.machine
        setter.grant_invoke(machine)
        reader.grant_invoke(machine)
        processing.grant_run(machine)
        registry.grant_describe(machine)
        grant_metrics(machine, metrics.NAMESPACE)
        lake.grant_table(machine, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        lake.grant_read(machine, "datasets", f"{around.workload}/")
        lake.grant_read(machine, "artefacts", f"{around.workload}/{MONITORING}/")
