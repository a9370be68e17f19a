"""What children use of the machine: counted per session, averaged, published in time and at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from local.machine_sizes import GIB, size_of
from local.server.sagemaker.measures import of_job, of_variant
from local.server.usage import Measure, Taken, UsageMeter, sessions

MEASURE = of_job("processing", "dev-x-eval-1", "algo-1", "ml.m5.large")


class Told:
    """What was published, and what the next look will see."""

    def __init__(self) -> None:
        self.data: list[tuple[str, dict[str, Any]]] = []
        self.taken: dict[int, Taken] = {}
        self.now = 100.0
        self.look_seconds = 0.0

    def meter(self) -> UsageMeter:
        def publish(namespace: str, data: list[dict[str, Any]]) -> None:
            self.data += [(namespace, each) for each in data]

        return UsageMeter(publish, self.look, lambda: self.now)

    def look(self) -> dict[int, Taken]:
        self.now += self.look_seconds
        return self.taken

    def values(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for _, each in self.data:
            found.setdefault(each["MetricName"], []).append(each["Value"])
        return found


def watched(told: Told, measure: Measure = MEASURE) -> UsageMeter:
    """A meter that looks at session 7 when it is told to."""
    meter = told.meter()
    meter.watch(7, measure)
    return meter


def test_publishes_the_average_of_processors_and_the_most_of_memory_at_the_end() -> None:
    told = Told()
    meter, begun = watched(told), told.now
    for second, busy, memory in ((1, 1.0, GIB), (2, 3.0, 4 * GIB), (4, 6.0, 2 * GIB)):
        told.taken = {7: Taken(busy, memory)}
        told.now = begun + second
        meter.sample()
    told.taken = {}
    meter.forget(7)
    (namespace, first), _ = told.data
    assert namespace == "/aws/sagemaker/ProcessingJobs"
    assert first["Dimensions"] == [{"Name": "Host", "Value": "dev-x-eval-1/algo-1"}]
    assert told.values()["CPUUtilization"] == [pytest.approx(150, rel=0.01)]
    assert told.values()["MemoryUtilization"] == [50.0]


def test_publishes_every_ten_seconds_and_begins_anew() -> None:
    told = Told()
    meter, begun = watched(told, of_variant("e", "v", "ml.m5.large")), told.now
    told.taken = {7: Taken(1.0, 4 * GIB)}
    told.now = begun + 5
    meter.sample()
    assert told.data == []
    told.taken = {7: Taken(2.0, 2 * GIB)}
    told.now = begun + 10.1
    meter.sample()
    told.taken = {7: Taken(2.0, 2 * GIB)}
    told.now = begun + 20.2
    meter.sample()
    assert told.values()["MemoryUtilization"] == [50.0, 25.0]
    assert told.values()["CPUUtilization"] == [pytest.approx(20, rel=0.05), 0.0]


def test_publishes_nothing_of_what_it_has_not_seen_and_no_memory_of_unknown_machines() -> None:
    told = Told()
    watched(told).forget(7)
    assert told.data == []
    meter, begun = watched(told, of_job("training", "j", "algo-1", "ml.p9.huge")), told.now
    told.taken = {7: Taken(1.0, GIB)}
    told.now = begun + 1
    meter.sample()
    meter.forget(7)
    assert set(told.values()) == {"CPUUtilization"}


def test_time_that_a_look_missed_counts_once() -> None:
    """In the second look a process has just gone, and its parent had not yet been told."""
    told = Told()
    meter, begun = watched(told), told.now
    for second, busy in ((1, 2.0), (2, 0.5), (4, 2.5)):
        told.taken = {7: Taken(busy, GIB)}
        told.now = begun + second
        meter.sample()
    meter.forget(7)
    assert told.values()["CPUUtilization"] == [pytest.approx(100 * 2.5 / 4, rel=0.01)]


def test_what_is_used_while_the_meter_looks_is_used_in_the_time_that_the_look_takes() -> None:
    told = Told()
    meter = watched(told)
    told.look_seconds, told.taken = 2.0, {7: Taken(3.0, GIB)}
    meter.sample()
    meter.forget(7)
    assert told.values()["CPUUtilization"] == [pytest.approx(150, rel=0.01)]


def test_says_nothing_of_the_processors_of_a_moment() -> None:
    told = Told()
    meter = watched(told)
    told.now += 0.01
    told.taken = {7: Taken(0.03, GIB)}
    meter.sample()
    meter.forget(7)
    assert set(told.values()) == {"MemoryUtilization"}


def test_a_session_has_what_its_children_have() -> None:
    """The leader itself sleeps; a child of it holds 64 MiB and spins."""
    child = "x = bytearray(64 << 20)\nprint('ready', flush=True)\nwhile True: pass"
    leader = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", leader], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        first = sessions()[process.pid]
        deadline = time.monotonic() + 20
        while sessions()[process.pid].processor_seconds < first.processor_seconds + 0.1:
            assert time.monotonic() < deadline, "no processor time was seen"
            time.sleep(0.02)
        assert first.memory_bytes > 64 << 20
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_sizes_are_those_of_the_family() -> None:
    size = size_of("ml.m5.xlarge")
    assert size is not None
    assert (size.processors, size.memory_bytes) == (4, 16 * GIB)
    assert size_of("ml.m5.nano") is None
    assert size_of("serverless") is None
