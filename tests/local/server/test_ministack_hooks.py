"""When ministack is upgraded, this says which private name broke and what it was for."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from local.server import hooks
from local.server.bridge import model_of
from local.server.clients import service_model
from local.server.hooks import HOOKS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def problems() -> dict[str, str | None]:
    python = ROOT / ".venv-server" / "bin" / "python"
    answer = subprocess.run([python, "-m", "local.server.hooks"], cwd=ROOT, capture_output=True, check=True)
    found: dict[str, str | None] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_as_expected(name: str, problems: dict[str, str | None]) -> None:
    assert problems[name] is None, problems[name]


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_used(name: str) -> None:
    module, _, attribute = name.partition(":")
    users = [path for path in (ROOT / "local" / "server").rglob("*.py") if path.name != "hooks.py"]
    assert any(f'{attribute}"' in path.read_text() for path in users), f"nobody uses {module}:{attribute}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "local" / "server").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_reaches_past_the_list_of_hooks(path: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    assert not {module for module in modules if module.split(".")[0] == "ministack"}


def test_the_model_of_a_service_is_read_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "get", {"core.responses:_BOTOCORE_NAME": {"monitoring": "cloudwatch"}}.__getitem__)
    assert model_of("monitoring") is service_model("cloudwatch")
    assert model_of("codedeploy") is service_model("codedeploy")
    assert model_of("no-service") is None
