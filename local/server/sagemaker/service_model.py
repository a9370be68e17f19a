"""SageMaker's model that botocore ships: what every request and every answer looks like."""

from __future__ import annotations

from typing import Any

from local.server.clients import service_model

_SERVICE = "sagemaker"


def input_shape(operation: str) -> Any:
    """The shape of a request of ``operation``."""
    return service_model(_SERVICE).operation_model(operation).input_shape


def output_shape(operation: str) -> Any | None:
    """The shape of an answer of ``operation``; ``None`` when it answers nothing."""
    return service_model(_SERVICE).operation_model(operation).output_shape
