"""Whether a request is what the API's document says; a refusal names the field, what was given and what is allowed.

Pure. The document's schemas use a part of JSON Schema: types, ``nullable``, ``enum``, ``format``, limits of numbers,
lists and texts, ``required`` and ``additionalProperties``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

Schema = Mapping[str, Any]

LONGEST_SHOWN = 200
_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_NAMES: Mapping[str, str] = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


class BadRequest(Exception):
    """A request that cannot be answered; the caller's fault.

    Attributes:
        field: Where in the request, such as ``instances[0].distance``.
        given: What was there, shortened.
        allowed: What may be there: a text, or a list of values.
    """

    def __init__(self, error: str, *, field: str, given: Any = None, allowed: Any = None) -> None:
        super().__init__(f"{field}: {error}")
        self.error, self.field, self.given, self.allowed = error, field, _shown(given), allowed

    def document(self) -> dict[str, Any]:
        """What the caller is told."""
        return {"error": self.error, "field": self.field, "given": self.given, "allowed": self.allowed}


def parse(body: str | bytes | None, document: Schema, schema: str = "Request") -> dict[str, Any]:
    """Gives the body of a request.

    Raises:
        BadRequest: It is not JSON, or not what the schema of the document says.
    """
    try:
        found = json.loads(body or "", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON", field="body", given=str(error), allowed="a JSON object") from error
    check(found, document["components"]["schemas"][schema], document)
    content: dict[str, Any] = found
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON")


def check(value: Any, schema: Schema, document: Schema, field: str = "") -> None:
    """Checks a value against a schema of the document; ``field`` is where it stands.

    Raises:
        BadRequest: It does not fit.
    """
    schema = _resolved(schema, document)
    if value is None and schema.get("nullable"):
        return
    _check_type(value, schema, field)
    _check_value(value, schema, field)
    if isinstance(value, dict):
        _check_names(value, schema, field)
        for name, part in schema.get("properties", {}).items():
            if name in value:
                check(value[name], part, document, f"{field}.{name}" if field else name)
    if isinstance(value, list):
        for position, item in enumerate(value):
            check(item, schema.get("items", {}), document, f"{field}[{position}]")


def _resolved(schema: Schema, document: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _check_type(value: Any, schema: Schema, field: str) -> None:
    kind = schema.get("type")
    if kind is None:
        return
    fits = isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        fits = True
    if not fits:
        raise BadRequest("is of another type", field=field or "body", given=value, allowed=_allowed(schema))


def _check_value(value: Any, schema: Schema, field: str) -> None:
    listed = schema.get("enum")
    if listed is not None and not any(type(value) is type(each) and value == each for each in listed):
        raise BadRequest("is none of the allowed values", field=field, given=value, allowed=listed)
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        if abs(value) > sys.float_info.max or not least <= value <= most:
            raise BadRequest("is out of range", field=field, given=value, allowed=_allowed(schema))
    if isinstance(value, str):
        long_enough = len(value) >= schema.get("minLength", 0)
        if not long_enough or re.search(schema.get("pattern", ""), value) is None or not _is_format(value, schema):
            raise BadRequest("is not written as it has to be", field=field, given=value, allowed=_allowed(schema))
    if isinstance(value, list) and not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        many = f"{schema.get('minItems', 0)} to {schema.get('maxItems')} items"
        raise BadRequest("has too many or too few items", field=field, given=f"{len(value)} items", allowed=many)


def _is_format(value: str, schema: Schema) -> bool:
    try:
        match schema.get("format"):
            case "date":
                return date.fromisoformat(value) is not None
            case "date-time":
                return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
    return True


def _check_names(value: Mapping[str, Any], schema: Schema, field: str) -> None:
    properties = schema.get("properties", {})
    inside = f"{field}." if field else ""
    for name in schema.get("required", ()):
        if name not in value:
            wanted = _allowed(properties[name]) if "$ref" not in properties[name] else "an object"
            raise BadRequest("is missing", field=f"{inside}{name}", given=None, allowed=wanted)
    if schema.get("additionalProperties") is False:
        for name in value:
            if name not in properties:
                raise BadRequest("is not known", field=f"{inside}{name}", given=value[name], allowed=sorted(properties))


def _allowed(schema: Schema) -> Any:
    """Says what a schema allows: its values, or its type and limits in words."""
    if "enum" in schema:
        return list(schema["enum"])
    kind = schema.get("type")
    words = "anything" if kind is None else _NAMES[kind]
    match schema.get("format"):
        case "date":
            words = "a date such as 2024-01-31"
        case "date-time":
            words = "an instant such as 2024-01-31T12:00:00Z"
    if "minimum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    if "pattern" in schema:
        words += f" that matches {schema['pattern']}"
    return words + (" or null" if schema.get("nullable") else "")


def _shown(value: Any) -> Any:
    """A value as it can be sent back: short values as they are, others as the beginning of their text."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except ValueError:
        return "a number that is too large"
    return value if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
