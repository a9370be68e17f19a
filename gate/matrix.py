"""``python -m gate.matrix``: writes ``docs/access-matrix.md``."""

from __future__ import annotations

from stacks.toolchain import prepare_synthesis

prepare_synthesis()

from constructs_lib.names.access_matrix import render_matrix  # noqa: E402
from stacks.config import ROOT  # noqa: E402
from stacks.platform import read_workloads  # noqa: E402

PAGE = ROOT / "docs" / "access-matrix.md"


def main() -> None:
    """Writes the page anew."""
    PAGE.write_text(render_matrix(read_workloads()), encoding="utf-8")


if __name__ == "__main__":
    main()
