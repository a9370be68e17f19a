"""Trials as answers show them.

The server itself keeps of a trial its ``number``, its ``job``, the ``hyperparameters`` that it was told, the ``values``
of the objective that it has reported, how many of them were ``judged``, its ``state``, and the adviser's ``attrs``.
"""

from __future__ import annotations

import math

from local.server.sagemaker.store import Document
from local.server.sagemaker.tuning import requests

_SHOWN = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime", "FailureReason")


def is_good(trial: Document) -> bool:
    """Whether a trial can be compared with others: it has reported a number and was not a failure."""
    return trial["state"] in ("completed", "stopped") and bool(trial["values"]) and math.isfinite(trial["values"][-1])


def summary(document: Document, trial: Document, found: Document | None) -> Document:
    """A trial as ``HyperParameterTrainingJobSummary``."""
    known = found or {"TrainingJobName": trial["job"], "CreationTime": document["CreationTime"]}
    status = known.get("TrainingJobStatus", "InProgress" if trial["state"] == "running" else trial["state"].title())
    ended = "Succeeded" if is_good(trial) else "Failed"
    objective = "Pending" if trial["state"] == "running" else ended
    shown = {
        **{name: known[name] for name in _SHOWN if known.get(name) is not None},
        "TrainingJobArn": known.get("TrainingJobArn", document["HyperParameterTuningJobArn"]),
        "TrainingJobStatus": status,
        "TunedHyperParameters": trial["hyperparameters"],
        "ObjectiveStatus": objective,
    }
    if objective == "Succeeded":
        value = {**requests.objective(document), "Value": trial["values"][-1]}
        shown["FinalHyperParameterTuningJobObjectiveMetric"] = value
    return shown


def count(summaries: list[Document], lost: int) -> Document:
    """``TrainingJobStatusCounters`` of a tuning."""
    statuses = [each["TrainingJobStatus"] for each in summaries]
    return {
        "Completed": statuses.count("Completed"),
        "InProgress": statuses.count("InProgress") + statuses.count("Stopping"),
        "RetryableError": lost,
        "NonRetryableError": statuses.count("Failed"),
        "Stopped": statuses.count("Stopped"),
    }


def best(document: Document, summaries: list[Document]) -> Document | None:
    """The trial with the best objective; None when no trial has one."""
    measured = [each for each in summaries if each["ObjectiveStatus"] == "Succeeded"]
    sign = 1 if requests.objective(document)["Type"] == "Maximize" else -1
    return max(
        measured,
        key=lambda each: sign * each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"],
        default=None,
    )
