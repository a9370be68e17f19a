"""The functions of SageMaker's own monitors: one sets their schedules, one reads what they found."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import arn, grant, grant_pass_role
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.monitoring import MONITORS, SETTING_SECONDS
from constructs_lib.python_function import PythonFunction
from constructs_lib.sagemaker_jobs import SERVICE, grant_service_use

_KINDS: Final = ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")
_DEFINITIONS: Final = {
    "DataQuality": "data-quality-job-definition",
    "ModelQuality": "model-quality-job-definition",
    "ModelBias": "model-bias-job-definition",
    "ModelExplainability": "model-explainability-job-definition",
}
"""Kind of monitor to the resource that its job definition is in ARNs."""


class MonitorSetter(PythonFunction):
    """Defines the function that makes, changes and removes the schedules of a workload's endpoint.

    Without ``grant_make`` it may only remove them.

    Args:
        around: What is around the workload.
        lake: Where what Clarify shall analyse is written, and the names of job definitions are kept.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        lake: DataLake,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            folder="set_monitors",
            description="Sets the schedules of SageMaker's monitors",
            timeout_seconds=SETTING_SECONDS,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        self._around, self._lake = around, lake
        self._schedules = arn("sagemaker", f"monitoring-schedule/{around.prefix}*")
        grant(self, ["sagemaker:DescribeMonitoringSchedule", "sagemaker:DeleteMonitoringSchedule"], self._schedules)
        grant(self, [f"sagemaker:Delete{kind}JobDefinition" for kind in _KINDS], *self._definitions())
        names = f"{around.workload}/{MONITORS}/definitions/"
        lake.grant_read(self, "artefacts", names)
        lake.grant_write(self, "artefacts", names)

    def grant_make(self, role: iam.Role) -> None:
        """Lets the function make schedules whose jobs run with a role."""
        grant(self, ["sagemaker:CreateMonitoringSchedule", "sagemaker:UpdateMonitoringSchedule"], self._schedules)
        grant(self, [f"sagemaker:Create{kind}JobDefinition" for kind in _KINDS], *self._definitions())
        grant_pass_role(self, role, SERVICE)
        grant_service_use(self, self._lake.key)
        self._lake.grant_write(self, "artefacts", f"{self._around.workload}/{MONITORS}/configs/")

    def _definitions(self) -> list[str]:
        return [arn("sagemaker", f"{resource}/{self._around.prefix}*") for resource in _DEFINITIONS.values()]


class MonitorReader(PythonFunction):
    """Defines the function that reads what the schedules of a workload's endpoint found.

    Args:
        around, lake, alarms, log_retention_days: As for ``MonitorSetter``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        lake: DataLake,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            folder="read_monitors",
            description="Reads what SageMaker's monitors found",
            timeout_seconds=SETTING_SECONDS,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
        )
        grant(
            self,
            ["sagemaker:DescribeMonitoringSchedule"],
            arn("sagemaker", f"monitoring-schedule/{around.prefix}*"),
        )
        lake.grant_read(self, "artefacts", f"{around.workload}/{MONITORS}/results/")
