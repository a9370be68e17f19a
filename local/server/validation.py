"""Checks a request against its shape, with the sentences that AWS uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local.server.host import ServiceError
from local.server.java_regex import compile_java

_NUMBERS = ("integer", "long", "float", "double")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
    "blob": (str,),
}


def validate(shape: Any, params: Mapping[str, Any], *, code: str = "ValidationException") -> None:
    """Refuse a request that does not fit its shape.

    Args:
        code: What the service calls a request that is not valid.

    Raises:
        ServiceError: ``SerializationException`` for a value of the wrong type, ``code`` for everything
            else; the message names each member, the value given and the constraint.
    """
    problems = list(_problems(shape, params, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ServiceError(code, count + "; ".join(problems))


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    _check_type(shape, value, path)
    if shape.type_name == "structure":
        yield from _structure(shape, value, path)
    elif shape.type_name == "list":
        yield from _length(shape, value, path)
        for position, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{position}.member")
    elif shape.type_name == "map":
        yield from _map(shape, value, path)
    elif shape.type_name == "string":
        yield from _string(shape, value, path)
    elif shape.type_name in _NUMBERS:
        yield from _number(shape, value, path)


def _check_type(shape: Any, value: Any, path: str) -> None:
    allowed = _PYTHON_TYPES[shape.type_name]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        where = path or "the request"
        raise ServiceError("SerializationException", f"{where} must be a {shape.type_name}, not {value!r}")


def _structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    given = {name: item for name, item in value.items() if item is not None}
    for name in shape.required_members:
        if name not in given:
            yield _problem(None, _join(path, name), "Member must not be null")
    for name, item in given.items():
        if name in shape.members:
            yield from _problems(shape.members[name], item, _join(path, name))
        else:
            allowed = ", ".join(shape.members)
            yield _problem(item, _join(path, name), f"Member must be one of: {allowed}")
    if getattr(shape, "is_tagged_union", False) and len(given) != 1:
        yield _problem(sorted(given), path, f"Exactly one member must be given of: {', '.join(shape.members)}")


def _map(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    yield from _length(shape, value, path)
    for key, item in value.items():
        yield from _problems(shape.key, key, f"{path}.key")
        yield from _problems(shape.value, item, f"{path}.{key}.value")


def _string(shape: Any, value: str, path: str) -> Iterator[str]:
    lengths = list(_length(shape, value, path))
    yield from lengths
    if shape.enum and value not in shape.enum:
        yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not lengths and not compile_java(pattern).fullmatch(value):
        yield _problem(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _length(shape: Any, value: Any, path: str) -> Iterator[str]:
    yield from _bounds(shape, value, len(value), path, "have length")


def _number(shape: Any, value: float, path: str) -> Iterator[str]:
    yield from _bounds(shape, value, value, path, "have value")


def _bounds(shape: Any, value: Any, size: float, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _problem(value, path, f"Member must {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _problem(value, path, f"Member must {what} less than or equal to {most}")


def _join(path: str, name: str) -> str:
    member = name[:1].lower() + name[1:]
    return f"{path}.{member}" if path else member


def _problem(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
