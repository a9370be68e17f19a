"""Who may have the machines of an endpoint follow its requests."""

from __future__ import annotations

from aws_cdk import aws_iam as iam

from constructs_lib.grants import arn, grant
from constructs_lib.machines.deployment.parts import VARIANT
from constructs_lib.machines.deployment.scaling import waking_alarm
from constructs_lib.names.serving_modes import Scaling
from constructs_lib.place import ACCOUNT, PARTITION

_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def grant_scaling(grantee: iam.IGrantable, endpoint: str, scaling: Scaling) -> None:
    """Lets somebody register how an endpoint scales, and forget it.

    Application Auto Scaling names what is registered by itself; what it is about is told by conditions. It asks whoever
    registers for the leave to scale and to make its own alarms, and for its own role in an account that has none yet.

    Args:
        endpoint: Name of the endpoint.
        scaling: What is registered.
    """
    conditions = {
        "application-autoscaling:service-namespace": "sagemaker",
        "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
    }
    grant(
        grantee,
        [
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:PutScheduledAction",
            "application-autoscaling:RegisterScalableTarget",
        ],
        arn("application-autoscaling", "scalable-target/*"),
        conditions={"StringEquals": conditions},
    )
    grant(grantee, ["sagemaker:UpdateEndpointWeightsAndCapacities"], arn("sagemaker", f"endpoint/{endpoint}"))
    made = [arn("cloudwatch", f"alarm:TargetTracking-endpoint/{endpoint}/variant/{VARIANT}-*")]
    if scaling.follows is not None:
        grant(grantee, ["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"], *made)
    if scaling.min == 0:
        grant(grantee, ["cloudwatch:PutMetricAlarm"], arn("cloudwatch", f"alarm:{waking_alarm(endpoint)}"))
    grant(
        grantee,
        ["iam:CreateServiceLinkedRole"],
        f"arn:{PARTITION}:iam::{ACCOUNT}:role/aws-service-role/{_SERVICE}/{_ROLE}",
        conditions={"StringEquals": {"iam:AWSServiceName": _SERVICE}},
    )
