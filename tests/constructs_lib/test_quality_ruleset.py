from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from constructs_lib.catalogue_table import parquet_table
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.quality_ruleset import MAX_CHARACTERS, CatalogueRules, QualityRuleset, RulesError, catalogue_rules

SHOP = WorkloadFile.parse(
    {
        "name": "shop",
        "owner": "x",
        "target": "late",
        "event_time": "at",
        "sources": {
            "orders": {
                "key": ["id"],
                "known_later": ["late"],
                "columns": {"id": "int", "at": "timestamp", "late": "boolean", "country": "string"},
            },
            "countries": {"columns": {"country": "string"}},
            "days": {"columns": {"day": "date"}},
        },
    }
)


def ruleset(stack: Stack) -> dict[str, Any]:
    (found,) = Template.from_stack(stack).find_resources("AWS::Glue::DataQualityRuleset").values()
    return dict(found)


def test_a_ruleset_is_on_its_table_and_made_after_it(stack: Stack) -> None:
    table = parquet_table(
        stack,
        "Table",
        database="dev_validated",
        name="shop_orders",
        location="s3://validated/shop/orders/",
        columns={"id": "int"},
        description="Orders",
    )
    rules = CatalogueRules("Rules = [ RowCount > 0 ]", ("RowCount > last()",))
    QualityRuleset(
        stack,
        "Rules",
        name="dev-shop-rules-orders",
        rules=rules,
        database="dev_validated",
        table="shop_orders",
        made_before=table,
    )
    found = ruleset(stack)
    assert found["Properties"] == {
        "Name": "dev-shop-rules-orders",
        "Description": "Rules of shop_orders, without 1 that compare with earlier results; composites row by row",
        "Ruleset": "Rules = [ RowCount > 0 ]",
        "TargetTable": {"DatabaseName": "dev_validated", "TableName": "shop_orders"},
    }
    assert found["DependsOn"] == [stack.get_logical_id(table)]


def test_each_source_has_its_rules_in_the_service_s_dialect() -> None:
    found = catalogue_rules(
        'Rules = [ ColumnValues "country" in ["DE"], RowCount > last(), ] '
        'Rules countries = [ RowCountMatch "orders" < 1 ] Rules days = [ RowCount > avg(last(2)) ]',
        SHOP,
    )
    assert found == {
        "orders": CatalogueRules(
            'Rules = [\n    ColumnValues "country" in ["DE"] where "`country` is not null"\n]\n', ("RowCount > last()",)
        ),
        "countries": CatalogueRules('Rules = [\n    RowCountMatch "orders" < 1\n]\n'),
    }
    assert catalogue_rules("", SHOP) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('Rules = [\n  IsComplete "none" ]', 'rules.dqdl line 2, column 3: IsComplete: source orders has no column'),
        ("Rules = [ RowCount ]", "rules.dqdl line 1, column 20: RowCount takes a condition, found ']' (allowed: =, "),
        ("Rules shops = [ RowCount > 0 ]", "unknown source 'shops' (allowed: orders, countries, days)"),
        (
            "Rules = [ " + ", ".join(["RowCount > 1"] * 5000) + " ]",
            f"rules.dqdl: the rules of orders have 90011 characters; allowed: {MAX_CHARACTERS}",
        ),
    ],
)  # fmt: skip
def test_refuses_what_the_job_would_refuse(text: str, message: str) -> None:
    with pytest.raises(RulesError) as error:
        catalogue_rules(text, SHOP)
    assert message in str(error.value)
