"""Which instance answers a request: by the shares of fleets, the weights of variants, and who is free."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from local.server.sagemaker.endpoints.fleet import Fleet, Slot, VariantFleet


class UnknownVariant(Exception):
    """The variant that a request asks for is not there."""


class NoCapacity(Exception):
    """No instance of the chosen variant is in service at the moment."""


@dataclass(frozen=True)
class Route:
    """A fleet and its share of the requests, between 0 and 1."""

    fleet: Fleet
    share: float


class Traffic:
    """The requests of one endpoint.

    Routes are replaced in one step: a request that has been given an instance keeps it until it is answered, and
    ``drain`` waits for such requests.
    """

    def __init__(self, routes: Sequence[Route], weights: Mapping[str, float]) -> None:
        self._changed = threading.Condition()
        self._routes = list(routes)
        self._weights = dict(weights)

    def set_routes(self, *routes: Route) -> None:
        """Send requests to these fleets from now on."""
        with self._changed:
            self._routes = list(routes)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Where requests go now."""
        with self._changed:
            return tuple(self._routes)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Weigh the variants anew."""
        with self._changed:
            self._weights = dict(weights)

    def add_slots(self, variant: VariantFleet, slots: Sequence[Slot]) -> None:
        """Let new instances take part."""
        with self._changed:
            variant.slots = [*variant.slots, *slots]

    def remove_slots(self, variant: VariantFleet, count: int) -> list[Slot]:
        """Take instances out; they may still be working on requests."""
        with self._changed:
            removed = variant.slots[len(variant.slots) - count :]
            variant.slots = variant.slots[: len(variant.slots) - count]
            return removed

    @contextmanager
    def taken(self, target: str | None) -> Iterator[tuple[VariantFleet, Slot]]:
        """An instance for one request.

        Args:
            target: The variant that the request asks for, or ``None`` to choose by weight.

        Raises:
            UnknownVariant: There is no such variant.
            NoCapacity: None of its instances is in service.
        """
        with self._changed:
            variant = self._choose_variant(self._choose_fleet(), target)
        with self.lent(variant) as slot:
            yield variant, slot

    @contextmanager
    def lent(self, variant: VariantFleet) -> Iterator[Slot]:
        """An instance of a variant for one request.

        Raises:
            NoCapacity: None of its instances is in service.
        """
        with self._changed:
            slot = _choose_slot(variant)
            slot.in_flight += 1
        try:
            yield slot
        finally:
            with self._changed:
                slot.in_flight -= 1
                self._changed.notify_all()

    def drain(self, slots: Sequence[Slot], limit_seconds: float) -> bool:
        """Wait until these instances work on no request; returns whether they came to rest in time."""
        with self._changed:
            return self._changed.wait_for(lambda: all(slot.in_flight == 0 for slot in slots), limit_seconds)

    def _choose_fleet(self) -> Fleet:
        shares = [route.share for route in self._routes]
        return random.choices(self._routes, shares)[0].fleet  # noqa: S311 - a lot, no secret

    def _choose_variant(self, fleet: Fleet, target: str | None) -> VariantFleet:
        if target is not None:
            if target not in fleet.variants:
                raise UnknownVariant(target)
            return fleet.variants[target]
        variants = list(fleet.variants.values())
        weights = [self._weights.get(variant.name, 1.0) for variant in variants]
        return random.choices(variants, weights if any(weights) else None)[0]  # noqa: S311 - a lot, no secret


def _choose_slot(variant: VariantFleet) -> Slot:
    """The healthy instance with the fewest requests; equals take turns."""
    healthy = [slot for slot in variant.slots if slot.instance.healthy]
    if not healthy:
        raise NoCapacity(variant.name)
    variant.turn += 1
    start = variant.turn % len(healthy)
    return min([*healthy[start:], *healthy[:start]], key=lambda slot: slot.in_flight)
