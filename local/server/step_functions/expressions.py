"""JSONata as Step Functions evaluates it: ``$states``, variables, and the functions that AWS adds."""

from __future__ import annotations

import hashlib
import json
import math
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonata import Jsonata
from jsonata.utils import Utils

from local.server.step_functions.errors import StateError

_LIMIT_MILLISECONDS = 30_000
_DIGESTS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


@dataclass(frozen=True)
class Scope:
    """What expressions of one state can see."""

    input: Any
    context: Mapping[str, Any]
    variables: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def seeing(self, **extra: Any) -> Scope:
        """The same, with ``result`` or ``errorOutput`` in ``$states``."""
        return Scope(self.input, self.context, self.variables, extra)


def is_expression(value: Any) -> bool:
    """Whether a string of a definition is a JSONata expression."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def fill(template: Any, scope: Scope) -> Any:
    """A JSON template with every expression in it replaced by its value.

    Raises:
        StateError: ``States.QueryEvaluationError`` when an expression fails or has no value.
    """
    if is_expression(template):
        return evaluate(template[2:-2].strip(), scope)
    if isinstance(template, dict):
        return {key: fill(value, scope) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, scope) for value in template]
    return template


def evaluate(expression: str, scope: Scope) -> Any:
    """The value of one expression.

    Raises:
        StateError: ``States.QueryEvaluationError``, as in ``fill``.
    """
    states = _with_nulls({"input": scope.input, "context": scope.context, **scope.extra})
    bindings = _with_nulls(scope.variables)
    try:
        value = _run(expression, {**bindings, "states": states})
        if value is None and not _run(f"$exists(({expression}))", {**bindings, "states": states}):
            raise StateError("States.QueryEvaluationError", f"the JSONata expression has no value: {expression}")
        return _plain(value, expression)
    except StateError:
        raise
    except Exception as error:
        code = getattr(error, "error", None)
        message = f"{code}: {error}" if isinstance(code, str) and code else str(error)
        raise StateError("States.QueryEvaluationError", f"{message} in the expression {expression}") from error


def _run(expression: str, bindings: dict[str, Any]) -> Any:
    compiled = Jsonata.jsonata(expression, timeout=_LIMIT_MILLISECONDS)
    for name, function in _FUNCTIONS.items():
        compiled.register_lambda(name, function)
    return compiled.evaluate(None, bindings)


def _with_nulls(value: Any) -> Any:
    """JSON whose nulls are values: the evaluator takes Python's None for no value at all, as JavaScript's undefined."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, Mapping):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_nulls(item) for item in value]
    return value


def _plain(value: Any, expression: str) -> Any:
    """JSON types only; whole numbers are written as JavaScript writes them, without a fraction."""
    if value is None or value is Utils.NULL_VALUE:
        return None
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StateError("States.QueryEvaluationError", f"{value} is not JSON, in the expression {expression}")
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, expression) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(item, expression) for item in value]
    raise StateError("States.QueryEvaluationError", f"the expression {expression} gives a function, not JSON")


# -- the functions that Step Functions adds to JSONata


def _partition(array: list[Any], size: float) -> list[list[Any]]:
    step = math.floor(size)
    if step < 1:
        raise ValueError("$partition needs a chunk size of at least 1")
    return [array[start : start + step] for start in range(0, len(array), step)]


def _range(first: float, last: float, step: float) -> list[int]:
    start, end, delta = math.floor(first), math.floor(last), math.floor(step)
    if delta == 0:
        raise ValueError("$range needs a step other than 0")
    return list(range(start, end + (1 if delta > 0 else -1), delta))


def _hash(text: str, algorithm: str) -> str:
    if algorithm not in _DIGESTS:
        raise ValueError(f"$hash knows {', '.join(_DIGESTS)}, not {algorithm}")
    return hashlib.new(_DIGESTS[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _random(seed: float | None = None) -> float:
    return (random.Random(seed) if seed is not None else random.SystemRandom()).random()  # noqa: S311 - as AWS does


def _uuid() -> str:
    return str(uuid.uuid4())


def _parse(text: str) -> Any:
    return _with_nulls(json.loads(text, parse_float=_number))


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _eval(*_arguments: Any) -> Any:
    raise ValueError("$eval does not exist in Step Functions; $parse reads JSON")


_FUNCTIONS = {
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "uuid": _uuid,
    "parse": _parse,
    "eval": _eval,
}
