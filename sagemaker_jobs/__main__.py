"""Runs one of the jobs: ``python3 jobs.zip evaluate --name value …`` or ``python3 jobs.zip golden --name value …``.

The folder is shipped as one zip file and runs inside the image that also trains and serves. Every path is an argument.
"""

from __future__ import annotations

import sys

import evaluate
import golden
from gapless_sagemaker.job import BadArguments, keeping_the_reason

JOBS = {"evaluate": evaluate.main, "golden": golden.main}


def main(arguments: list[str]) -> None:
    """Run the job that the first argument names."""
    with keeping_the_reason(arguments):
        name = arguments[0] if arguments else None
        if name not in JOBS:
            raise BadArguments(f"job unknown: {name!r}; allowed are {', '.join(sorted(JOBS))}")
        JOBS[name](arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
