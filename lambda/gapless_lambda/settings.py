"""Settings of a function: a typed reading of its environment variables."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TypeVar

Settings = TypeVar("Settings")


class BadSettings(Exception):
    """The environment of the function lacks a variable, or leaves it empty."""


def read_settings(kind: type[Settings], environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a dataclass of strings from the environment: the field ``runs_table`` is the variable ``RUNS_TABLE``.

    Raises:
        BadSettings: A variable is missing or empty; every such variable is named.
    """
    names = {field.name: field.name.upper() for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    missing = sorted(variable for variable in names.values() if not environment.get(variable))
    if missing:
        raise BadSettings(
            f"environment variables missing or empty: {', '.join(missing)}; "
            f"{kind.__name__} needs {', '.join(sorted(names.values()))}"
        )
    return kind(**{name: environment[variable] for name, variable in names.items()})
