"""Which tests stay together when the suite is spread over processes, and which come first."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

END_TO_END = "tests/end_to_end/"
LIVE, EVERYTHING = "live", "everything"
"""Fixtures of the end-to-end tests that deploy a whole platform; each is to be deployed in one process only."""

OF_EVERYTHING = frozenset(
    f"{END_TO_END}test_{name}.py"
    for name in (
        "batch_scoring",
        "datasets",
        "experiments",
        "ingestion",
        "loan_approval",
        "monitoring",
        "other_models",
        "own_code",
        "prediction_api",
        "registry",
        "score_rollback",
