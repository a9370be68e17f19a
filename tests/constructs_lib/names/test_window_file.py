"""``training.window``: what it may say, what it is refused, and what the script and the evaluation are told."""

from typing import Any

import pytest
import yaml

from constructs_lib.names.window_file import window_json
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from gapless_windows import TrainingWindow, Window
from gapless_windows.training import VARIABLE
from tests.constructs_lib.names.test_tuning_file import LINEAR

SLIDING = {"kind": "sliding", "days": 120}
WEIGHTED = {"kind": "weighted", "half_life_days": 60}


def windowed(window: Any, training: Any = None, **changed: Any) -> WorkloadFile:
    content = yaml.safe_load(LINEAR.read_text())
    return WorkloadFile.parse({**content, "training": {**(training or {}), "window": window}, **changed})


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"kind": "expanding"}, TrainingWindow((Window(),))),
        (SLIDING, TrainingWindow((Window("sliding", 120.0),))),
        (
            {"kind": "back_test", "candidates": [SLIDING, WEIGHTED]},
            TrainingWindow((Window(), Window("sliding", 120.0), Window("weighted", 60.0)), 2, 30.0, 500),
        ),
    ],
)
def test_the_script_reads_what_the_file_says(window: Any, told: TrainingWindow) -> None:
    found = windowed(window)
    assert found.training.window is not None
    assert TrainingWindow.of_job({VARIABLE: window_json(found.training.window)}) == told


def test_the_evaluation_is_told_of_a_window_only_where_there_is_one() -> None:
    assert windowed(SLIDING).evaluation_options()["window"] is True
    assert "window" not in windowed(None).evaluation_options()


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"kind": "tilted"}, "training.window"),
        ({"kind": "sliding"}, "training.window.sliding.days"),
        ({"kind": "sliding", "days": 0}, "training.window.sliding.days"),
        ({"kind": "back_test", "candidates": []}, "training.window.back_test.candidates"),
        ({"kind": "back_test", "candidates": [SLIDING, SLIDING]}, '{"kind": "sliding", "days": 120} is given twice'),
        ({"kind": "back_test", "candidates": [{"kind": "expanding"}]}, "sliding"),
        ({"kind": "back_test", "candidates": [SLIDING], "steps": 13}, "training.window.back_test.steps"),
    ],
)
def test_refuses_with_path_and_what_is_allowed(window: Any, said: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        windowed(window)
    assert said in str(refused.value), str(refused.value)


def test_refuses_a_window_where_no_script_carries_it_out() -> None:
    model = {"kind": "built_in", "algorithm": "knn"}
    with pytest.raises(WorkloadFileError) as refused:
        windowed(SLIDING, {"hyperparameters": {"k": 3}}, model=model)
    assert "training.window: is carried out by train.py, and model.kind: built_in has none" in str(refused.value)
