"""What to try where something is too large or too small; and no hint without a figure."""

from __future__ import annotations

import pytest

from local.sizing.hints import HIGH, LOW, Bounds, Seen, Workers, of_function, of_machine, of_scaling, of_workers

M5 = ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge")


@pytest.mark.parametrize(
    ("machine", "processors", "memory", "serves", "verdict", "instead"),
    [
        ("ml.m5.xlarge", 0.1, 0.2, False, "smaller", "ml.m5.large"),
        ("ml.m5.4xlarge", 0.05, 0.05, False, "smaller", "ml.m5.2xlarge"),
        ("ml.m5.xlarge", LOW, 0.2, False, "fits", None),
        ("ml.m5.xlarge", 0.2, LOW, False, "fits", None),
        ("ml.m5.xlarge", 0.2, 0.81, False, "larger", "ml.m5.2xlarge"),
        ("ml.m5.4xlarge", 0.2, 0.81, False, "larger", None),
        ("ml.m5.xlarge", 0.99, HIGH, False, "fits", None),
        ("ml.m5.xlarge", 0.99, 0.5, True, "larger", "ml.m5.2xlarge"),
        ("ml.m5.large", 0.1, 0.1, False, "fits", None),
        ("ml.m5.xlarge", None, 0.1, False, "no figure", None),
        ("ml.m5.xlarge", 0.1, None, False, "no figure", None),
        ("ml.m5.xlarge", None, 0.9, False, "larger", "ml.m5.2xlarge"),
        ("ml.t3.xlarge", 0.1, 0.1, False, "no figure", None),
        ("ml.x9.huge", 0.1, 0.1, False, "no figure", None),
    ],
)
def test_machines(
    machine: str, processors: float | None, memory: float | None, serves: bool, verdict: str, instead: str | None
) -> None:
    hint = of_machine(machine, 1, Seen(processors, memory), M5, serves=serves)
    assert (hint.verdict, hint.instead) == (verdict, instead), hint


def test_what_a_smaller_machine_is_used_to_stays_below_the_upper_limit() -> None:
    """Half of it is used twice as much: the two limits are one."""
    assert LOW * 2 == HIGH


def test_only_offered_machines_are_named() -> None:
    assert of_machine("ml.c5.xlarge", 1, Seen(0.1, 0.1), ["ml.c5.xlarge"], serves=False).instead is None
    assert of_machine("ml.c5.xlarge", 1, Seen(0.1, 0.1), ["ml.c5.large"], serves=False).instead == "ml.c5.large"


def test_what_is_missing_is_named() -> None:
    assert of_machine("ml.m5.large", 1, Seen(None, 0.1), M5, serves=True).text == "nobody measured processors"
    both = of_machine("ml.m5.large", 1, Seen(None, None), M5, serves=True)
    assert both.text == "nobody measured processors and memory"


def test_a_machine_with_a_gpu_is_not_judged_by_the_rest_of_it() -> None:
    hint = of_machine("ml.g5.2xlarge", 1, Seen(0.1, 0.1), ["ml.g5.xlarge"], serves=False)
    assert (hint.verdict, hint.instead) == ("no figure", None)
    assert "GPU" in hint.text


def test_of_several_of_the_smallest_machines_fewer_may_do() -> None:
    hint = of_machine("ml.m5.large", 2, Seen(0.1, 0.1), M5, serves=True)
    assert (hint.verdict, hint.instead) == ("smaller", None)
    assert "fewer would do, unless its rollout needs them" in hint.text


def test_busy_processors_of_an_endpoint_want_a_larger_machine_or_one_more() -> None:
    hint = of_machine("ml.m5.large", 2, Seen(0.9, 0.1), M5, serves=True)
    assert hint.text == "processors are busy to 90%: try ml.m5.xlarge or one instance more"


@pytest.mark.parametrize(
    ("bounds", "most", "verdict", "text"),
    [
        (Bounds(1, 3, 600.0), 2500.0, "larger", "raise max from 3 to 5"),
        (Bounds(1, 3, 600.0), 1800.0, "fits", "want 3"),
        (Bounds(3, 6, 600.0), 601.0, "smaller", "min 3 could be 2"),
        (Bounds(1, 3, None), 9e9, "no figure", "does not scale by requests"),
        (Bounds(1, 3, 600.0), None, "no figure", "nobody has asked"),
    ],
)
def test_scaling(bounds: Bounds, most: float | None, verdict: str, text: str) -> None:
    hint = of_scaling(2, bounds, most)
    assert hint.verdict == verdict
    assert text in hint.text


@pytest.mark.parametrize(
    ("workers", "memory", "busy", "verdict", "text"),
    [
        (Workers("G.1X", 10, False), 0.5, 0.2, "smaller", "try workers 3, or set auto_scaling"),
        (Workers("G.1X", 10, True), 0.5, 0.2, "smaller", "try workers 3"),
        (Workers("G.1X", 2, False), 0.5, 0.2, "fits", "Glue takes no fewer"),
        (Workers("G.1X", 10, False), 0.5, LOW, "fits", "40% of the workers"),
        (Workers("G.1X", 10, False), 0.9, 0.2, "larger", "try G.2X"),
        (Workers("G.8X", 10, False), 0.9, 0.2, "larger", "no larger worker"),
        (Workers("Z.1X", 10, False), 0.9, 0.2, "larger", "no larger worker"),
        (Workers("G.1X", 2, False), 0.5, None, "no figure", "nobody measured how many workers"),
        (Workers("G.1X", 2, False), None, None, "no figure", "nobody measured how many workers"),
    ],
)
def test_workers(workers: Workers, memory: float | None, busy: float | None, verdict: str, text: str) -> None:
    hint = of_workers(workers, memory, busy)
    assert hint.verdict == verdict
    assert text in hint.text


@pytest.mark.parametrize(
    ("megabytes", "used", "calls", "verdict", "text"),
    [
        (512, 420, 1, "larger", "82% is used: try 576 MB"),
        (512, 300, 500, "fits", "59% is used"),
        (512, 100, 50, "smaller", "20% is used: try 128 MB, and see that calls take no longer"),
        (512, 100, 49, "no figure", "20% is used in 49 calls; to judge takes 50"),
        (128, 20, 500, "fits", "16% is used"),
        (512, None, 0, "no figure", "it was not called"),
        (512, None, 9, "no figure", "nobody measured its calls"),
    ],
)
def test_functions(megabytes: int, used: int | None, calls: int, verdict: str, text: str) -> None:
    hint = of_function(megabytes, used, calls)
    assert hint.verdict == verdict
    assert text in hint.text
