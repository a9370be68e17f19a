"""Makes answers: only what the service model declares leaves the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _seconds(moment: float) -> float:
    return moment


def milliseconds(moment: float) -> int:
    """Epoch seconds as the whole milliseconds that events carry."""
    return int(moment * 1000)


def shaped(shape: Any | None, value: Any, timestamp: Callable[[float], float] = _seconds) -> Any:
    """Copy ``value`` without the members that ``shape`` does not declare and without nulls.

    Args:
        timestamp: How a stored time (epoch seconds) is written.
    """
    if shape is None:
        return {}
    if shape.type_name == "structure":
        return {
            name: shaped(member, value[name], timestamp)
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [shaped(shape.member, item, timestamp) for item in value]
    if shape.type_name == "map":
        return {key: shaped(shape.value, item, timestamp) for key, item in value.items()}
    if shape.type_name == "timestamp":
        return timestamp(value)
    return value
