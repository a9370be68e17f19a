"""``python -m gate.matrix``: writes ``docs/access-matrix.md``; with the name of a workload, prints its matrix.

The page shows one workload, so that others are added without a change to it: what differs are names of columns.
"""

from __future__ import annotations

import sys

from stacks.toolchain import prepare_synthesis

prepare_synthesis()

from constructs_lib.names.access_matrix import render_matrix  # noqa: E402
from constructs_lib.names.file_parts import unknown  # noqa: E402
from constructs_lib.names.workload_file import WorkloadFile  # noqa: E402
from stacks.config import ROOT  # noqa: E402
from stacks.platform import read_workloads  # noqa: E402

PAGE = ROOT / "docs" / "access-matrix.md"
DOCUMENTED = "flight_delays"


def shown_workload(name: str) -> WorkloadFile:
    """The workload of this name.

    Raises:
        SystemExit: There is none.
    """
    workloads = {workload.name: workload for workload in read_workloads()}
    if name not in workloads:
        sys.stderr.write(f"{unknown(name, workloads, 'workload')}\n")
        raise SystemExit(2)
    return workloads[name]


def main() -> None:
    """Writes the page anew, or prints the matrix of the workload that the argument names."""
    if len(sys.argv) > 1:
        sys.stdout.write(render_matrix([shown_workload(sys.argv[1])]))
    else:
        PAGE.write_text(render_matrix([shown_workload(DOCUMENTED)]), encoding="utf-8")


if __name__ == "__main__":
    main()
