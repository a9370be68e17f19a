"""The Glue service: what is done here, and what ministack goes on doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.validate import ParamValidator

from local.server import hooks
from local.server.clients import service_model
from local.server.glue.access import resources, table_of
from local.server.glue.catalogue import Catalogue
from local.server.glue.crawls import Crawls
from local.server.glue.job_runs import JobRuns
from local.server.glue.records import Records, keep_all_of_a_job
from local.server.glue.rulesets import Rulesets
from local.server.host import Denied, Host, Request, Response, ServiceError
from local.server.lake_formation.guard import Guard

Document = dict[str, Any]
Operation = Callable[[Document], Document]


def register(host: Host) -> None:
    """Put Glue on the server."""
    settings = host.settings
    records = Records(settings.account, settings.region)
    keep_all_of_a_job(records)
    _check_the_right_resources(f"arn:aws:glue:{settings.region}:{settings.account}")
    job_runs, crawls = JobRuns(host, records), Crawls(host, records)
    rulesets = Rulesets(settings.state_dir / "glue_rulesets.json")
    parts = (Catalogue(records), job_runs, crawls, rulesets)
    service = Service(host, records, {name: done for part in parts for name, done in part.operations.items()})
    host.add_service("glue", service.handle, iam_namespace="glue", resource=service.main_resource)
    host.on_ready(job_runs.end_what_was_running)
    host.on_shutdown(job_runs.leave)
    host.on_ready(crawls.end_what_was_running)


class Service:
    """Checks a call, then answers it here or through ministack."""

    def __init__(self, host: Host, records: Records, operations: dict[str, Operation]) -> None:
        self._host = host
        self._records = records
        self._guard = Guard(host)
        self._prefix = f"arn:aws:glue:{host.settings.region}:{host.settings.account}"
        self._operations = operations

    def main_resource(self, request: Request) -> str:
        """The ARN that names best what the call is about."""
        return resources(self._prefix, request.operation, request.json())[0]

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        document = request.json()
        self._check(request, document)
        validate(request.operation, document)
        table = self._records.table(document.get("DatabaseName") or "", table_of(request.operation, document))
        self._guard.check(request.caller, request.operation, document, table)
        if request.operation in self._operations:
            return Response.of_json(self._operations[request.operation](document))
        status, headers, body = hooks.get("services.glue:_handle_request_sync")(
            request.method, request.path, request.headers, request.body, request.query
        )
        if status == 200 and request.operation in ("GetTable", "GetTables", "GetDatabases", "CreateTable"):
            return Response.of_json(self._governed(request, document, json.loads(body)))
        return Response(status, headers, body)

    def _governed(self, request: Request, document: Document, answer: Document) -> Document:
        """What Lake Formation leaves of an answer."""
        caller = request.caller
        if request.operation == "GetTable":
            return {**answer, "Table": self._guard.seen(caller, answer["Table"])}
        if request.operation == "GetTables":
            seen = (self._guard.seen(caller, table) for table in self._seen_by(request, answer)["TableList"])
            return {**answer, "TableList": [table for table in seen if table is not None]}
        if request.operation == "GetDatabases":
            databases = answer["DatabaseList"]
            return {
                **answer,
                "DatabaseList": [each for each in databases if self._guard.sees_database(caller, each["Name"])],
            }
        self._guard.made(caller, document["DatabaseName"], document["TableInput"]["Name"])
        return answer

    def _seen_by(self, request: Request, answer: Document) -> Document:
        """The tables that the caller may see."""

        def is_seen(table: Document) -> bool:
            try:
                arn = f"{self._prefix}:table/{table['DatabaseName']}/{table['Name']}"
                self._host.check(request.caller, "glue:GetTables", arn)
            except Denied:
                return False
            return True

        return {**answer, "TableList": [table for table in answer["TableList"] if is_seen(table)]}

    def _check(self, request: Request, document: Document) -> None:
        for arn in resources(self._prefix, request.operation, document)[1:]:
            self._host.check(request.caller, f"glue:{request.operation}", arn)


def validate(operation: str, document: Document) -> None:
    """Refuse what AWS's own model of the request refuses.

    Raises:
        ServiceError: A member is missing, unknown or of the wrong type.
    """
    model = service_model("glue")
    if operation not in model.operation_names:
        raise ServiceError("UnknownOperationException", f"Glue has no operation {operation!r}")
    report = ParamValidator().validate(document, model.operation_model(operation).input_shape)
    if report.has_errors():
        raise ServiceError("InvalidInputException", report.generate_report())


def _check_the_right_resources(prefix: str) -> None:
    """ministack takes a crawler for a table and a table for its database: look at the operation instead."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: Any, region: str, account_id: str
    ) -> Any:
        if service != "glue":
            return original(service, method, path, headers, body, query_params, region, account_id)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        return resources(prefix, operation, _parsed(body))[0]

    hooks.replace("core.iam_actions:extract_resource_arn", extract)


def _parsed(body: bytes) -> Document:
    """The request, or nothing when it cannot be read: the service itself will say so."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
