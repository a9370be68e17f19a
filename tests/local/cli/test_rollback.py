"""What ``python -m local rollback`` asks the deployment machine for, and what it refuses to ask."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.errors import UserError
from local.rollback import actor_or_user, start_rollback
from local.settings import Settings


class Client:
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}

    def start_execution(self, **asked: Any) -> dict[str, str]:
        self.started = asked
        return {"executionArn": "arn:aws:states:us-east-1:000000000000:execution:dev-flight-delays-deploy:one"}


@pytest.fixture
def client() -> Client:
    return Client()


def start(client: Client, reason: str, version: str | None = None) -> str:
    aws: Any = SimpleNamespace(client=lambda _service: client)
    outputs: Any = SimpleNamespace(
        deployment_machine_arn="arn:machine", model_package_group="models", endpoint_name="e"
    )
    return start_rollback(Settings(Path("state")), aws, outputs, version=version, actor="ada", reason=reason)


def test_asks_for_the_version_before_unless_another_is_named(client: Client) -> None:
    assert start(client, "it reads ages wrongly").endswith(":one")
    given = json.loads(client.started["input"])
    assert (given["action"], given["actor"], given["reason"]) == ("rollback", "ada", "it reads ages wrongly")
    assert "model_package_arn" not in given
    assert given["run_id"] == client.started["name"]


@pytest.mark.parametrize("reason", ["", "  "])
def test_wants_a_reason(client: Client, reason: str) -> None:
    with pytest.raises(UserError, match="--reason is"):
        start(client, reason)
    assert not client.started


def test_is_done_by_somebody() -> None:
    assert actor_or_user("ada") == "ada"
    assert actor_or_user(None)
    with pytest.raises(UserError, match="--actor is ' '"):
        actor_or_user(" ")
