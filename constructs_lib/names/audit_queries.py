"""Queries over who read and wrote which object, and over what was decided, that an auditor starts from.

They are SQL that Athena engine version 3 and DuckDB read alike. Every query over the trail names a span of days, which
is the partition of its table, so that it reads no more than that.
"""

from __future__ import annotations

from typing import Final

from constructs_lib.names.lake_queries import LakeQuery
from constructs_lib.names.naming import check_stage

TRAIL: Final = "object_events"
DECISIONS: Final = "decisions"
DAY: Final = "day"
EXPORTS: Final = "audit-table/"
"""Folder of the trail's bucket in which the audit table is every day, whole."""

_IDENTITY: Final = (
    "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,accesskeyid:string,"
    "username:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,creationdate:string>,"
    "sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>>>"
)
TRAIL_COLUMNS: Final = {
    "eventversion": "string",
    "useridentity": _IDENTITY,
    "eventtime": "string",
    "eventsource": "string",
    "eventname": "string",
    "awsregion": "string",
    "sourceipaddress": "string",
    "useragent": "string",
    "errorcode": "string",
    "errormessage": "string",
    "requestparameters": "string",
    "responseelements": "string",
    "additionaleventdata": "string",
    "requestid": "string",
    "eventid": "string",
    "readonly": "string",
    "resources": "array<struct<arn:string,accountid:string,type:string>>",
    "eventtype": "string",
    "recipientaccountid": "string",
    "sharedeventid": "string",
}
"""Columns of a trail's events, as Athena's documentation of CloudTrail logs has them: name to Hive type."""

_TOLD: Final = ("workload", "event", "at", "by", "actor", "reason", "decision", "model_package_arn")
DECISION_COLUMNS: Final = {"item": f"struct<{','.join(f'{name}:struct<s:string>' for name in _TOLD)}>"}
"""The only column of an export of DynamoDB: an item, each attribute below its type."""

DAYS: Final = 7
"""How far back the queries look until somebody writes another number."""


def audit_database(stage: str) -> str:
    """Returns the database of a stage's audit, such as ``dev_audit``."""
    return f"{check_stage(stage)}_audit"


def audit_workgroup(stage: str) -> str:
    """Returns the workgroup in which a stage's auditors query."""
    return f"{check_stage(stage)}-audit"


def audit_queries(stage: str) -> tuple[LakeQuery, ...]:
    """Returns the queries of a stage, in order."""
    database = audit_database(stage)
    trail, decisions = f'"{database}"."{TRAIL}"', f'"{database}"."{DECISIONS}"'
    return (
        LakeQuery("reads-by-role", "Who read how many objects of which workload", database, _by_role(trail, "true")),
        LakeQuery("writes-by-role", "Who wrote or deleted how many objects", database, _by_role(trail, "false")),
        LakeQuery(
            "refused", "Which requests for objects were refused, of whom, and how often", database, _refused(trail)
        ),
        LakeQuery("deleted", "Which objects were deleted, when and by whom", database, _deleted(trail)),
        LakeQuery(
            "history-of-an-object",
            "Everything that was done with one object: write its bucket and key into the query",
            database,
            _history(trail),
        ),
        LakeQuery("decisions", "What was decided of models, when, by whom and why", database, _decisions(decisions)),
    )


def _since() -> str:
    return f"date_format(current_date - INTERVAL '{DAYS}' DAY, '%Y/%m/%d')"


def _by_role(trail: str, reading: str) -> str:
    return f"""\
SELECT COALESCE(useridentity.sessioncontext.sessionissuer.arn, useridentity.arn, useridentity.invokedby) AS who,
       regexp_extract(resources[1].arn, '^arn:[^:]+:s3:::([^/]+/[^/]+)/', 1) AS place,
       eventname, count(*) AS requests, min(eventtime) AS first, max(eventtime) AS last
FROM {trail}
WHERE {DAY} >= {_since()} AND readonly = '{reading}' AND errorcode IS NULL
GROUP BY 1, 2, 3
ORDER BY requests DESC
"""  # noqa: S608 - checked names


def _refused(trail: str) -> str:
    return f"""\
SELECT COALESCE(useridentity.sessioncontext.sessionissuer.arn, useridentity.arn, useridentity.invokedby) AS who,
       eventname, errorcode, resources[1].arn AS object, count(*) AS requests, max(eventtime) AS last
FROM {trail}
WHERE {DAY} >= {_since()} AND errorcode IS NOT NULL
GROUP BY 1, 2, 3, 4
ORDER BY requests DESC
"""  # noqa: S608 - checked names


def _deleted(trail: str) -> str:
    return f"""\
SELECT eventtime, useridentity.arn AS who, sourceipaddress, eventname, resources[1].arn AS object
FROM {trail}
WHERE {DAY} >= {_since()} AND eventname IN ('DeleteObject', 'DeleteObjects') AND errorcode IS NULL
ORDER BY eventtime DESC
"""  # noqa: S608 - checked names


def _history(trail: str) -> str:
    return f"""\
SELECT eventtime, eventname, useridentity.arn AS who, sourceipaddress, errorcode, eventid
FROM {trail}
WHERE {DAY} >= {_since()} AND resources[1].arn LIKE '%:::<bucket>/<key>'
ORDER BY eventtime
"""  # noqa: S608 - checked names


def _decisions(decisions: str) -> str:
    export = """regexp_extract("$path", 'AWSDynamoDB/([^/]+)/data/', 1)"""
    return f"""\
SELECT item.workload.s AS workload, item.event.s AS event, item.at.s AS at,
       COALESCE(item.actor.s, item."by".s) AS who, item.reason.s AS reason,
       item.decision.s AS decision, item.model_package_arn.s AS model
FROM {decisions}
WHERE item.workload.s IS NOT NULL
  AND {export} = (SELECT max({export}) FROM {decisions} WHERE item.workload.s IS NOT NULL)
ORDER BY workload, event
"""  # noqa: S608 - checked names
