"""SageMaker gives an update up that takes longer than it may, by the clock of the account."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.server import clock
from local.server.clock import NAME, Clock
from local.server.sagemaker.endpoints.deployment import Replacement, RolledBack, RollingReplacement
from local.server.sagemaker.endpoints.fleet import Slot
from local.server.sagemaker.endpoints.line import Line
from local.server.sagemaker.endpoints.rollout import Rollout
from local.server.sagemaker.endpoints.traffic import Route

LIMIT_SECONDS = 3600.0


@pytest.fixture
def an_hour_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    account = Clock(tmp_path / NAME)
    monkeypatch.setattr(clock, "_clock", account)
    return lambda: account.move(dt.datetime.fromtimestamp(account.now() + LIMIT_SECONDS, dt.UTC))


@dataclass
class AnyFleet:
    """A fleet of one variant, where something happens when an instance starts."""

    happens: Callable[[], None] = lambda: None
    count: int = 2
    config: dict[str, Any] = field(init=False)
    variants: dict[str, Any] = field(init=False)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.config = {"ProductionVariants": [{"InitialInstanceCount": 2}]}
        self.variants = {"primary": SimpleNamespace(slots=[any_slot() for _ in range(self.count)], shadow=None)}
        self.variants["primary"].with_shadow = lambda: [self.variants["primary"]]

    def start(self) -> None:
        self.happens()

    def prepare(self) -> None:
        self.happens()

    def new_slots(self, _variant: Any, count: int) -> list[Slot]:
        self.happens()
        return [any_slot() for _ in range(count)]

    def stop(self) -> None:
        self.stopped = True


def any_slot() -> Slot:
    return Slot(Line([]))


class AnyTraffic:
    """Remembers who gets requests."""

    def __init__(self, *routes: Route) -> None:
        self.seen = [routes]

    def set_routes(self, *routes: Route) -> None:
        self.seen.append(routes)

    def most_of(self, fleet: AnyFleet) -> float:
        """The largest share of the requests that a fleet got."""
        shares = [route.share for routes in self.seen for route in routes if route.fleet is fleet]  # type: ignore[comparison-overlap]
        return max(shares, default=0.0)

    def set_weights(self, _weights: Any) -> None:
        pass

    def drain(self, _slots: Any, _seconds: float) -> bool:
        return True

    def add_slots(self, variant: Any, slots: list[Any]) -> None:
        variant.slots = [*variant.slots, *slots]

    def remove_slots(self, variant: Any, count: int) -> list[Any]:
        kept, removed = variant.slots[: len(variant.slots) - count], variant.slots[len(variant.slots) - count :]
        variant.slots = kept
        return list(removed)


def replaced(
    kind: type[Replacement], happens: Callable[[], None], *, bakes: Callable[[], None]
) -> tuple[AnyFleet, AnyTraffic]:
    """Replace a fleet; the limit is exceeded or not by what happens at a start or at a look at alarms."""

    def looked_at(_names: Any) -> dict[str, str]:
        bakes()
        return {}

    old, new = AnyFleet(), AnyFleet(happens, 0 if kind is RollingReplacement else 2)
    traffic = AnyTraffic(Route(old, 1.0))  # type: ignore[arg-type]
    replacement = kind(
        host=SimpleNamespace(settings=SimpleNamespace(wait_scale=0.0), alarm_states=looked_at),  # type: ignore[arg-type]
        traffic=traffic,  # type: ignore[arg-type]
        before=traffic.seen[0],
        had=2,
        new=new,  # type: ignore[arg-type]
        weights={},
        old_weights={},
        rollout=Rollout(shares=(0.5, 1.0), bake_seconds=60, termination_seconds=60, limit_seconds=LIMIT_SECONDS),
        stopping=threading.Event(),
        on_rollback=lambda: None,
    )
    try:
        replacement.run()
    except RolledBack as error:
        assert str(error) == "The deployment took longer than 3600 seconds."
        assert traffic.seen[-1] == (Route(old, 1.0),)  # type: ignore[arg-type]
        assert new.stopped and len(old.variants["primary"].slots) == 2
    return new, traffic


@pytest.mark.parametrize("kind", [Replacement, RollingReplacement])
def test_it_is_given_up_when_its_time_is_over_and_not_before(
    an_hour_passes: Callable[[], None], kind: type[Replacement]
) -> None:
    new, traffic = replaced(kind, lambda: None, bakes=lambda: None)
    assert (new.stopped, traffic.most_of(new)) == (False, 1.0)
    new, traffic = replaced(kind, lambda: None, bakes=an_hour_passes)
    assert (new.stopped, traffic.most_of(new)) == (True, 0.5)
    new, traffic = replaced(kind, an_hour_passes, bakes=lambda: None)
    assert (new.stopped, traffic.most_of(new)) == (True, 0.0), "nobody meets what has come too late"
