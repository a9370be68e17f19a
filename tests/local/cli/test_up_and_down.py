"""Starting and stopping the local AWS: once, again, twice at a time, after a kill, and without leaving anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.aws import Aws
from local.errors import Failure, UserError
from local.interrupts import held_back
from local.processes import Process, descendants, identify, wait_until_gone
from local.server_process import StartOptions, clear, connect, running, start, stop
from local.settings import Settings
from tests.local.cli.conftest import ROOT, Run


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Settings]:
    """A platform of the test's own; stopped at the end."""
    found = Settings(tmp_path / "state")
    yield found
    stop(found)


def _quiet(_: str) -> None:
    return


def _processes(settings: Settings) -> list[Process]:
    """The server of a platform and everything that it has started."""
    server = connect(settings)
    root = identify(server.pid)
    assert root is not None
    return [root, *descendants(server.pid)]


def test_up_twice_is_one_server_whose_clock_goes_forward_and_down_leaves_none(own: Settings, run_command: Run) -> None:
    first, second = (run_command(own.state_dir, "up", "--clock", "2013-05-01T04:00:00Z") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout
    assert run_command(own.state_dir, "clock").stdout.startswith("2013-05-01T04:")
    assert run_command(own.state_dir, "clock", "2013-06-01T00:00:00Z").stdout.startswith("2013-06-01T00:00:")
    back = run_command(own.state_dir, "clock", "2013-05-01T04:00:00Z")
    assert back.returncode == 2
    assert "cannot be set to 2013-05-01T04:00:00Z, which is earlier (allowed: later" in back.stderr
    everybody = _processes(own)
    assert run_command(own.state_dir, "down").returncode == 0
    assert wait_until_gone(everybody, 5.0) == []
    assert run_command(own.state_dir, "down").stdout.strip() == "no local AWS was running"


def test_two_ups_at_a_time_start_one_server(own: Settings) -> None:
    command = [sys.executable, "-m", "local", "--state-dir", str(own.state_dir), "up"]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0].replace("\n", "") == told[1][0].replace("\n", "")


def test_state_survives_a_restart_on_the_same_port_and_is_cleared_by_one_command(
    own: Settings, run_command: Run
) -> None:
    first = start(own, StartOptions(tied=True), _quiet)
    Aws(first).client("s3").create_bucket(Bucket="kept")
    stop(own)
    second = start(own, StartOptions(tied=True), _quiet)
    assert (second.endpoint, second.access_key) == (first.endpoint, first.access_key)
    assert [bucket["Name"] for bucket in Aws(second).client("s3").list_buckets()["Buckets"]] == ["kept"]
    cleared = run_command(own.state_dir, "down", "--clear")
    assert cleared.returncode == 0
    assert not own.state_dir.exists()


def test_a_killed_server_is_noticed_and_can_be_started_again(own: Settings, run_command: Run) -> None:
    start(own, StartOptions(), _quiet)
    everybody = _processes(own)
    os.kill(everybody[0].pid, signal.SIGKILL)
    os.waitpid(everybody[0].pid, 0)
    assert wait_until_gone(everybody, 5.0) == []
    assert own.server_file.is_file(), "a killed server leaves its file behind"
    assert running(own) is None
    assert "no local AWS runs" in run_command(own.state_dir, "status").stdout
    refused = run_command(own.state_dir, "land")
    assert refused.returncode == 2
    assert "start it with `python -m local up`" in refused.stderr
    assert start(own, StartOptions(tied=True), _quiet).pid != everybody[0].pid


def test_a_process_that_got_the_number_of_a_dead_server_is_left_alone(own: Settings) -> None:
    own.prepare()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        own.lock_file.write_text(str(bystander.pid))
        assert stop(own) is False
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_log(own: Settings, run_command: Run) -> None:
    own.prepare()
    (own.state_dir / "tls").write_text("in the way")
    failed = run_command(own.state_dir, "up")
    assert failed.returncode == 1
    assert "the local AWS ended with exit code 1" in failed.stderr
    assert "FileExistsError" in failed.stderr or "NotADirectoryError" in failed.stderr
    assert "local/cli.py" not in failed.stderr


def test_an_interrupted_up_leaves_no_server(own: Settings) -> None:
    command = [sys.executable, "-m", "local", "--state-dir", str(own.state_dir), "up"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: own.lock_file.is_file() and own.lock_file.read_text() != "")
    server = identify(int(own.lock_file.read_text()))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=600)
    assert server is not None
    assert process.returncode == 128 + signal.SIGTERM
    assert wait_until_gone([server], 10.0) == []


def test_an_interrupt_during_the_start_takes_effect_right_after_it() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        done.append("begun and noted")
    assert done == ["begun and noted"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_leaves_no_process(own: Settings, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "local", "--state-dir", str(own.state_dir), "demo", "--sample", "1000"]
    env = {name: value for name, value in os.environ.items() if name != "KEEP"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    _wait_for(lambda: running(own) is not None and len(descendants(process.pid)) > 1)
    everybody = [*descendants(process.pid), *_processes(own)]
    process.send_signal(number)
    process.wait(timeout=600)
    assert process.returncode != 0
    assert wait_until_gone(everybody, 15.0) == []
    assert running(own) is None


def test_a_foreign_directory_is_neither_used_nor_removed(tmp_path: Path, run_command: Run) -> None:
    (tmp_path / "thesis.txt").write_text("four years of work")
    for arguments in (["up"], ["down", "--clear"]):
        refused = run_command(tmp_path, *arguments)
        assert refused.returncode == 2, arguments
        assert "not" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_state_in_use_is_not_cleared(own: Settings) -> None:
    start(own, StartOptions(tied=True), _quiet)
    with pytest.raises(UserError, match="stop it first"):
        clear(own)


def test_clearing_for_another_demo_keeps_templates_and_report(own: Settings) -> None:
    own.prepare()
    (own.state_dir / "s3").mkdir()
    (own.state_dir / "root.json").write_text("{}")
    (own.cache_dir / "synth.json").write_text("{}")
    own.report_file.write_text("report")
    clear(own, keep_cache=True)
    assert sorted(path.name for path in own.state_dir.iterdir()) == [".gapless-state", "cli", "report.html"]
    assert (own.cache_dir / "synth.json").is_file()


def test_a_damaged_server_file_is_told(own: Settings) -> None:
    start(own, StartOptions(tied=True), _quiet)
    own.server_file.write_text("{")
    with pytest.raises(Failure, match="damaged"):
        running(own)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--stage", "Production", "status"], "is not a stage name"),
        (["--workload", "no", "status"], "is not a workload name"),
        (["up", "--wait-scale", "0"], "allowed: above 0"),
        (["up", "--engine", "flink"], "allowed: sail, spark"),
        (["up", "--clock", "noon"], "--clock 'noon' (allowed: ISO 8601"),
        (["clock", "noon"], "cannot be set to 'noon' (allowed: ISO 8601"),
        (["clock"], "start it with `python -m local up`"),
        (["land", "--months", "13"], "allowed: from 1-1 to 12-12"),
        (["land", "--as-of", "tomorrow"], "ISO 8601"),
        (["predict", "--file", "/nonexistent.json"], "cannot be read as JSON"),
        (["predict", "--set", "distance"], "feature=value"),
        (["predict", "--set", "no_such_feature=1"], "is not a feature"),
        (["deploy"], "start it with `python -m local up`"),
        (["no-such-command"], "No such command"),
    ],
)
def test_a_mistake_of_the_user_is_told_in_one_line_with_exit_code_2(
    arguments: list[str], wanted: str, tmp_path: Path, run_command: Run
) -> None:
    done = run_command(tmp_path / "state", *arguments)
    assert done.returncode == 2
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
