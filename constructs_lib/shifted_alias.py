"""An alias of a function whose new versions get a share of the calls first, watched by alarms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import CfnCodeDeployLambdaAliasUpdate, CfnDeletionPolicy, CfnUpdatePolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.grants import ServiceRole, arn, grant
from constructs_lib.python_function import PythonFunction

ALIAS = "live"
GROUP = "live"
SERVICE = "codedeploy.amazonaws.com"


@dataclass(frozen=True)
class Limits:
    """When calls of the alias count as failed or slow.

    Args:
        errors: Calls of one minute that fail.
        p99_ms: Milliseconds that the slowest hundredth of the calls may take.
    """

    errors: int
    p99_ms: int


class ShiftedAlias(Construct):
    """Defines an alias that CodeDeploy moves to each new version: a tenth of the calls first, then all.

    Before callers reach it a hook asks the new version, when all do another hook asks the alias; a hook that is not
    content, or an alarm on the alias, takes the alias back to the version before, and CloudFormation's update with it.

    Args:
        function: The function.
        content: What a version consists of beside its code and must be published anew for, such as its settings.
        application: Name of the CodeDeploy application.
        minutes: How long the new version gets a tenth of the calls.
        limits: When the alarms go off.
        alarms: Whom to tell; a shift without alarms could not be taken back.

    Attributes:
        arn: Of the alias.
        version_arn: Of the newest version.
        alarms: On the alias.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: PythonFunction,
        content: Sequence[str],
        application: str,
        minutes: int,
        limits: Limits,
        alarms: FailureAlarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self._function, self._application = function, application
        version = lambda_.CfnVersion(
            self, f"Version{_digest(function.code_hash, *content)}", function_name=function.function_name
        )
        # A version that callers may still be taken back to must outlast the template that brought the next one.
        version.cfn_options.deletion_policy = CfnDeletionPolicy.RETAIN
        version.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
        self.version_arn: str = version.ref
        self.arn: str = f"{function.function_arn}:{ALIAS}"
        self.alarms = self._define_alarms(limits, alarms)
        self._role = ServiceRole(
            self, "Role", service=SERVICE, description=f"CodeDeploy moves the alias of {application} to new versions"
        )
        grant(self._role, ["lambda:GetAlias", "lambda:UpdateAlias"], function.function_arn, self.arn)
        grant(self._role, ["cloudwatch:DescribeAlarms"], *(each.attr_arn for each in self.alarms))
        made = codedeploy.CfnApplication(self, "Application", application_name=application, compute_platform="Lambda")
        self._group = self._define_group(made, minutes)
        self._alias = lambda_.CfnAlias(
            self,
            "Alias",
            name=ALIAS,
            function_name=function.function_name,
            function_version=version.attr_version,
        )
        self.ref: str = self._alias.ref

    def _define_group(self, application: codedeploy.CfnApplication, minutes: int) -> codedeploy.CfnDeploymentGroup:
        group = codedeploy.CfnDeploymentGroup(
            self,
            "Group",
            application_name=application.ref,
            deployment_group_name=GROUP,
            service_role_arn=self._role.role_arn,
            deployment_config_name=f"CodeDeployDefault.LambdaCanary10Percent{minutes}Minutes",
            deployment_style=codedeploy.CfnDeploymentGroup.DeploymentStyleProperty(
                deployment_type="BLUE_GREEN", deployment_option="WITH_TRAFFIC_CONTROL"
            ),
            alarm_configuration=codedeploy.CfnDeploymentGroup.AlarmConfigurationProperty(
                enabled=True,
                alarms=[codedeploy.CfnDeploymentGroup.AlarmProperty(name=each.ref) for each in self.alarms],
            ),
            auto_rollback_configuration=codedeploy.CfnDeploymentGroup.AutoRollbackConfigurationProperty(
                enabled=True,
                events=["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
            ),
        )
        self._role.come_before(group)
        return group

    def _define_alarms(self, limits: Limits, alarms: FailureAlarms) -> list[cloudwatch.CfnAlarm]:
        dimensions = {"FunctionName": self._function.function_name, "Resource": self._on_alias()}
        runbook = "Read the function's log; a new version that is being shifted to is taken back by itself"
        return [
            alarm(
                self,
                "Errors",
                alarms=alarms,
                metric=Metric("AWS/Lambda", "Errors", dimensions, period_seconds=60),
                threshold=limits.errors,
                description="Calls of the alias fail",
                runbook=runbook,
            ),
            alarm(
                self,
                "Duration",
                alarms=alarms,
                metric=Metric("AWS/Lambda", "Duration", dimensions, statistic="p99", period_seconds=60),
                threshold=limits.p99_ms,
                evaluation_periods=2,
                description="Calls of the alias are slow: p99, in milliseconds",
                runbook=runbook,
            ),
        ]

    def _on_alias(self) -> str:
        return f"{self._function.function_name}:{ALIAS}"

    def shift_between(self, before: PythonFunction, after: PythonFunction) -> None:
        """Has one function ask the new version before callers reach it, and another one the alias afterwards."""
        for hook in (before, after):
            hook.grant_invoke(self._role)
            grant(
                hook,
                ["codedeploy:PutLifecycleEventHookExecutionStatus"],
                arn("codedeploy", f"deploymentgroup:{self._application}/{GROUP}"),
            )
        self._alias.cfn_options.update_policy = CfnUpdatePolicy(
            code_deploy_lambda_alias_update=CfnCodeDeployLambdaAliasUpdate(
                application_name=self._application,
                deployment_group_name=GROUP,
                before_allow_traffic_hook=before.function_name,
                after_allow_traffic_hook=after.function_name,
            )
        )
        self._alias.node.add_dependency(self._group, before, after)

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody call the function through the alias."""
        grant(grantee, ["lambda:InvokeFunction"], self.arn)

    def grant_invoke_newest(self, grantee: iam.IGrantable) -> None:
        """Lets somebody call the newest version, whether callers reach it already or not."""
        grant(grantee, ["lambda:InvokeFunction"], self.version_arn)


def _digest(*content: str) -> str:
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:10]
