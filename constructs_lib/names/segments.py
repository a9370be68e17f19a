"""Which model of a set answers for which segment: by its value of one feature, and the fallback for all the others.

The names of archives depend on values alone, and not on the set: during a deployment two sets answer side by side, and
whoever asks does not know which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FALLBACK: Final = "_fallback"
"""The model of a set that answers for everything that has none of its own; no value can be called like this."""

SETS: Final = "segments"
"""Where sets of models are that serve, below the workload's folder of artefacts."""

SUFFIX: Final = ".tar.gz"

VARIABLE: Final = "GAPLESS_SEGMENTS"
"""Start of the names of the variables that tell a training script of which segments there are models."""

_LONGEST_VARIABLE: Final = 512


@dataclass(frozen=True)
class Routing:
    """Says which model is asked.

    Args:
        feature: The feature that says it.
        values: Its values that have a model of their own.
    """

    feature: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Routing:
        """Reads what ``content`` has written."""
        return cls(str(content["feature"]), tuple(content["values"]))

    def content(self) -> dict[str, Any]:
        """Returns it as JSON types."""
        return {"feature": self.feature, "values": list(self.values)}

    def target(self, instance: Any) -> str:
        """Returns the archive of the model that answers for an instance, a ``TargetModel`` of SageMaker."""
        value = instance.get(self.feature) if isinstance(instance, Mapping) else None
        return f"{value if value in self.values else FALLBACK}{SUFFIX}"

    def parts(self, instances: Sequence[Any]) -> dict[str, list[int]]:
        """Returns the places of the instances that each model answers for, in the order in which they are met."""
        found: dict[str, list[int]] = {}
        for place, instance in enumerate(instances):
            found.setdefault(self.target(instance), []).append(place)
        return found


def fallback_archive() -> str:
    """Returns the archive of the fallback model."""
    return f"{FALLBACK}{SUFFIX}"


def segment_variables(segments_json: str | None) -> dict[str, Any]:
    """Returns the variables that say of which segments there are models, in parts: SageMaker allows so many characters
    each."""
    text = segments_json or ""
    starts = range(0, len(text), _LONGEST_VARIABLE)
    return {f"{VARIABLE}_{place}": text[start : start + _LONGEST_VARIABLE] for place, start in enumerate(starts)}
