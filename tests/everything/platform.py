"""The platform with every option switched on: one stage, and workloads that have the options between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import PlatformConfig
from stacks.platform import RulesOfWorkloads, read_rules, read_workloads

FOLDER = Path(__file__).parent
LOCAL_STAGE: dict[str, Any] = {
    "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
    "log_retention_days": 30,
    "removable": True,
}
"""Settings of the stage, as in the context of ``cdk.json``, as far as the local AWS has a counterpart for them."""

STAGE: dict[str, Any] = {
    **LOCAL_STAGE,
    "warehouse": {"base_rpu": 8, "max_rpu": 16},
    "lustre": {"capacity_gb": 1200, "throughput": 125},
}
"""All settings of the stage."""

ONLY_ON_AWS: dict[str, Any] = {
    "name": "stored_orders",
    "preparation": {"features": {"data_wrangler_flow": "orders.flow", "output_node": "33333333-joined"}},
    "training": {"read_from": "lustre"},
    "warehouse": {
        "exports": {"late_share": "SELECT region, avg(late::int) FROM loaded.stored_orders_features GROUP BY region"}
    },
    "iceberg": {
        "views": {
            "late_by_channel": {
                "sql": "SELECT channel, count(*) AS orders, sum(int(late)) AS late FROM {features} GROUP BY channel",
                "refresh_hours": 6,
            }
        }
    },
}
"""What a workload may ask for and the local AWS has no counterpart of; such stores take datasets from one folder."""


def everything_config() -> PlatformConfig:
    """The stage ``every``."""
    return PlatformConfig.parse({"every": STAGE})


def everything_workloads() -> tuple[WorkloadFile, ...]:
    """The workloads of the folder, and another one with what there is only on AWS."""
    local = read_workloads(FOLDER)
    orders = next(workload for workload in local if workload.name == "orders")
    return (*local, with_settings(orders, ONLY_ON_AWS))


def with_settings(workload: WorkloadFile, more: dict[str, Any]) -> WorkloadFile:
    """A workload with more settings; recipes and flows are those under ``no_code``."""
    return WorkloadFile.parse(merged(_content(workload), more), folder=FOLDER / "no_code")


def everything_rules() -> RulesOfWorkloads:
    """The rules of the workload ``orders``."""
    return read_rules(read_workloads(FOLDER), FOLDER)


def merged(content: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Settings with more settings; where both have a mapping, its keys are put together."""
    both = {name: {**content[name], **more[name]} for name in more if isinstance(content.get(name), dict)}
    return {**content, **more, **both}


def _content(workload: WorkloadFile) -> dict[str, Any]:
    return workload.model_dump(mode="json", exclude_unset=True)
