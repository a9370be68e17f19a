"""Notebooks are kept so that a review shows code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from gate.notebooks import ROOT, findings, main, notebooks


def write(path: Path, *sources: str, ran: bool = False) -> Path:
    """A notebook with a heading and code cells."""
    cells: list[Any] = [new_markdown_cell("# Delays")]
    for source in sources:
        cell = new_code_cell(source)
        if ran:
            cell.execution_count = 1
            cell.outputs = [new_output("stream", text="a secret\n")]
        cells.append(cell)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_notebook_with_outputs_or_without_its_script_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "look.ipynb", "1 + 1", ran=True)
    assert main([], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: has outputs or counts of executions in the cells 2",
        f"{path}: has no script look.py beside it",
    ]


def test_mending_takes_outputs_away_and_writes_the_script(tmp_path: Path) -> None:
    path = write(tmp_path / "look.ipynb", "x = 1", "x + 1", ran=True)
    assert main(["--fix"], tmp_path) == 0
    assert findings(path) == []
    assert "a secret" not in path.read_text()
    script = path.with_suffix(".py").read_text()
    assert "# %% [markdown]\n# # Delays" in script
    assert script.index("x = 1") < script.index("x + 1")
    before = path.read_bytes()
    assert main(["--fix"], tmp_path) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("newer", ["look.py", "look.ipynb"])
def test_of_two_that_differ_the_newer_one_is_taken(tmp_path: Path, newer: str) -> None:
    path = write(tmp_path / "look.ipynb", "x = 1")
    main(["--fix"], tmp_path)
    script = path.with_suffix(".py")
    script.write_text(script.read_text().replace("x = 1", "x = 2"))
    assert findings(path) == [f"{path}: differs from look.py"]
    os.utime(tmp_path / newer, (2_000_000_000, 2_000_000_000))
    assert main(["--fix"], tmp_path) == 0
    expected = "x = 2" if newer == "look.py" else "x = 1"
    assert expected in script.read_text() and expected in path.read_text()


def test_a_file_that_is_no_notebook_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.ipynb").write_text("{")
    assert main(["--fix"], tmp_path) == 1
    assert "broken.ipynb: is not a notebook" in capsys.readouterr().out


def test_folders_of_tools_are_left_alone(tmp_path: Path) -> None:
    for folder in (".venv", "node_modules", ".ipynb_checkpoints"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "theirs.ipynb", "1", ran=True)
    assert list(notebooks(tmp_path)) == []


def test_an_unknown_argument_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mend"], tmp_path) == 2
    assert "allowed: --fix" in capsys.readouterr().err


def test_the_projects_notebooks_show_code() -> None:
    assert [finding for path in notebooks(ROOT) for finding in findings(path)] == []
