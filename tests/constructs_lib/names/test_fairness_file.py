"""What a workload may say of facets, explanations and limits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from constructs_lib.names.fairness_file import (
    BiasRule,
    Explanations,
    Facet,
    Limits,
    check_fairness,
    favourable_of,
)
from constructs_lib.names.workload_file import WorkloadFile

COLUMNS = {"sex": "string", "age": "int", "income": "double", "owner": "boolean", "since": "date"}


def check(
    facets: Any = (), rules: Any = (), favourable: Any = None, problem: str = "binary_classification", **more: Any
) -> None:
    kinds = {"binary_classification": "boolean", "multiclass_classification": "string", "regression": "double"}
    given: dict[str, Any] = {
        "facets": [Facet(**facet) for facet in facets],
        "favourable": favourable,
        "explanations": None,
        "rules": [BiasRule(**rule) for rule in rules],
        "limits": None,
        "problem": problem,
        "columns": COLUMNS,
        "target": {"granted": kinds[problem]} if problem in kinds else {},
        "in_process": True,
    }
    check_fairness(**{**given, **more})


FITTING: list[dict[str, Any]] = [
    {"column": "sex", "values": ["f"], "group": "owner"},
    {"column": "age", "threshold": 40},
    {"column": "age", "values": [18, 19]},
    {"column": "income", "threshold": 1.5},
    {"column": "owner", "values": [False]},
]


@pytest.mark.parametrize("facet", FITTING)
def test_a_facet_fits_its_column(facet: dict[str, Any]) -> None:
    check([facet], [{"metric": "DPPL", "at_most": 0.1, "facet": facet["column"]}])


@pytest.mark.parametrize(
    ("facet", "finding"),
    [
        ({"column": "sx", "values": ["f"]}, "facets.0.column: 'sx' is not a column of the dataset; did you mean 'sex'"),
        ({"column": "sex", "values": [1]}, "facets.0.values: 1 is not a value of column 'sex', which is string"),
        ({"column": "age", "values": [True]}, "facets.0.values: true is not a value of column 'age', which is int"),
        ({"column": "sex", "threshold": 1}, "facets.0.threshold: column 'sex' is string; allowed: int, bigint, double"),
        ({"column": "income", "values": [1]}, "facets.0.values: column 'income' is double; allowed: string, int"),
        ({"column": "age", "threshold": 1, "group": "since"}, "facets.0.group: column 'since' is date; allowed"),
        ({"column": "age", "threshold": 1, "group": "x"}, "facets.0.group: 'x' is not a column of the dataset"),
    ],
)
def test_refuses_a_facet_that_does_not_fit(facet: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValueError, match=f"^evaluation.{finding}"):
        check([facet])


@pytest.mark.parametrize(
    ("part", "content", "finding"),
    [
        (Facet, {"column": "age"}, "needs values or a threshold"),
        (Facet, {"column": "age", "values": [1], "threshold": 2}, "needs values or a threshold"),
        (Facet, {"column": "age", "values": []}, "at least 1 item"),
        (BiasRule, {"metric": "DPPL"}, "at least one of at_least and at_most"),
        (BiasRule, {"metric": "DPPL", "at_least": 1, "at_most": 0}, "must not be below at_least"),
        (BiasRule, {"metric": "EO", "at_most": 0}, "Input should be 'CI'"),
        (BiasRule, {"metric": "FT", "at_most": 0, "judged_by": "interval"}, "FT has no interval"),
        (Limits, {}, "at least one of latency_p99_ms and bytes"),
        (Explanations, {"rows": 5}, "greater than or equal to 10"),
    ],
)
def test_refuses_what_says_nothing(part: Any, content: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValidationError, match=finding):
        part(**content)


BY_AGE = {"column": "age", "threshold": 40}


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ({"metric": "DPPL", "at_most": 1, "facet": "sex"}, "'sex' is not a column of evaluation.facets"),
        ({"metric": "CDDL", "at_most": 1}, "CDDL needs a group in every facet that it is asked of"),
    ],
)
def test_refuses_a_rule_that_no_facet_answers(rule: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValueError, match=f"^gate.bias.0.*{finding}"):
        check([BY_AGE], [rule])


def test_refuses_rules_without_facets() -> None:
    with pytest.raises(ValueError, match=r"^gate\.bias\.0\.facet: evaluation\.facets has none"):
        check([], [{"metric": "DPPL", "at_most": 1}])


@pytest.mark.parametrize(
    ("problem", "favourable"),
    [
        ("binary_classification", None),
        ("binary_classification", (False,)),
        ("multiclass_classification", ("good", "fair")),
        ("regression", 2.0),
    ],
)
def test_the_favourable_outcome_is_one_of_the_problem(problem: str, favourable: Any) -> None:
    check([BY_AGE], favourable=favourable, problem=problem)


@pytest.mark.parametrize(
    ("problem", "favourable", "finding"),
    [
        ("binary_classification", (True, False), r"allowed: \[true\] or \[false\]"),
        ("binary_classification", 2.0, "need a list of classes"),
        ("multiclass_classification", None, "need a list of classes"),
        ("multiclass_classification", (1,), "1 is not a value of column 'granted', which is string"),
        ("regression", None, "need a number above which"),
    ],
)
def test_refuses_an_outcome_that_the_problem_has_not(problem: str, favourable: Any, finding: str) -> None:
    with pytest.raises(ValueError, match=f"^evaluation.favourable: .*{finding}"):
        check([BY_AGE], favourable=favourable, problem=problem)


def test_a_yes_is_favourable_unless_the_file_says_otherwise() -> None:
    assert favourable_of(None, "binary_classification") == (True,)
    assert favourable_of((False,), "binary_classification") == (False,)
    assert favourable_of(None, "regression") is None


def test_refuses_facets_and_explanations_of_what_has_no_outcome() -> None:
    with pytest.raises(ValueError, match=r"^evaluation\.facets: clustering has no outcome"):
        check([BY_AGE], problem="clustering")
    with pytest.raises(ValueError, match=r"^evaluation\.explanations: projection has no outcome"):
        check(problem="projection", explanations=Explanations())
    with pytest.raises(ValueError, match=r"^evaluation\.favourable: is asked for facets only"):
        check(favourable=(True,))


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"explanations": Explanations()}, "evaluation.explanations"),
        ({"limits": Limits(latency_p99_ms=5)}, "gate.limits.latency_p99_ms"),
    ],
)
def test_refuses_to_ask_more_of_a_model_that_only_its_container_loads(asked: Any, path: str) -> None:
    check(**asked)
    with pytest.raises(ValueError, match=f"^{path}: is for models that the evaluation loads"):
        check(**asked, in_process=False)
    check(limits=Limits(bytes=5), in_process=False)


def test_row_ids_made_of_a_sensitive_column_are_sensitive_too() -> None:
    columns = {"plate": "string", "seen_at": "timestamp", "late": "boolean", "colour": "string"}
    source = {"key": ["plate"], "columns": columns, "known_later": ["late"]}
    content = {"name": "cars", "owner": "a@example.com", "target": "late", "event_time": "seen_at"}
    for sensitive, withheld in (([], []), (["colour"], ["colour"]), (["plate"], ["_row_id"])):
        workload = WorkloadFile.parse({**content, "sources": {"cars": {**source, "sensitive": sensitive}}})
        assert workload.evaluation_options()["sensitive"] == withheld
