"""What the pipeline finds in a stage: the roles that it takes there, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import CfnOutput, Stack, Token
from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.grants import arn, grant
from constructs_lib.names.naming import runtime_name, runtime_prefix
from constructs_lib.place import PARTITION, REGION
from stacks.config import StageConfig
from stacks.pipeline_config import Deliverer

TESTED = {
    "ALARMS": "AlarmNames",
    "DATA_MACHINE": "DataMachineArn",
    "DEPLOYMENT_MACHINE": "DeploymentMachineArn",
    "LANDING_BUCKET": "LandingBucket",
    "LOOP_MACHINE": "LoopMachineArn",
    "MODEL_MACHINE": "ModelMachineArn",
    "STARTER": "StarterFunctionName",
}
"""Variable of a test to the output of a workload's stack."""

MACHINES = ("loop", "data", "model", "deploy")


class DeliveryStack(Stack):
    """Stateless: roles for builds of the pipeline, which is in another account or will be.

    The roles have names because each side has to know the other's before it exists.

    Args:
        stage: The stage.
        deliverer: Who takes the roles.
        stacks: Workload to its stack; the roles are about what its outputs name.
        lake: Where bundles go.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        deliverer: Deliverer,
        stacks: Mapping[str, Stack],
        lake: DataLake,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: roles that the delivery pipeline takes",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self._stage = stage.name
        self._deliverer = deliverer
        for stack in stacks.values():
            self.add_stack_dependency(stack)
        self._define_smoke_test(stacks)
        if deliverer.trains:
            self._define_training(stacks, lake)

    def _define_smoke_test(self, stacks: Mapping[str, Stack]) -> None:
        role = self._role("SmokeTest", "smoke", "Asks whether what was deployed is there and works")
        for workload, stack in stacks.items():
            starter = output_of(stack.stack_name, "StarterFunctionName")
            landing = output_of(stack.stack_name, "LandingBucket")
            machines = [arn("states", f"stateMachine:{runtime_name(self._stage, workload, each)}") for each in MACHINES]
            grant(role, ["states:DescribeStateMachine"], *machines)
            grant(
                role, ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"], arn("lambda", f"function:{starter}")
            )
            grant(role, ["s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"], f"arn:{PARTITION}:s3:::{landing}")
        grant(role, ["cloudwatch:DescribeAlarms"], arn("cloudwatch", "alarm:*"))

    def _define_training(self, stacks: Mapping[str, Stack], lake: DataLake) -> None:
        role = self._role("ModelCode", "model", "Publishes scripts of workloads and asks for a training with them")
        for workload, stack in stacks.items():
            grant(role, ["cloudformation:DescribeStacks"], arn("cloudformation", f"stack/{stack.stack_name}/*"))
            prefix = f"{workload}/bundles/"
            lake.grant_read(role, "artefacts", prefix)
            lake.grant_write(role, "artefacts", prefix)
            loop = runtime_name(self._stage, workload, "loop")
            grant(role, ["states:ListExecutions"], arn("states", f"stateMachine:{loop}"))
            grant(
                role,
                ["states:DescribeExecution"],
                arn("states", f"execution:{runtime_prefix(self._stage, workload)}loop:*"),
            )
        grant(
            role,
            ["events:PutEvents"],
            arn("events", "event-bus/default"),
            conditions={"StringEquals": {"events:source": "gapless", "events:detail-type": "Re-run Requested"}},
        )

    def _role(self, construct_id: str, purpose: str, description: str) -> iam.Role:
        """Defines a role that exactly one role of the pipeline's account takes."""
        deliverer = self._deliverer
        taker = f"arn:{PARTITION}:iam::{deliverer.account}:role/{deliverer.build_role(purpose)}"
        return iam.Role(
            self,
            construct_id,
            role_name=deliverer.stage_role(self._stage, purpose),
            description=description,
            assumed_by=iam.PrincipalWithConditions(
                iam.AccountPrincipal(deliverer.account), {"ArnEquals": {"aws:PrincipalArn": taker}}
            ),
        )


def tested_outputs(workload: Stack) -> dict[str, CfnOutput]:
    """Returns the outputs of a workload's stack by which its deployment is tested, by the variable a test reads."""
    outputs = {}
    for variable, name in TESTED.items():
        output = workload.node.find_child(name)
        assert isinstance(output, CfnOutput)  # noqa: S101
        outputs[variable] = output
    return outputs


def output_of(stack: str, output: str, region: str = REGION) -> str:
    """Returns an output that another stack of the account has anyway; the CDK refuses references that leave a stage."""
    return Token.as_string({"Fn::GetStackOutput": {"StackName": stack, "OutputName": output, "Region": region}})
