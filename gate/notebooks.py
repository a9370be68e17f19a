"""``python -m gate.notebooks``: refuses notebooks that a review could not read; ``--fix`` mends them.

A notebook (``.ipynb``) is kept without outputs and counts of executions, beside a script in the percent format that has
the same cells: what is reviewed and merged is the script. Scripts alone, as the starter notebooks are, need nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat

ROOT = Path(__file__).parent.parent
NOT_OURS = ("node_modules", "cdk.out", "build", "dist")
PERCENT = "py:percent"


def notebooks(root: Path) -> Iterator[Path]:
    """Yield the notebooks of a project, without those in hidden folders and in folders that tools make."""
    for path in sorted(root.rglob("*.ipynb")):
        folders = path.relative_to(root).parts[:-1]
        if not any(each.startswith(".") or each in NOT_OURS for each in folders):
            yield path


def findings(path: Path) -> list[str]:
    """Return what is wrong with a notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        return [f"{path}: is not a notebook: {str(error).splitlines()[0]}"]
    found = []
    ran = [
        number for number, cell in enumerate(notebook.cells, 1) if cell.get("outputs") or cell.get("execution_count")
    ]
    if ran:
        found.append(f"{path}: has outputs or counts of executions in the cells {', '.join(map(str, ran))}")
    script = path.with_suffix(".py")
    if not script.exists():
        found.append(f"{path}: has no script {script.name} beside it")
    elif _cells(jupytext.read(script, fmt=PERCENT)) != _cells(notebook):
        found.append(f"{path}: differs from {script.name}")
    return found


def mend(path: Path) -> None:
    """Take outputs away; write the script that is missing, or the notebook anew where the script is newer.

    Of a notebook and a script that differ, the one that was changed last is taken.
    """
    script = path.with_suffix(".py")
    notebook = nbformat.read(path, as_version=4)
    if script.exists() and _cells(jupytext.read(script, fmt=PERCENT)) != _cells(notebook):
        if script.stat().st_mtime_ns > path.stat().st_mtime_ns:
            notebook = jupytext.read(script, fmt=PERCENT)
        else:
            jupytext.write(notebook, script, fmt=PERCENT)
    elif not script.exists():
        jupytext.write(notebook, script, fmt=PERCENT)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)


def _cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells if cell.source.strip()]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Check or mend every notebook and return the exit code."""
    if [each for each in arguments if each != "--fix"]:
        print(f"unknown argument: {' '.join(arguments)} (allowed: --fix)", file=sys.stderr)  # noqa: T201
        return 2
    found = []
    for path in notebooks(root):
        if arguments and not (findings(path) or [""])[0].startswith(f"{path}: is not a notebook"):
            mend(path)
        found += findings(path)
    for finding in found:
        print(finding)  # noqa: T201
    if found:
        print("python -m gate.notebooks --fix takes outputs away and writes scripts", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
