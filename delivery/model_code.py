"""``python -m delivery.model_code``: publishes a workload's scripts and asks for a training with them.

A commit that changes what is deployed as well waits until the platform's pipeline has deployed it to the stage.
Publishing is repeatable, and the front door starts each batch once with each bundle, however often it is asked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from constructs_lib.names.bundle import build_bundle
from constructs_lib.names.code_paths import PLATFORM, matching
from delivery.bundles import Published, publish
from delivery.changes import changed_paths, contains, last_commit
from delivery.settings import RETRIES, Refused, client, setting, take_role

ENDED = ("Failed", "Stopped", "Cancelled")
PAUSE_SECONDS = 30


def must_wait(base: str | None, commit: str, folder: Path | None = None) -> bool:
    """Tell whether what is deployed changes as well, since the commit that was published last."""
    return bool(matching(changed_paths(base, commit, folder), PLATFORM))


def is_deployed(pipelines: Any, pipeline: str, stage: str, commit: str, folder: Path | None = None) -> bool:
    """Tell whether a stage of the platform's pipeline has deployed a commit or a later one.

    Raises:
        Refused: The pipeline has given up on this commit.
    """
    stages = pipelines.get_pipeline_state(name=pipeline)["stageStates"]
    latest = [
        each["latestExecution"] for each in stages if _is_part(each["stageName"], stage) and "latestExecution" in each
    ]
    if latest and all(_has(pipelines, pipeline, each, commit, folder) for each in latest):
        return True
    for page in pipelines.get_paginator("list_pipeline_executions").paginate(pipelineName=pipeline):
        for execution in page["pipelineExecutionSummaries"]:
            revisions = [str(each["revisionId"]) for each in execution.get("sourceRevisions", [])]
            if any(contains(each, commit, folder) for each in revisions):
                if execution["status"] in ENDED:
                    raise Refused(f"the platform's pipeline ended {execution['status'].lower()} for {revisions[0]}")
                return False
    return False


def _is_part(name: str, stage: str) -> bool:
    """The library calls the parts of a stage with many actions ``dev.1``, ``dev.2``."""
    return name.partition(".")[0] == stage


def _has(pipelines: Any, pipeline: str, execution: Mapping[str, Any], commit: str, folder: Path | None) -> bool:
    if execution["status"] != "Succeeded":
        return False
    found = pipelines.get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution["pipelineExecutionId"]
    )
    revisions = found["pipelineExecution"].get("artifactRevisions", [])
    return any(contains(str(each["revisionId"]), commit, folder) for each in revisions)


def wait_for_platform(
    deployed: Callable[[], bool], seconds: float, *, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until the platform is deployed.

    Raises:
        Refused: It was not in time.
    """
    deadline = time.monotonic() + seconds
    while not deployed():
        if time.monotonic() >= deadline:
            raise Refused(f"the platform's pipeline has not deployed this commit within {seconds / 60:.0f} minutes")
        pause(PAUSE_SECONDS)


def newest_run(states: Any, machine_arn: str) -> dict[str, Any] | None:
    """Return the input of the newest execution of the loop; nothing where no batch has landed yet."""
    executions = states.list_executions(stateMachineArn=machine_arn, maxResults=1)["executions"]
    if not executions:
        return None
    described = states.describe_execution(executionArn=executions[0]["executionArn"])
    return dict(json.loads(described["input"]))


def ask_for_training(events: Any, workload: str, run: Mapping[str, Any], bundle: str) -> None:
    """Ask the front door to run the newest batch again, with the bundle.

    Raises:
        Refused: The event was not taken.
    """
    detail = {"workload": workload, "run_key": run["run_key"], "bundle": bundle}
    entry = {"Source": "gapless", "DetailType": "Re-run Requested", "Detail": json.dumps(detail)}
    answer = events.put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        raise Refused(f"the event bus did not take the request: {answer['Entries'][0].get('ErrorMessage')}")


def deliver(session: Any, workload: str, stack: str, folder: Path, commit: str) -> str:
    """Publish the scripts of a workload, ask for a training unless there is one with them, and say what was done."""
    stacks = client(session, "cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0]["Outputs"]}
    published: Published = publish(
        client(session, "s3"), outputs["ArtefactsBucket"], workload, build_bundle(folder), commit
    )
    run = newest_run(client(session, "stepfunctions"), outputs["LoopMachineArn"])
    if run is None:
        return f"published {published.bundle}; no batch has landed yet, so nothing is trained"
    if run.get("bundle", {}).get("bundle") == published.bundle:
        return f"published {published.bundle}; the newest batch runs with it already"
    ask_for_training(client(session, "events"), workload, run, published.bundle)
    return f"published {published.bundle}; asked for a training of the newest batch"


def main() -> int:
    """Wait where that is right, publish, and return the exit code."""
    try:
        pipelines = boto3.client("codepipeline", config=RETRIES)
        commit, workload = setting("CODEBUILD_RESOLVED_SOURCE_VERSION"), setting("WORKLOAD")
        if must_wait(last_commit(pipelines, setting("PIPELINE"), "Succeeded"), commit):
            platform, stage = setting("PLATFORM_PIPELINE"), setting("PLATFORM_STAGE")
            wait_for_platform(
                lambda: is_deployed(pipelines, platform, stage, commit), 60 * int(setting("WAIT_MINUTES"))
            )
        session = take_role(setting("ROLE"), setting("STAGE_REGION"), "gapless-model-code")
        print(deliver(session, workload, setting("STACK"), Path("workloads", workload), commit))  # noqa: T201
    except (Refused, ClientError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
