"""Builds: started, looked at and stopped."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local.server import clock
from local.server.clients import service_model
from local.server.codebuild.build import BuildFailed, make_image
from local.server.codebuild.projects import PROJECT
from local.server.host import Denied, Host, Request, Response, ServiceError
from local.server.own_images import OwnImages
from local.server.sagemaker.shaping import shaped
from local.server.sagemaker.store import Document, Store
from local.server.validation import validate

SERVICE = "codebuild.amazonaws.com"

_BUILD = "Build"
_RUNNING = "IN_PROGRESS"
_OVERRIDES = "Override"


class CodeBuild:
    """StartBuild, BatchGetBuilds and StopBuild of the projects that templates have."""

    def __init__(self, host: Host, store: Store, images: OwnImages) -> None:
        self._host = host
        self._store = store
        self._images = images
        self._operations: dict[str, Callable[[Document], Document]] = {
            "StartBuild": self._start,
            "BatchGetBuilds": self._get,
            "StopBuild": self._stop,
        }

    def handle(self, request: Request) -> Response:
        """Serve one request, whose permission has been checked."""
        name = request.operation
        if name not in self._operations:
            raise ServiceError("InvalidInputException", f"{name or 'this'} is not available on the local server")
        model = service_model("codebuild").operation_model(name)
        params = request.json()
        validate(model.input_shape, params, code="InvalidInputException")
        return Response.of_json(shaped(model.output_shape, self._operations[name](params)))

    def resource(self, body: bytes) -> str:
        """The ARN of the project that a request is about; of any, when it cannot be told."""
        try:
            params = json.loads(body or b"{}")
        except ValueError:
            params = None
        if not isinstance(params, dict):
            return self._arn("project", "*")
        builds = [params.get("id"), *(params.get("ids") or [])]
        names = [params.get("projectName"), *(str(each).partition(":")[0] for each in builds if each)]
        return self._arn("project", next((name for name in names if name), "*"))

    def end_what_was_running(self) -> None:
        """After a restart: builds that ran when the server went down are lost."""
        for build in self._store.all(_BUILD):
            if build["buildStatus"] == _RUNNING:
                self._end(build["id"], "FAULT", "the local server was stopped while the build was running")

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:codebuild:{self._host.settings.region}:{self._host.settings.account}:{kind}/{name}"

    def _start(self, params: Document) -> Document:
        overridden = [name for name in params if name.endswith(_OVERRIDES)]
        if overridden:
            raise ServiceError("InvalidInputException", f"{overridden[0]} is not available on the local server")
        project = self._store.find(PROJECT, params["projectName"])
        if project is None:
            raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {params['projectName']}")
        identity = f"{project['name']}:{uuid.uuid4()}"
        build = {
            "id": identity,
            "arn": self._arn("build", identity),
            "projectName": project["name"],
            "buildStatus": _RUNNING,
            "currentPhase": "BUILD",
            "startTime": clock.now(),
            "source": project["source"],
            "logs": {"groupName": project["_LogGroup"], "streamName": identity.partition(":")[2]},
        }
        self._store.add(_BUILD, identity, build)
        threading.Thread(target=self._run, args=(project, build), name=f"build {identity}", daemon=True).start()
        return {"build": build}

    def _get(self, params: Document) -> Document:
        found = {identity: self._store.find(_BUILD, identity) for identity in params["ids"]}
        return {
            "builds": [build for build in found.values() if build is not None],
            "buildsNotFound": [identity for identity, build in found.items() if build is None],
        }

    def _stop(self, params: Document) -> Document:
        build = self._store.find(_BUILD, params["id"])
        if build is None:
            raise ServiceError("ResourceNotFoundException", f"Build cannot be found: {params['id']}")
        return {"build": self._end(build["id"], "STOPPED", "the build was stopped")}

    def _run(self, project: Document, build: Document) -> None:
        def say(line: str) -> None:
            self._host.put_logs(build["logs"]["groupName"], build["logs"]["streamName"], [line])

        try:
            credentials = self._host.mint(project["serviceRole"], SERVICE, project["name"], project["arn"])
            try:
                digest = make_image(self._host, self._images, credentials, project, say)
            finally:
                self._host.forget(credentials)
        except (BuildFailed, Denied) as error:
            say(str(error))
            self._end(build["id"], "FAILED", str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the build ends and says so
            self._end(build["id"], "FAULT", f"{type(error).__name__}: {error}")
        else:
            say(f"the image is {digest}")
            self._end(build["id"], "SUCCEEDED", "")

    def _end(self, identity: str, status: str, message: str) -> Document:
        """Keep how a build ended; one that has ended already stays as it is."""

        def apply(build: dict[str, Any]) -> None:
            if build["buildStatus"] != _RUNNING:
                return
            phase = {"phaseType": "BUILD", "phaseStatus": status, "contexts": [{"message": message}] if message else []}
            build.update(buildStatus=status, currentPhase="COMPLETED", endTime=clock.now(), phases=[phase])

        return self._store.edit(_BUILD, identity, apply)
