"""How large machines are: processors and memory, as EC2's page of instance types lists them for the sizes of a family.

SageMaker's ``ml.m5.large`` is EC2's ``m5.large``. Whoever is asked for a type that is not here gives no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

GIB: Final = 1 << 30

_BY_FOUR: Final = {"large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32), "4xlarge": (16, 64)}
_BY_TWO: Final = {size: (processors, memory // 2) for size, (processors, memory) in _BY_FOUR.items()}
_BY_EIGHT: Final = {size: (processors, memory * 2) for size, (processors, memory) in _BY_FOUR.items()}
_WITH_GPU: Final = {"xlarge": (4, 16), "2xlarge": (8, 32), "4xlarge": (16, 64), "8xlarge": (32, 128)}

FAMILIES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "ml.m5": _BY_FOUR,
    "ml.m6i": _BY_FOUR,
    "ml.c5": _BY_TWO,
    "ml.c6i": _BY_TWO,
    "ml.r5": _BY_EIGHT,
    "ml.t3": {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32)},
    "ml.g4dn": _WITH_GPU,
    "ml.g5": _WITH_GPU,
}
"""Family to size to processors and GiB, the smallest first."""

BURSTABLE: Final = ("ml.t2", "ml.t3")
"""Families that are meant to idle: their processors save up for bursts."""

WITH_GPU: Final = ("ml.g4dn", "ml.g5")

GLUE_WORKERS: Final[Mapping[str, tuple[int, int]]] = {
    "G.1X": (4, 16),
    "G.2X": (8, 32),
    "G.4X": (16, 64),
    "G.8X": (32, 128),
}
"""Type of a Glue worker to processors and GiB, the smallest first (AWS Glue developer guide, worker types)."""


@dataclass(frozen=True)
class MachineSize:
    """One machine, or one worker."""

    name: str
    processors: int
    gib: int

    @property
    def memory_bytes(self) -> int:
        """Its memory."""
        return self.gib * GIB


def family_of(machine: str) -> str:
    """The family of a type: ``ml.m5`` of ``ml.m5.large``."""
    return machine.rpartition(".")[0]


def sizes_of_family(machine: str) -> list[MachineSize]:
    """The machines of a type's family, the smallest first; none where the family is not known."""
    family = family_of(machine)
    return [MachineSize(f"{family}.{size}", *figures) for size, figures in FAMILIES.get(family, {}).items()]


def size_of(machine: str) -> MachineSize | None:
    """How large a machine is, if that is known."""
    return next((each for each in sizes_of_family(machine) if each.name == machine), None)


def glue_workers() -> list[MachineSize]:
    """The workers that Glue has, the smallest first."""
    return [MachineSize(name, *figures) for name, figures in GLUE_WORKERS.items()]
