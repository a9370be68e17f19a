"""Starts the job that pulls a database; one run at a time, whatever asks for more.

Invoked by its queue, which a schedule feeds. A run that fails is not this function's to see: its event goes into the
failure queue, and moving it from there to this function's queue starts the job again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.settings import read_settings

log = get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """The environment of the function."""

    job_name: str


def start(settings: Settings) -> None:
    """Start the job, unless a run is going on: the next event of the schedule sees what that one does not."""
    glue = client("glue")
    try:
        run_id: str = glue.start_job_run(JobName=settings.job_name)["JobRunId"]
    except glue.exceptions.ConcurrentRunsExceededException:
        log.info("a run is going on", extra={"job": settings.job_name})
        return
    log.info("started", extra={"job": settings.job_name, "run": run_id})


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:  # noqa: ARG001
    """Start the job for each message."""
    settings = read_settings(Settings)
    return each_message(event, lambda _: start(settings), log)
