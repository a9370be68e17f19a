"""The guard's rules, and the guard inside a script."""

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from gapless_guard import BadRules, Finding, Guard, Rules, Tracker, TrainingStopped, xgboost_callback

IN_SCRIPTS = Path(__file__).parents[2] / "sagemaker_jobs" / "in_scripts"


def findings(rules: dict[str, Any], points: list[tuple[float, float | None]]) -> list[Finding | None]:
    """What is found at each point, one per second."""
    tracker, parsed = Tracker(at=0.0), Rules.parse(rules)
    return [tracker.see(parsed, float(at), *point) for at, point in enumerate(points)]


def found_at(rules: dict[str, Any], points: list[tuple[float, float | None]]) -> tuple[int, str] | None:
    """The number of the first point with a finding, from 1 on, and its rule."""
    for number, finding in enumerate(findings(rules, points), start=1):
        if finding is not None:
            return number, finding.rule
    return None


def losses(*values: float) -> list[tuple[float, float | None]]:
    return [(value, None) for value in values]


@pytest.mark.parametrize(
    ("rules", "points", "expected"),
    [
        ({"not_decreasing": {"steps": 3, "by": 0.1}}, losses(1.0, 0.95, 0.95, 0.95), (4, "not_decreasing")),
        ({"not_decreasing": {"steps": 3, "by": 0.1}}, losses(1.0, 0.95, 0.92, 0.89, 0.88, 0.87), None),
        ({"not_decreasing": {"steps": 3, "by": 0.1}}, losses(-1.0, -1.05, -1.2, -1.4), None),
        ({"not_decreasing": {"steps": 2, "by": 0.1}}, losses(0.0, 0.0, 0.0), (3, "not_decreasing")),
        ({"exploding": {"times": 5}}, losses(1.0, 0.5, 2.5, 2.51), (4, "exploding")),
        ({"exploding": {"times": 5}}, losses(1.0, math.nan), (2, "exploding")),
        ({"exploding": {"times": 5}}, [(1.0, 1.0), (1.0, math.inf)], (2, "exploding")),
        ({"exploding": {"times": 5}}, losses(-1.0, 100.0), None),
        (
            {"overfitting": {"steps": 2, "by": 0.1}},
            [(1.0, 1.0), (0.8, 0.9), (0.6, 1.0), (0.5, 1.0)],
            (4, "overfitting"),
        ),
        ({"overfitting": {"steps": 2, "by": 0.1}}, [(1.0, 1.0), (0.8, 0.9), (0.6, 0.95), (0.5, 0.98)], None),
        ({"overfitting": {"steps": 2, "by": 0.1}}, [(1.0, 1.0), (0.8, 0.9), (0.9, 1.2), (0.9, 1.2)], None),
        ({}, losses(1.0, math.nan, 1e9, 1e9), None),
    ],
)
def test_a_rule_speaks_up_at_the_point_that_breaks_it(
    rules: dict[str, Any], points: list[tuple[float, float | None]], expected: tuple[int, str] | None
) -> None:
    assert found_at(rules, points) == expected


def test_silence_is_judged_by_the_time_since_the_last_point() -> None:
    rules, tracker = Rules.parse({"dead": {"minutes": 2}}), Tracker(at=100.0)
    assert tracker.dead(rules, 219.9) is None
    tracker.see(rules, 200.0, 0.5)
    assert tracker.dead(rules, 319.0) is None
    assert str(tracker.dead(rules, 320.0)) == "dead: no loss for 2.0 minutes after 1 points; allowed are 2"


@pytest.mark.parametrize(
    ("counts", "found"), [({"yes": 1, "no": 99}, True), ({"yes": 2, "no": 98}, False), ({}, False)]
)
def test_the_rarest_class_must_have_its_share(counts: dict[str, int], found: bool) -> None:
    finding = Rules.parse({"class_imbalance": {"smallest_share": 0.02}}).judge_classes(counts)
    assert (finding is not None) is found
    if finding is not None:
        assert finding.seen == "class yes has 1 of 100 rows (1.0000%); allowed is at least 2.0000%"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"exploding": {"times": "many"}}', "exploding.times: given 'many'; allowed is a number above 0"),
        ('{"exploding": {"steps": 3}}', "exploding: given {'steps': 3}; allowed is an object of times"),
        ('{"vanishing": {}}', "rule of the guard unknown: 'vanishing'; allowed are not_decreasing, exploding"),
        ("[]", "given '[]'; allowed is an object of rules"),
        ("{", "not JSON"),
    ],
)
def test_rules_that_cannot_be_read_are_refused(text: str, said: str) -> None:
    with pytest.raises(BadRules) as refused:
        Rules.parse_text(text)
    assert said in str(refused.value)


@given(
    points=st.lists(
        st.tuples(st.floats(-10, 100) | st.just(math.nan), st.none() | st.floats(-10, 100) | st.just(math.inf)),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)
def test_a_watch_that_is_taken_up_again_finds_what_an_unbroken_one_finds(
    points: list[tuple[float, float | None]], cut: int
) -> None:
    """What was seen goes through JSON between two looks."""
    rules = Rules.parse(
        {"not_decreasing": {"steps": 4}, "exploding": {"times": 3}, "overfitting": {"steps": 3}, "dead": {"minutes": 1}}
    )
    whole, broken = Tracker(at=0.0), Tracker(at=0.0)
    for at, (loss, validation_loss) in enumerate(points):
        if at == cut:
            broken = Tracker.from_document(json.loads(json.dumps(broken.document(), allow_nan=False)))
        assert whole.see(rules, at, loss, validation_loss) == broken.see(rules, at, loss, validation_loss)
    assert whole == broken


# --- inside a script -------------------------------------------------------------------------------------------------


def test_a_job_without_rules_is_never_stopped() -> None:
    guard = Guard.of_job({})
    guard.check_classes({"yes": 0, "no": 1})
    for _ in range(1000):
        guard.watch(loss=math.nan)


def test_a_script_is_stopped_by_an_error_that_names_the_rule() -> None:
    guard = Guard.of_job({"GAPLESS_GUARD": '{"exploding": {"times": 2}, "class_imbalance": {"smallest_share": 0.1}}'})
    with pytest.raises(TrainingStopped, match=r"^class_imbalance: class yes has 1 of 100 rows"):
        guard.check_classes({"yes": 1, "no": 99})
    guard.watch(loss=1.0)
    with pytest.raises(TrainingStopped, match=r"^exploding: loss of point 2 is 2.5, 2.5 times the best"):
        guard.watch(loss=2.5)


def test_xgboost_is_stopped_when_it_learns_its_rows_by_heart() -> None:
    random = np.random.default_rng(7)
    rows = xgb.DMatrix(random.normal(size=(200, 20)), label=random.integers(0, 2, 200))
    held_back = xgb.DMatrix(random.normal(size=(200, 20)), label=random.integers(0, 2, 200))
    guard = Guard(Rules.parse({"overfitting": {"steps": 5, "by": 0.05}}))
    settings = {"objective": "binary:logistic", "eval_metric": ["logloss"], "eta": 0.5, "nthread": 1}
    with pytest.raises(TrainingStopped, match=r"^overfitting: validation loss is"):
        xgb.train(
            settings,
            rows,
            200,
            evals=[(rows, "train"), (held_back, "validation")],
            callbacks=[xgboost_callback(guard, "logloss")],
            verbose_eval=False,
        )


HANGS = """
import time
from gapless_guard import Guard
guard = Guard.of_job()
guard.watch(loss=1.0)
print("thinking", flush=True)
time.sleep(600)
"""


def test_a_script_that_hangs_is_ended_and_leaves_its_reason(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(IN_SCRIPTS),
        "SM_OUTPUT_DIR": str(tmp_path / "output"),
        "GAPLESS_GUARD": '{"dead": {"minutes": 0.005}}',
    }
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode != 0
    assert "TrainingStopped: dead: no loss for 0.0 minutes after 1 points" in ended.stderr
    assert (tmp_path / "output" / "failure").read_text() == ended.stderr.strip()


def test_a_script_that_has_said_it_is_done_may_take_its_time(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    guard = Guard(Rules.parse({"dead": {"minutes": 10}}), tmp_path / "failure")
    (looking_after,) = set(threading.enumerate()) - before
    guard.watch(loss=1.0)
    assert looking_after.is_alive()
    guard.done()
    looking_after.join(timeout=20)
    assert not looking_after.is_alive()
    assert not (tmp_path / "failure").exists()
