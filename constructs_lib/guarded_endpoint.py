"""What guards an endpoint, and exists before it: fixed names, alarms on them, and the role of its containers."""

from __future__ import annotations

from collections.abc import Sequence

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.grants import arn, grant, grant_pass_role
from constructs_lib.images import FrameworkImage
from constructs_lib.network import Network
from constructs_lib.sagemaker_jobs import SERVICE, SageMakerRole, grant_service_use

TOLERATED_ERROR_SHARE = 0.02


@jsii.implements(iam.IGrantable)
class GuardedEndpoint(Construct):
    """Defines everything about a served model but the endpoint, which a state machine creates and replaces.

    The alarms watch the endpoint by its name and the name of its variant, whichever model is behind it. During a
    rollout the metrics mix both fleets; so the alarm on errors goes off when the new fleet's share of the traffic alone
    would bring two per cent of it.

    Args:
        name: Name of the endpoint.
        variant: Name of its only variant.
        prefix: What the names of models and endpoint configurations start with.
        image: The image that serves.
        network: Where it runs.
        key: Encrypts its disks and what it captures.
        alarms: Whom to tell; a rollout without alarms could not be taken back.
        latency_ms: Milliseconds that the slowest hundredth of the requests may take inside the model.
        new_share: Share of the traffic that a new model gets first, above 0 and at most 1.

    Attributes:
        name: Name of the endpoint.
        role: Role of the containers.
        alarm_names: Names of the alarms.

    Raises:
        ValueError: The share is out of range.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        variant: str,
        prefix: str,
        image: FrameworkImage,
        network: Network,
        key: kms.IKey,
        alarms: FailureAlarms,
        latency_ms: int,
        new_share: float,
    ) -> None:
        super().__init__(scope, construct_id)
        if not 0 < new_share <= 1:
            raise ValueError(f"share of the new model must be above 0 and at most 1, got: {new_share}")
        self.name, self._prefix, self._key = name, prefix, key
        self.role = SageMakerRole(
            self,
            "Role",
            description=f"Containers of endpoint {name}",
            image=image,
            network=network,
            key=key,
            logs=f"Endpoints/{name}",
        )
        self.alarm_names: Sequence[str] = (f"{name}-errors", f"{name}-latency")
        # During a rollout SageMaker watches the alarms with the role of the containers, not with the caller's.
        grant(
            self.role, ["cloudwatch:DescribeAlarms"], *(arn("cloudwatch", f"alarm:{each}") for each in self.alarm_names)
        )
        dimensions = {"EndpointName": name, "VariantName": variant}
        alarm(
            self,
            "Errors",
            alarms=alarms,
            name=self.alarm_names[0],
            metric=Metric("AWS/SageMaker", "Invocation5XXErrors", dimensions, statistic="Average", period_seconds=60),
            threshold=TOLERATED_ERROR_SHARE * new_share,
            description=f"Endpoint {name} fails to answer",
            runbook="Read the endpoint's log; a rollout that goes on is taken back by itself",
        )
        alarm(
            self,
            "Latency",
            alarms=alarms,
            name=self.alarm_names[1],
            metric=Metric("AWS/SageMaker", "ModelLatency", dimensions, statistic="p99", period_seconds=60),
            threshold=latency_ms * 1000,
            evaluation_periods=2,
            description=f"Endpoint {name} answers slowly: p99 of the model's latency, in microseconds",
            runbook="Compare invocations per instance with last week's; a rollout that goes on is taken back by itself",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The containers' role, so that grants can be given to the endpoint."""
        return self.role

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody ask for predictions."""
        grant(grantee, ["sagemaker:InvokeEndpoint"], arn("sagemaker", f"endpoint/{self.name}"))

    def grant_deploy(self, grantee: iam.IGrantable) -> None:
        """Lets somebody put models behind the endpoint, watched by the alarms."""
        grant(
            grantee,
            ["sagemaker:CreateModel", "sagemaker:AddTags"],
            arn("sagemaker", f"model/{self._prefix}*"),
        )
        configs = arn("sagemaker", f"endpoint-config/{self._prefix}*")
        grant(
            grantee,
            [
                "sagemaker:CreateEndpoint",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:UpdateEndpoint",
            ],
            arn("sagemaker", f"endpoint/{self.name}"),
            configs,
        )
        grant(grantee, ["cloudwatch:DescribeAlarms"], arn("cloudwatch", "alarm:*"))
        grant_pass_role(grantee, self.role, SERVICE)
        grant_service_use(grantee, self._key)
