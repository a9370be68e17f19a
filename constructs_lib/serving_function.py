"""The function that stands between an API and an endpoint, with the alias by which it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import FailureAlarms
from constructs_lib.names.api_file import Api
from constructs_lib.names.segments import Routing
from constructs_lib.python_function import PythonFunction
from constructs_lib.shifted_alias import Limits, ShiftedAlias
from constructs_lib.text_asset import TextAsset

TIMEOUT_SECONDS = 29
"""API Gateway waits no longer."""

_OWN_MS = 500
"""What the function may take beside the model."""

_ERRORS = 3


@dataclass(frozen=True)
class Serves:
    """What the function stands before.

    Attributes:
        stage, workload: Whose metrics its log lines are.
        endpoint: Name of the endpoint.
        contract_uri: The workload's contract.
        group_names: Feature group → its physical name.
        read_features: Features that are read by the function.
        key_columns: Columns by which it reads them.
        bundle_uri: The object that names the current bundle, whose golden requests are asked.
        latency_ms: Milliseconds that the slowest hundredth of the requests may take inside the model.
        capture_uri: Where exchanges are kept, where the endpoint does not keep them itself. Default: it does.
        capture_percent: How many of 100 are kept then.
        routing: Which model of several is asked. Default: there is one.
    """

    stage: str
    workload: str
    endpoint: str
    contract_uri: str
    group_names: Mapping[str, str]
    read_features: tuple[str, ...]
    key_columns: tuple[str, ...]
    bundle_uri: str
    latency_ms: int
    capture_uri: str | None = None
    capture_percent: int = 100
    routing: Routing | None = None


@jsii.implements(iam.IGrantable)
class ServingFunction(Construct):
    """Defines the function ``serve_prediction``, its alias, and the two hooks that ask it golden requests.

    What it reads and whom it asks comes with the owners' grants: ``endpoint.grant_invoke(function)``.

    Args:
        application: Name of the CodeDeploy application that moves the alias.
        serves: What it stands before.
        api: What the workload says of its API.
        document: The OpenAPI document by which requests are checked.
        alarms: Whom to tell when it fails.
        log_key: Encrypts the logs.
        log_retention_days: How long the logs are kept, in days.

    Attributes:
        alias: By which it is to be called.
        document: The document as an object.
        hooks: The functions that ask golden requests.
        log_name: Name of its log group.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        application: str,
        serves: Serves,
        api: Api,
        document: Mapping[str, Any],
        alarms: FailureAlarms,
        log_key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._alarms, self._log_key, self._log_days = alarms, log_key, log_retention_days
        text = json.dumps(document, sort_keys=True, indent=1)
        self.document = TextAsset(self, "Document", text=text, suffix=".json")
        settings = _settings(serves, api)
        self._function = PythonFunction(
            self,
            "Function",
            folder="serve_prediction",
            description=f"Answers requests for predictions of {serves.workload}",
            timeout_seconds=TIMEOUT_SECONDS,
            alarms=alarms,
            log_key=log_key,
            log_retention_days=log_retention_days,
            environment={
                "DOCUMENT_URI": self.document.uri,
                "CONTRACT_URI": serves.contract_uri,
                "GROUP_NAMES": json.dumps(dict(serves.group_names)),
                **settings,
            },
            memory_mb=512,
            also=[("lambda", "predict_online")],
        )
        self.log_name = self._function.log_name
        self.document.grant_read(self._function)
        self.alias = ShiftedAlias(
            self,
            "Alias",
            function=self._function,
            content=[text, json.dumps(settings, sort_keys=True), *sorted(serves.group_names)],
            application=application,
            minutes=api.shift_minutes,
            limits=Limits(errors=_ERRORS, p99_ms=serves.latency_ms + _OWN_MS),
            alarms=alarms,
        )
        before = self._hook("Before", self.alias.version_arn, serves, api)
        after = self._hook("After", self.alias.arn, serves, api)
        self.alias.grant_invoke_newest(before)
        self.alias.grant_invoke(after)
        self.alias.shift_between(before, after)
        self.hooks = (before, after)

    def _hook(self, construct_id: str, asked: str, serves: Serves, api: Api) -> PythonFunction:
        header = {} if api.sticky_header is None else {"STICKY_HEADER": api.sticky_header}
        return PythonFunction(
            self,
            construct_id,
            folder="check_serving",
            description=f"Asks a version of the serving function of {serves.workload} the golden requests",
            timeout_seconds=120,
            alarms=self._alarms,
            log_key=self._log_key,
            log_retention_days=self._log_days,
            environment={
                "FUNCTION_ARN": asked,
                "ENDPOINT_NAME": serves.endpoint,
                "BUNDLE_URI": serves.bundle_uri,
                "READ_FEATURES": json.dumps(serves.read_features),
                "KEY_COLUMNS": json.dumps(serves.key_columns),
                **header,
                **_routing(serves),
            },
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, so that grants can be given to the function."""
        return self._function.grant_principal


def _settings(serves: Serves, api: Api) -> dict[str, str]:
    sticky = {} if api.sticky_by is None else {"STICKY_BY": api.sticky_by}
    capture = (
        {}
        if serves.capture_uri is None
        else {"CAPTURE_URI": serves.capture_uri, "CAPTURE_PERCENT": str(serves.capture_percent)}
    )
    named = {"ENDPOINT_NAME": serves.endpoint, "STAGE": serves.stage, "WORKLOAD": serves.workload}
    return {**named, **sticky, **capture, **_routing(serves)}


def _routing(serves: Serves) -> dict[str, str]:
    return {} if serves.routing is None else {"ROUTING": json.dumps(serves.routing.content(), sort_keys=True)}
