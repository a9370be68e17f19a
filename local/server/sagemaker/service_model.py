"""The service models that botocore ships: what every request and every answer looks like."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session


@cache
def service_model(service: str = "sagemaker") -> Any:
    """Load the model of one service."""
    return botocore.session.get_session().get_service_model(service)


def input_shape(operation: str) -> Any:
    """The shape of a request of ``operation``."""
    return service_model().operation_model(operation).input_shape


def output_shape(operation: str) -> Any | None:
    """The shape of an answer of ``operation``; ``None`` when it answers nothing."""
    return service_model().operation_model(operation).output_shape
