"""What the parts of the configuration have in common: how they are typed, and how they are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails


class ConfigurationError(ValueError):
    """Raised when the context or a workload file is not valid; the message has one line per finding."""


class Part(BaseModel):
    """Settings that belong together; unknown keys are refused, and nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def as_tuple(value: Any) -> Any:
    """Returns a list of JSON as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def finding(
    path: str, detail: ErrorDetails, whole: type[Part], parts: Mapping[str, type[Part]], given: str | None = None
) -> str:
    """Renders one finding: path, value, what is allowed.

    Args:
        path: Where the settings lie in the context.
        detail: What pydantic found.
        whole: Their type.
        parts: Key to the type of the settings below it.
        given: A field of the whole that is no key of the settings. Default: all are.
    """
    steps = [str(step) for step in detail["loc"]]
    path = ".".join([path, *steps])
    kind = detail["type"]
    if kind == "missing":
        return f"{path}: is required"
    if kind == "extra_forbidden":
        owner = next((parts[step] for step in reversed(steps[:-1]) if step in parts), whole)
        known = [field for field in owner.model_fields if owner is not whole or field != given]
        return f"{path}: is not a known key (allowed: {', '.join(known)})"
    if kind == "value_error":
        return _own_finding(path, str(detail["ctx"]["error"]))
    if kind == "string_pattern_mismatch":
        return f"{path}: must match {detail['ctx']['pattern']}, was {shown(detail['input'])}"
    if kind == "too_short":
        return f"{path}: needs at least {detail['ctx']['min_length']}, was {shown(detail['input'])}"
    if kind == "too_long":
        return f"{path}: takes at most {detail['ctx']['max_length']}, was {shown(detail['input'])}"
    message = detail["msg"]
    return f"{path}: {message[:1].lower()}{message[1:]}, was {shown(detail['input'])}"


def _own_finding(path: str, text: str) -> str:
    """Joins the path of a model and the message of its check, which may start with the key that it is about."""
    names_a_key = re.match(r"[a-z_]+: ", text)
    return f"{path}.{text}" if names_a_key else f"{path}: {text}"


def shown(value: object) -> str:
    """Renders a refused value, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
