"""The way of records into the Feature Store: a job, and an alarm for what the store did not take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import jsii
from aws_cdk import CfnResource
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms, FailureAlarms, Metric, alarm
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.spark_job import Capacity, SparkJob


@jsii.implements(iam.IGrantable)
class FeatureIngestion(Construct):
    """Defines the job that puts the records of published datasets into feature groups.

    The job may put records into these groups; where it reads them comes with the lake's grants.

    Args:
        name: Physical name of the job.
        description: What the job does.
        groups: Feature group in ``workload.yaml`` to the group.
        security_configuration: Name of the Glue security configuration that encrypts output and logs.
        key: The key of that configuration.
        refused: Metric that counts the records which were not taken.
        alarms: Whom to tell when a run fails or a record is not taken, or why nobody is told.
        capacity: The compute one run may take. Default: as for every Spark job.

    Attributes:
        name: Physical name of the job.
        group_names: Feature group in ``workload.yaml`` to physical name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        description: str,
        groups: Mapping[str, FeatureGroup],
        security_configuration: str,
        key: kms.IKey,
        refused: Metric,
        alarms: Alarms,
        capacity: Capacity | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.group_names = {group: each.name for group, each in groups.items()}
        self._job = SparkJob(
            self,
            "Job",
            name=name,
            script="ingest_features.py",
            description=description,
            security_configuration=security_configuration,
            key=key,
            alarms=alarms,
            capacity=capacity,
        )
        for each in groups.values():
            each.grant_ingest(self._job)
        if isinstance(alarms, FailureAlarms):
            alarm(
                self,
                "Refused",
                alarms=alarms,
                metric=refused,
                threshold=1,
                description=f"The Feature Store did not take every record of job {name}",
                runbook="features.json beside the dataset's manifest says where the records are kept, with the "
                "reasons; the next run tries them again",
            )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The job's role, so that grants can be given to the job."""
        return self._job.grant_principal

    @property
    def role(self) -> iam.Role:
        """The job's role."""
        return self._job.role

    def come_after(self, grants: Iterable[CfnResource]) -> None:
        """Lets the job be made when its grants are."""
        self._job.come_after(grants)

    def grant_run(self, grantee: iam.IGrantable) -> None:
        """Lets somebody start runs, watch them and stop them."""
        self._job.grant_run(grantee)
