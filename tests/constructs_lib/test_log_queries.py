import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from constructs_lib.log_queries import RUN, LogQueries, log_queries
from constructs_lib.names.metrics import NAMESPACE
from serve_prediction import measures

ALL = log_queries(functions=["check", "judge"], machines=["/aws/vendedlogs/states/dev-x-data"], api="serve")


def test_a_run_is_looked_for_in_everything_that_logs() -> None:
    text, *groups = ALL["run"]
    assert groups == ["/aws/vendedlogs/states/dev-x-data", "check", "judge"]
    assert text.count(RUN) == 2
    assert "sort @timestamp asc" in text


def test_predictions_are_told_by_the_names_that_the_function_writes() -> None:
    text, *groups = ALL["slow-predictions"]
    assert groups == ["serve"]
    assert {measures.LATENCY, measures.FAILED} <= set(
        text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    )
    assert measures.NAMESPACE == NAMESPACE


def test_without_an_api_nobody_asks_how_long_it_takes() -> None:
    assert set(log_queries(functions=["check"], machines=["data"], api=None)) == {"run", "errors", "decisions"}


def test_queries_are_saved_in_one_folder(stack: Stack) -> None:
    LogQueries(stack, "Queries", folder="dev-x", queries=ALL)
    found = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition").values()
    assert {each["Properties"]["Name"] for each in found} == {
        "dev-x/run",
        "dev-x/errors",
        "dev-x/decisions",
        "dev-x/slow-predictions",
    }


@pytest.mark.parametrize("groups", [0, 51])
def test_refuses_a_query_that_cloudwatch_would_refuse(stack: Stack, groups: int) -> None:
    with pytest.raises(ValueError, match=f"query run must read 1 to 50 log groups, got: {groups}"):
        LogQueries(stack, "Queries", folder="dev-x", queries={"run": ("fields @message", *["group"] * groups)})
