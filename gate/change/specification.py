"""Which property of which resource type cannot be changed in place: AWS's own database, as the CDK CLI ships it.

``cdk diff`` reads the same file. It is pinned with the CLI in ``package-lock.json`` and read without network.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gate.change.values import canonical, canonical_tags

DATABASE = Path(__file__).parent.parent.parent / "node_modules" / "aws-cdk" / "db.json.gz"


@dataclass(frozen=True, order=True)
class Cause:
    """A property whose change replaces the resource.

    Attributes:
        path: Such as ``OnlineStoreConfig`` or ``LustreConfiguration.DeploymentType``.
        certain: Whether it always does; otherwise the new value decides.
    """

    path: str
    certain: bool


class Specification:
    """Resource types with the replacement behaviour of their properties.

    Args:
        database: The content of the file.
    """

    def __init__(self, database: Mapping[str, Any]) -> None:
        entities = database["schema"]
        self._types = {each["cloudFormationType"]: each for each in entities["resource"]["entities"]}
        self._parts = {each["$id"]: each["properties"] for each in entities["typeDefinition"]["entities"]}

    def knows(self, resource_type: str) -> bool:
        """Says whether the database has a type."""
        return resource_type in self._types

    def identifier(self, resource_type: str) -> list[str]:
        """Returns the properties that identify a thing of a type; an import asks for them."""
        return list(self._types.get(resource_type, {}).get("primaryIdentifier", []))

    def causes(self, resource_type: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Cause]:
        """Returns the changed properties that replace a resource, those inside others included.

        Args:
            resource_type: Such as ``AWS::S3::Bucket``. Of a type that the database does not have, nothing is known.
            before, after: Its properties.
        """
        properties = self._types.get(resource_type, {}).get("properties", {})
        return sorted(self._causes(properties, canonical(before), canonical(after), ""))

    def fixed(self, resource_type: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, bool, Any]]:
        """Yields path, certainty and value of the given top-level properties that cannot be changed in place."""
        for name, described in self._types.get(resource_type, {}).get("properties", {}).items():
            if name in properties and described.get("causesReplacement"):
                yield name, described["causesReplacement"] == "yes", properties[name]

    def _causes(
        self, properties: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], prefix: str
    ) -> Iterator[Cause]:
        for name, described in properties.items():
            spelled = canonical_tags if name == "Tags" else canonical
            old, new = spelled(before.get(name)), spelled(after.get(name))
            if old == new:
                continue
            if described.get("causesReplacement"):
                yield Cause(f"{prefix}{name}", described["causesReplacement"] == "yes")
            else:
                yield from self._inside(described["type"], old, new, f"{prefix}{name}.")

    def _inside(self, described: Mapping[str, Any], before: Any, after: Any, prefix: str) -> Iterator[Cause]:
        kind = described["type"]
        if kind == "ref":
            parts = self._parts[described["reference"]["$ref"]]
            yield from self._causes(parts, _mapping(before), _mapping(after), prefix)
        elif kind == "array":
            yield from self._each(described["element"], _numbered(before), _numbered(after), prefix)
        elif kind == "map":
            yield from self._each(described["element"], _mapping(before), _mapping(after), prefix)

    def _each(
        self, described: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], prefix: str
    ) -> Iterator[Cause]:
        for key in sorted({*before, *after}):
            yield from self._inside(described, before.get(key), after.get(key), f"{prefix}{key}.")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _numbered(value: Any) -> Mapping[str, Any]:
    return {str(number): each for number, each in enumerate(value)} if isinstance(value, list) else {}


@cache
def specification(database: Path = DATABASE) -> Specification:
    """Reads the database.

    Raises:
        FileNotFoundError: The CDK CLI has not been installed.
    """
    with gzip.open(database, "rt", encoding="utf-8") as file:
        return Specification(json.load(file))
