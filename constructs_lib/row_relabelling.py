"""Rows that the model was unsure of go out to people once a day, and their answers come back as labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import METRICS_WITHOUT_RESOURCE, acknowledge, grant_metrics
from constructs_lib.intake import EventIntake
from constructs_lib.machines.monitoring import CAPTURE, OUTCOMES
from constructs_lib.names import metrics
from constructs_lib.names.relabelled import (
    ANSWERED,
    ASKED,
    FOLDER,
    IN,
    LABELLED,
    OUT,
    QUARANTINE,
    RESULTS,
    SOURCE,
)
from constructs_lib.nightly import run_every_night
from constructs_lib.python_function import PythonFunction
from constructs_lib.text_asset import TextAsset

SCHEDULE = "cron(23 4 * * ? *)"
_CHOOSE_SECONDS = 900
_IMPORT_SECONDS = 300
_MEMORY_MB = 1024


@dataclass(frozen=True)
class Endpoint:
    """Whose rows they are.

    Attributes:
        stage, workload: Of the endpoint.
        name, variant: Of the endpoint, and of the model that answers.
        challenger: The variant whose numbers are compared with; ``none`` without one.
    """

    stage: str
    workload: str
    name: str
    variant: str
    challenger: str = "none"


class RowRelabelling(Construct):
    """Defines the functions that choose rows and take answers in, and the folder in which both meet people.

    Everything lies below ``<workload>/relabelling/`` of the artefacts bucket: people find files in ``out/`` and put
    answered ones below ``in/``. Files that are none of answers wait in the dead-letter queue.

    Args:
        endpoint: Whose rows they are.
        options: What the functions must know, as ``WorkloadFile.relabelling_options`` gives it.
        lake: Where everything is.
        alarms: Whom to tell when a function fails, is not called, or gives a file up.
        found: Whom to tell of answers that are refused.
        log_retention_days: How long logs are kept, in days.
        scheduled: Whether the rows are chosen once a day. Default: they are; a labelling job has its own schedule.

    Attributes:
        choose, take_in: The functions.
        intake: The way from files to the function that takes them in.
        folder: Folder of the artefacts bucket.
        uri: The same with the bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        endpoint: Endpoint,
        options: dict[str, Any],
        lake: DataLake,
        alarms: FailureAlarms,
        found: FailureAlarms,
        log_retention_days: int,
        scheduled: bool = True,
    ) -> None:
        super().__init__(scope, construct_id)
        self._endpoint, self._lake, self._alarms = endpoint, lake, alarms
        self._log_retention_days = log_retention_days
        self._base = f"{endpoint.workload}/"
        self.folder = f"{self._base}{FOLDER}/"
        self.uri = f"s3://{lake.artefacts.bucket_name}/{self.folder}"
        self._options = TextAsset(self, "Options", text=json.dumps(options, sort_keys=True), suffix=".json")
        self.choose = self._define_choose()
        self.take_in = self._define_take_in()
        self.intake = self._define_intake()
        if scheduled:
            run_every_night(
                self,
                self.choose,
                schedule=SCHEDULE,
                description=f"Chooses rows of {endpoint.workload} for people to label",
                not_done="No rows were chosen for people to label",
                alarms=alarms,
            )
        self._watch_refused(found)

    def grant_answer(self, grantee: iam.IGrantable) -> None:
        """Lets somebody read what is to be labelled and put answers there."""
        self._lake.grant_read(grantee, "artefacts", f"{self.folder}{OUT}/")
        self._lake.grant_write(grantee, "artefacts", f"{self.folder}{IN}/")

    def _define_choose(self) -> PythonFunction:
        endpoint, base = self._endpoint, f"s3://{self._lake.artefacts.bucket_name}/{self._base}"
        function = self._function(
            "Choose",
            "choose_rows",
            f"Chooses rows of {endpoint.workload} for people to label",
            _CHOOSE_SECONDS,
            {
                "ENDPOINT_NAME": endpoint.name,
                "VARIANT": endpoint.variant,
                "CHALLENGER": endpoint.challenger,
                "CAPTURE_URI": f"{base}{CAPTURE}/",
            },
        )
        for part in (CAPTURE, OUTCOMES, f"{FOLDER}/{ASKED}"):
            self._lake.grant_read(function, "artefacts", f"{self._base}{part}/")
        for part in (ASKED, OUT):
            self._lake.grant_write(function, "artefacts", f"{self.folder}{part}/")
        return function

    def _define_take_in(self) -> PythonFunction:
        function = self._function(
            "TakeIn",
            "import_labels",
            f"Takes in what people have answered of rows of {self._endpoint.workload}",
            _IMPORT_SECONDS,
            {},
        )
        for part in (IN, LABELLED, ASKED, ANSWERED, RESULTS):
            self._lake.grant_read(function, "artefacts", f"{self.folder}{part}/")
        for part in (ANSWERED, QUARANTINE, RESULTS):
            self._lake.grant_write(function, "artefacts", f"{self.folder}{part}/")
        self._lake.grant_write(function, "artefacts", f"{self._base}{OUTCOMES}/{SOURCE}/")
        return function

    def _function(
        self, construct_id: str, folder: str, description: str, seconds: int, environment: dict[str, str]
    ) -> PythonFunction:
        function = PythonFunction(
            self,
            construct_id,
            folder=folder,
            description=description,
            timeout_seconds=seconds,
            memory_mb=_MEMORY_MB,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._log_retention_days,
            shared=["metrics.py"],
            environment={
                "STAGE": self._endpoint.stage,
                "WORKLOAD": self._endpoint.workload,
                "OUTCOMES_URI": f"s3://{self._lake.artefacts.bucket_name}/{self._base}{OUTCOMES}/",
                "RELABELLING_URI": self.uri,
                "OPTIONS_URI": self._options.uri,
                **environment,
            },
        )
        self._options.grant_read(function)
        grant_metrics(function, metrics.NAMESPACE)
        acknowledge(function.role, METRICS_WITHOUT_RESOURCE)
        return function

    def _define_intake(self) -> EventIntake:
        detail = {
            "bucket": {"name": [self._lake.artefacts.bucket_name]},
            "object": {"key": [{"prefix": f"{self.folder}{IN}/"}]},
        }
        return EventIntake(
            self,
            "Intake",
            patterns={"Answered": {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}},
            starter=self.take_in,
            starter_timeout_seconds=_IMPORT_SECONDS,
            alarms=self._alarms,
            batch_size=1,
            waiting_minutes=60,
            lost="answers of people were not taken in",
        )

    def _watch_refused(self, found: FailureAlarms) -> None:
        alarm(
            self,
            "AnswersRefused",
            alarms=found,
            metric=Metric(
                metrics.NAMESPACE,
                metrics.LABELS_REFUSED,
                metrics.dimensions(self._endpoint.stage, self._endpoint.workload),
            ),
            threshold=1,
            description=f"Answers of people on rows of {self._endpoint.workload} were refused",
            runbook="Read the reasons below relabelling/quarantine/ of the artefacts; have the rows answered again",
        )
