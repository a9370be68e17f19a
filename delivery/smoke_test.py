"""``python -m delivery.smoke_test``: asks whether a workload that was just deployed is there and works.

Reads outputs of the deployment from the environment, takes a role of the stage, and fails when a machine is not active,
the front door cannot be called, the landing bucket is not versioned and encrypted, or an alarm goes off meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from delivery.settings import Refused, client, setting, take_role

MACHINES = ("LOOP_MACHINE", "DATA_MACHINE", "MODEL_MACHINE", "DEPLOYMENT_MACHINE")
BLAMED = timedelta(hours=1)
"""An alarm that went off within this time before the test is taken for the deployment's; older ones are not."""

PAUSE_SECONDS = 30


def machine_findings(states: Any, arns: Iterable[str]) -> list[str]:
    """Tell which state machines are not active."""
    found = []
    for arn in arns:
        status = states.describe_state_machine(stateMachineArn=arn)["status"]
        if status != "ACTIVE":
            found.append(f"{arn} is {status}")
    return found


def starter_findings(functions: Any, name: str) -> list[str]:
    """Tell whether the front door can be called; it is asked without being run."""
    state = functions.get_function_configuration(FunctionName=name).get("State", "Active")
    if state != "Active":
        return [f"function {name} is {state}"]
    status = functions.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"]
    return [] if status == 204 else [f"function {name} answers a dry run with {status}"]


def bucket_findings(s3: Any, name: str) -> list[str]:
    """Tell whether a bucket keeps versions and encrypts under a key of ours."""
    found = []
    versioning = s3.get_bucket_versioning(Bucket=name).get("Status")
    if versioning != "Enabled":
        found.append(f"bucket {name} has versioning {versioning}")
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    algorithms = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules]
    if algorithms != ["aws:kms"]:
        found.append(f"bucket {name} encrypts by {', '.join(algorithms) or 'nothing'}")
    return found


def alarm_findings(cloudwatch: Any, names: list[str], since: datetime) -> list[str]:
    """Tell which alarms are missing, and which went off after an instant."""
    alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    found = [f"alarm {name} does not exist" for name in sorted(set(names) - {each["AlarmName"] for each in alarms})]
    for alarm in alarms:
        changed = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
        if alarm["StateValue"] == "ALARM" and changed >= since:
            found.append(f"alarm {alarm['AlarmName']} went off at {changed.isoformat()}: {alarm['StateReason']}")
    return found


def watch(look: Callable[[], list[str]], seconds: float, *, pause: Callable[[float], None] = time.sleep) -> list[str]:
    """Look again and again until something is found or the time is over; look at least once."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        pause(PAUSE_SECONDS)
    return found


def main() -> int:
    """Test one workload and return the exit code."""
    try:
        session = take_role(setting("ROLE"), setting("STAGE_REGION"), "gapless-smoke-test")
        since = datetime.now(UTC) - BLAMED
        found = machine_findings(client(session, "stepfunctions"), [setting(name) for name in MACHINES])
        found += starter_findings(client(session, "lambda"), setting("STARTER"))
        found += bucket_findings(client(session, "s3"), setting("LANDING_BUCKET"))
        if not found:
            cloudwatch, names = client(session, "cloudwatch"), setting("ALARMS").split(",")
            found = watch(lambda: alarm_findings(cloudwatch, names, since), 60 * int(setting("BAKE_MINUTES")))
    except (Refused, ClientError) as error:
        found = [str(error)]
    for finding in found:
        print(finding, file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
