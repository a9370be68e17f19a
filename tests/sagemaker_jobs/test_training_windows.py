"""Windows of a training: which rows count and how much, and which window a back-test chooses without looking ahead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constructs_lib.names.window_file import BackTest, window_json
from gapless_sagemaker.evaluation import window as evaluated
from gapless_sagemaker.evaluation.window import BadWindow as NoWindow
from gapless_sagemaker.evaluation.window import read_window
from gapless_windows import RECORD, BadWindow, TrainingWindow, Window, Worth, best, worth
from gapless_windows.training import VARIABLE

START = np.datetime64("2013-01-01T00:00:00", "us")
DAY = np.timedelta64(1, "D")
DAILY = START + np.arange(100) * DAY
END = DAILY[-1] + np.timedelta64(1, "us")


def asked(**window: Any) -> TrainingWindow:
    found = TrainingWindow.of_job({VARIABLE: json.dumps(window)})
    assert found is not None
    return found


def back_test(*candidates: dict[str, Any], **more: Any) -> TrainingWindow:
    """As the workload file has it."""
    content = {"kind": "back_test", "candidates": candidates, "min_rows": 5, "step_days": 10, **more}
    found = TrainingWindow.of_job({VARIABLE: window_json(BackTest.model_validate(content))})
    assert found is not None
    return found


def never(weights: Any, measured: Any) -> float | None:
    raise AssertionError("one window needs no model")


# --- one window ------------------------------------------------------------------------------------------------------


def test_a_sliding_window_holds_the_rows_of_its_last_days() -> None:
    chosen = asked(kind="sliding", days=10).choose(DAILY, never)
    assert DAILY[chosen.rows].tolist() == DAILY[-10:].tolist()
    assert chosen.sample_weight is None


def test_an_expanding_window_holds_all_rows() -> None:
    chosen = asked(kind="expanding").choose(DAILY, never)
    assert chosen.rows.all() and chosen.sample_weight is None


def test_a_weight_halves_with_every_half_life() -> None:
    chosen = asked(kind="weighted", half_life_days=10).choose(DAILY, never)
    assert chosen.sample_weight is not None
    assert chosen.sample_weight[-1] == pytest.approx(1.0)
    assert chosen.sample_weight[:-10] * 2 == pytest.approx(chosen.sample_weight[10:])
    assert chosen.rows.all()


@given(
    st.lists(st.integers(-200, 200), min_size=1, max_size=30),
    st.sampled_from([Window(), Window("sliding", 7.0), Window("weighted", 7.0)]),
)
def test_no_window_holds_a_row_from_its_end_on(days: list[int], window: Window) -> None:
    times = START + np.array(days) * DAY
    weights = window.weights(times, START)
    assert (weights[times >= START] == 0).all()
    assert ((weights >= 0) & (weights <= 1)).all()


def test_without_a_word_from_the_workload_there_is_no_window() -> None:
    assert TrainingWindow.of_job({}) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "GAPLESS_WINDOW is '{': JSONDecodeError"),
        ('{"kind": "tilted"}', "window of kind 'tilted'; allowed are expanding, sliding, weighted"),
        ('{"kind": "sliding"}', "window sliding with days None; allowed is a number above 0"),
        ('{"kind": "back_test"}', "KeyError: 'candidates'"),
    ],
)
def test_refuses_what_is_no_window(text: str, said: str) -> None:
    with pytest.raises(BadWindow, match=said):
        TrainingWindow.of_job({VARIABLE: text})


@pytest.mark.parametrize("times", [DAILY[:0], np.array([START, np.datetime64("NaT")])])
def test_refuses_rows_without_times(times: npt.NDArray[np.datetime64]) -> None:
    with pytest.raises(BadWindow, match=r"rows, . of them without a time"):
        asked(kind="expanding").choose(times, never)


# --- by back-test ----------------------------------------------------------------------------------------------------


class Script:
    """Learns the mean of a value, by weights, and is measured by how far it is from the mean of others; keeps calls."""

    def __init__(self, values: npt.NDArray[np.float64]) -> None:
        self.values = values
        self.calls: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = []

    def error(self, weights: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_]) -> float:
        self.calls.append((weights > 0, measured))
        learnt = np.average(self.values, weights=weights)
        return float(abs(learnt - self.values[measured].mean()))


SHORT, LONG = {"kind": "sliding", "days": 10}, {"kind": "sliding", "days": 60}
RECENT = {"kind": "weighted", "half_life_days": 5}


def test_the_newest_rows_are_chosen_where_the_world_has_changed() -> None:
    changed = Script(np.where(np.arange(100) < 65, 0.0, 1.0))
    chosen = back_test(LONG, SHORT, RECENT).choose(DAILY, changed.error, higher_is_better=False)
    assert chosen.window == Window("sliding", 10.0)
    assert chosen.rows.sum() == 10
    reached = {window.kind + str(window.days): found for window, found in chosen.tried}
    assert reached["sliding10.0"].gain > reached["weighted5.0"].gain > reached["sliding60.0"].gain > 0
    assert reached["expandingNone"] == Worth(reached["expandingNone"].quality, 0.0, 2)


def test_all_rows_are_kept_where_nothing_is_better() -> None:
    same = Script(np.ones(100))
    assert back_test(SHORT, RECENT).choose(DAILY, same.error, higher_is_better=False).window == Window()


def test_more_is_better_unless_it_is_said_otherwise() -> None:
    changed = Script(np.where(np.arange(100) < 65, 0.0, 1.0))
    assert back_test(SHORT).choose(DAILY, changed.error).window == Window()


@given(st.permutations(range(100)), st.integers(1, 5))
def test_no_model_of_a_back_test_sees_what_it_is_measured_on_or_anything_later(order: list[int], steps: int) -> None:
    times = DAILY[np.array(order)]
    script = Script(np.arange(100.0))
    chosen = back_test(SHORT, RECENT, steps=steps).choose(times, script.error)
    assert len(script.calls) == 3 * steps
    for known, measured in script.calls:
        assert times[known].max() < times[measured].min()
        assert measured.sum() == 10
    assert [step.end for step in chosen.steps[:-1]] == [step.begin for step in chosen.steps[1:]]
    assert chosen.steps[-1].end == END


def test_a_window_with_too_few_rows_or_no_figure_is_not_judged_in_that_step() -> None:
    script = Script(np.where(np.arange(100) < 65, 0.0, 1.0))
    chosen = back_test(SHORT, steps=2, min_rows=85).choose(DAILY, script.error, higher_is_better=False)
    assert [found.steps for _, found in chosen.tried] == [1, 0]
    assert chosen.window == Window()
    nothing = back_test(SHORT).choose(DAILY, lambda _weights, _measured: float("nan"))
    assert [found for _, found in nothing.tried] == [Worth(None, 0.0, 0)] * 2


def test_a_step_without_rows_says_nothing() -> None:
    gap = np.concatenate([DAILY[:50], DAILY[-1:]])
    chosen = back_test(SHORT, steps=4).choose(gap, Script(np.arange(51.0)).error)
    assert [found.steps for _, found in chosen.tried] == [1, 0]


def test_windows_are_worth_their_gain_over_all_rows_in_the_same_steps() -> None:
    pairs = [(0.8, 0.7), (None, 0.9), (0.6, None), (0.5, 0.6)]
    found = worth(pairs, higher_is_better=True)
    assert found.steps == 2
    assert found.quality == pytest.approx(0.65)
    assert found.gain == pytest.approx(0.0)
    assert worth([(0.5, 0.7)], higher_is_better=False).gain == pytest.approx(0.2)
    assert best([Worth(1, 0.0, 1), Worth(2, 0.1, 1), Worth(3, 0.1, 1)]) == 1


# --- the record ------------------------------------------------------------------------------------------------------


def test_the_evaluation_reads_what_the_script_has_saved(tmp_path: Path) -> None:
    assert evaluated.RECORD == RECORD
    script = Script(np.where(np.arange(100) < 65, 0.0, 1.0))
    chosen = back_test(SHORT, RECENT).choose(DAILY, script.error, higher_is_better=False)
    chosen.save(tmp_path)
    found = read_window(tmp_path)
    assert (found["window"], found["rows"], found["of_rows"]) == ({"kind": "sliding", "days": 10.0}, 10, 100)
    assert [each["kind"] for each in found["candidates"]] == ["expanding", "sliding", "weighted"]
    assert found["steps"][-1] == {"from": "2013-03-31T00:00:00Z", "to": "2013-04-10T00:00:00Z"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the model has no window.json; train.py has to choose by gapless_windows"),
        ("{", "is no JSON"),
        ('{"window": {}}', "has to have window, rows"),
        (" " * 40_000, "has 40000 bytes, allowed are 32000"),
    ],
)
def test_a_model_that_does_not_say_its_window_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / RECORD).write_text(content)
    with pytest.raises(NoWindow, match=said):
        read_window(tmp_path)
