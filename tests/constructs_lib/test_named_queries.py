"""Saved queries in a template."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk.assertions import Template

from constructs_lib.named_queries import NamedQueries
from constructs_lib.names.lake_queries import LakeQuery


def test_defines_each_query_in_the_workgroup_under_the_prefix(stack: Stack) -> None:
    queries = [
        LakeQuery("rows-of-it", "Its rows", "dev_curated", 'SELECT 1 AS "one"'),
        LakeQuery("b", "", "d", "SELECT 2"),
    ]
    NamedQueries(stack, "Queries", prefix="dev-shop-", workgroup="dev-people", queries=queries)
    found = Template.from_stack(stack).find_resources("AWS::Athena::NamedQuery")
    assert sorted((each["Properties"] for each in found.values()), key=lambda each: str(each["Name"]))[1] == {
        "Name": "dev-shop-rows-of-it",
        "Description": "Its rows",
        "WorkGroup": "dev-people",
        "Database": "dev_curated",
        "QueryString": 'SELECT 1 AS "one"',
    }
    assert len(found) == 2
