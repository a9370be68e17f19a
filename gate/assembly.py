"""Reads what synthesis wrote: manifests and templates of all stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StackTemplate:
    """One synthesised stack.

    Attributes:
        stack: Name of the stack, such as ``dev-DataLake``.
        path: The file.
        content: Its content.
    """

    stack: str
    path: Path
    content: dict[str, Any]

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
                path = folder / artifact["properties"]["templateFile"]
                name = artifact["properties"].get("stackName", artifact_id)
                found.append(StackTemplate(name, path, json.loads(path.read_text(encoding="utf-8"))))
    return found
