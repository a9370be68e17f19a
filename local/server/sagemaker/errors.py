"""The errors of the local SageMaker's control plane."""

from __future__ import annotations

from local.server.host import ServiceError


def invalid(message: str) -> ServiceError:
    """A request that fits its shape but cannot be served."""
    return ServiceError("ValidationException", message)


def unsupported(what: str) -> ServiceError:
    """A request that AWS would serve and the local server does not: refused, never skipped in silence."""
    return ServiceError("ValidationException", f"{what} is not available on the local server")
