"""Serverless endpoints: an instance per request that is being answered, started when it is needed and ended when idle.

A request above the variant's ``MaxConcurrency`` is refused. What a start takes counts as overhead, as on AWS. The
first instance is started with the endpoint: SageMaker, too, tries a model before an endpoint is in service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.server.host import ServiceError
from local.server.sagemaker.endpoints.control import Endpoints, Live
from local.server.sagemaker.endpoints.fleet import FleetFailed, VariantFleet
from local.server.sagemaker.platform import Platform, log

_IDLE_SECONDS = 300.0
_LEAST_IDLE_SECONDS = 1.0
_LOOK_SECONDS = 0.25


class OnDemand:
    """The instances of the account's serverless endpoints."""

    def __init__(self, platform: Platform, endpoints: Endpoints) -> None:
        self._platform = platform
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._busy: dict[int, int] = {}
        self._used: dict[int, float] = {}

    def start(self) -> None:
        """End idle instances from now on."""
        threading.Thread(target=self._run, name="serverless", daemon=True).start()

    @contextmanager
    def admitted(self, live: Live) -> Iterator[None]:
        """Let a request in and see to it that an instance is free for it; nothing for other endpoints.

        Raises:
            ServiceError: Too many requests are being answered (``ThrottlingException``), or no instance came up.
        """
        variant = serverless_variant(live)
        if variant is None:
            yield
            return
        most = int(variant.serverless["MaxConcurrency"])  # type: ignore[index]
        with self._lock:
            busy = self._busy.get(id(variant), 0)
            if busy >= most:
                raise ServiceError("ThrottlingException", f"Rate exceeded: {most} requests are being answered", 429)
            self._busy[id(variant)] = busy + 1
        try:
            self._provide(live, variant)
            yield
        finally:
            with self._lock:
                self._busy[id(variant)] -= 1
                self._used[id(variant)] = time.monotonic()

    def _provide(self, live: Live, variant: VariantFleet) -> None:
        with variant.starting:
            missing = self._busy[id(variant)] - sum(slot.instance.healthy for slot in variant.slots)
            if missing <= 0:
                return
            try:
                live.traffic.add_slots(variant, live.fleet.new_slots(variant, missing))
            except FleetFailed as error:
                raise ServiceError("ServiceUnavailable", str(error), 503) from error

    def _run(self) -> None:
        idle = max(_LEAST_IDLE_SECONDS, _IDLE_SECONDS * self._platform.settings.wait_scale)
        while not self._platform.stopping.wait(_LOOK_SECONDS):
            for live in self._endpoints.lives().values():
                variant = serverless_variant(live)
                if variant is not None and live.serving:
                    self._end_idle(live, variant, time.monotonic() - idle)

    def _end_idle(self, live: Live, variant: VariantFleet, since: float) -> None:
        kept = int((variant.serverless or {}).get("ProvisionedConcurrency", 0))
        with variant.starting, self._lock:
            self._used.setdefault(id(variant), time.monotonic())
            surplus = len(variant.slots) - max(kept, self._busy.get(id(variant), 0))
            if surplus <= 0 or self._busy.get(id(variant), 0) or self._used[id(variant)] > since:
                return
            removed = live.traffic.remove_slots(variant, surplus)
        for slot in removed:
            slot.instance.stop()
        log.info("ended %d idle instances of variant %s", len(removed), variant.name)


def serverless_variant(live: Live) -> VariantFleet | None:
    """The variant of a serverless endpoint, which has one only; ``None`` for any other endpoint."""
    fleets = [route.fleet for route in live.traffic.routes]
    return next(
        (variant for fleet in fleets for variant in fleet.variants.values() if variant.serverless is not None),
        None,
    )
