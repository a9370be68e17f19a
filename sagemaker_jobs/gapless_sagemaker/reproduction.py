"""What it takes to make a figure again: the environment that it was measured in, and how far two models differ."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any


@functools.cache
def environment() -> dict[str, Any]:
    """Describe the interpreter and everything that is installed beside it.

    Gives ``{"python", "machine", "packages": {name: version}, "packages_sha256"}``; the digest is the SHA-256 over a
    line ``name==version`` per package, sorted. A framework image trains and evaluates, so this was training's too.
    """
    found = {_normal(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
    packages = dict(sorted(found.items()))
    lines = "".join(f"{name}=={version}\n" for name, version in packages.items())
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": packages,
        "packages_sha256": hashlib.sha256(lines.encode("utf-8")).hexdigest(),
    }


def largest_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Give the largest difference of figures in predictions of the same rows, whatever problem they are of.

    Figures are compared as they are, where theirs is above 1 relative to it; one that is missing differs by 1. Labels
    follow from figures: a probability next to the threshold may give another label by the least of differences.
    """
    return max((_difference(one, other) for one, other in zip(ours, theirs, strict=True)), default=0.0)


def _difference(one: Any, other: Any) -> float:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return max((_difference(one.get(name), other.get(name)) for name in {*one, *other}), default=0.0)
    if isinstance(one, list) and isinstance(other, list):
        return largest_difference(one, other) if len(one) == len(other) else 1.0
    if _is_figure(one) and _is_figure(other):
        return float(abs(one - other) / max(1.0, abs(other)))
    return 1.0 if _is_figure(one) or _is_figure(other) else 0.0


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
