"""What MLflow is told of a run, out of the run's record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RUN_ID = "gapless.run_id"
"""The tag by which a run is found again."""

LONGEST = 5000
"""Characters of a parameter or a tag."""

_TAGS = (
    "as_of",
    "bundle",
    "dataset_version",
    "image",
    "model_uri",
    "model_sha256",
    "model_package_arn",
    "training_job",
    "champion",
    "triggered_by",
    "execution",
    "error",
    "cause",
    "failed_state",
)


@dataclass(frozen=True)
class Told:
    """What is logged of a run.

    Attributes:
        status: MLflow's word for how it ended.
        started: Milliseconds since the epoch.
    """

    status: str
    started: int
    parameters: dict[str, str]
    metrics: list[dict[str, Any]]
    tags: dict[str, str]


def tell(run_id: str, record: Mapping[str, str], given: Mapping[str, str], ended: int) -> Told:
    """Say what is logged of a run.

    Args:
        record: The run's record, attribute to text.
        given: What the run was given, which the record of a failed one does not have.
        ended: Milliseconds since the epoch.

    Raises:
        KeyError: The record does not say how the run ended, or when it began.
    """
    known = {**given, **record}
    outcome = record["status"]
    return Told(
        status="FAILED" if outcome == "failed" else "FINISHED",
        started=milliseconds(record["started"]),
        parameters={name: _short(value) for name, value in _object(record, "hyperparameters").items()},
        metrics=_metrics(_object(record, "metrics"), ended),
        tags=_tags(run_id, known, outcome),
    )


def dataset(workload: str, version: str, uri: str) -> dict[str, str]:
    """Describe a dataset as MLflow's ``Dataset``."""
    return {"name": workload, "digest": version, "source_type": "s3", "source": json.dumps({"uri": uri})}


def milliseconds(instant: str) -> int:
    """Give an ISO 8601 time in milliseconds since the epoch."""
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def _metrics(figures: Mapping[str, Any], ended: int) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": float(value), "timestamp": ended, "step": 0}
        for name, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _tags(run_id: str, known: Mapping[str, str], outcome: str) -> dict[str, str]:
    """Tags; what a failed try has left is overwritten by ``none``."""
    environment = _object(known, "environment")
    found = {
        RUN_ID: run_id,
        "gapless.outcome": outcome,
        "mlflow.source.name": f"bundle {known.get('bundle', 'unknown')}",
        "mlflow.source.type": "JOB",
        "mlflow.user": known.get("triggered_by", "unknown"),
        "mlflow.source.git.commit": known.get("commit", "unknown"),
        "mlflow.note.content": _note(known),
        **{f"gapless.{name}": known.get(name, "none") for name in _TAGS},
        **{f"gapless.{name}": str(environment[name]) for name in ("python", "packages_sha256") if name in environment},
    }
    return {name: _short(value) for name, value in found.items()}


def _note(known: Mapping[str, str]) -> str:
    rules = json.loads(known.get("rules", "[]"))
    told = [f"- {'passed' if rule['passed'] else '**broken**'}: {rule['rule']}: {rule['reason']}" for rule in rules]
    if known.get("error"):
        told.append(
            f"- **failed** in {known.get('failed_state', 'unknown')}: {known['error']}: {known.get('cause', '')}"
        )
    return "\n".join(told)


def _object(record: Mapping[str, str], name: str) -> dict[str, Any]:
    found = json.loads(record.get(name, "{}"))
    return found if isinstance(found, dict) else {}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
