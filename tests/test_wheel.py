"""The constructs as a package: built, installed where this checkout is not, and used."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stacks.toolchain import find_node

ROOT = Path(__file__).parent.parent
PACKED = ("constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs")


def uv() -> str:
    """Where uv is: beside this Python, or on the path."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, "uv is needed to build and install the wheel"
    return found


def sources() -> list[Path]:
    return [
        path.relative_to(ROOT)
        for folder in PACKED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it packs, so that nothing of an earlier build gets into it."""
    project = tmp_path_factory.mktemp("project")
    for path in [*sources(), Path("pyproject.toml")]:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, project / path)
    subprocess.run([uv(), "build", "--quiet", "--wheel", "--out-dir", "dist"], cwd=project, check=True, timeout=600)
    (built,) = (project / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def foreign(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an app prints that uses the wheel, in an environment that has nothing else."""
    find_node()
    folder = tmp_path_factory.mktemp("foreign")
    python = folder / "environment" / "bin" / "python"
    install = [uv(), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(folder / "environment")], check=True)
    subprocess.run([*install, "--constraint", str(ROOT / "requirements.txt"), str(wheel)], check=True, timeout=300)
    shutil.copy(ROOT / "tests" / "foreign_app.py", folder / "app.py")
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "JSII_NODE")}
    done = subprocess.run(
        [str(python), "app.py", str(folder / "cdk.out")],
        cwd=folder,
        env={**environment, "CDK_VALIDATION": "false"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    templates = [json.loads(path.read_text()) for path in (folder / "cdk.out").glob("*.template.json")]
    return {**json.loads(done.stdout), "templates": templates, "folder": folder}


def test_the_wheel_holds_every_file_of_the_constructs_and_of_the_code_that_they_run(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path) if path.parts[0] == "constructs_lib" else f"constructs_lib/runtime/{path}" for path in sources()
    }
    assert packed == expected


def test_every_construct_can_be_used_twice_by_somebody_else(foreign: dict[str, Any]) -> None:
    assert foreign["made"] == foreign["offered"]
    assert foreign["package"].startswith(str(foreign["folder"]))
    assert sum(len(template["Resources"]) for template in foreign["templates"]) > len(foreign["made"])


def test_the_code_that_runs_comes_with_the_package(foreign: dict[str, Any]) -> None:
    copied = [path for path in (foreign["folder"] / "cdk.out").rglob("*") if path.is_file()]
    names = {path.name for path in copied}
    assert {"handler.py", "__main__.py"} <= names
    assert any(name.startswith("asset.") and name.endswith(".py") for name in names)
