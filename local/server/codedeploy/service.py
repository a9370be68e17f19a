"""The part of CodeDeploy's API that hooks and those who look at deployments need."""

from __future__ import annotations

import json
from collections.abc import Callable

from local.server.clients import service_model
from local.server.codedeploy.deployments import DEPLOYMENT
from local.server.host import Request, Response, ServiceError, Settings
from local.server.sagemaker.shaping import shaped
from local.server.sagemaker.store import Document, Store
from local.server.validation import validate

_STATUSES = ("Succeeded", "Failed")


class CodeDeploy:
    """PutLifecycleEventHookExecutionStatus and GetDeployment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._operations: dict[str, Callable[[Document], Document]] = {
            "PutLifecycleEventHookExecutionStatus": self._put_status,
            "GetDeployment": self._get,
        }

    def handle(self, request: Request) -> Response:
        """Serve one request, whose permission has been checked."""
        name = request.operation
        if name not in self._operations:
            raise ServiceError("InvalidInputException", f"{name or 'this'} is not available on the local server")
        model = service_model("codedeploy").operation_model(name)
        params = request.json()
        validate(model.input_shape, params, code="InvalidInputException")
        return Response.of_json(shaped(model.output_shape, self._operations[name](params)))

    def resource(self, request: Request, settings: Settings) -> str:
        """The ARN of the deployment group that a request is about; of any, when it cannot be told."""
        try:
            found = self._store.find(DEPLOYMENT, str(json.loads(request.body or b"{}").get("deploymentId")))
        except (ValueError, AttributeError):
            found = None
        group = "*" if found is None else found["group"]
        return f"arn:aws:codedeploy:{settings.region}:{settings.account}:deploymentgroup:{group}"

    def _put_status(self, params: Document) -> Document:
        deployment, execution = self._found(params), params.get("lifecycleEventHookExecutionId", "")
        if params.get("status") not in _STATUSES:
            message = f"status is {params.get('status')!r}; allowed: {', '.join(_STATUSES)}"
            raise ServiceError("InvalidLifecycleEventHookExecutionStatusException", message)
        if deployment["hooks"].get(execution) != "Pending":
            raise ServiceError("InvalidLifecycleEventHookExecutionIdException", f"no hook waits as {execution!r}")
        hooks = {**deployment["hooks"], execution: params["status"]}
        self._store.change(DEPLOYMENT, deployment["deploymentId"], hooks=hooks)
        return {"lifecycleEventHookExecutionId": execution}

    def _get(self, params: Document) -> Document:
        found = self._found(params)
        application, _, group = found["group"].partition("/")
        info = {
            "applicationName": application,
            "deploymentGroupName": group,
            "deploymentId": found["deploymentId"],
            "status": found["status"],
            "computePlatform": "Lambda",
            "createTime": found["CreationTime"],
        }
        if "reason" in found:
            info["errorInformation"] = {"code": "HEALTH_CONSTRAINTS", "message": found["reason"]}
        return {"deploymentInfo": info}

    def _found(self, params: Document) -> Document:
        found = self._store.find(DEPLOYMENT, str(params.get("deploymentId")))
        if found is None:
            raise ServiceError(
                "DeploymentDoesNotExistException", f"there is no deployment {params.get('deploymentId')}"
            )
        return found
