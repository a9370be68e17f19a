"""What a check found, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One defect.

    Attributes:
        where: Stack and resource, or the construct's path.
        path: Path inside the resource, empty where the whole of it is meant.
        rule: Name of the rule.
        message: What is wrong.
    """

    where: str
    path: str
    rule: str
    message: str

    def __str__(self) -> str:
        place = f"{self.where} {self.path}".rstrip()
        return f"{place}: {self.message} ({self.rule})"
