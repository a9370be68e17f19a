"""CloudWatch's metric math, as far as alarms need it: arithmetic, comparisons and ``IF``, one number per name."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any


class BadExpression(ValueError):
    """The expression is none, or holds what is not available on the local server."""


_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def evaluate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """The value of an expression; ``None`` where a metric that it needs has no data, or it divides by zero.

    Raises:
        BadExpression: It is not one of this module's.
    """
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise BadExpression(f"{expression!r} is no expression of metric math") from error
    return _value(tree, values)


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _value(operand, values)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=how, right=right) if type(how) in _ARITHMETIC:
            return _applied(_ARITHMETIC[type(how)], _value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[how], comparators=[right]) if type(how) in _COMPARE:
            return _applied(_COMPARE[type(how)], _value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise], keywords=[]):
            holds = _value(condition, values)
            return None if holds is None else _value(then if holds else otherwise, values)
    raise BadExpression(f"{ast.unparse(node)!r} is not available in metric math on the local server")


def _applied(how: Callable[[float, float], float], left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    try:
        return float(how(left, right))
    except ZeroDivisionError:
        return None
