"""The framework images that a workload may name; where they are kept is :mod:`constructs_lib.images`'s business."""

from __future__ import annotations

from typing import Final

VERSIONS: Final = {"xgboost": ("3.0-5", "3.2-0"), "scikit-learn": ("1.4-2", "1.9-0")}
"""Framework to the versions that may be used, for training and serving alike; older images have Python 3.8."""

IMAGES: Final = tuple(f"xgboost:{version}" for version in VERSIONS["xgboost"])
"""What a workload may name, as ``framework:version``: its models are evaluated with XGBoost, in the same image."""
