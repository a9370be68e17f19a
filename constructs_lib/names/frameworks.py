"""The framework images that a workload may name; where they are kept is :mod:`constructs_lib.images`'s business."""

from __future__ import annotations

from typing import Final

VERSIONS: Final = {"xgboost": ("1.7-1", "3.0-5", "3.2-0"), "scikit-learn": ("1.2-1", "1.4-2", "1.9-0")}
"""Framework to the versions that may be used: for training and serving alike."""

IMAGES: Final = tuple(f"{framework}:{version}" for framework, versions in VERSIONS.items() for version in versions)
"""The same as ``framework:version``."""
