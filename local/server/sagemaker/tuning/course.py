"""The course of a tuning: which trials run, which are stopped, and when it is over.

What is known of the trials is in the tuning's document, so a tuning goes on after the server was killed: trials that
ran then are started once more with what they were told, those that have ended stay as they are.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable

from local.server import clock
from local.server.sagemaker.jobs.runner import JobFailed, JobStopped, RunningJob
from local.server.sagemaker.jobs.training import TrainingJobs
from local.server.sagemaker.resources import TRAINING_JOB
from local.server.sagemaker.store import Document
from local.server.sagemaker.tuning import requests
from local.server.sagemaker.tuning.advice import Advice
from local.server.sagemaker.tuning.trials import is_good

_LOOK_SECONDS = 0.1
_MOST_FAILURES = 5
_STATES = {"Completed": "completed", "Stopped": "stopped", "Failed": "failed"}
_LOST = "InternalServerError: the local server was stopped"

Keeper = Callable[[Document, list[Document], int], None]
"""Keeps the trials of a tuning, and how many of them were lost with the server."""


class Course:
    """The course of one tuning, from its start or from where it was when the server went down."""

    def __init__(
        self, training: TrainingJobs, document: Document, advice: Advice, job: RunningJob, keep: Keeper
    ) -> None:
        self._training, self._document, self._advice, self._job = training, document, advice, job
        self._keeper = keep
        self._config = document["HyperParameterTuningJobConfig"]
        self._metric = requests.objective(document)["MetricName"]
        self._trials: list[Document] = document["_Trials"]
        self._lost: int = document["_Lost"]
        self._judges = self._config["Strategy"] == "Hyperband" or (
            self._config.get("TrainingJobEarlyStoppingType", "Off") == "Auto"
        )

    def run(self) -> None:
        """Go on until there is nothing to be done.

        Raises:
            JobStopped: A stop was asked for, or the server goes down.
            JobFailed: No trial has come to anything.
        """
        self._take_up()
        while True:
            if self._training.platform.stopping.is_set():
                raise JobStopped
            self._look()
            ends = self._job.stop_asked or self._is_over()
            if ends:
                self._stop(self._running())
            if not self._running() and (ends or len(self._trials) >= requests.most_trials(self._config)):
                break
            if not ends:
                self._launch()
            time.sleep(_LOOK_SECONDS)
        self._job.check_stop()
        if not any(is_good(trial) for trial in self._trials):
            raise JobFailed(self._told())

    def _take_up(self) -> None:
        """Start the trials again that went down with the server."""
        for trial in self._running():
            found = self._training.store.find(TRAINING_JOB.name, trial["job"])
            if found is not None and not str(found.get("FailureReason", "")).startswith(_LOST):
                continue
            if found is not None:
                self._lost += 1
                trial.update(job=self._job_name(trial, self._lost), values=[], judged=0)
            self._keep()
            self._begin(trial)

    def _launch(self) -> None:
        """Start trials until as many run as may, unless the first ones have all failed."""
        limits = self._config["ResourceLimits"]
        while (
            len(self._running()) < limits["MaxParallelTrainingJobs"]
            and len(self._trials) < requests.most_trials(self._config)
            and not self._only_fails()
        ):
            answer = self._advice.ask(self._trials)
            trial = {"number": len(self._trials), "values": [], "judged": 0, "state": "running", **answer}
            trial["job"] = self._job_name(trial, 0)
            self._trials.append(trial)
            self._keep()
            self._begin(trial)

    def _begin(self, trial: Document) -> None:
        request = requests.trial_request(self._document, trial["job"], trial["hyperparameters"])
        accepted = self._training.checked(request)
        own = {
            "TuningJobArn": self._document["HyperParameterTuningJobArn"],
            "_MetricDefinitions": requests.metric_definitions(self._document),
        }
        self._training.start({**accepted, **own})

    def _look(self) -> None:
        """Take over what the trials have reported, and how they have ended; judge those that run on."""
        changed = False
        for trial in self._running():
            found = self._training.job(trial["job"])
            ended = _STATES.get(found["TrainingJobStatus"])
            reports = self._training.reports(found, self._metric)
            if ended is not None:
                trial.update(values=reports, state=ended)
                changed = True
            elif len(reports) > trial["judged"] and self._judges and found["TrainingJobStatus"] == "InProgress":
                trial["values"] = reports
                self._judge(trial)
        if changed:
            self._keep()

    def _judge(self, trial: Document) -> None:
        answer = self._advice.judge(self._trials, trial["number"])
        trial.update(judged=answer["judged"], attrs=answer["attrs"])
        most = self._config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MaxResource", math.inf)
        # One report more is forgiven: trainings tell their last figure again when they are done.
        if answer["stop"] or len(trial["values"]) > most + 1:
            self._stop([trial])

    def _stop(self, trials: list[Document]) -> None:
        for trial in trials:
            self._training.stop_quietly(trial["job"])

    def _running(self) -> list[Document]:
        return [trial for trial in self._trials if trial["state"] == "running"]

    def _only_fails(self) -> bool:
        ended = [trial for trial in self._trials if trial["state"] != "running"]
        return len(ended) >= _MOST_FAILURES and all(trial["state"] == "failed" for trial in ended)

    def _is_over(self) -> bool:
        limit = self._config["ResourceLimits"].get("MaxRuntimeInSeconds", math.inf)
        return self._only_fails() or clock.now() > self._document["CreationTime"] + limit

    def _told(self) -> str:
        ended = [self._training.job(trial["job"]).get("FailureReason") for trial in self._trials]
        reasons = [reason for reason in ended if reason] or [f"none has reported the metric {self._metric}"]
        return f"No training job succeeded after {len(self._trials)} attempts: {reasons[0]}"

    def _job_name(self, trial: Document, again: int) -> str:
        name = self._document["HyperParameterTuningJobName"]
        digest = hashlib.sha256(f"{name}-{trial['number']}-{again}".encode()).hexdigest()[:8]
        return f"{name}-{trial['number'] + 1:03d}-{digest}"

    def _keep(self) -> None:
        self._keeper(self._document, self._trials, self._lost)
