"""Processes are told apart, found through their ancestors, and ended with everything that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.memory import PeakMemory, proportional_bytes
from local.processes import Process, child, descendants, identify, kill_all, wait_until_gone

ROOT = Path(__file__).parents[3]
_FAMILY = """
import subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(grandchild.pid, flush=True)
import time; time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    yield process, grandchild
    found = [identify(pid) for pid in (grandchild, process.pid)]
    kill_all([item for item in found if item is not None])
    process.wait()


def test_a_grandchild_in_another_session_is_a_descendant(family: tuple[subprocess.Popen[str], int]) -> None:
    process, grandchild = family
    assert grandchild in {item.pid for item in descendants(os.getpid())}
    assert [item.pid for item in descendants(process.pid)] == [grandchild]


def test_a_process_with_another_start_time_is_not_the_same() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Process(me.pid, me.started - 1).alive()


def test_kills_a_whole_family(family: tuple[subprocess.Popen[str], int]) -> None:
    process, grandchild = family
    everybody = [*descendants(process.pid), identify(process.pid)]
    kill_all([item for item in everybody if item is not None])
    process.wait()
    assert identify(grandchild) is None


def test_whatever_ends_the_block_ends_the_child_and_its_children(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        child(
            [sys.executable, "-c", _FAMILY], env={}, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGKILL
    assert identify(grandchild) is None


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, pathlib\nfrom local.processes import child\n"
        "with child([sys.executable, '-c', 'import time; time.sleep(600)'], env={}, cwd=pathlib.Path('/'),"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:\n"
        "    print(process.pid, flush=True)\n    process.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    orphan = identify(int(parent.stdout.readline()))
    assert orphan is not None
    parent.kill()
    parent.wait()
    assert wait_until_gone([orphan], 5.0) == []


def test_measures_memory_of_a_process_and_its_descendants(family: tuple[subprocess.Popen[str], int]) -> None:
    process, grandchild = family
    memory = PeakMemory({process.pid})
    total = memory.sample()
    assert proportional_bytes(grandchild) > 0
    assert total >= proportional_bytes(process.pid) > 0
    assert memory.peak_bytes == total
    assert len(memory.at_peak) == 2
