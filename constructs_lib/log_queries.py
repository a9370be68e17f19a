"""Saved queries over a workload's logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_logs as logs
from constructs import Construct

_MOST_GROUPS = 50
"""Log groups that CloudWatch lets one query name."""

RUN = "put-the-run-here"
"""What is replaced by a run's id before a query is run."""

_DECIDING = "Record|Audit|Reject|Approve|Refus"
"""Beginnings of the names of states in which machines write down what was decided."""

_STEPS = "fields @timestamp, type, details.name as state, execution_arn\n"


def log_queries(*, functions: Sequence[str], machines: Sequence[str], api: str | None) -> dict[str, tuple[str, ...]]:
    """Returns the texts of the queries and the log groups that each of them reads: name to text, then groups.

    Args:
        functions: Log groups of functions, which write lines of JSON with the ids of the run.
        machines: Log groups of state machines, which log every step without its data.
        api: Log group of the function behind the API. None: there is no API.
    """
    found: dict[str, tuple[str, ...]] = {
        "run": (
            f'# Every step and every line of one run.\n{_STEPS.rstrip()}, level, message\n| filter execution_arn like "'
            f'{RUN}" or run_id = "{RUN}"\n| sort @timestamp asc\n| limit 1000',
            *machines,
            *functions,
        ),
        "errors": (
            f"# What failed, the newest first.\n{_STEPS.rstrip()}, level, message, @message\n"
            '| filter level = "ERROR" or @message like /Task timed out|Traceback/ '
            "or type like /Failed|TimedOut|Aborted/\n| sort @timestamp desc\n| limit 200",
            *machines,
            *functions,
        ),
        "decisions": (
            f"# What machines decided, the newest first; the reason is in the run's record and in the audit table.\n"
            f'{_STEPS}| filter type = "TaskStateEntered" and state like /^({_DECIDING})/\n'
            "| sort @timestamp desc\n| limit 200",
            *machines,
        ),
    }
    if api is not None:
        found["slow-predictions"] = (
            "# How long answers take, and how many fail.\n"
            'filter message = "answered"\n| stats count() as answers, pct(PredictionLatency, 50) as p50, '
            "pct(PredictionLatency, 99) as p99, max(PredictionLatency) as slowest, sum(PredictionsFailed) as failed "
            "by bin(5m) as at, variant\n| sort p99 desc\n| limit 100",
            api,
        )
    return found


class LogQueries(Construct):
    """Defines saved queries in CloudWatch Logs Insights; they cost nothing until somebody runs them.

    A query runs with the rights of whoever runs it, so saving one opens no log.

    Args:
        folder: What the queries are listed under, such as ``dev-flight-delays``.
        queries: Name to the text, then the log groups that it reads.

    Raises:
        ValueError: A query reads no log group, or more than CloudWatch lets it name.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, folder: str, queries: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(scope, construct_id)
        for name, (text, *groups) in queries.items():
            if not 1 <= len(groups) <= _MOST_GROUPS:
                raise ValueError(f"query {name} must read 1 to {_MOST_GROUPS} log groups, got: {len(groups)}")
            logs.CfnQueryDefinition(
                self,
                "".join(word.capitalize() for word in name.split("-")),
                name=f"{folder}/{name}",
                query_string=text,
                log_group_names=groups,
            )
