"""What can be said in DQDL beside the reference's cases, and what is said about mistakes."""

from __future__ import annotations

import pytest

from gapless_glue.dqdl.language import Composite, Duration, Number, Rule, Text
from gapless_glue.dqdl.parser import parse, parse_supported
from gapless_glue.dqdl.render import document, rule_text, with_missing_skipped
from gapless_glue.dqdl.tokens import DqdlError


def only(text: str) -> Rule:
    """The only rule of a list, which is no composite."""
    (rule,) = parse(f"Rules = [ {text} ]").rules[None]
    assert isinstance(rule, Rule)
    return rule


def test_reads_all_sections() -> None:
    found = parse(
        """
        # who wrote this
        Metadata = { "Version": "1.0" }
        DataSources = { "Primary": "orders", "AdditionalDataSources": ["customers", "shops"] }
        countries = ["DE", "FR"]
        statement = "select count(*) from primary"
        DefaultLabels = ["team"="shop", "level"="low"]
        Rules = [ CustomSql $statement > 0, # at least one
                  ColumnValues "country" in $countries labels=["level"="high"] ]
        Rules customers = [ IsComplete "name" ]
        Analyzers = [ RowCount, AllStatistics of AllColumns ]
        """
    )
    assert (found.metadata, found.primary, found.additional) == ({"Version": "1.0"}, "orders", ("customers", "shops"))
    sql, values = found.rules[None]
    assert isinstance(sql, Rule)
    assert isinstance(values, Rule)
    assert sql.parameters == ("select count(*) from primary",)
    assert sql.labels == {"team": "shop", "level": "low"}
    assert values.condition is not None
    assert values.condition.operands == (Text("DE"), Text("FR"))
    assert values.labels == {"team": "shop", "level": "high"}
    assert [rule.text for rule in found.rules["customers"]] == ['IsComplete "name"']
    assert [item.text for item in found.analyzers[None]] == ["RowCount", "AllStatistics of AllColumns"]


def test_a_rule_is_shown_without_labels_and_comments() -> None:
    (rule,) = parse('Rules = [ ColumnValues "a"   in [ "x  y",  # both\n "z" ] labels = ["a"="b"] ]').rules[None]
    assert rule.text == 'ColumnValues "a" in [ "x  y", "z" ]'


def test_reads_arithmetic_by_its_precedence() -> None:
    condition = only("RowCount > 1 + 2 * avg(last(5)) - 4").condition
    assert condition is not None
    assert rule_text(Rule("RowCount", condition=condition)) == "RowCount > ((1 + (2 * avg(last(5)))) - 4)"


def test_reads_quotes_within_quotes() -> None:
    assert only(r'CustomSql "select \"a b\" from primary" > 0').parameters == ('select "a b" from primary',)
    assert only(r'IsComplete "a" where "b rlike \'\d\'"').where == r"b rlike \'\d\'"


@pytest.mark.parametrize("text", ["plain", 'a "b" c', r"\d+", "ends in \\", r"\"", r"\\", ""])
def test_writes_a_text_so_that_it_is_read_again(text: str) -> None:
    assert only(f"{rule_text(Rule('ColumnExists', (text,)))}").parameters == (text,)


def test_parts_of_a_composite_keep_their_order() -> None:
    (rule,) = parse('Rules = [ ((RowCount > 0) and (ColumnCount = 4)) OR ((IsUnique "a")) ]').rules[None]
    assert isinstance(rule, Composite)
    first, second = rule.parts
    assert (rule.operator, second.text) == ("or", 'IsUnique "a"')
    assert isinstance(first, Composite)
    assert [part.text for part in first.parts] == ["RowCount > 0", "ColumnCount = 4"]


def test_keeps_thresholds_and_tags_apart() -> None:
    rule = only('ColumnValues "a" in ["x"] where "b > 1" with ignoreCase = "true" with threshold between 0.5 and 1')
    assert rule.tags == {"ignoreCase": "true"}
    assert rule.where == "b > 1"
    assert rule.threshold is not None
    assert rule.threshold.operands == (Number("0.5"), Number("1"))


def test_reads_durations() -> None:
    condition = only('DataFreshness "a" not between 2 days and 36 hours').condition
    assert condition is not None
    assert condition.operands == (Duration(2, "days"), Duration(36, "hours"))
    assert condition.negated


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("Rules = [\n  RowCount >> 1 ]", 2, 13, "found '>' (allowed: a number)"),
        ('Rules = [ IsComplete "a ]', 1, 22, "a text that is never closed"),
        ("Rules = [ RowCount > 0 ] ;", 1, 26, "unexpected ';'"),
        ("rules = [ RowCount > 0 ]", 1, 11, "found 'RowCount' (allowed: a text in quotes)"),
        ('Rules = [ iscomplete "a" ]', 1, 11, "unknown rule 'iscomplete'"),
        ("Rules = [ RowCount BETWEEN 1 and 2 ]", 1, 11, "RowCount takes 0 parameters, got 1"),
        ("Rules = [ RowCount between 1 or 2 ]", 1, 30, "found 'or' (allowed: and)"),
        ("Rules = [ (RowCount > 0) and (RowCount < 9) or (RowCount = 1) ]", 1, 48, "and is mixed with or"),
        ("Rules = [ (RowCount > 0) and RowCount < 9 ]", 1, 30, "found 'RowCount' (allowed: ()"),
        ("Rules = [ RowCount > mode(last(3)) ]", 1, 22, "unknown function 'mode' (allowed: last, abs, avg"),
        ('Rules = [ IsComplete "a" = 1 ]', 1, 26, "IsComplete answers yes or no and takes no condition"),
        ('Rules = [ ColumnCount > 1 where "a" ]', 1, 27, "ColumnCount takes no where"),
        ('Rules = [ IsComplete "a" where " " ]', 1, 26, "the where clause is empty"),
        ('Rules = [ SchemaMatch "a" > avg(last(2)) ]', 1, 11, "SchemaMatch cannot depend on earlier results"),
        ('Rules = [ ColumnDataType "a" = "Text" ]', 1, 11, "unknown type 'Text' (allowed: Boolean, Date"),
        ('Rules = [ ColumnValues "a" > "2023-02-30" ]', 1, 28, "> takes"),
        ('Rules = [ DetectAnomalies "IsUnique" "a" ]', 1, 11, "DetectAnomalies cannot watch 'IsUnique' (allowed: "),
        ('Rules = [ DetectAnomalies "Mean" ]', 1, 11, "DetectAnomalies: Mean takes 1 parameter, got 0"),
        ('Rules = [ AllStatistics "a" ]', 1, 11, "AllStatistics is an analyzer, not a rule"),
        ('Rules = [ CustomSql "select a" > 1 with threshold > 1 ]', 1, 11, "a condition or a threshold, not both"),
        ('Rules = [ RowCount > 0 labels=["a"="b", "a"="c"] ]', 1, 31, "at most 10 labels, each name once"),
        ('Metadata = { "Name": "x" } Rules = [ RowCount > 0 ]', 1, 14, "unknown entry 'Name' (allowed: Version)"),
        ('a = "x" a = "y" Rules = [ RowCount > 0 ]', 1, 9, "variable a is declared twice"),
        ('a = "x" Rules = [ IsComplete $b ]', 1, 30, "unknown variable $b (allowed: $a)"),
        ("Rules = [ RowCount > 0 ] Rules = [ RowCount > 1 ]", 1, 32, "there are two lists of rules"),
        ('Analyzers = [ RowCount ] Rules = [ RowCount > 0 ]', 1, 26, "Rules must come before Analyzers"),
    ],
)  # fmt: skip
def test_says_where_what_and_what_is_allowed(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(DqdlError) as error:
        parse(text)
    assert message in str(error.value)
    assert (error.value.line, error.value.column) == (line, column)


@pytest.mark.parametrize(
    "name", ["FileFreshness > now()", "FileSize > 1 KB", "FileUniqueness > 0.5", 'FileMatch in ["a"]']
)
def test_refuses_rules_about_files_by_name(name: str) -> None:
    assert parse(f"Rules = [ {name} ]").rules
    with pytest.raises(DqdlError, match=f"rule type {name.split()[0]} cannot be evaluated: it is about files"):
        parse_supported(f"Rules = [ (RowCount > 0) or ({name}) ]")


def test_refuses_tags_that_would_be_ignored() -> None:
    with pytest.raises(DqdlError, match="tag format of ColumnDataType cannot be evaluated"):
        parse_supported('Rules = [ ColumnDataType "a" = "Date" with format = "MM/yyyy" ]')


def test_writes_a_document_for_one_table() -> None:
    found = parse('Rules a = [ RowCount>0, ColumnValues "b c" > 1, ] Analyzers a = [ Mean b ]')
    assert document(found.rules["a"], found.analyzers["a"]) == (
        'Rules = [\n    RowCount > 0,\n    ColumnValues "b c" > 1\n]\n\nAnalyzers = [\n    Mean "b"\n]\n'
    )
    assert document([]) == ""


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        ('ColumnValues "a" > 1', 'ColumnValues "a" > 1 where "`a` is not null"'),
        ('ColumnLength "a" > 1 where "b or c"', 'ColumnLength "a" > 1 where "(b or c) and `a` is not null"'),
        ('ColumnValues "a" in [1,NULL]', 'ColumnValues "a" in [1,NULL]'),
        ('IsComplete "a"', 'IsComplete "a"'),
        ('(RowCount > 1) or (Mean "a" > 1)', '(RowCount > 1) or (Mean "a" > 1)'),
        ('(IsUnique "a") or (ColumnValues "b" = 1)',
         '(IsUnique "a") or (ColumnValues "b" = 1 where "`b` is not null")'),
    ],
)  # fmt: skip
def test_tells_glue_to_skip_missing_values(rule: str, written: str) -> None:
    (found,) = parse(f"Rules = [ {rule} ]").rules[None]
    assert rule_text(with_missing_skipped(found)) == written
