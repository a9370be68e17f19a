"""The executions that one landed batch set off: loop, data, model, deployment."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError

from local.aws import Aws
from local.executions import RUNNING, SUCCEEDED, Execution, execution_arn, execution_arns, read_execution
from local.outputs import Outputs

REJECTED = "Rejected"
PENDING = "PendingManualApproval"
APPROVED = "Approved"


@dataclass(frozen=True)
class Package:
    """The model package that a run registered: its ARN and its approval status."""

    arn: str
    approval: str


@dataclass(frozen=True)
class Chain:
    """Everything that a run has done so far.

    Args:
        run_id: Of the loop's execution.
        executions: Those that exist, in the order loop, data, model, deployment.
        package: What the run registered, if it did.
    """

    run_id: str
    executions: tuple[Execution, ...]
    package: Package | None

    def of(self, machine: str) -> Execution | None:
        """The execution of a machine, if there is one."""
        return next((execution for execution in self.executions if execution.machine == machine), None)

    @property
    def failed(self) -> Execution | None:
        """The innermost execution that failed, if one did and its caller has given up too."""
        ended_badly = [item for item in self.executions if item.status not in {RUNNING, SUCCEEDED}]
        loop = self.of("loop")
        if loop is not None and loop.status == RUNNING:
            return None
        return ended_badly[-1] if ended_badly else None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen without a person: deployed, turned down, awaiting approval, or failed."""
        loop, deployment = self.of("loop"), self.of("deployment")
        if loop is None or loop.status == RUNNING:
            return False
        if self.failed is not None:
            return True
        if self.package is not None and self.package.approval == APPROVED:
            return deployment is not None and deployment.status != RUNNING
        return True

    def outcome(self) -> str:
        """One sentence on where the run stands."""
        if not self.finished:
            return "running"
        if self.failed is not None:
            return f"failed in the {self.failed.machine} pipeline"
        if self.package is None:
            return "the gate turned the model down; what was live stays live"
        if self.package.approval == PENDING:
            return f"waiting for the approval of {self.package.arn}"
        return "deployed" if self.package.approval == APPROVED else f"model package is {self.package.approval}"


def read_chain(aws: Aws, outputs: Outputs, run_id: str) -> Chain:
    """Collect what belongs to a run; empty while the loop has not been started."""
    loop_arn = execution_arn(outputs.loop_machine_arn, run_id)
    try:
        loop = read_execution(aws, "loop", loop_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return Chain(run_id, (), None)
    package = find_package(aws, outputs, run_id)
    found = [
        loop,
        _child(aws, "data", outputs.data_machine_arn, f"{run_id}-d"),
        _child(aws, "model", outputs.model_machine_arn, f"{run_id}-m"),
        _deployment(aws, outputs, package),
    ]
    return Chain(run_id, tuple(item for item in found if item is not None), package)


def find_package(aws: Aws, outputs: Outputs, run_id: str) -> Package | None:
    """The model package that a run registered."""
    client = aws.client("sagemaker")
    listed = client.list_model_packages(
        ModelPackageGroupName=outputs.model_package_group, SortBy="CreationTime", SortOrder="Descending", MaxResults=50
    )
    for summary in listed["ModelPackageSummaryList"]:
        package = client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
        if package.get("CustomerMetadataProperties", {}).get("run_id") == run_id:
            return Package(package["ModelPackageArn"], package["ModelApprovalStatus"])
    return None


def _child(aws: Aws, machine: str, machine_arn: str, prefix: str) -> Execution | None:
    """The newest execution whose name starts like this (an older one was retried or redriven)."""
    for arn in execution_arns(aws, machine_arn):
        if arn.rpartition(":")[2].startswith(prefix):
            return read_execution(aws, machine, arn)
    return None


def _deployment(aws: Aws, outputs: Outputs, package: Package | None) -> Execution | None:
    if package is None:
        return None
    for arn in execution_arns(aws, outputs.deployment_machine_arn):
        execution = read_execution(aws, "deployment", arn)
        if execution.input.get("model_package_arn") == package.arn:
            return execution
    return None
