"""Names of AutoML and tuning jobs, which are shorter than those of other jobs."""

from __future__ import annotations

from typing import Final

from constructs_lib.asl import redrives
from constructs_lib.machines.common import Surroundings

LONGEST_NAME: Final = 32
LEAST_ROOM: Final = 10
"""Characters that tell searches apart, hexadecimal: of a thousand two are named alike once in two million cases."""


def search_try() -> str:
    """The JSONata of an id that no other try has; retries of a state share it."""
    return f"$states.context.Execution.Name & '-' & {redrives()}"


def search_name(s: Surroundings) -> str:
    """The JSONata of the name of this try's search: the prefix and a digest of the try."""
    digest = f"$hash({search_try()}, 'SHA-256')"
    return f"'{s.prefix}' & $substring({digest}, 0, {room_for_search(s.prefix)})"


def room_for_search(prefix: str) -> int:
    """Returns how many characters are left for what tells the searches of a workload apart.

    Raises:
        ValueError: Too few are left.
    """
    room = LONGEST_NAME - len(prefix)
    if room < LEAST_ROOM:
        raise ValueError(
            f"names of AutoML and tuning jobs have at most {LONGEST_NAME} characters, of which {prefix!r} leaves "
            f"{room}; at least {LEAST_ROOM} are needed"
        )
    return room
