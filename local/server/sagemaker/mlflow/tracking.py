"""Tracking servers and apps: made, described, listed, deleted, looked at in a browser, and called."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from urllib.parse import urlencode

from local.server.host import Caller, Request, Response, ServiceError
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.mlflow.kinds import APP, MLFLOW_KINDS, MlflowKind, action_of, named_in
from local.server.sagemaker.mlflow.process import MlflowProcess
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.store import AlreadyThere, Document


class Tracking:
    """Managed MLflow: its control plane, and the way to its own API."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._folder = platform.settings.state_dir / "mlflow"
        self._processes: dict[str, MlflowProcess] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {name: operation for kind in MLFLOW_KINDS for name, operation in self._operations(kind).items()}

    def _operations(self, kind: MlflowKind) -> dict[str, Operation]:
        return {
            f"Create{kind.name}": lambda params, caller: self.create(kind, params, caller),
            f"Describe{kind.name}": lambda params, _caller: self.find(kind, params[kind.key]),
            f"Update{kind.name}": lambda params, _caller: self.change(kind, params),
            f"List{kind.name}s": lambda _params, _caller: self._list(kind),
            f"Delete{kind.name}": lambda params, _caller: self.delete(kind, params[kind.key]),
            f"CreatePresigned{kind.name}Url": lambda params, _caller: self._url(kind, params),
        }

    def resource(self, operation: str, params: Document) -> str | None:
        """The ARN that an operation needs the permission on, or nothing if it is no operation of these."""
        kind = next((kind for kind in MLFLOW_KINDS if operation.removesuffix("Url").endswith(kind.name)), None)
        if kind is None:
            return "*" if operation in {f"List{kind.name}s" for kind in MLFLOW_KINDS} else None
        if "Arn" in params:
            return str(params["Arn"])
        return kind.arn(self._platform.settings, str(params.get(kind.name_member, "*")))

    def create(self, kind: MlflowKind, params: Document, caller: Caller) -> Document:
        """Make one; its process starts with the first call."""
        name = params[kind.name_member]
        arn = kind.arn(self._platform.settings, name)
        self._platform.pass_role(caller, params["RoleArn"], arn)
        document = {**params, kind.arn_member: arn, kind.status_member: "Created"}
        self._platform.tag_new(caller, arn, document)
        try:
            return self._platform.store.add(kind.name, arn, document)
        except AlreadyThere as error:
            raise ServiceError("ConflictException", f"{arn} exists already") from error

    def change(self, kind: MlflowKind, params: Document) -> Document:
        """Change what is said of one: name, size, version, maintenance window."""
        arn = self.find(kind, params[kind.key])[kind.arn_member]
        told = {name: value for name, value in params.items() if name != kind.key}
        return self._platform.store.change(kind.name, arn, **told)

    def find(self, kind: MlflowKind, key: str) -> Document:
        """One by its name or ARN.

        Raises:
            ServiceError: There is none (``ResourceNotFound``).
        """
        arn = key if key.startswith("arn:") else kind.arn(self._platform.settings, key)
        document = self._platform.store.find(kind.name, arn)
        if document is None:
            raise ServiceError("ResourceNotFound", f"there is no {arn}")
        return document

    def delete(self, kind: MlflowKind, key: str) -> Document:
        """Delete one with everything that was logged but its artefacts."""
        document = self.find(kind, key)
        arn = document[kind.arn_member]
        with self._lock:
            process = self._processes.pop(arn, None)
        if process is not None:
            process.stop()
        self._platform.store.remove(kind.name, arn)
        self._platform.store.remove_tags(arn)
        for path in (self._store(arn), self._store(arn).with_suffix(".log")):
            path.unlink(missing_ok=True)
        return {kind.arn_member: arn}

    def action(self, request: Request) -> str:
        """The IAM action that a call of MLflow's own API needs; an app knows one for all of them."""
        return "CallMlflowAppApi" if APP.header in request.headers else action_of(request.path)

    def serve(self, request: Request) -> Response:
        """Hand a call of MLflow's own API on to the server that it names.

        Raises:
            ServiceError: It names none.
        """
        arn = named_in(request.headers)
        kind = next((kind for kind in MLFLOW_KINDS if f":{kind.arn_type}/" in arn), None)
        if kind is None:
            names = " or ".join(kind.header for kind in MLFLOW_KINDS)
            raise invalid(f"a call of MLflow's API must name a server in the header {names}, was {arn!r}")
        query = urlencode([(name, value) for name, values in request.queries.items() for value in values])
        path = f"{request.path}?{query}" if query else request.path
        return self._process(kind, arn).pass_on(request.method, path, request.headers, request.body)

    def close(self) -> None:
        """Stop every server."""
        with self._lock:
            processes = list(self._processes.values())
            self._processes.clear()
        for process in processes:
            process.stop()

    def _list(self, kind: MlflowKind) -> Document:
        return {kind.list_member: self._platform.store.all(kind.name)}

    def _url(self, kind: MlflowKind, params: Document) -> Document:
        arn = self.find(kind, params[kind.key])[kind.arn_member]
        return {"AuthorizedUrl": self._process(kind, arn).url}

    def _process(self, kind: MlflowKind, arn: str) -> MlflowProcess:
        document = self.find(kind, arn)
        with self._lock:
            if arn not in self._processes:
                credentials = self._platform.assume(document["RoleArn"], "mlflow", arn)
                store, artefacts = self._store(arn), document["ArtifactStoreUri"]
                self._processes[arn] = MlflowProcess(self._platform.host, store, artefacts, credentials)
            return self._processes[arn]

    def _store(self, arn: str) -> Path:
        return self._folder / f"{hashlib.sha256(arn.encode()).hexdigest()[:12]}.sqlite"
