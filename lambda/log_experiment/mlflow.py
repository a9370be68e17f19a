"""MLflow's REST API, as SageMaker runs it: every call is signed, and a header names the server or app it is for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session

API = "/api/2.0/mlflow/"
PARENT = "mlflow.parentRunId"
"""The tag by which MLflow shows a run below another."""

MOST_METRICS = 1000
MOST_PARAMETERS = 100
MOST_TAGS = 100
"""What one call of ``runs/log-batch`` takes."""

_SECONDS = (5, 50)
_PASSING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)})

Document = Mapping[str, Any]


class TrackingUnavailable(Exception):
    """MLflow does not answer, or asks for another try."""


class TrackingRefused(Exception):
    """MLflow refuses a call; ``code`` is its name for the reason."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Where MLflow is: address, the service that calls are signed for, and the header that names the ARN."""

    url: str
    service: str
    header: str
    region: str
    arn: str


def place_of(arn: str, environment: Mapping[str, str] = os.environ) -> Place:
    """Give the place of a tracking server or an app.

    An endpoint that the environment sets for all services (``AWS_ENDPOINT_URL``) holds for this one too.

    Raises:
        ValueError: The ARN is of neither, or of a partition where there is no managed MLflow.
    """
    _, partition, service, region, _, resource = [*arn.split(":", 5), *[""] * 6][:6]
    kind = resource.partition("/")[0]
    known = {
        "mlflow-tracking-server": (
            f"{region}.experiments.sagemaker",
            "sagemaker-mlflow",
            "x-mlflow-sm-tracking-server-arn",
        ),
        "mlflow-app": (f"mlflow.sagemaker.{region}.app", "sagemaker", "x-sm-mlflow-app-arn"),
    }
    if service != "sagemaker" or kind not in known or partition not in ("aws", "aws-us-gov"):
        raise ValueError(
            f"not the ARN of a managed MLflow: {arn!r}; allowed are {' and '.join(known)} in the partitions aws and "
            "aws-us-gov"
        )
    host, signed_for, header = known[kind]
    url = environment.get("AWS_ENDPOINT_URL") or f"https://{host}.aws"
    return Place(url.rstrip("/"), signed_for, header, region, arn)


class Mlflow:
    """Calls MLflow as the function's role."""

    def __init__(self, place: Place) -> None:
        self._place = place
        session = botocore.session.get_session()
        self._signer = SigV4Auth(session.get_credentials(), place.service, place.region)
        self._http = URLLib3Session(verify=session.get_config_variable("ca_bundle") or True, timeout=_SECONDS)

    def experiment(self, name: str, artefacts: str) -> str:
        """Give the id of an experiment, which is made with a folder for its artefacts if there is none."""
        try:
            made = self._call("POST", "experiments/create", {"name": name, "artifact_location": artefacts})
            return str(made["experiment_id"])
        except TrackingRefused as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = self._call("GET", "experiments/get-by-name", {"experiment_name": name})["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            raise TrackingRefused(f"experiment {name} was deleted; restore it or delete it for good", "INVALID_STATE")
        return str(found["experiment_id"])

    def runs_tagged(self, experiment: str, tag: str, value: str) -> list[str]:
        """Give the ids of the runs with a tag, the oldest first."""
        asked = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag}` = '{value}'",
            "order_by": ["attributes.start_time ASC", "attributes.run_id ASC"],
            "max_results": 100,
        }
        return [str(run["info"]["run_id"]) for run in self._call("POST", "runs/search", asked).get("runs", [])]

    def children(self, experiment: str, parent: str) -> list[tuple[str, str]]:
        """Give name and id of the runs below a run, the oldest first."""
        asked: dict[str, Any] = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{PARENT}` = '{parent}'",
            "order_by": ["attributes.start_time ASC", "attributes.run_id ASC"],
            "max_results": 1000,
        }
        found = self._call("POST", "runs/search", asked).get("runs", [])
        return [(str(run["info"]["run_name"]), str(run["info"]["run_id"])) for run in found]

    def create_run(self, experiment: str, name: str, started: int, tags: Mapping[str, str]) -> str:
        """Make a run; ``started`` is in milliseconds."""
        asked = {"experiment_id": experiment, "run_name": name, "start_time": started, "tags": _pairs(tags)}
        return str(self._call("POST", "runs/create", asked)["run"]["info"]["run_id"])

    def delete_run(self, run: str) -> None:
        """Delete a run, unless somebody has; MLflow keeps it among the deleted ones."""
        try:
            self._call("POST", "runs/delete", {"run_id": run})
        except TrackingRefused:
            if self._run(run)["info"].get("lifecycle_stage") != "deleted":
                raise

    def artefacts_of(self, run: str) -> str:
        """Give the folder of a run's artefacts, ``s3://…``."""
        return str(self._run(run)["info"]["artifact_uri"])

    def log(
        self, run: str, *, parameters: Mapping[str, str], metrics: Sequence[Document], tags: Mapping[str, str]
    ) -> None:
        """Log to a run; what was logged before in the same words is there once."""
        kinds: tuple[tuple[str, list[Any], int], ...] = (
            ("params", _pairs(parameters), MOST_PARAMETERS),
            ("tags", _pairs(tags), MOST_TAGS),
            ("metrics", list(metrics), MOST_METRICS),
        )
        for kind, items, most in kinds:
            for start in range(0, len(items), most):
                self._call("POST", "runs/log-batch", {"run_id": run, kind: items[start : start + most]})

    def log_dataset(self, run: str, dataset: Document) -> None:
        """Say which dataset a run was made of.

        Two calls at the same moment meet a constraint of MLflow's tables, by which one of them is refused.
        """
        context = [{"key": "mlflow.data.context", "value": "training"}]
        try:
            self._call("POST", "runs/log-inputs", {"run_id": run, "datasets": [{"tags": context, "dataset": dataset}]})
        except TrackingRefused:
            inputs = self._run(run).get("inputs", {}).get("dataset_inputs", [])
            if dataset["digest"] not in [each["dataset"]["digest"] for each in inputs]:
                raise

    def end_run(self, run: str, status: str, ended: int) -> None:
        """Say how a run ended, ``FINISHED`` or ``FAILED``, and when, in milliseconds."""
        self._call("POST", "runs/update", {"run_id": run, "status": status, "end_time": ended})

    def _run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", "runs/get", {"run_id": run})["run"]
        return found

    def _call(self, method: str, path: str, document: Document) -> dict[str, Any]:
        url = f"{self._place.url}{API}{path}"
        body = b""
        if method == "GET":
            url += "?" + urlencode(document, quote_via=quote)
        else:
            body = json.dumps(document, allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Content-SHA256": sha256(body).hexdigest(),
            self._place.header: self._place.arn,
        }
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        self._signer.add_auth(request)
        try:
            answer = self._http.send(request.prepare())
        except HTTPClientError as error:
            raise TrackingUnavailable(f"{path}: {error}") from error
        if answer.status_code in _PASSING:
            raise TrackingUnavailable(f"{path}: MLflow answered {answer.status_code}: {answer.text[:500]}")
        return _content(path, answer.status_code, answer.text)


def _content(path: str, status: int, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = {}
    if status == HTTPStatus.OK and isinstance(found, dict):
        return found
    code = str(found.get("error_code", "")) if isinstance(found, dict) else ""
    raise TrackingRefused(f"{path}: MLflow answered {status}: {text[:500]}", code)


def _pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in found.items()]
