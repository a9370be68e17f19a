"""Saved queries of a workload."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import aws_athena as athena
from constructs import Construct

from constructs_lib.names.lake_queries import LakeQuery


class NamedQueries(Construct):
    """Defines saved queries in a workgroup; they cost nothing until somebody runs them.

    A query runs with the rights of whoever runs it, so saving one opens no data.

    Args:
        prefix: Starts the name of each query, such as ``dev-flight-delays-``.
        workgroup: Physical name of the workgroup that lists them.
        queries: The queries.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, prefix: str, workgroup: str, queries: Iterable[LakeQuery]
    ) -> None:
        super().__init__(scope, construct_id)
        for query in queries:
            athena.CfnNamedQuery(
                self,
                "".join(word.capitalize() for word in query.name.split("-")),
                name=f"{prefix}{query.name}",
                description=query.description,
                work_group=workgroup,
                database=query.database,
                query_string=query.text,
            )
