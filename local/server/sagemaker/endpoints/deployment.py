"""Brings fleets into service: the first one of an endpoint, and every one that replaces another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from local.server.host import Host
from local.server.sagemaker.endpoints.fleet import Fleet, FleetFailed
from local.server.sagemaker.endpoints.rollout import Rollout
from local.server.sagemaker.endpoints.traffic import Route, Traffic
from local.server.sagemaker.platform import log

_LOOK_SECONDS = 0.25
_DRAIN_SECONDS = 65.0


class RolledBack(Exception):
    """A deployment did not keep its guardrails; the text is the FailureReason."""


@dataclass(frozen=True)
class Replacement:
    """Replaces the fleet of an endpoint under a rollout's guardrails.

    Attributes:
        weights: The weights of the new configuration's variants.
        stopping: Set when the server goes down.
        on_rollback: Called when traffic starts to move back.
    """

    host: Host
    traffic: Traffic
    old: Fleet
    new: Fleet
    weights: dict[str, float]
    old_weights: dict[str, float]
    rollout: Rollout
    stopping: threading.Event
    on_rollback: Callable[[], None]

    def run(self) -> None:
        """Start the new fleet, move the requests over step by step, and end the old fleet.

        Raises:
            RolledBack: The new fleet did not start, an alarm went off or the time was over; the old fleet has all
                requests again and the new one is gone.
        """
        deadline = time.monotonic() + self.rollout.limit_seconds
        try:
            self._start_new()
            self._shift(deadline)
        except RolledBack:
            self._roll_back()
            raise
        except Exception as error:  # the old fleet must have all requests again, whatever went wrong
            log.exception("deployment broke off")
            self._roll_back()
            raise RolledBack(f"InternalServerError: {type(error).__name__}: {error}") from error

    def _roll_back(self) -> None:
        self.on_rollback()
        self.traffic.set_routes(Route(self.old, 1.0))
        self.traffic.set_weights(self.old_weights)
        retire(self.traffic, self.new)

    def _start_new(self) -> None:
        try:
            self.new.start()
        except FleetFailed as error:
            raise RolledBack(str(error)) from error

    def _shift(self, deadline: float) -> None:
        for share in self.rollout.shares:
            if share < 1:
                self.traffic.set_routes(Route(self.old, 1 - share), Route(self.new, share))
            else:
                self.traffic.set_routes(Route(self.new, 1.0))
                self.traffic.set_weights(self.weights)
            self._watch(self.rollout.bake_seconds, deadline)
        self._watch(self.rollout.termination_seconds, deadline)

    def _watch(self, seconds: float, deadline: float) -> None:
        """Wait, looking at the alarms: once at least, then until the time is over."""
        end = time.monotonic() + seconds * self.host.settings.wait_scale
        while True:
            self._check_alarms()
            now = time.monotonic()
            if now > deadline:
                raise RolledBack(f"The deployment took longer than {self.rollout.limit_seconds:g} seconds.")
            if now >= end or self.stopping.wait(min(_LOOK_SECONDS, end - now)):
                return

    def _check_alarms(self) -> None:
        states = self.host.alarm_states(self.rollout.alarms)
        alarmed = sorted(name for name, state in states.items() if state == "ALARM")
        if alarmed:
            log.warning("deployment is rolled back by %s", alarmed)
            raise RolledBack(f"The deployment was rolled back because of CloudWatch alarms in ALARM: {alarmed}.")


def retire(traffic: Traffic, fleet: Fleet) -> None:
    """End a fleet that gets no new requests, after those that it is working on."""
    slots = [slot for variant in fleet.variants.values() for slot in variant.slots]
    if not traffic.drain(slots, _DRAIN_SECONDS):
        log.warning("a fleet was ended with requests unanswered for %g s", _DRAIN_SECONDS)
    fleet.stop()
