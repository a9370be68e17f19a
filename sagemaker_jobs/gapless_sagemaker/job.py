"""What every job does around its work: reading arguments, writing the result, keeping the reason of a failure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


class BadArguments(Exception):
    """An argument of the job is unknown, missing or not of its type."""


class Arguments(argparse.ArgumentParser):
    """Reads ``--name value`` pairs with exact, lower_snake_case names; raises instead of leaving the process."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, allow_abbrev=False, add_help=False)
        self.add_argument("--message", type=Path, required=True, help="file for the reason of a failure")

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            BadArguments: Always.
        """
        raise BadArguments(message)


@contextmanager
def keeping_the_reason(arguments: Sequence[str]) -> Iterator[None]:
    """Leave the reason of a failure in the file that ``--message`` names, where SageMaker reads it, and fail."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--message", type=Path)
    try:
        yield
    except Exception as error:
        message = parser.parse_known_args(list(arguments))[0].message
        if message is not None:
            message.parent.mkdir(parents=True, exist_ok=True)
            message.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise


def write_json(directory: Path, name: str, document: dict[str, Any]) -> None:
    """Write a result; figures have to be finite, since JSON knows no others."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (directory / name).write_text(text, encoding="utf-8")
