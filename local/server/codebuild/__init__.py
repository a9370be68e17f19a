"""CodeBuild on the local server: builds that make an image of a folder, without Docker."""

from __future__ import annotations

from typing import Any

from local.server import hooks
from local.server.codebuild.projects import ProjectType
from local.server.codebuild.service import CodeBuild
from local.server.host import Host
from local.server.own_images import OwnImages
from local.server.sagemaker.store import Store


def register(host: Host) -> None:
    """Serve CodeBuild and make its projects."""
    store = Store(host.settings.state_dir / "codebuild.sqlite")
    projects = ProjectType(host.settings, store)
    host.add_resource_type(
        "AWS::CodeBuild::Project", create=projects.create, update=projects.update, delete=projects.delete
    )
    service = CodeBuild(host, store, OwnImages(host.settings))
    host.add_service(
        "codebuild", service.handle, iam_namespace="codebuild", resource=lambda request: service.resource(request.body)
    )
    _check_the_right_resources(service)
    host.on_ready(service.end_what_was_running)


def _check_the_right_resources(service: CodeBuild) -> None:
    """ministack finds a project only where a request names it, and not in the id of a build."""
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(asked: str, method: str, path: str, headers: Any, body: bytes, *others: Any) -> Any:
        return service.resource(body) if asked == "codebuild" else original(asked, method, path, headers, body, *others)

    hooks.replace("core.iam_actions:extract_resource_arn", extract)
