"""Put the synthesised stacks onto the local AWS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from constructs_lib.names.naming import pascal_case
from local.aws import Aws
from local.cdk import StackEvent, parse_event, run_cdk
from local.settings import ACCOUNT, REGION, Settings


@dataclass(frozen=True)
class Deployed:
    """How long the parts took, in seconds; bootstrapping takes none when it was done before."""

    bootstrap_seconds: float
    deploy_seconds: float


def deploy_stacks(
    settings: Settings,
    aws: Aws,
    templates: Path,
    on_event: Callable[[StackEvent], None],
    *,
    other_workloads: bool = True,
) -> Deployed:
    """Bootstrap if need be, then deploy what exists once per account and the stacks of the stage.

    Args:
        other_workloads: Whether those of other workloads are deployed as well.

    Raises:
        Failure: The CDK CLI ended with an error.
    """
    started = time.monotonic()
    if not is_bootstrapped(aws):
        _bootstrap(settings, aws, templates)
    bootstrapped = time.monotonic()

    def on_line(line: str) -> None:
        event = parse_event(line)
        if event is not None:
            on_event(event)

    options = ["--app", str(templates), "--require-approval", "never", "--progress", "events"]
    options += ["--concurrency", "4", "--method", "direct"]
    # the CDK knows no order between a stage and what is outside of it
    own = [f"{settings.stage}/{pascal_case(settings.workload)}{part}" for part in ("State", "Workload")]
    own.append(f"{settings.stage}/Figures")
    wanted = [f"{settings.stage}/*"] if other_workloads else own
    for stacks, log in ((["Account"], "deploy-account.log"), (wanted, "deploy.log")):
        run_cdk(settings, aws.server, ["deploy", *stacks, *options], log=settings.log_dir / log, on_line=on_line)
    return Deployed(bootstrapped - started, time.monotonic() - bootstrapped)


def is_bootstrapped(aws: Aws) -> bool:
    """Whether the stack that ``cdk bootstrap`` makes is complete."""
    try:
        stacks = aws.client("cloudformation").describe_stacks(StackName="CDKToolkit")["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return False
        raise
    return str(stacks[0]["StackStatus"]) in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def _bootstrap(settings: Settings, aws: Aws, templates: Path) -> None:
    arguments = ["bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", str(templates)]
    log = settings.log_dir / "bootstrap.log"
    run_cdk(settings, aws.server, arguments, log=log, on_line=lambda _: None)
