"""The Athena service: queries are run here, the rest is ministack's."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from local.server import clock, hooks
from local.server.athena.query import Query, QueryFailed
from local.server.athena.results import as_csv
from local.server.host import Credentials, Host, Request, Response, ServiceError
from local.server.lake_formation.guard import Guard

log = logging.getLogger("gapless.athena")

Document = dict[str, Any]

_LOST = "the query ended with the server that ran it"
_IDS = re.compile(rb'"(?:QueryExecution|NamedQuery)Ids?"\s*:\s*("[^"]*"|\[[^\]]*\])')
_TEXT = re.compile(rb'"([^"]+)"')
_ENGINE = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}


def register(host: Host) -> None:
    """Put queries on the server."""
    service = Service(host)
    _check_the_right_workgroup(service)
    host.add_operations("athena", {"StartQueryExecution": service.start, "StopQueryExecution": service.stop})
    host.on_ready(service.end_what_was_running)


class Service:
    """Starts and stops queries."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._scope = (host.settings.account, host.settings.region)
        self._going: dict[str, Query] = {}
        self._guard = Guard(host)

    def start(self, request: Request) -> Response:
        """Start a query in a thread; it has the rights of the caller."""
        document = request.json()
        name = document.get("WorkGroup") or "primary"
        settings = self._settings_of(name)
        known = self._with_token(document.get("ClientRequestToken"))
        if known is not None:
            return Response.of_json({"QueryExecutionId": known})
        execution = _new_execution(document, name, _result_configuration(document, settings))
        hooks.get("services.athena:_executions").set_scoped(*self._scope, execution["QueryExecutionId"], execution)
        arguments = (execution, request, settings.get("BytesScannedCutoffPerQuery"))
        threading.Thread(target=self._perform, args=arguments, name="athena", daemon=True).start()
        return Response.of_json({"QueryExecutionId": execution["QueryExecutionId"]})

    def stop(self, request: Request) -> Response:
        """Interrupt a query."""
        execution = self.execution(request.json().get("QueryExecutionId", ""))
        if execution is None:
            raise ServiceError("InvalidRequestException", "QueryExecution was not found")
        query = self._going.get(execution["QueryExecutionId"])
        if query is not None:
            query.cancel()
        return Response.of_json({})

    def execution(self, query_id: str) -> Document | None:
        """The record of a query."""
        record: Document | None = hooks.get("services.athena:_executions").get_scoped(*self._scope, query_id)
        return record

    def workgroups_of(self, ids: Iterable[bytes]) -> set[str]:
        """The workgroups of queries that ran or were saved, as far as there are such queries."""
        saved = hooks.get("services.athena:_named_queries")
        found = [self.execution(each.decode()) or saved.get_scoped(*self._scope, each.decode()) for each in ids]
        return {each["WorkGroup"] for each in found if each is not None}

    def end_what_was_running(self) -> None:
        """Close the queries that the last server left open."""
        for _, execution in hooks.get("services.athena:_executions").items_scoped(*self._scope):
            if execution["Status"]["State"] in ("QUEUED", "RUNNING"):
                _close(execution, "FAILED", _LOST)

    def _settings_of(self, name: str) -> Document:
        workgroup = hooks.get("services.athena:_workgroups").get_scoped(*self._scope, name)
        if workgroup is None and name != "primary":
            raise ServiceError("InvalidRequestException", f"WorkGroup {name} is not found.")
        if (workgroup or {}).get("State") == "DISABLED":
            raise ServiceError("InvalidRequestException", f"WorkGroup {name} is disabled.")
        configuration: Document = (workgroup or {}).get("Configuration") or {}
        return configuration

    def _with_token(self, token: str | None) -> str | None:
        executions = hooks.get("services.athena:_executions").items_scoped(*self._scope)
        return next((query_id for query_id, one in executions if token and one.get("_token") == token), None)

    def _credentials(self, request: Request) -> Credentials:
        found = hooks.get("core.iam_evaluator:resolve_credential")(request.caller.access_key, self._scope[0])
        return Credentials(found.access_key_id, found.secret_access_key, found.session_token)

    def _perform(self, execution: Document, request: Request, cutoff: Any) -> None:
        credentials = self._credentials(request)
        self._host.settings.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="athena-", dir=self._host.settings.scratch))
        query_id, started = execution["QueryExecutionId"], time.monotonic()
        glue, s3 = (self._host.client(service, credentials) for service in ("glue", "s3"))
        execution["Status"]["State"] = "RUNNING"
        scanned_bytes = 0
        try:
            hand_out = partial(self._guard.hand_out, request.caller)
            query = Query(execution, glue, s3, folder, int(cutoff) if cutoff else None, hand_out)
            self._going[query_id] = query
            columns, types, rows = query.run()
            scanned_bytes = query.scanned_bytes
            if "OutputLocation" in execution["ResultConfiguration"]:
                _write_result(s3, execution, as_csv(columns, rows))
            execution["_results"], execution["_column_types"] = {"columns": columns, "rows": rows}, types
            state, reason = "SUCCEEDED", ""
        except QueryFailed as failure:
            state, reason = failure.state, str(failure)
        except Exception as error:
            log.exception("query %s", query_id)
            state, reason = "FAILED", f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
        finally:
            self._going.pop(query_id, None)
            shutil.rmtree(folder, ignore_errors=True)
        milliseconds = round((time.monotonic() - started) * 1000)
        execution["Statistics"].update(
            DataScannedInBytes=scanned_bytes,
            EngineExecutionTimeInMillis=milliseconds,
            TotalExecutionTimeInMillis=milliseconds,
        )
        _close(execution, state, reason)


def _new_execution(document: Document, workgroup: str, result: Document) -> Document:
    query_id = str(uuid.uuid4())
    context = document.get("QueryExecutionContext", {})
    return {
        "QueryExecutionId": query_id,
        "Query": document["QueryString"],
        "StatementType": "DML",
        "ResultConfiguration": {**result, "OutputLocation": f"{result['OutputLocation']}{query_id}.csv"}
        if result
        else {},
        "QueryExecutionContext": {"Catalog": "awsdatacatalog", "Database": "default", **context},
        "ExecutionParameters": document.get("ExecutionParameters", []),
        "Status": {"State": "QUEUED", "SubmissionDateTime": clock.now()},
        "Statistics": {"DataScannedInBytes": 0, "EngineExecutionTimeInMillis": 0, "TotalExecutionTimeInMillis": 0},
        "WorkGroup": workgroup,
        "EngineVersion": _ENGINE,
        "_token": document.get("ClientRequestToken"),
        "_results": None,
        "_column_types": None,
    }


def _result_configuration(document: Document, settings: Document) -> Document:
    """Where the result goes and how it is encrypted: the workgroup's word counts when it is enforced.

    Managed results stay with the service: then there is nothing to say.
    """
    if str((settings.get("ManagedQueryResultsConfiguration") or {}).get("Enabled", False)).lower() == "true":
        return {}
    own, given = settings.get("ResultConfiguration") or {}, document.get("ResultConfiguration") or {}
    enforced = str(settings.get("EnforceWorkGroupConfiguration", False)).lower() == "true"
    chosen: Document = own if enforced or not given.get("OutputLocation") else given
    if not chosen.get("OutputLocation"):
        raise ServiceError(
            "InvalidRequestException",
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input.",
        )
    return {**chosen, "OutputLocation": chosen["OutputLocation"].rstrip("/") + "/"}


def _write_result(s3: Any, execution: Document, content: bytes) -> None:
    result = execution["ResultConfiguration"]
    bucket, _, key = result["OutputLocation"].removeprefix("s3://").partition("/")
    encryption = _encryption(result.get("EncryptionConfiguration") or {})
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="text/csv", **encryption)
        s3.put_object(Bucket=bucket, Key=f"{key}.metadata", Body=b"", **encryption)
    except s3.exceptions.ClientError as error:
        raise QueryFailed(f"PERMISSION_DENIED: the result cannot be written to s3://{bucket}/{key}: {error}") from error


def _encryption(configuration: Mapping[str, str]) -> dict[str, str]:
    if configuration.get("EncryptionOption") == "SSE_KMS":
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": configuration["KmsKey"]}
    return {"ServerSideEncryption": "AES256"} if configuration.get("EncryptionOption") == "SSE_S3" else {}


def _close(execution: Document, state: str, reason: str) -> None:
    status = execution["Status"]
    status["CompletionDateTime"] = clock.now()
    if reason:
        status["StateChangeReason"] = reason
        status["AthenaError"] = {"ErrorCategory": 2, "ErrorMessage": reason}
    status["State"] = state


def _check_the_right_workgroup(service: Service) -> None:
    """A call on a query is checked on its workgroup; ministack checks it on nothing in particular."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service_name: str,
        method: str,
        path: str,
        headers: Any,
        body: bytes,
        query_params: Any,
        region: str,
        account_id: str,
    ) -> Any:
        if service_name != "athena":
            return original(service_name, method, path, headers, body, query_params, region, account_id)
        workgroups = {group for given in _IDS.findall(body) for group in service.workgroups_of(_TEXT.findall(given))}
        name = re.search(rb'"WorkGroup"\s*:\s*"([^"]+)"', body)
        # of several ones at once, all would have to be allowed: no policy names them together
        workgroup = ",".join(sorted(workgroups)) or (name[1].decode() if name else "primary")
        return f"arn:aws:athena:{region}:{account_id}:workgroup/{workgroup}"

    hooks.replace("core.iam_actions:extract_resource_arn", extract)
