"""Tuning jobs: what is asked of them, what is known of them, and their life."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from local.server import clock
from local.server.host import Caller, ServiceError
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.jobs.runner import DUPLICATE, JobEnd, Jobs, RunningJob
from local.server.sagemaker.jobs.training import TrainingJobs
from local.server.sagemaker.listing import page
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.resources import TRAINING_JOB, TUNING_JOB
from local.server.sagemaker.store import Document
from local.server.sagemaker.tuning import requests
from local.server.sagemaker.tuning.advice import Advice
from local.server.sagemaker.tuning.course import Course
from local.server.sagemaker.tuning.trials import best, count, is_good, summary


class TuningJobs(Jobs):
    """CreateHyperParameterTuningJob and its like."""

    kind = TUNING_JOB
    title = "HyperParameter Tuning Job"
    start_member = "CreationTime"
    end_member = "HyperParameterTuningEndTime"
    not_found = "Amazon SageMaker can't find a tuning job with the name {name}"
    duplicate = DUPLICATE

    def __init__(self, platform: Platform, training: TrainingJobs) -> None:
        super().__init__(platform)
        self._training = training

    # -- operations

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {**super().operations(), "ListTrainingJobsForHyperParameterTuningJob": self._list_trials}

    def job(self, name: str) -> Document:
        """A tuning by its name.

        Raises:
            ServiceError: There is none (``ResourceNotFound``).
        """
        try:
            return super().job(name)
        except ServiceError as error:
            raise ServiceError("ResourceNotFound", error.message) from error

    def _list_trials(self, params: Document, _caller: Caller) -> Document:
        document = self.job(params["HyperParameterTuningJobName"])
        found = [summary(document, trial, self._document(trial)) for trial in document["_Trials"]]
        if "StatusEquals" in params:
            found = [each for each in found if each["TrainingJobStatus"] == params["StatusEquals"]]
        by = params.get("SortBy", "Name")
        if by == "FinalObjectiveMetricValue":
            found = [each for each in found if "FinalHyperParameterTuningJobObjectiveMetric" in each]
        keys = {
            "Name": lambda each: each["TrainingJobName"],
            "CreationTime": lambda each: each["CreationTime"],
            "Status": lambda each: (each["TrainingJobStatus"], each["CreationTime"]),
            "FinalObjectiveMetricValue": lambda each: each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"],
        }
        found.sort(key=keys[by], reverse=params.get("SortOrder", "Ascending") == "Descending")
        return page("TrainingJobSummaries", found, params)

    # -- accepting

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        requests.check(params)
        config = params["HyperParameterTuningJobConfig"]
        space = requests.space_of(config)
        sample = dict.fromkeys(space, "0")
        trial = requests.trial_request(params, params["HyperParameterTuningJobName"], sample)
        self._training.checked(trial)
        self._training.authorise(trial, caller, arn)
        return {
            **params,
            "TrainingJobStatusCounters": count([], 0),
            "ObjectiveStatusCounters": {"Succeeded": 0, "Pending": 0, "Failed": 0},
            "_Seed": config.get("RandomSeed", secrets.randbelow(2**31)),
            "_Known": self._known(params),
            "_Trials": [],
            "_Lost": 0,
        }

    def _known(self, params: Document) -> list[Document]:
        """What the parents of a warm start have found: ``[{"hyperparameters", "value"}]``.

        Raises:
            ServiceError: They do not fit (``ValidationException``).
        """
        warm = params.get("WarmStartConfig")
        if warm is None:
            return []
        strategy = params["HyperParameterTuningJobConfig"]["Strategy"]
        if strategy not in ("Bayesian", "Random"):
            raise invalid(f"a warm start does not go with Strategy {strategy}")
        names = [each["HyperParameterTuningJobName"] for each in warm["ParentHyperParameterTuningJobs"]]
        return [found for name in names for found in self._known_of(name, params, warm["WarmStartType"])]

    def _known_of(self, name: str, params: Document, kind: str) -> list[Document]:
        parent = self.job(name)
        status = parent["HyperParameterTuningJobStatus"]
        if status not in ("Completed", "Stopped", "Failed"):
            raise invalid(f"the parent tuning job {name} must have ended; it is {status}")
        if requests.objective(parent) != requests.objective(params):
            raise invalid(f"the parent tuning job {name} has another objective")
        if _names(parent).keys() != _names(params).keys():
            raise invalid(f"the parent tuning job {name} has other hyperparameters, static and tunable together")
        mine, theirs = params["TrainingJobDefinition"], parent["TrainingJobDefinition"]
        same = ("InputDataConfig",), ("AlgorithmSpecification", "TrainingImage")
        if kind == "IdenticalDataAndAlgorithm" and any(_at(mine, path) != _at(theirs, path) for path in same):
            raise invalid(f"the parent tuning job {name} has other data or another image")
        static = theirs.get("StaticHyperParameters", {})
        return [
            {"hyperparameters": {**static, **trial["hyperparameters"]}, "value": trial["values"][-1]}
            for trial in parent["_Trials"]
            if trial["state"] == "completed" and is_good(trial)
        ]

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The image of the trials and their VPC."""
        definition = document["TrainingJobDefinition"]
        return definition["AlgorithmSpecification"]["TrainingImage"], definition.get("VpcConfig")

    def role_of(self, document: Document) -> str:
        """The role that the trials act under."""
        return str(document["TrainingJobDefinition"]["RoleArn"])

    # -- life

    def recover(self) -> None:
        """After a restart: tunings go on."""
        for document in self.store.all(self.kind.name):
            status, name = document[self.kind.status_member], document[self.kind.name_member]
            if status == "Stopping":
                self._stops.add(name)
            if status in ("InProgress", "Stopping"):
                threading.Thread(target=self._run, args=(document,), name=f"tuning {name}", daemon=True).start()

    def perform(self, job: RunningJob) -> None:
        """Start trials, follow them, and keep the best."""
        document = self.job(job.document["HyperParameterTuningJobName"])
        env = job.sandbox.environment(self.host, job.credentials, isolated=True)
        search = requests.search_of(document, document["_Known"])
        with Advice(self.host, job.sandbox, env, search) as advice:
            Course(self._training, document, advice, job, self._keep).run()

    def ended(self, name: str, end: JobEnd) -> None:
        """Keep the end of a tuning."""
        told = {"FailureReason": end.reason} if end.reason else {}
        self.change(name, HyperParameterTuningJobStatus=end.status, HyperParameterTuningEndTime=clock.now(), **told)

    def _keep(self, document: Document, trials: list[Document], lost: int) -> None:
        """Keep what is known of the trials."""
        summaries = [summary(document, trial, self._document(trial)) for trial in trials]
        self.store.change(
            self.kind.name,
            document["HyperParameterTuningJobName"],
            _Trials=trials,
            _Lost=lost,
            TrainingJobStatusCounters=count(summaries, lost),
            ObjectiveStatusCounters={
                status: sum(each["ObjectiveStatus"] == status for each in summaries)
                for status in ("Succeeded", "Pending", "Failed")
            },
            BestTrainingJob=best(document, summaries),
        )

    def _document(self, trial: Document) -> Document | None:
        return self.store.find(TRAINING_JOB.name, trial["job"])


def _names(params: Document) -> Document:
    static = params["TrainingJobDefinition"].get("StaticHyperParameters", {})
    return {**static, **requests.space_of(params["HyperParameterTuningJobConfig"])}


def _at(definition: Document, path: tuple[str, ...]) -> Any:
    found: Any = definition
    for step in path:
        found = found.get(step, {})
    return found
