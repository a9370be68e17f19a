"""The two things that run MLflow, a tracking server and an app, and how requests and answers name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from local.server.host import Settings


@dataclass(frozen=True)
class MlflowKind:
    """One of the two.

    Attributes:
        name: As operations and CloudFormation types spell it.
        arn_type: As ARNs spell it.
        name_member, arn_member, status_member: Members of requests and answers.
        list_member: The member of the answer of the list.
        header: The header by which a call of MLflow's own API names the one it is for.
        signed_as: The service that such a call is signed for.
        key: The member by which requests other than the first name it.
    """

    name: str
    arn_type: str
    name_member: str
    arn_member: str
    status_member: str
    list_member: str
    header: str
    signed_as: str
    key: str

    def arn(self, settings: Settings, name: str) -> str:
        """The ARN of the one called ``name``; that of an app does not tell the name."""
        shown = f"app-{hashlib.sha256(name.encode()).hexdigest()[:12].upper()}" if self is APP else name
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:{self.arn_type}/{shown}"


SERVER = MlflowKind(
    name="MlflowTrackingServer",
    arn_type="mlflow-tracking-server",
    name_member="TrackingServerName",
    arn_member="TrackingServerArn",
    status_member="TrackingServerStatus",
    list_member="TrackingServerSummaries",
    header="x-mlflow-sm-tracking-server-arn",
    signed_as="sagemaker-mlflow",
    key="TrackingServerName",
)
APP = MlflowKind(
    name="MlflowApp",
    arn_type="mlflow-app",
    name_member="Name",
    arn_member="Arn",
    status_member="Status",
    list_member="Summaries",
    header="x-sm-mlflow-app-arn",
    signed_as="sagemaker",
    key="Arn",
)
MLFLOW_KINDS = (SERVER, APP)

PATH = "/api/2.0/mlflow/"
"""Where MLflow's API is, whoever runs it."""


def is_of_mlflow(path: str) -> bool:
    """Whether a request is one of MLflow's own API."""
    return path.startswith(PATH)


def named_in(headers: Mapping[str, str]) -> str:
    """The ARN that a call of MLflow's own API is for, or an empty text."""
    return next((headers[kind.header] for kind in MLFLOW_KINDS if kind.header in headers), "")


def action_of(path: str) -> str:
    """The IAM action of a call to a tracking server: ``runs/log-batch`` is ``LogBatch``, ``runs/get`` is ``GetRun``."""
    group, _, verb = path.removeprefix(PATH).partition("/")
    first, _, rest = verb.partition("-")
    if first in ("list", "search"):
        return _joined(verb) + _joined(group)
    if first in ("create", "delete", "get", "restore", "update") and rest in ("", "by-name"):
        return _joined(first) + _joined(group).removesuffix("s") + _joined(rest)
    return _joined(verb)


def _joined(words: str) -> str:
    return "".join(word.capitalize() for word in words.split("-"))
