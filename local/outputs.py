"""What a deployed workload stack says about itself; the command line knows nothing else of the stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import Failure, UserError
from local.settings import Settings


@dataclass(frozen=True)
class Outputs:
    """The outputs of a workload's stack, one field per key (``LandingBucket`` is ``landing_bucket``).

    Those with a default are there only where the workload asks for what they tell of.
    """

    landing_bucket: str
    landing_prefix: str
    artefacts_bucket: str
    bundle_prefix: str
    datasets_bucket: str
    validated_bucket: str
    quarantine_bucket: str
    curated_bucket: str
    loop_machine_arn: str
    data_machine_arn: str
    model_machine_arn: str
    deployment_machine_arn: str
    intake_queue_url: str
    intake_dead_letter_queue_url: str
    starter_function_name: str
    endpoint_name: str
    variant_name: str
    model_package_group: str
    runs_table: str
    leases_table: str
    curated_database: str
    athena_work_group: str
    on_call_topic_arn: str
    contract_uri: str
    alarm_names: tuple[str, ...]
    api_id: str | None = None
    open_api_uri: str | None = None
    monitoring_machine_arn: str | None = None
    retraining_function_name: str | None = None
    choosing_function_name: str | None = None

    @property
    def machines(self) -> dict[str, str]:
        """Name and ARN of the four state machines, in the order in which they run."""
        return {
            "loop": self.loop_machine_arn,
            "data": self.data_machine_arn,
            "model": self.model_machine_arn,
            "deployment": self.deployment_machine_arn,
        }


def stack_name(settings: Settings) -> str:
    """The physical name of the workload's stack, such as ``dev-FlightDelaysWorkload``."""
    pascal = "".join(part.capitalize() for part in settings.workload.split("_"))
    return f"{settings.stage}-{pascal}Workload"


def parse_outputs(stack: str, values: Mapping[str, str]) -> Outputs:
    """Check and type the outputs of a stack.

    Raises:
        Failure: Some are missing.
    """
    keys = {name: _output_key(name) for name in Outputs.__dataclass_fields__}
    missing = sorted(key for name, key in keys.items() if key not in values and not hasattr(Outputs, name))
    if missing:
        raise Failure(f"stack {stack} lacks the outputs {', '.join(missing)}; deploy it again")
    found: dict[str, Any] = {name: values[key] for name, key in keys.items() if key in values}
    found["alarm_names"] = tuple(name for name in found["alarm_names"].split(",") if name)
    return Outputs(**found)


def read_outputs(settings: Settings, aws: Aws) -> Outputs:
    """Read the outputs of the deployed workload.

    Raises:
        UserError: It has not been deployed.
        Failure: The stack is not in a state to be used, or outputs are missing.
    """
    name = stack_name(settings)
    try:
        stack = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(f"stack {name} has not been deployed; run `python -m local deploy`") from error
    if not stack["StackStatus"].endswith("_COMPLETE") or "ROLLBACK" in stack["StackStatus"]:
        raise Failure(f"stack {name} is in the state {stack['StackStatus']}; deploy it again")
    values = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return parse_outputs(name, values)


def _output_key(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_"))
