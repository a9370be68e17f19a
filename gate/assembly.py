"""Reads what synthesis wrote: manifests and templates of all stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StackTemplate:
    """One synthesised stack.

    Attributes:
        stack: Name of the stack, such as ``dev-DataLake``.
        path: The file.
        content: Its content.
        stage: Name of its stage. Default: it belongs to none.
        tags: What the stack is tagged with.
        protected: Whether CloudFormation refuses to delete it.
    """

    stack: str
    path: Path
    content: dict[str, Any]
    stage: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    protected: bool = False

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Logical id to resource."""
        found: dict[str, dict[str, Any]] = self.content.get("Resources", {})
        return found

    def of_type(self, *types: str) -> dict[str, dict[str, Any]]:
        """Returns the resources of some types, by logical id."""
        return {key: value for key, value in self.resources.items() if value["Type"] in types}


def manifests(assembly: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the manifest of an assembly and of every stage in it, each with its folder."""
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    yield assembly, manifest
    for artifact in manifest["artifacts"].values():
        if artifact["type"] == "cdk:cloud-assembly":
            yield from manifests(assembly / artifact["properties"]["directoryName"])


def templates(assembly: Path) -> list[StackTemplate]:
    """Returns every stack of an assembly, stages included, in the order of the manifests.

    Raises:
        FileNotFoundError: The folder holds no assembly.
    """
    found = []
    for folder, manifest in manifests(assembly):
        for artifact_id, artifact in manifest["artifacts"].items():
            if artifact["type"] == "aws:cloudformation:stack":
                properties = artifact["properties"]
                path = folder / properties["templateFile"]
                stage, _, inside = artifact.get("displayName", "").partition("/")
                found.append(
                    StackTemplate(
                        stack=properties.get("stackName", artifact_id),
                        path=path,
                        content=json.loads(path.read_text(encoding="utf-8")),
                        stage=stage if inside else None,
                        tags=properties.get("tags", {}),
                        protected=properties.get("terminationProtection", False),
                    )
                )
    return found
