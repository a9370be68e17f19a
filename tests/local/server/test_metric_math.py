from __future__ import annotations

import pytest

from local.server.metric_math import BadExpression, evaluate


@pytest.mark.parametrize(
    ("expression", "values", "result"),
    [
        ("a + b * 2", {"a": 1.0, "b": 3.0}, 7.0),
        ("(a - b) / 4", {"a": 9.0, "b": 1.0}, 2.0),
        ("-a", {"a": 2.0}, -2.0),
        ("a >= 20", {"a": 20.0}, 1.0),
        ("IF(a >= 20, b / a, 0)", {"a": 40.0, "b": 10.0}, 0.25),
        ("IF(a >= 20, b / a, 0)", {"a": 19.0, "b": 19.0}, 0.0),
        ("IF(a > 1, b, 0)", {"a": 0.0, "b": None}, 0.0),
        ("a / b", {"a": 1.0, "b": 0.0}, None),
        ("a + b", {"a": 1.0, "b": None}, None),
    ],
)
def test_gives_what_cloudwatch_gives(expression: str, values: dict[str, float | None], result: float | None) -> None:
    assert evaluate(expression, values) == result


@pytest.mark.parametrize("expression", ["a +", "FILL(a, 0)", "unknown", "a.b", "a if b else c", "__import__('os')"])
def test_refuses_what_it_does_not_know(expression: str) -> None:
    with pytest.raises(BadExpression):
        evaluate(expression, {"a": 1.0, "b": 1.0, "c": 1.0})
