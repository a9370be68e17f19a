"""Whatever the user has set, a local command reaches the loopback interface and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import cdk
from local.aws import Aws
from local.environment import aws_env, synth_env
from local.errors import Failure
from local.server_file import Server
from local.server_process import connect
from local.settings import Settings
from tests.local.cli.conftest import ROOT, Run
from tests.local.cli.hostile import Hostile

_CARELESS = """
import boto3, botocore.config
boto3.client("s3", config=botocore.config.Config(retries={"total_max_attempts": 1})).list_buckets()
"""
_WOULD_STOP_IT_EARLIER = ("AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")


def test_these_settings_do_lead_a_careless_program_into_the_trap(hostile: Hostile) -> None:
    env = {name: value for name, value in hostile.env.items() if name not in _WOULD_STOP_IT_EARLIER}
    config = hostile.home / ".aws" / "config"
    kept = [line for line in config.read_text().splitlines() if not line.startswith(("use_fips", "ca_bundle"))]
    config.write_text("\n".join(kept))
    subprocess.run([sys.executable, "-c", _CARELESS], env=env, capture_output=True, check=False, timeout=600)
    assert hostile.trap.visits > 0
    assert hostile.connections()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["up"], 0),
        (["status"], 0),
        (["land", "--months", "1", "--sample", "5", "--folder", "hostile"], 0),
        (["predict"], 2),
        (["logs", "nothing-of-this-name"], 2),
        (["report"], 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_reach_the_local_aws_only(
    arguments: list[str], code: int, settings: Settings, stack: str, hostile: Hostile, run_command: Run
) -> None:
    done = run_command(settings.state_dir, *arguments, env=hostile.env)
    assert done.returncode == code, done.stderr
    assert any("127.0.0.1" in target for _, target in hostile.connections())
    assert hostile.foreign() == []
    assert hostile.trap.visits == 0
    assert not hostile.process_marker.exists()


def test_a_careless_program_that_is_run_by_exec_sees_the_local_aws_only(
    settings: Settings, stack: str, hostile: Hostile, run_command: Run
) -> None:
    told = _CARELESS + "print(boto3.client('sts').get_caller_identity()['Account'])"
    done = run_command(settings.state_dir, "exec", "--", "python", "-c", told, env=hostile.env)
    assert (done.returncode, done.stdout) == (0, "000000000000\n"), done.stderr
    assert hostile.trap.visits == 0


def test_exec_ends_as_the_command_does(settings: Settings, stack: str, hostile: Hostile, run_command: Run) -> None:
    assert run_command(settings.state_dir, "exec", "python", "-c", "raise SystemExit(7)").returncode == 7
    unknown = run_command(settings.state_dir, "exec", "no-such-command")
    assert unknown.returncode == 2
    assert "there is no command 'no-such-command'" in unknown.stderr


def test_broken_settings_do_not_stop_a_command(
    settings: Settings, stack: str, hostile: Hostile, run_command: Run
) -> None:
    (hostile.home / ".aws" / "config").write_text("[profile hostile\nthis is no configuration file")
    broken = {"AWS_PROFILE": "no-such-profile", "AWS_RETRY_MODE": "nonsense", "AWS_MAX_ATTEMPTS": "many"}
    done = run_command(settings.state_dir, "land", "--months", "1", "--sample", "5", env=hostile.env | broken)
    assert done.returncode == 0, done.stderr


def test_a_server_started_under_hostile_settings_does_not_visit_the_trap(
    tmp_path: Path, hostile: Hostile, run_command: Run
) -> None:
    try:
        up = run_command(tmp_path / "own", "up", env=hostile.env)
        assert up.returncode == 0, up.stderr
        identity = Aws(connect(Settings(tmp_path / "own"))).client("sts").get_caller_identity()
        assert identity["Account"] == "000000000000"
    finally:
        down = run_command(tmp_path / "own", "down", env=hostile.env)
    assert down.returncode == 0
    assert hostile.trap.visits == 0


def test_the_cdk_cli_reaches_the_local_aws_only(
    settings: Settings, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hostile.env.items():
        if name not in {"PYTHONPATH", "PATH"}:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(cdk, "aws_env", lambda *arguments: aws_env(*arguments) | {"NODE_OPTIONS": hostile.node_options})
    arguments = [
        "bootstrap",
        "aws://000000000000/us-east-1",
        "--toolkit-stack-name",
        "OfHostileTest",
        "--qualifier",
        "hostile",
    ]
    cdk.run_cdk(settings, connect(settings), arguments, log=settings.log_dir / "hostile.log", on_line=lambda _: None)
    assert hostile.connections()
    assert hostile.foreign() == []
    assert hostile.trap.visits == 0
    assert not hostile.process_marker.exists()


def test_environments_of_children_hold_nothing_that_the_user_has_set(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hostile.env.items():
        monkeypatch.setenv(name, value)
    server = Server(1, "https://127.0.0.1:4", Path("/ca.pem"), "local-key", "local-secret")
    for env in (synth_env(Settings(tmp_path), tmp_path), aws_env(Settings(tmp_path), server)):
        leaked = {name for name, value in env.items() if hostile.env.get(name) == value}
        assert leaked == set()
        assert env["AWS_CONFIG_FILE"] == env["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
        assert env["HOME"].startswith(str(tmp_path))
        assert not any("proxy" in name.lower() and name.lower() != "no_proxy" for name in env)


def test_synthesis_gets_no_keys_and_no_endpoint(tmp_path: Path) -> None:
    env = synth_env(Settings(tmp_path), tmp_path)
    assert not {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_PROFILE"} & set(env)


def test_packages_are_unpacked_once_for_all_state_directories_and_in_their_own_where_nothing_else_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(state: str) -> str:
        return synth_env(Settings(tmp_path / state), tmp_path)["JSII_RUNTIME_PACKAGE_CACHE_ROOT"]

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert place("first") == place("second") == str(tmp_path / ".jsii")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "missing"))
    assert place("first") == str(tmp_path / "first" / "cli" / "cache" / "jsii")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert place("first") == str(tmp_path / "first" / "cli" / "cache" / "jsii")


def test_refuses_to_send_a_request_beyond_loopback(aws: Aws) -> None:
    s3 = Aws(aws.server).client("s3")
    s3.meta.events.register("before-sign.s3", _redirect)
    with pytest.raises(Failure, match=r"refused to call 's3\.eu-west-1\.amazonaws\.com'"):
        s3.list_buckets()


def _redirect(request: object, **_: object) -> None:
    request.url = "https://s3.eu-west-1.amazonaws.com/"  # type: ignore[attr-defined]


def test_refuses_a_server_file_that_names_a_foreign_endpoint() -> None:
    with pytest.raises(Failure, match="not on the loopback interface"):
        Server(1, "https://s3.eu-west-1.amazonaws.com", Path("/ca.pem"), "key", "secret")


def test_only_one_module_makes_clients() -> None:
    makers = [
        path.name
        for path in (ROOT / "local").rglob("*.py")
        if "import boto3" in path.read_text() and not {"server", "engine"} & set(path.relative_to(ROOT / "local").parts)
    ]
    assert makers == ["aws.py"]
