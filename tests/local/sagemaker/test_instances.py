"""Instances of an endpoint, with real children but no server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.server.children import Children
from local.server.host import Credentials, Host, Settings
from local.server.sagemaker.endpoints.fleet import Slot, VariantFleet
from local.server.sagemaker.endpoints.instance import Instance, Launch, NoAnswer, NotHealthy
from local.server.sagemaker.endpoints.traffic import NoCapacity, Route, Traffic, UnknownVariant
from tests.local.sagemaker.conftest import wait_for


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose children are real; its endpoint is not there, so that logs are lost."""
    children = Children()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = Settings(tmp_path, scratch, 1, "https://127.0.0.1:1", tmp_path / "ca.pem", Path(sys.executable))
    yield Host(settings, Credentials("key", "secret"), None, children)  # type: ignore[arg-type]
    children.close()


def launch(host: Host, tmp_path: Path, script: str, startup_seconds: float = 20.0) -> Launch:
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(script)
    environment = {"PATH": os.environ["PATH"], "SAGEMAKER_PROGRAM": "inference.py", "PLACE": "/opt/ml/model"}
    return Launch(host, environment, tmp_path / "model", "group", "primary", startup_seconds)


def test_answers_from_a_folder_of_its_own_and_leaves_nothing(host: Host, tmp_path: Path) -> None:
    script = "import os\ndef model_fn(d): return d\ndef transform_fn(m, b, c, a): return m + '|' + os.environ['PLACE']"
    instance = Instance(launch(host, tmp_path, script), 1)
    instance.start()

    reply = instance.invoke(b"x", {"Content-Type": "text/csv"})
    instance.stop()

    model, place = reply.body.decode().split("|")
    assert reply.status == 200
    assert model == place
    assert model.startswith(str(host.settings.scratch))
    assert list(host.settings.scratch.iterdir()) == []


def test_a_model_that_takes_too_long_is_not_healthy(host: Host, tmp_path: Path) -> None:
    instance = Instance(launch(host, tmp_path, "def model_fn(d):\n  import time; time.sleep(600)", 0.5), 1)

    with pytest.raises(NotHealthy, match=r"no answer to /ping within 0\.5 s"):
        instance.start()

    instance.stop()


def test_a_model_that_ends_is_not_healthy_at_once(host: Host, tmp_path: Path) -> None:
    instance = Instance(launch(host, tmp_path, "raise SystemExit(5)", 600), 1)

    with pytest.raises(NotHealthy, match="the container ended with exit code 5"):
        instance.start()

    instance.stop()


def test_a_container_that_breaks_off_gives_no_answer_and_is_counted(host: Host, tmp_path: Path) -> None:
    script = "import os\ndef model_fn(d): return 1\ndef transform_fn(m, b, c, a): os._exit(9)"
    instance = Instance(launch(host, tmp_path, script), 1)
    instance.start()

    with pytest.raises(NoAnswer):
        instance.invoke(b"x", {})

    wait_for(lambda: instance.restarts == 1)
    instance.stop()


class Standing:
    """An instance that is always, or never, in service."""

    def __init__(self, healthy: bool = True) -> None:
        self.healthy = healthy


def traffic(*slots: Slot) -> Traffic:
    fleet = type("Fleet", (), {"variants": {"primary": VariantFleet("primary", (), slots=list(slots))}})()
    return Traffic([Route(fleet, 1.0)], {"primary": 1.0})


def test_requests_go_to_the_instance_with_the_fewest() -> None:
    busy, free = Slot(Standing(), in_flight=3), Slot(Standing())  # type: ignore[arg-type]

    with traffic(busy, free).taken(None) as (_, slot):
        assert slot is free
        assert slot.in_flight == 1

    assert free.in_flight == 0


def test_instances_out_of_service_get_no_requests() -> None:
    dead, alive = Slot(Standing(healthy=False)), Slot(Standing(), in_flight=9)  # type: ignore[arg-type]

    with traffic(dead, alive).taken(None) as (_, slot):
        assert slot is alive
    with pytest.raises(NoCapacity), traffic(dead).taken(None):
        pass
    with pytest.raises(UnknownVariant), traffic(alive).taken("other"):
        pass


def test_draining_waits_for_requests() -> None:
    slot = Slot(Standing())  # type: ignore[arg-type]
    lane = traffic(slot)

    with lane.taken(None):
        assert not lane.drain([slot], 0.01)
    assert lane.drain([slot], 0.01)
