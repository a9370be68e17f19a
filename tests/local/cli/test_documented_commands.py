"""Every command that the documentation tells people to type is one, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from local.cli import app
from stacks.config import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
COMMAND = re.compile(r"python -m local ([^`\n]+)")


def documented() -> Iterator[tuple[str, str]]:
    """Pages and what stands behind ``python -m local`` there, without comments and what follows another way."""
    for page in PAGES:
        for found in COMMAND.finditer(page.read_text(encoding="utf-8")):
            yield page.name, re.split(r"\s#|&&|;|\|\s", found[1])[0].strip()


@pytest.fixture(scope="module")
def local() -> Any:
    """What ``python -m local`` understands."""
    return typer.main.get_command(app)


def mistake(command: Any, words: list[str]) -> str | None:
    """What is wrong with a command line; None if nothing is."""
    while words and words[0] != "--":
        word = words.pop(0)
        if word.startswith("--"):
            option, _, given = word.partition("=")
            known = next((each for each in command.params if option in each.opts), None)
            if option == "--help":
                continue
            if known is None:
                return f"{command.name} has no option {option}"
            if not given and not getattr(known, "is_flag", False) and words:
                words.pop(0)
        elif hasattr(command, "commands"):
            names = word.split("|")
            missing = [name for name in names if name not in command.commands]
            if missing:
                return f"{command.name} has no command {missing[0]}"
            command = command.commands[names[0]]
    return None


@pytest.mark.parametrize(("page", "line"), sorted(set(documented())))
def test_a_documented_command_is_one(local: Any, page: str, line: str) -> None:
    assert mistake(local, shlex.split(line)) is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("watch", "has no command watch"),
        ("runs list --all", "list has no option --all"),
        ("land --month 5", "land has no option --month"),
        ("relabel export|send", "relabel has no command send"),
    ],
)
def test_a_command_that_is_none_is_found(local: Any, line: str, told: str) -> None:
    assert told in str(mistake(local, shlex.split(line)))
