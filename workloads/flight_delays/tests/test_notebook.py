"""The starter notebook is text that Jupyter opens as cells and git merges."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

NOTEBOOK = Path(__file__).parents[1] / "notebook.py"


def test_says_in_its_header_that_it_is_in_the_percent_format() -> None:
    _, header, body = re.split(r"^# ---$\n", NOTEBOOK.read_text(), maxsplit=2, flags=re.MULTILINE)
    described = yaml.safe_load("".join(line.removeprefix("# ") for line in header.splitlines(keepends=True)))
    assert described["jupyter"]["jupytext"]["text_representation"] == {
        "extension": ".py",
        "format_name": "percent",
        "format_version": "1.3",
    }
    assert body.lstrip().startswith("# %% [markdown]")


def test_every_cell_is_prose_or_code() -> None:
    _, *cells = re.split(r"^# %%", NOTEBOOK.read_text(), flags=re.MULTILINE)
    assert len(cells) > 8
    prose = [cell for cell in cells if cell.startswith(" [markdown]\n")]
    code = [cell for cell in cells if cell.startswith("\n")]
    assert len(prose) + len(code) == len(cells)
    assert all(line.startswith("#") for cell in prose for line in cell.splitlines()[1:] if line.strip())
    for cell in code:
        compile(cell, "cell", "exec")


def test_names_no_workload_and_no_column_of_one() -> None:
    folder = NOTEBOOK.parent.name
    assert folder not in NOTEBOOK.read_text()
    assert "arrives_late" not in NOTEBOOK.read_text()
