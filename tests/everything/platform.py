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
    "tracking": {"server": "small"},
    "dashboard": True,
    "workload_dashboards": True,
    "audit_trail": {"retention_days": 365},
    "budget": {"monthly_usd": 500.0, "unusual_usd": 25.0},
}
"""Settings of the stage, as in the context of ``cdk.json``, as far as the local AWS has a counterpart for them."""

STAGE: dict[str, Any] = {
    **LOCAL_STAGE,
    "warehouse": {"base_rpu": 8, "max_rpu": 16},
    "lustre": {"capacity_gb": 1200, "throughput": 125},
    "debugger": True,
    "model_monitor": True,
    "log_search": {"instances": 3, "volume_gb": 50, "masters": "m7g.large.search", "retention_days": 14},
    "network": {"interface_endpoints": True},
    "studio": {"idle_minutes": 90, "repository": {"url": "https://git.example.com/models.git", "branch": "main"}},
}
"""All settings of the stage."""

ONLY_ON_AWS: dict[str, Any] = {
    "name": "stored_orders",
    "monitoring": None,  # the template has no room for it
    "retraining": None,
    "preparation": {"features": {"data_wrangler_flow": "orders.flow", "output_node": "33333333-joined"}},
    "model": {"image": "pytorch:2.6.0"},
    "training": {
        "read_from": "lustre",
        "guard": {"watch": "debugger", "rules": {"class_imbalance": {}}},
        "instance_count": 2,
        "distribution": "torch_distributed",
        "warm_pool_minutes": 10,
    },
    "stages": {
        "every": {
            "training": {"volume_gb": 60},
            "evaluation": {"instance_type": "ml.m5.xlarge", "volume_gb": 40},
            "serving": {"instance_count": 2},
            "preparation": {"workers": 3},
        }
    },
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


OWN_ADAPTERS: dict[str, Any] = {
    "name": "foreseen_orders",
    "monitoring": None,  # nobody can score its models in a job
    "model": {
        "kind": "built_in",
        "algorithm": "forecasting-deepar",
        "channels": {"train": "application/jsonlines", "test": "application/jsonlines"},
    },
    "training": {
        "hyperparameters": {"context_length": 7, "epochs": 20, "prediction_length": 1, "time_freq": "D"},
    },
}
"""A workload whose algorithm the platform has no encoder for, and the local AWS no counterpart of."""

WATCHED_BY_AWS: dict[str, Any] = {
    "monitoring": {"backend": "clarify"},
    "evaluation": {"facets": [{"column": "channel", "values": ["web"]}]},
}
"""What SageMaker's own monitors look at; the local AWS has no counterpart of them."""

GROUPED: dict[str, Any] = {
    "name": "grouped_orders",
    "monitoring": None,
    "model": {"kind": "built_in", "algorithm": "factorization-machines"},
    "serving": {
        "api": {
            "authorizer": "jwt",
            "tokens": {"issuer": "https://login.example.com", "audiences": ["orders"], "claims": {"team": ["sales"]}},
            "scopes": ["orders/predict"],
            "sticky_by": "header:x-customer",
            "waf": True,
        }
    },
    "training": {"hyperparameters": {"num_factors": 8}},
    "relabelling": {
        "destination": "ground_truth",
        "ground_truth": {
            "work_team": "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/orders",
            "prepares": "arn:aws:lambda:us-east-1:432418664414:function:PRE-TextMultiClass",
            "consolidates": "arn:aws:lambda:us-east-1:432418664414:function:ACS-TextMultiClass",
        },
    },
}
"""A workload whose algorithm the platform encodes for, and the local AWS has no counterpart of."""


def everything_config() -> PlatformConfig:
    """The stage ``every``."""
    return PlatformConfig.parse({"every": STAGE})


def everything_workloads() -> tuple[WorkloadFile, ...]:
    """The workloads of the folder, and others with what there is only on AWS."""
    local = read_workloads(FOLDER)
    named = {workload.name: workload for workload in local}
    adapted, grouped = (with_settings(named["kept_orders"], more) for more in (OWN_ADAPTERS, GROUPED))
    watched = with_settings(adapted, WATCHED_BY_AWS)
    return (*local, with_settings(named["orders"], ONLY_ON_AWS), watched, grouped)


def with_settings(workload: WorkloadFile, more: dict[str, Any]) -> WorkloadFile:
    """A workload with more settings; recipes and flows are those under ``no_code``."""
    return WorkloadFile.parse(merged(_content(workload), more), folder=FOLDER / "no_code")


def everything_rules() -> RulesOfWorkloads:
    """The rules of the workload ``orders``."""
    return read_rules(read_workloads(FOLDER), FOLDER)


def merged(content: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Settings with more settings; where both have a mapping, its keys are put together, and nothing takes one away."""
    both = {
        name: {**content[name], **given}
        for name, given in more.items()
        if isinstance(given, dict) and isinstance(content.get(name), dict)
    }
    return {**content, **more, **both}


def _content(workload: WorkloadFile) -> dict[str, Any]:
    return workload.model_dump(mode="json", exclude_unset=True)
