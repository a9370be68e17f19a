"""Labelling jobs of SageMaker Ground Truth, one for every export of rows that the model was unsure of."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import (
    METRICS_WITHOUT_RESOURCE,
    ServiceRole,
    acknowledge,
    arn,
    grant,
    grant_metrics,
    grant_pass_role,
)
from constructs_lib.machine_schedule import MachineSchedule
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.relabelling import JOBS, LabellingParts, relabelling_machine
from constructs_lib.names.relabelled import LABELLED, OUT
from constructs_lib.names.relabelling_file import GroundTruth
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.row_relabelling import SCHEDULE, RowRelabelling
from constructs_lib.text_asset import TextAsset

_SERVICE = "sagemaker.amazonaws.com"
_LOG = "log-group:/aws/sagemaker/LabelingJobs"
_METRICS = ("/aws/sagemaker/*", "AWS/SageMaker/Workteam")
_TEMPLATE = """\
<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-classifier name="crowd-classifier" header="{title}"
      categories="{{{{ task.input.labels | to_json | escape }}}}">
    <classification-target style="white-space: pre-wrap">{{{{ task.input.taskObject }}}}</classification-target>
    <full-instructions header="{title}">{instruction}</full-instructions>
    <short-instructions>{instruction}</short-instructions>
  </crowd-classifier>
</crowd-form>
"""


class LabellingJobs(Construct):
    """Defines the machine that chooses rows once a day, has a labelling job made of them, and takes its labels in.

    Args:
        around: What is around all machines of the workload.
        asked: The job, as the workload file says.
        labels: What people choose from.
        relabelling: Chooses rows and takes labels in.
        lake: Where everything is.
        on_call: Is told of failed executions.
        alarms: Whom to tell when an execution fails or could not be started, or why nobody is told.
        log_retention_days: How long the machine's log is kept, in days.

    Attributes:
        machine: The machine.
        role: The role of the jobs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        asked: GroundTruth,
        labels: Sequence[str],
        relabelling: RowRelabelling,
        lake: DataLake,
        on_call: OnCallTopic,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        template = TextAsset(self, "Template", text=template_of(asked), suffix=".liquid")
        categories = TextAsset(self, "Labels", text=categories_of(labels), suffix=".json")
        self.role = self._define_role(asked, relabelling.folder, lake)
        for each in (template, categories):
            each.grant_read(self.role)
        self.machine = PipelineMachine(
            self,
            "Machine",
            name=around.name_of("relabel"),
            definition=relabelling_machine(
                around,
                LabellingParts(
                    choose_arn=relabelling.choose.function_arn,
                    import_arn=relabelling.take_in.function_arn,
                    asked=asked,
                    role_arn=self.role.role_arn,
                    key_arn=lake.key.key_arn,
                    template_uri=template.uri,
                    labels_uri=categories.uri,
                    output_uri=f"{relabelling.uri}{LABELLED}/",
                ),
            ),
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        for function in (relabelling.choose, relabelling.take_in):
            function.grant_invoke(self.machine)
        lake.grant_table(self.machine, lake.runs_table, "dynamodb:UpdateItem")
        on_call.grant_publish(self.machine)
        self._grant_jobs(around)
        MachineSchedule(
            self,
            "Schedule",
            workload=around.workload,
            machine=self.machine,
            schedule=SCHEDULE,
            does=f"has rows of {around.workload} labelled",
            alarms=alarms,
        )

    def _define_role(self, asked: GroundTruth, folder: str, lake: DataLake) -> ServiceRole:
        role = ServiceRole(self, "Role", service=_SERVICE, description="Labels rows by people")
        lake.grant_read(role, "artefacts", f"{folder}{OUT}/")
        lake.grant_read(role, "artefacts", f"{folder}{LABELLED}/")
        lake.grant_write(role, "artefacts", f"{folder}{LABELLED}/")
        grant(role, ["lambda:InvokeFunction"], asked.prepares, asked.consolidates)
        grant(
            role,
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            arn("logs", _LOG),
            arn("logs", f"{_LOG}:*"),
        )
        grant_metrics(role, *_METRICS)
        acknowledge(role, METRICS_WITHOUT_RESOURCE)
        return role

    def _grant_jobs(self, around: Surroundings) -> None:
        grant(
            self.machine,
            ["sagemaker:CreateLabelingJob", "sagemaker:DescribeLabelingJob", "sagemaker:StopLabelingJob"],
            arn("sagemaker", f"labeling-job/{around.prefix}{JOBS}-*"),
        )
        grant_pass_role(self.machine, self.role, _SERVICE)


def template_of(asked: GroundTruth) -> str:
    """Returns what people see of a row: its values, and the labels to choose from."""
    return _TEMPLATE.format(title=html.escape(asked.title), instruction=html.escape(asked.instruction))


def categories_of(labels: Sequence[str]) -> str:
    """Returns the labels in the service's format."""
    return json.dumps({"document-version": "2018-11-28", "labels": [{"label": label} for label in labels]})
