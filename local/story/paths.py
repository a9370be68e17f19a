"""Where the code of jobs and functions is: they are roots on the path, not packages."""

from __future__ import annotations

import os
import sys
from typing import Final

from local.settings import CHECKOUT

_ROOTS = ("lambda", "glue_jobs", "sagemaker_jobs", "sagemaker_jobs/in_scripts")

PATIENT: Final = {"OMP_WAIT_POLICY": "passive"}
"""Threads of a training sleep while they wait for one another; on a busy machine spinning costs ten times the work."""


def extend_path() -> None:
    """Make what runs in jobs and functions importable here, behind everything else."""
    os.environ |= PATIENT
    sys.path += [str(CHECKOUT / root) for root in _ROOTS if str(CHECKOUT / root) not in sys.path]
