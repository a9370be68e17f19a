"""Projects, as CloudFormation makes them; only those that make an image of a folder are taken."""

from __future__ import annotations

from typing import Any

from local.server.host import ServiceError, Settings
from local.server.sagemaker.store import AlreadyThere, Document, Store

PROJECT = "Project"
NEEDED = ("REPOSITORY", "TAG")
"""Variables of a project's environment that say where its image goes."""


class ProjectType:
    """``AWS::CodeBuild::Project``; its physical id is its name."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def create(self, _logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Create a project."""
        project = self._project(props)
        try:
            self._store.add(PROJECT, project["name"], project)
        except AlreadyThere as error:
            message = f"Project already exists: {project['arn']}"
            raise ServiceError("ResourceAlreadyExistsException", message) from error
        return project["name"], {"Arn": project["arn"]}

    def update(
        self, physical_id: str, _old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change a project; another name makes another one."""
        project = self._project(new_props)
        if project["name"] != physical_id:
            return self.create("", new_props, stack_name)
        self._store.change(PROJECT, physical_id, **project)
        return physical_id, {"Arn": project["arn"]}

    def delete(self, physical_id: str, _props: dict[str, Any], /) -> None:
        """Delete a project."""
        self._store.remove(PROJECT, physical_id)

    def _project(self, props: dict[str, Any]) -> Document:
        source, environment = props["Source"], props["Environment"]
        variables = {each["Name"]: each["Value"] for each in environment.get("EnvironmentVariables", [])}
        missing = [name for name in NEEDED if name not in variables]
        if source.get("Type") != "S3" or missing:
            raise ServiceError(
                "InvalidInputException",
                "a project is not available on the local server unless it makes an image of a zip in S3 and its "
                f"environment has {' and '.join(NEEDED)}, given were a source {source.get('Type')} and "
                f"{', '.join(variables) or 'no variables'}",
            )
        logs = props.get("LogsConfig", {}).get("CloudWatchLogs", {})
        name = str(props["Name"])
        return {
            "name": name,
            "arn": f"arn:aws:codebuild:{self._settings.region}:{self._settings.account}:project/{name}",
            "description": props.get("Description", ""),
            "serviceRole": props["ServiceRole"],
            "source": {"type": "S3", "location": source["Location"]},
            "timeoutInMinutes": int(props.get("TimeoutInMinutes", 60)),
            "_Variables": variables,
            "_LogGroup": logs.get("GroupName", f"/aws/codebuild/{name}"),
        }
