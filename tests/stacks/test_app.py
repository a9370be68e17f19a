"""What a person sees who made a mistake in the configuration."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
CODE = ("stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs", ".venv", "node_modules")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of somebody's own: this code with a configuration and workloads that may be changed."""
    for name in CODE:
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "workloads", tmp_path / "workloads")
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    node = Path(os.environ["JSII_NODE"])
    environment = {
        "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "AWS_CONFIG_FILE": str(project / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(project / "none"),
        "CDK_DISABLE_CLI_TELEMETRY": "1",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def change_stages(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = project / "cdk.json"
    content = json.loads(path.read_text())
    change(content["context"]["stages"])
    path.write_text(json.dumps(content))


def test_a_mistake_in_a_stage_is_named_without_a_traceback(project: Path) -> None:
    change_stages(project, lambda stages: stages["prod"].update(removeable=True))
    done = run(project, sys.executable, "app.py")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "context stages.prod.removeable: is not a known key (allowed: account, region, zones,"
    )
    assert "Traceback" not in done.stderr
    assert not list(project.rglob("*.template.json"))


def test_a_mistake_in_a_workload_is_named_without_a_traceback(project: Path) -> None:
    path = project / "workloads" / "flight_delays" / "workload.yaml"
    path.write_text(path.read_text() + "aproval: manual\n")
    done = run(project, sys.executable, "app.py")
    assert done.returncode == 2
    assert done.stderr.startswith("workloads/flight_delays: workload.yaml: aproval: 'aproval' is not a known key")
    assert "Traceback" not in done.stderr


def test_a_rule_that_cannot_be_judged_is_named_without_a_traceback(project: Path) -> None:
    path = project / "workloads" / "flight_delays" / "rules.dqdl"
    path.write_text("# weather\nRules weather = [\n    FileSize > 5 MB\n]\n")
    done = run(project, sys.executable, "app.py")
    assert done.returncode == 2
    assert done.stderr == (
        "workloads/flight_delays: rules.dqdl line 3, column 5: rule type FileSize cannot be evaluated: it is about "
        "files, and the batch's checksums and sizes are already checked before any rule, in: FileSize > 5 MB\n"
    )
    assert not list(project.rglob("*.template.json"))


def test_the_cdk_cli_shows_the_mistake_and_nothing_of_our_insides(project: Path) -> None:
    change_stages(project, lambda stages: stages["dev"].update(zones=["us-east-1a"]))
    done = run(project, str(project / "node_modules" / ".bin" / "cdk"), "synth", "--quiet")
    assert done.returncode != 0
    assert 'context stages.dev.zones: needs at least 2, was ["us-east-1a"]' in done.stderr
    assert "Subprocess exited with error 2" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
