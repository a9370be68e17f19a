"""Becomes another program that cannot outlive the server; run as a script by ``children``.

On Linux the kernel is asked to kill this process when its parent ends; the request survives the exec. Elsewhere the
watchdog alone takes care of it.

Arguments: the parent's process id, then the program and its arguments.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request was made
        os._exit(1)
    try:
        os.execvpe(program[0], program, os.environ)  # noqa: S606 - this is what it is for
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


if __name__ == "__main__":
    main()
