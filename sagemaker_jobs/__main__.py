"""Runs one of the jobs: ``python3 jobs.zip evaluate --name value …``, and likewise every job of :data:`JOBS`.

The folder is shipped as one zip file and runs inside the image that also trains and serves. Every path is an argument.
"""

from __future__ import annotations

import sys
from importlib import import_module

from gapless_sagemaker.job import BadArguments, keeping_the_reason

JOBS = {
    "encode": "encode",
    "evaluate": "evaluate",
    "golden": "golden",
    "golden_requests": "golden_requests",
    "monitor": "monitor",
    "monitor_baseline": "monitor_baseline",
    "monitor_results": "monitor_results",
    "pack_code": "pack_code",
    "requests": "write_requests",
    "score_rows": "score_rows",
}
"""The module of each job; only the one that runs is imported, since others need seconds of imports."""


def main(arguments: list[str]) -> None:
    """Run the job that the first argument names."""
    with keeping_the_reason(arguments):
        name = arguments[0] if arguments else None
        if name not in JOBS:
            raise BadArguments(f"job unknown: {name!r}; allowed are {', '.join(sorted(JOBS))}")
        import_module(JOBS[name]).main(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
