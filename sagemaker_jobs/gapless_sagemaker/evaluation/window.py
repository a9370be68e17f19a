"""Which window a model was trained on, as its training script has left it beside the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = "window.json"
_MOST_BYTES = 32_000


class BadWindow(Exception):
    """The workload asks for a window, and the model does not say which one it was trained on."""


def read_window(directory: Path) -> dict[str, Any]:
    """Read the choice out of an unpacked model.

    Raises:
        BadWindow: There is none, or it is none that ``gapless_windows`` has written.
    """
    path = directory / RECORD
    if not path.is_file():
        raise BadWindow(
            f"the workload asks for training.window, and the model has no {RECORD}; train.py has to choose by "
            "gapless_windows, and to save the choice"
        )
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise BadWindow(f"{RECORD} has {size} bytes, allowed are {_MOST_BYTES}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadWindow(f"{RECORD} is no JSON: {error}") from error
    wanted = ("window", "rows", "of_rows", "candidates", "steps")
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise BadWindow(f"{RECORD} has to have {', '.join(wanted)}, and nothing else")
    return found
