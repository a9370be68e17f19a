"""Files of rows are scored by the model that serves: what checks them, what runs, and what starts it at set times."""

from __future__ import annotations

import hashlib
import json

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import ServiceRole, grant, grant_metrics
from constructs_lib.intake import EventIntake
from constructs_lib.machines.batch_scoring import PREDICTIONS, ROWS, BatchScoringParts, batch_scoring_machine
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.signing import MODELS
from constructs_lib.model_making import ModelMaking
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_signing import ModelSigning
from constructs_lib.names import metrics
from constructs_lib.names.batch_scoring_file import BatchScoring, ScoringSchedule
from constructs_lib.names.landing import SCORING
from constructs_lib.names.naming import table_name
from constructs_lib.network import Network
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.python_function import PythonFunction
from constructs_lib.sagemaker_jobs import BatchScoring as TransformJobs
from constructs_lib.sagemaker_jobs import SageMakerJobs
from constructs_lib.text_asset import TextAsset
from constructs_lib.workload_governance import WorkloadGovernance

_CHECK_SECONDS = 300
_DAY = 24 * 3600


class BatchScoringPipeline(Construct):
    """Defines the machine that scores an input of rows, with everything that it needs.

    An input is a folder below ``<workload>/scoring/`` of the landing zone with a ``_score.json`` that names its files.

    Args:
        around: What is around all machines of the workload.
        asked: What the workload file says.
        lake: Where rows come from, and where predictions go.
        network: Where jobs run.
        place: What jobs need.
        making: What serves the model.
        processing: The kind of jobs that reads rows.
        reading: Their machine and time limit.
        signing: The functions that sign and verify models.
        registry: Where models are.
        contract, contract_digest: What the workload's rows are.
        governance: Who may do what with the table of predictions.
        alarms: Whom to tell when the function, an execution or a schedule fails, or why nobody is told.
        log_retention_days: How long logs are kept, in days.

    Attributes:
        machine: The machine.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        asked: BatchScoring,
        lake: DataLake,
        network: Network,
        place: JobPlace,
        making: ModelMaking,
        processing: SageMakerJobs,
        reading: JobLimits,
        signing: ModelSigning,
        registry: ModelRegistry,
        contract: TextAsset,
        contract_digest: str,
        governance: WorkloadGovernance,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._around, self._asked, self._lake, self._alarms = around, asked, lake, alarms
        self._log_retention_days = log_retention_days
        self._folder = f"{around.workload}/"
        check = self._define_check(contract_digest)
        jobs = self._define_jobs(making, network)
        self._grant_rows(processing, contract)
        parts = BatchScoringParts(
            place=place,
            signing=signing.parts,
            check_scoring_arn=check.function_arn,
            processing_role_arn=processing.role.role_arn,
            reading=reading,
            role_arn=jobs.role.role_arn,
            contract_uri=contract.uri,
            curated_bucket=lake.curated.bucket_name,
            database=lake.databases["curated"],
            table=table_name(around.workload, PREDICTIONS),
            asked=asked,
        )
        self.machine = PipelineMachine(
            self,
            "Machine",
            name=around.name_of("score"),
            definition=batch_scoring_machine(around, parts),
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        check.grant_invoke(self.machine)
        signing.grant_verify(self.machine)
        processing.grant_run(self.machine)
        jobs.grant_run(self.machine)
        registry.grant_serve(self.machine)
        self._grant_machine(governance)

    def _define_check(self, contract_digest: str) -> PythonFunction:
        form = json.dumps([contract_digest, self._asked.join, self._asked.keep, self._asked.strategy])
        check = PythonFunction(
            self,
            "Check",
            folder="check_scoring",
            description=f"Checks rows of {self._around.workload} before a job is started that scores them",
            timeout_seconds=_CHECK_SECONDS,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._log_retention_days,
            environment={
                "WORKLOAD": self._around.workload,
                "SCORING_DIGEST": hashlib.sha256(form.encode()).hexdigest(),
            },
        )
        self._lake.grant_read(check, "landing", f"{self._folder}{SCORING}/")
        return check

    def _define_jobs(self, making: ModelMaking, network: Network) -> TransformJobs:
        lake, folder = self._lake, self._folder
        jobs = TransformJobs(
            self,
            "Transform",
            prefix=self._around.prefix,
            role_description=f"The model of {self._around.workload} while it scores rows",
            image=making.serving_image,
            network=network,
            key=lake.key,
        )
        making.grant_serve(jobs)
        lake.grant_read(jobs, "artefacts", f"{folder}{MODELS}/")
        lake.grant_read(jobs, "artefacts", f"{folder}{ROWS}/")
        lake.grant_write(jobs, "curated", f"{folder}{PREDICTIONS}/")
        return jobs

    def _grant_rows(self, processing: SageMakerJobs, contract: TextAsset) -> None:
        contract.grant_fetch(processing)
        self._lake.grant_read(processing, "landing", f"{self._folder}{SCORING}/")
        self._lake.grant_write(processing, "artefacts", f"{self._folder}{ROWS}/")

    def _grant_machine(self, governance: WorkloadGovernance) -> None:
        machine, lake = self.machine, self._lake
        grant_metrics(machine, metrics.NAMESPACE)
        lake.grant_table(machine, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        lake.grant_read(machine, "artefacts", f"{self._folder}{ROWS}/")
        lake.grant_read(machine, "curated", f"{self._folder}{PREDICTIONS}/")
        lake.grant_write(machine, "curated", f"{self._folder}{PREDICTIONS}/")
        lake.grant_partitions(machine, "curated", self._around.workload)
        grants: list[CfnResource] = governance.grant_register("Scoring", machine.role.role_arn, ["curated"])
        machine.come_after(grants)

    def start_at_set_times(self, schedule: ScoringSchedule, intake: EventIntake) -> None:
        """Defines what puts a wish to score on the workload's queue, by the clock of a time zone.

        Args:
            schedule: When.
            intake: The queue; what cannot be put on it goes to the queue of what was given up, which has an alarm.
        """
        workload = self._around.workload
        role = ServiceRole(
            self, "ScheduleRole", service="scheduler.amazonaws.com", description=f"Asks for scoring of {workload}"
        )
        grant(role, ["sqs:SendMessage"], intake.queue_arn, intake.dead_letter_queue_arn)
        event = {
            "id": "<aws.scheduler.execution-id>",
            "source": "gapless",
            "detail-type": "Scoring Due",
            "time": "<aws.scheduler.scheduled-time>",
            "detail": {"workload": workload, "repeat": schedule.repeat},
        }
        made = scheduler.CfnSchedule
        rule = made(
            self,
            "Schedule",
            description=f"Rows of {workload} are scored",
            schedule_expression=schedule.at,
            schedule_expression_timezone=schedule.time_zone,
            flexible_time_window=made.FlexibleTimeWindowProperty(mode="OFF"),
            state="ENABLED",
            target=made.TargetProperty(
                arn=intake.queue_arn,
                role_arn=role.role_arn,
                input=Stack.of(self).to_json_string(event),
                dead_letter_config=made.DeadLetterConfigProperty(arn=intake.dead_letter_queue_arn),
                retry_policy=made.RetryPolicyProperty(maximum_event_age_in_seconds=_DAY, maximum_retry_attempts=185),
            ),
        )
        role.come_before(rule)
