"""Kills the server's children when the server is gone; run as a script by ``children``.

Reads ``+<process group>`` and ``-<process group>`` lines. The end of the input means that the server has ended, in
whatever way: every group that is still listed is killed.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
