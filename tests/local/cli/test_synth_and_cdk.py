"""When the application is synthesised again, and what is read from the CDK CLI's output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local import cdk
from local.cdk import StackEvent, parse_event, run_cdk
from local.errors import Failure
from local.server_file import Server
from local.settings import Settings
from local.synth import inputs_digest, stack_sizes, synthesise

SERVER = Server(1, "https://127.0.0.1:1", Path("/nonexistent.pem"), "key", "secret")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose application writes an assembly without stacks, and a line per synthesis."""
    root = tmp_path / "checkout"
    for folder in ("stacks", "workloads/one"):
        (root / folder).mkdir(parents=True)
    (root / "workloads" / "one" / "workload.yaml").write_text("name: one\n")
    (root / "app.py").write_text(
        "import os, pathlib\nout = pathlib.Path(os.environ['CDK_OUTDIR'])\nout.mkdir(parents=True)\n"
        "(out / 'manifest.json').write_text('{\"artifacts\": {}}')\n"
        "open('runs.txt', 'a').write('again\\n')\n"
    )
    return root


def test_synthesises_again_only_when_an_input_has_changed_or_another_stage_is_meant(
    checkout: Path, tmp_path: Path
) -> None:
    settings = Settings(tmp_path / "state", project=checkout)
    settings.prepare()
    first, second = synthesise(settings), synthesise(settings)
    assert first.seconds > 0 == second.seconds
    (checkout / "workloads" / "one" / "workload.yaml").write_text("name: two\n")
    assert synthesise(settings).seconds > 0
    assert synthesise(Settings(tmp_path / "state", stage="prod", project=checkout)).seconds > 0
    assert (checkout / "runs.txt").read_text() == "again\nagain\nagain\n"


def test_an_application_that_fails_is_told_and_tried_again(checkout: Path, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", project=checkout)
    settings.prepare()
    (checkout / "app.py").write_text("raise SystemExit('workload.yaml: unknown field: featurs')")
    for _ in range(2):
        with pytest.raises(Failure, match=r"app\.py ended with exit code 1(.|\n)*unknown field: featurs"):
            synthesise(settings)


@pytest.mark.parametrize("name", ["app.py", "stacks/new.py", "lambda/x/handler.py", "cdk.json"])
def test_every_input_counts(name: str, checkout: Path) -> None:
    before = inputs_digest(checkout)
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("something else")
    assert inputs_digest(checkout) != before


def test_what_python_and_tests_leave_behind_does_not_count(checkout: Path) -> None:
    before = inputs_digest(checkout)
    (checkout / "stacks" / "__pycache__").mkdir()
    (checkout / "stacks" / "__pycache__" / "config.cpython-311.pyc").write_bytes(b"compiled")
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_x.py").write_text("")
    assert inputs_digest(checkout) == before


def test_counts_the_resources_of_nested_assemblies(tmp_path: Path) -> None:
    nested = tmp_path / "assembly-dev"
    nested.mkdir()
    stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json", "stackName": "dev-Network"}}
    (nested / "manifest.json").write_text(json.dumps({"artifacts": {"devNetwork": stack}}))
    (nested / "t.json").write_text(json.dumps({"Resources": {"A": {}, "B": {}}}))
    inner = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-dev"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"assembly-dev": inner}}))
    assert stack_sizes(tmp_path) == {"dev-Network": 2}


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            "dev-DataLake |  12 | 1:59:10 PM | CREATE_COMPLETE      | AWS::S3::Bucket | Lake/Landing (Lake2ADFF402)",
            StackEvent("dev-DataLake", 12, "CREATE_COMPLETE", "AWS::S3::Bucket Lake/Landing (Lake2ADFF402)"),
        ),
        (
            "dev-DataLake | 3/9 | 1:59:10 PM | UPDATE_COMPLETE | AWS::S3::Bucket | Lake/Landing ",
            StackEvent("dev-DataLake", 3, "UPDATE_COMPLETE", "AWS::S3::Bucket Lake/Landing"),
        ),
        ("dev-DataLake: start: Building dev-DataLake Template", None),
        ("", None),
    ],
)
def test_reads_the_events_of_stacks(line: str, event: StackEvent | None) -> None:
    assert parse_event(line) == event


def test_a_failing_cli_is_told_with_the_end_of_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "cdk.js"
    script.write_text('console.log("\\u001b[31mdev-X failed: no such bucket\\u001b[39m"); process.exit(3);')
    monkeypatch.setattr(cdk, "_CLI", script)
    settings = Settings(tmp_path / "state")
    settings.prepare()
    lines: list[str] = []
    with pytest.raises(Failure, match=r"`cdk deploy` ended with exit code 3(.|\n)*dev-X failed: no such bucket"):
        run_cdk(settings, SERVER, ["deploy"], log=tmp_path / "log", on_line=lines.append)
    assert lines == ["dev-X failed: no such bucket"]
    assert (tmp_path / "log").read_text() == "dev-X failed: no such bucket\n"
