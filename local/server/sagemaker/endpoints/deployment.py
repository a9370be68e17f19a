"""Brings fleets into service: the first one of an endpoint, and every one that replaces another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from local.server import clock
from local.server.host import Host
from local.server.sagemaker.endpoints.fleet import Fleet, FleetFailed, VariantFleet, stop_all
from local.server.sagemaker.endpoints.rollout import Rollout
from local.server.sagemaker.endpoints.traffic import Route, Traffic
from local.server.sagemaker.platform import log

_LOOK_SECONDS = 0.25
_DRAIN_SECONDS = 65.0


class RolledBack(Exception):
    """A deployment did not keep its guardrails; the text is the FailureReason."""


class HalfBack(Exception):
    """A rolling deployment could go neither on nor back: both fleets serve; the text is the FailureReason."""


@dataclass(frozen=True)
class Replacement:
    """Replaces the fleet of an endpoint under a rollout's guardrails.

    Attributes:
        before: Where requests went before; after a failed rollback of a rolling deployment to two fleets.
        had: How many instances there were before.
        new: The fleet that is to take over.
        weights: The weights of the new configuration's variants.
        stopping: Set when the server goes down.
        on_rollback: Called when traffic starts to move back.
    """

    host: Host
    traffic: Traffic
    before: tuple[Route, ...]
    had: int
    new: Fleet
    weights: dict[str, float]
    old_weights: dict[str, float]
    rollout: Rollout
    stopping: threading.Event
    on_rollback: Callable[[], None]

    def run(self) -> None:
        """Start the new fleet, move the requests over step by step; the caller ends the old one.

        Raises:
            RolledBack: The new fleet did not start, an alarm went off or the time was over; the old fleet has all
                requests again and the new one is gone.
            HalfBack: As before, and the old fleet did not come back either.
        """
        deadline = clock.now() + self.rollout.limit_seconds
        try:
            self._replace(deadline)
        except RolledBack as error:
            self._go_back(str(error))
            raise
        except Exception as error:  # the old fleet must have all requests again, whatever went wrong
            log.exception("deployment broke off")
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._go_back(reason)
            raise RolledBack(reason) from error

    def _replace(self, deadline: float) -> None:
        self._in_time(self.new.start, deadline)
        *steps, _ = self.rollout.shares
        for share in steps:
            old = [Route(route.fleet, route.share * (1 - share)) for route in self.before]
            self.traffic.set_routes(*old, Route(self.new, share))
            self.watch(self.rollout.bake_seconds, deadline)
        self.traffic.set_routes(Route(self.new, 1.0))
        self.traffic.set_weights(self.weights)
        self.watch(self.rollout.termination_seconds, deadline)

    def _go_back(self, reason: str) -> None:  # noqa: ARG002 - a rolling deployment may not get back
        self.on_rollback()
        self.traffic.set_routes(*self.before)
        self.traffic.set_weights(self.old_weights)
        retire(self.traffic, self.new)

    def _in_time(self, start: Callable[[], object], deadline: float) -> None:
        try:
            start()
        except FleetFailed as error:
            raise RolledBack(str(error)) from error
        self._check_time(deadline)

    def _check_time(self, deadline: float) -> None:
        """By the clock of the account, which may have been set forward meanwhile."""
        if clock.now() > deadline:
            raise RolledBack(f"The deployment took longer than {self.rollout.limit_seconds:g} seconds.")

    def watch(self, seconds: float, deadline: float) -> None:
        """Wait, looking at the alarms: once at least, then until the time is over.

        Raises:
            RolledBack: One is on, or the deployment takes too long.
        """
        end = time.monotonic() + seconds * self.host.settings.wait_scale
        while True:
            self._check_alarms()
            self._check_time(deadline)
            now = time.monotonic()
            if now >= end or self.stopping.wait(min(_LOOK_SECONDS, end - now)):
                return

    def _check_alarms(self) -> None:
        states = self.host.alarm_states(self.rollout.alarms)
        alarmed = sorted(name for name, state in states.items() if state == "ALARM")
        if alarmed:
            log.warning("deployment is rolled back by %s", alarmed)
            raise RolledBack(f"The deployment was rolled back because of CloudWatch alarms in ALARM: {alarmed}.")


class RollingReplacement(Replacement):
    """Replaces instances batch by batch: what is new comes up, takes its share, and as much of the old goes."""

    def _replace(self, deadline: float) -> None:
        self._in_time(self.new.prepare, deadline)
        [(name, new)] = self.new.variants.items()
        wanted = int(self.new.config["ProductionVariants"][0]["InitialInstanceCount"])
        for share in self.rollout.shares:
            missing = ceil(round(wanted * share, 9)) - len(new.slots)
            self._in_time(lambda: self.traffic.add_slots(new, self.new.new_slots(new, missing)), deadline)  # noqa: B023
            self._share_out(new, self._old.variants[name], leave=self.had - ceil(round(self.had * share, 9)))
            self.watch(self.rollout.bake_seconds, deadline)
        self.traffic.set_weights(self.weights)

    def _go_back(self, reason: str) -> None:
        """Bring old instances up again, batch by batch, before as many new ones go."""
        self.on_rollback()
        [(name, old)] = self._old.variants.items()
        new = self.new.variants.get(name)
        while new is not None and len(old.slots) < self.had:
            batch = min(ceil(self.had * self.rollout.back_share), self.had - len(old.slots))
            try:
                self.traffic.add_slots(old, self._old.new_slots(old, batch))
            except FleetFailed as error:
                raise HalfBack(f"{reason} The rollback failed: {error}") from error
            self._share_out(old, new, leave=max(0, self.had - len(old.slots)))
        self.traffic.set_routes(Route(self._old, 1.0))
        self.traffic.set_weights(self.old_weights)
        retire(self.traffic, self.new)

    @property
    def _old(self) -> Fleet:
        return self.before[0].fleet

    def _share_out(self, coming: VariantFleet, going: VariantFleet, *, leave: int) -> None:
        """Take instances of one side out and give each instance that is left the same share of the requests."""
        removed = self.traffic.remove_slots(going, max(0, len(going.slots) - leave))
        fleets = {id(coming): len(coming.slots), id(going): len(going.slots)}
        total = sum(fleets.values())
        counts = ((fleet, fleets.get(id(next(iter(fleet.variants.values()))), 0)) for fleet in (self._old, self.new))
        self.traffic.set_routes(*(Route(fleet, count / total) for fleet, count in counts if count))
        self.traffic.drain(removed, _DRAIN_SECONDS)
        stop_all([slot.instance for slot in removed])


def retire(traffic: Traffic, fleet: Fleet) -> None:
    """End a fleet that gets no new requests, after those that it is working on."""
    slots = [slot for variant in fleet.variants.values() for each in variant.with_shadow() for slot in each.slots]
    if not traffic.drain(slots, _DRAIN_SECONDS):
        log.warning("a fleet was ended with requests unanswered for %g s", _DRAIN_SECONDS)
    fleet.stop()
