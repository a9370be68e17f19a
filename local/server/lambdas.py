"""Lambda functions: under their own role, errors by name, and no process left behind.

ministack runs Python functions in warm processes of the interpreter that runs the server.
"""

from __future__ import annotations

import math
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.server import hooks
from local.server.host import Caller, Denied, Host

_WORKER_SCRIPT = "core.lambda_runtime:_PYTHON_WORKER_SCRIPT"
_POLLING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_REPORTED = '"error": str(e), "trace": traceback.format_exc()'
_REPORTED_WITH_TYPE = '"error": type(e).__name__ + "\\x00" + str(e), "trace": traceback.format_exc()'

_NAME = "AWS_LAMBDA_FUNCTION_NAME"
_PARTS_OF_ALIAS = 5
"""``/<version of the API>/functions/<function>/aliases/<alias>``"""

Document = dict[str, Any]


def register(host: Host) -> None:
    """Change how ministack runs functions."""
    _act_under_role(host)
    _keep_error_types()
    tied = _TiedSubprocess(host)
    hooks.replace("core.lambda_runtime:subprocess", tied)
    hooks.replace("services.lambda_svc:_probe_peak_memory_mb", tied.most_megabytes)
    _know_operations_on_one_alias()
    host.extend_resource_type("AWS::Lambda::EventSourceMapping", lambda _id, props: _check_poller(host, props))


def _act_under_role(host: Host) -> None:
    def credentials(config: Mapping[str, Any]) -> dict[str, str]:
        name = config["FunctionName"]
        try:
            minted = host.mint(config.get("Role", ""), "lambda.amazonaws.com", name, config.get("FunctionArn"))
        except Denied as error:
            raise PermissionError(f"The role defined for the function cannot be assumed by Lambda: {error}") from error
        return {
            "AWS_ACCESS_KEY_ID": minted.access_key,
            "AWS_SECRET_ACCESS_KEY": minted.secret_key,
            "AWS_SESSION_TOKEN": minted.session_token or "",
        }

    for module in ("core.lambda_runtime", "services.lambda_svc"):
        hooks.replace(f"{module}:execution_credentials", credentials)


def _keep_error_types() -> None:
    """An exception keeps its type's name, which state machines retry and catch by."""
    script = hooks.get(_WORKER_SCRIPT)
    if _REPORTED not in script:
        raise RuntimeError(f"{_WORKER_SCRIPT} no longer reports errors as expected")
    hooks.replace(_WORKER_SCRIPT, script.replace(_REPORTED, _REPORTED_WITH_TYPE))
    original = hooks.get("services.lambda_svc:_execute_function_warm")

    def execute(func: Document, event: Any, request_id: str) -> Document:
        result: Document = original(func, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict):
            name, separator, message = str(body.get("errorMessage", "")).partition("\x00")
            if separator:
                body.update(errorType=name, errorMessage=message, requestId=request_id)
        return result

    hooks.replace("services.lambda_svc:_execute_function_warm", execute)


def _know_operations_on_one_alias() -> None:
    """ministack takes whatever is done with one alias for ListAliases."""
    original = hooks.get("core.iam_actions:_lambda_action")
    operations = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}

    def action(method: str, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        of_one_alias = len(parts) == _PARTS_OF_ALIAS and parts[1] == "functions" and parts[3] == "aliases"
        found: str | None = operations.get(method) if of_one_alias else original(method, path)
        return found

    hooks.replace("core.iam_actions:_lambda_action", action)


def _check_poller(host: Host, props: Document) -> None:
    """Lambda polls a queue under the function's role, and refuses a mapping that the role cannot serve."""
    source = props.get("EventSourceArn", "")
    if not source.startswith("arn:aws:sqs:"):
        return
    function = props["FunctionName"]
    config = host.client("lambda").get_function_configuration(FunctionName=function)
    credentials = host.mint(config["Role"], "lambda.amazonaws.com", config["FunctionName"], config["FunctionArn"])
    for action in _POLLING:
        host.check(Caller(credentials.access_key, config["Role"]), action, source)


class _TiedSubprocess:
    """The ``subprocess`` module for ministack's workers, whose processes the host takes charge of."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._workers: defaultdict[str, list[subprocess.Popen[Any]]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, *arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(*arguments, **{**options, "start_new_session": True})
        self._host.adopt(process)
        running = self._workers[(options.get("env") or {}).get(_NAME, "")]
        running[:] = [*(each for each in running if each.poll() is None), process]
        return process

    def most_megabytes(self, func: Document) -> int:
        """What a function's process has used at the most; ministack's own figure is the largest of all its children."""
        name = (func.get("config") or func)["FunctionName"]
        return max((_most_megabytes(each.pid) for each in self._workers.get(name, ())), default=0)


def _most_megabytes(pid: int) -> int:
    """The kernel's own mark of the most memory; 0 of a process that has gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    kilobytes = next((line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")), "0")
    return math.ceil(int(kilobytes) / 1024)
