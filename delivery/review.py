"""``python -m delivery.review cdk.out``: compares what is to be deployed with what is; a person decides on more rights.

The comparison is the CDK's own (``cdk diff --security-only --fail``): policies, trusts and security groups that allow
more than before. The pipeline's stage has an approval beside this build; where nothing is broadened, the build gives
it. With ``APPROVE=never`` it only prints what changes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from delivery.settings import RETRIES, Refused, setting

ACTION = "Approve"
PATIENCE_SECONDS = 300
PAUSE_SECONDS = 5


def broadens(assembly: str, stacks: Sequence[str], run: Callable[..., Any] = subprocess.run) -> bool:
    """Tell whether a deployment allows more than what is deployed.

    Raises:
        Refused: The comparison itself failed.
    """
    command = ["cdk", "diff", "--app", assembly, "--security-only", "--method", "template", "--fail", *stacks]
    code = run(command, check=False).returncode
    if code not in (0, 1):
        raise Refused(f"the comparison ended with exit code {code}")
    return bool(code)


def waiting_token(state: Mapping[str, Any], stage: str, execution: str) -> str | None:
    """Find the token of the approval that an execution waits for.

    Raises:
        Refused: The stage is at another execution: this one was superseded.
    """
    found = next((each for each in state["stageStates"] if each["stageName"] == stage), None)
    if found is None:
        raise Refused(f"the pipeline has no stage {stage}")
    current = found.get("latestExecution", {}).get("pipelineExecutionId")
    if current != execution:
        raise Refused(f"the stage {stage} is at execution {current}, which has superseded {execution}")
    action = next(each for each in found["actionStates"] if each["actionName"] == ACTION)
    latest = action.get("latestExecution", {})
    return latest.get("token") if latest.get("status") == "InProgress" else None


def approve(
    pipelines: Any, pipeline: str, stage: str, execution: str, *, pause: Callable[[float], None] = time.sleep
) -> None:
    """Give the approval that is asked for beside this build.

    Raises:
        Refused: It was not asked for in time, or the execution was superseded.
    """
    for _ in range(PATIENCE_SECONDS // PAUSE_SECONDS):
        token = waiting_token(pipelines.get_pipeline_state(name=pipeline), stage, execution)
        if token is not None:
            pipelines.put_approval_result(
                pipelineName=pipeline,
                stageName=stage,
                actionName=ACTION,
                token=token,
                result={"status": "Approved", "summary": "No permission is broadened"},
            )
            return
        pause(PAUSE_SECONDS)
    raise Refused(f"the stage {stage} did not ask for an approval within {PATIENCE_SECONDS} seconds")


def main(arguments: Sequence[str]) -> int:
    """Compare, approve where that is right, and return the exit code."""
    try:
        (assembly,) = arguments
        broader = broadens(assembly, setting("STACKS").split())
        if setting("APPROVE") == "unless-broadened" and not broader:
            pipelines = boto3.client("codepipeline", config=RETRIES)
            approve(pipelines, setting("PIPELINE"), setting("STAGE"), setting("EXECUTION"))
        elif broader:
            print("permissions are broadened, see above: a person has to approve")  # noqa: T201
    except (Refused, ClientError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
