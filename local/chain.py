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
    def declined(self) -> str | None:
        """Why the policy of trainings let nothing train, if it did not."""
        loop = self.of("loop")
        decision = loop.output.get("decision") if loop is not None and isinstance(loop.output, dict) else None
        return str(decision) if decision is not None else None

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
        if self.declined is not None:
            return self.declined
        if self.package is None:
            return "the gate turned the model down; what was live stays live"
        if self.package.approval == PENDING:
            return f"waiting for the approval of {self.package.arn}"
        return "deployed" if self.package.approval == APPROVED else f"model package is {self.package.approval}"


class ChainReader:
    """Reads what belongs to a run, again and again; what has ended is read once.

    Args:
        run_id: Of the loop's execution.
    """

    def __init__(self, aws: Aws, outputs: Outputs, run_id: str) -> None:
        self._aws = aws
        self._outputs = outputs
        self._run_id = run_id
        self._ended: dict[str, Execution] = {}

    def read(self) -> Chain:
        """What the run has done so far; empty while the loop has not been started."""
        machines = self._outputs.machines
        loop = self._loop()
        if loop is None:
            return Chain(self._run_id, (), None)
        data = self._newest("data", machines["data"], f"{self._run_id}-d")
        model = self._newest("model", machines["model"], f"{self._run_id}-m")
        package = find_package(self._aws, self._outputs, self._run_id) if model and model.status == SUCCEEDED else None
        found = (loop, data, model, self._deployment(package))
        return Chain(self._run_id, tuple(item for item in found if item is not None), package)

    def _loop(self) -> Execution | None:
        try:
            return self._execution("loop", execution_arn(self._outputs.loop_machine_arn, self._run_id))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise

    def _newest(self, machine: str, machine_arn: str, prefix: str) -> Execution | None:
        """The newest execution whose name starts like this (an older one was retried or redriven)."""
        for arn in execution_arns(self._aws, machine_arn):
            if arn.rpartition(":")[2].startswith(prefix):
                return self._execution(machine, arn)
        return None

    def _deployment(self, package: Package | None) -> Execution | None:
        if package is None:
            return None
        for arn in execution_arns(self._aws, self._outputs.deployment_machine_arn):
            execution = self._execution("deployment", arn)
            if execution.input.get("model_package_arn") == package.arn:
                return execution
        return None

    def _execution(self, machine: str, arn: str) -> Execution:
        if arn in self._ended:
            return self._ended[arn]
        execution = read_execution(self._aws, machine, arn)
        if execution.status != RUNNING:
            self._ended[arn] = execution
        return execution


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
