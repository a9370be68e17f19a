"""Numbers that depend on earlier results: dynamic conditions, and what counts as an anomaly.

A history is a list of earlier values of one metric, the oldest first. ``last(k)`` is the k newest of them, all where
there are fewer, and 0 where there is none (https://docs.aws.amazon.com/glue/latest/dg/dqdl.html#dqdl-dynamic-rules).
AWS Glue does not publish how it finds anomalies; the method here is ours, see ``expected_range``.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from gapless_glue.dqdl.language import Arithmetic, Call, Condition, Keyword, Number, Numeric, Operand

LEAST_HISTORY: Final = 7
FAR: Final = 3.5
OPERATIONS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Value = float | list[float]


class NoHistoryError(LookupError):
    """There are too few earlier results to compare with."""


class BadConditionError(ValueError):
    """A condition that reads well and means nothing, ``avg(3)`` for example."""


def number_of(operand: Operand, history: Sequence[float] = ()) -> float:
    """Returns the number that an operand stands for.

    Raises:
        NoHistoryError: It asks for one of the earlier results and there are too few.
        BadConditionError: It has no value, or is a list.
    """
    if not isinstance(operand, Number | Call | Arithmetic):
        raise BadConditionError(f"not a number: {operand}")
    value = _value(operand, history)
    if isinstance(value, list):
        if len(value) != 1:
            raise BadConditionError(f"{len(value)} earlier results where one number is compared, take avg, min or max")
        return value[0]
    return value


def holds(condition: Condition, value: float, history: Sequence[float] = ()) -> bool:
    """Tells whether a number is as a condition of kind ``number`` wants it.

    Raises:
        NoHistoryError: The condition asks for one of the earlier results and there are too few.
        BadConditionError: An operand has no value.
    """
    numbers = [number_of(operand, history) for operand in condition.operands if not isinstance(operand, Keyword)]
    if condition.operator == "between":
        found = numbers[0] < value < numbers[1]
    elif condition.operator == "in":
        found = value in numbers
    elif not numbers:
        found = condition.operator == "!="
    else:
        found = HOLDS[condition.operator](value, numbers[0])
    return found != condition.negated


def expected_range(history: Sequence[float]) -> tuple[float, float]:
    """Returns between which bounds, ends included, a value is no anomaly.

    The median plus and minus 3.5 robust standard deviations, these being the median distance from the median times
    1.4826 (B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993). Where more than half of the history is
    one value that distance is zero and the mean distance times 1.2533 stands in for it. Trend and season are not seen.

    Raises:
        NoHistoryError: There are fewer than seven values.
    """
    if len(history) < LEAST_HISTORY:
        raise NoHistoryError(f"{len(history)} earlier results, {LEAST_HISTORY} are needed")
    middle = statistics.median(history)
    distances = [abs(value - middle) for value in history]
    spread = 1.4826 * statistics.median(distances) or 1.2533 * statistics.fmean(distances)
    return middle - FAR * spread, middle + FAR * spread


def _value(operand: Numeric, history: Sequence[float]) -> Value:
    if isinstance(operand, Number):
        return operand.value
    if isinstance(operand, Arithmetic):
        left, right = number_of(operand.left, history), number_of(operand.right, history)
        if operand.operator == "/" and right == 0:
            raise BadConditionError("division by zero")
        return OPERATIONS[operand.operator](left, right)
    if operand.name == "last":
        return _last(operand, history)
    return _called(operand, [_value(argument, history) for argument in operand.arguments])


def _last(call: Call, history: Sequence[float]) -> list[float]:
    if len(call.arguments) > 1:
        raise BadConditionError(f"last takes one number, got {len(call.arguments)}")
    wanted = number_of(call.arguments[0], history) if call.arguments else 1.0
    if wanted < 1 or wanted != math.floor(wanted):
        raise BadConditionError(f"last takes a whole number from 1, got {wanted:g}")
    return list(history[-int(wanted) :]) or [0.0]


def _called(call: Call, arguments: Sequence[Value]) -> float:
    if call.name == "abs":
        if len(arguments) != 1 or isinstance(arguments[0], list):
            raise BadConditionError("abs takes one number")
        return abs(arguments[0])
    if not arguments or not isinstance(arguments[0], list):
        raise BadConditionError(f"{call.name} takes earlier results, {call.name}(last(5)) for example")
    values, others = arguments[0], [other for other in arguments[1:] if not isinstance(other, list)]
    if call.name in ("index", "percentile"):
        if len(arguments) != 2 or len(others) != 1:
            raise BadConditionError(f"{call.name} takes earlier results and a number")
        return _at(values, others[0]) if call.name == "index" else _percentile(values, others[0])
    if len(arguments) != 1:
        raise BadConditionError(f"{call.name} takes nothing but earlier results")
    return AGGREGATES[call.name](values)


def _at(values: Sequence[float], place: float) -> float:
    """The earlier result at a place, counted from 0, the newest first."""
    if place != math.floor(place) or not 0 <= place < len(values):
        raise NoHistoryError(f"there is no earlier result {place:g}, there are {len(values)}")
    return values[-1 - int(place)]


def _percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0 to 1) of the values lies, with linear interpolation."""
    if not 0 <= share <= 1:
        raise BadConditionError(f"percentile takes a share between 0 and 1, got {share:g}")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "avg": statistics.fmean,
    "average": statistics.fmean,
    "mean": statistics.fmean,
    "max": max,
    "median": statistics.median,
    "min": min,
    "std": statistics.pstdev,
    "sum": math.fsum,
}
