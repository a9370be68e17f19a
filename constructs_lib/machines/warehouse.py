"""The warehouse machine: loads a published dataset's features into the warehouse, and writes the workload's exports.

Input, as the data machine gives it: ``{"run_id", "workload", "dataset": <the published manifest>}``.
Everything runs through Redshift's Data API. Loading a version twice leaves one copy of it; an export replaces the one
of the same version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    State,
    choice,
    for_each,
    go_to,
    jsonata,
    machine,
    now_seconds,
    raise_again,
    redrives,
    remember,
    succeed,
    task,
    wait,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_kept,
    failure_states,
    own_failure,
    run_record,
)
from constructs_lib.names.warehouse_sql import load_statements, prepare_statements, unload_statement

FINAL_ERRORS = ("NothingToLoad",)
"""Errors that a redrive would meet again. A statement may fail because the warehouse is in need of mending."""

_LOCATION, _VERSION = "{location}", "{version}"
_STATEMENT_MINUTES = 60
_POLL_SECONDS = 15
_ALREADY_THERE = "already exists"


@dataclass(frozen=True)
class WarehouseParts:
    """Names what the warehouse machine works with; ARNs may be tokens.

    Args:
        workgroup_name, database: Where statements run.
        secret: Name or ARN of the secret whose password they run with.
        role_arn: What the warehouse reads and writes the lake with.
        databases: Lake zone to catalogue database, for those that the warehouse shows.
        account, region: Where the catalogue is.
        table: The table of curated features.
        columns: Its columns, name to Hive type, without the version.
        sensitive: Those of them that are restricted.
        exports: Name of an export to its query.
        exports_uri: Folder of exports, ``s3://…/``.
        key_arn: What exports are encrypted with.
    """

    workgroup_name: str
    database: str
    secret: str
    role_arn: str
    databases: Mapping[str, str]
    account: str
    region: str
    table: str
    columns: Mapping[str, str]
    sensitive: Sequence[str]
    exports: Mapping[str, str]
    exports_uri: str
    key_arn: str


def warehouse_machine(s: Surroundings, p: WarehouseParts) -> State:
    """Returns the definition."""
    return machine(
        f"Loads a published dataset of {s.workload} into the warehouse",
        {
            "Begin": begin(p),
            "IsThereAnything": choice([("$location != 'none'", "Prepare")], default="NothingToLoad"),
            "Prepare": one_by_one(p, "$prepare_statements", "prepare"),
            **_followed("Load", load(p), "load", on_failure=FAILURE_STATE),
            "LoadDone": remember({"loaded": True}),
            "Export": one_by_one(p, filled_in("$export_statements"), "export"),
            "RecordRun": record_run(s),
            "Done": succeed(),
            "NothingToLoad": own_failure("NothingToLoad", "'the dataset has no curated rows'"),
            **failure_states(s, "warehouse", final=FINAL_ERRORS, resume_at="Begin"),
        },
        timeout=6 * HOUR,
    )


def begin(p: WarehouseParts) -> State:
    """Remembers the statements, and where the rows of the dataset are."""
    loading = load_statements(
        p.table, p.columns, p.sensitive, location=_LOCATION, version=_VERSION, role_arn=p.role_arn
    )
    exports = [
        unload_statement(
            query, location=f"{p.exports_uri}{name}/version={_VERSION}/", role_arn=p.role_arn, key_arn=p.key_arn
        )
        for name, query in p.exports.items()
    ]
    return remember(
        {
            "version": jsonata("$states.input.dataset.version"),
            "location": jsonata("[$states.input.dataset.tables[zone = 'curated'].location, 'none'][0]"),
            "prepare_statements": prepare_statements(p.databases, p.account, p.region),
            "load_statements": loading,
            "export_statements": exports,
        }
    )


def filled_in(statements: str) -> str:
    """The JSONata of statements in which this dataset's location and version stand."""
    replaced = f"$replace($replace($, '{_LOCATION}', $location), '{_VERSION}', $version)"
    return f"[{statements}.({replaced})]"


def one_by_one(p: WarehouseParts, statements: str, what: str) -> State:
    """Runs statements one after the other, each for itself: Redshift refuses some of them inside a transaction."""
    call = task(
        "aws-sdk:redshiftdata:executeStatement",
        {**_place(p), "Sql": jsonata("$states.input"), "ClientToken": jsonata(_token("$states.input"))},
        timeout=CALL_SECONDS,
        assign=_started(what),
        on_failure="StatementFailed",
        failure=f"{what}_failure",
    )
    flow = {
        **_followed("Statement", call, what, on_failure="StatementFailed"),
        "StatementDone": succeed(),
        "StatementFailed": raise_again(f"{what}_failure"),
    }
    return for_each(statements, flow, at_once=1)


def load(p: WarehouseParts) -> State:
    """Runs all statements of loading in one transaction."""
    return task(
        "aws-sdk:redshiftdata:batchExecuteStatement",
        {
            **_place(p),
            "Sqls": jsonata(filled_in("$load_statements")),
            "ClientToken": jsonata(_token("$join($load_statements)")),
        },
        timeout=CALL_SECONDS,
        assign=_started("load"),
    )


def _followed(name: str, call: State, what: str, *, on_failure: str) -> dict[str, State]:
    status, error = f"${what}_status", f"${what}_error"
    return {
        name: call,
        f"WaitFor{name}": wait(_POLL_SECONDS),
        f"Describe{name}": task(
            "aws-sdk:redshiftdata:describeStatement",
            {"Id": jsonata(f"${what}_id")},
            timeout=CALL_SECONDS,
            assign={
                f"{what}_status": jsonata("$states.result.Status"),
                f"{what}_error": jsonata("[$states.result.Error, ''][0]"),
            },
            on_failure=on_failure,
            failure=f"{what}_failure" if on_failure != FAILURE_STATE else "failure",
        ),
        f"{name}Over": choice(
            [
                (f"{status} = 'FINISHED' or $contains({error}, '{_ALREADY_THERE}')", f"{name}Done"),
                (f"{status} in ['FAILED', 'ABORTED']", f"Explain{name}"),
                (f"{now_seconds()} < ${what}_deadline", f"WaitFor{name}"),
            ],
            default=f"Cancel{name}",
        ),
        f"Cancel{name}": task(
            "aws-sdk:redshiftdata:cancelStatement",
            {"Id": jsonata(f"${what}_id")},
            timeout=CALL_SECONDS,
            assign={f"{what}_error": f"did not end within {_STATEMENT_MINUTES} minutes and was cancelled"},
            on_failure=on_failure,
            failure=f"{what}_failure" if on_failure != FAILURE_STATE else "failure",
        ),
        f"Explain{name}": _explained(what, on_failure),
    }


def _explained(what: str, on_failure: str) -> State:
    variable = f"{what}_failure" if on_failure != FAILURE_STATE else "failure"
    (found,) = failure_kept("StatementFailed", f"${what}_error")["Assign"].values()
    return go_to(on_failure, remember({variable: found}))


def record_run(s: Surroundings) -> State:
    """Completes the run's record."""
    return run_record(s, "warehouse", {"status": "'succeeded'", "dataset_version": "$version"})


def _place(p: WarehouseParts) -> dict[str, JSON]:
    return {"WorkgroupName": p.workgroup_name, "Database": p.database, "SecretArn": p.secret}


def _token(statements: str) -> str:
    """The JSONata of what makes a call the same call when it is tried again, and another one after a redrive.

    Args:
        statements: The JSONata of what is run.
    """
    return f"$hash($states.context.Execution.Id & ' ' & $string({redrives()}) & ' ' & {statements}, 'SHA-256')"


def _started(what: str) -> dict[str, JSON]:
    return {
        f"{what}_id": jsonata("$states.result.Id"),
        f"{what}_deadline": jsonata(f"{now_seconds()} + {_STATEMENT_MINUTES * MINUTE}"),
    }
