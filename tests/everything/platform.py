"""The platform with every option switched on: one stage, one workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import PlatformConfig
from stacks.platform import read_workloads

FOLDER = Path(__file__).parent
STAGE: dict[str, Any] = {
    "zones": ["us-east-1a", "us-east-1b"],
    "log_retention_days": 30,
    "removable": True,
}
"""Settings of the stage, as in the context of ``cdk.json``."""


def everything_config() -> PlatformConfig:
    """The stage ``every``."""
    return PlatformConfig.parse({"every": STAGE})


def everything_workloads() -> tuple[WorkloadFile, ...]:
    """The workload ``orders``."""
    return read_workloads(FOLDER)
