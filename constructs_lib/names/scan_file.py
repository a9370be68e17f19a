"""What ``workload.yaml`` says of the scan of a container's image."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from constructs_lib.names.file_parts import Part

SEVERITIES: Final = ("UNDEFINED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""ECR's words, least severe first; enhanced scanning says UNTRIAGED where basic scanning says UNDEFINED."""


class Scan(Part):
    """What stops an image before it trains or serves.

    Attributes:
        stop_at: The least severity of a finding that does; None lets no finding stop a run.
        wait_minutes: How long a scan that is not over is waited for.
    """

    stop_at: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"] | None = "CRITICAL"
    wait_minutes: Annotated[int, Field(ge=1, le=240)] = 30
