"""Names and values of hyperparameters, as ``workload.yaml`` gives them and as SageMaker takes them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from constructs_lib.names.file_parts import shown


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"must be a number, a text, true or false, was {shown(value)}")
    return value


HyperparameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Hyperparameter = Annotated[
    Any, AfterValidator(_plain), WithJsonSchema({"type": ["boolean", "integer", "number", "string"]})
]


def text_of(value: float | str | bool) -> str:
    """The value as a training job takes it: truth values as JSON has them."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
