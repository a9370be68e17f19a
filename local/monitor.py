"""Look at what the endpoint served, as the schedule does, but now."""

from __future__ import annotations

import datetime as dt
import json
import secrets

from rich.console import Group
from rich.table import Table
from rich.text import Text

from local.errors import UserError
from local.steps import Platform


def start_monitoring(target: Platform, as_of: dt.datetime) -> tuple[str, str]:
    """Start the monitoring machine for the window that ended last before an instant; returns ARN and run id.

    Raises:
        UserError: The workload does not ask for monitoring.
    """
    machine = target.outputs.monitoring_machine_arn
    if machine is None:
        raise UserError(
            f"workload {target.settings.workload} is not monitored (allowed: a key in workload.yaml, such as "
            "monitoring: {every: day}; then deploy)"
        )
    run_id = f"m{secrets.token_hex(8)}"
    given = {
        "run_id": run_id,
        "workload": target.settings.workload,
        "as_of": as_of.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "triggered_by": "by hand",
    }
    started = target.aws.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=run_id, input=json.dumps(given)
    )
    return str(started["executionArn"]), run_id


def record_of(target: Platform, run_id: str) -> dict[str, str]:
    """The record of a run of the monitoring machine."""
    key = {"run": {"S": f"monitoring#{run_id}"}}
    item = target.aws.client("dynamodb").get_item(TableName=target.outputs.runs_table, Key=key)["Item"]
    return {name: value["S"] for name, value in item.items()}


def found_by(record: dict[str, str]) -> Group:
    """What a run found, as a table of families and the broken checks."""
    if record["status"] != "monitored":
        return Group(Text(f"nothing was served in {record['window']}"))
    table = Table("family", "broken", "worst", title=f"{record['rows']} rows of {record['window']}")
    for name, family in json.loads(record["families"]).items():
        worst = "" if family["worst"] is None else f"{family['worst']:.4g}"
        table.add_row(name, str(family["violations"]), worst, style="red" if family["violations"] else "")
    broken = [Text(f"- {each['text']}") for each in json.loads(record["violations"])]
    return Group(table, *broken, Text(f"page: {record['report_uri']}"))
