from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import optuna
import pytest

from local.server.sagemaker.tuning.advice import PROGRAM
from local.server.sagemaker.tuning.adviser import ask, distribution, from_text, judge, to_text

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, dict[str, Any]] = {
    "eta": {"kind": "continuous", "least": 0.01, "largest": 0.3, "scaling": "Logarithmic"},
    "momentum": {"kind": "continuous", "least": 0.5, "largest": 0.999, "scaling": "ReverseLogarithmic"},
    "depth": {"kind": "integer", "least": 3, "largest": 9, "scaling": "Auto"},
    "booster": {"kind": "categorical", "values": ["gbtree", "dart"]},
}


def search(strategy: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "tuning",
        "strategy": strategy,
        "direction": "maximize",
        "seed": 7,
        "space": SPACE,
        "trials": 9,
        "known": [],
        "stops_early": False,
        **changes,
    }


def trial(told: dict[str, str], *values: float, state: str = "completed", judged: int = 0, **more: Any) -> Any:
    return {"hyperparameters": told, "values": list(values), "state": state, "judged": judged, "attrs": {}, **more}


def course(asked: dict[str, Any], count: int, value: Any = lambda _told: 0.5) -> list[dict[str, Any]]:
    """Trials one after the other."""
    trials: list[dict[str, Any]] = []
    for number in range(count):
        answer = ask({"search": asked, "trials": trials, "ask": number})
        told = answer["hyperparameters"]
        trials.append({**trial(told, value(told)), "attrs": answer["attrs"]})
    return trials


def told(trials: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [each["hyperparameters"] for each in trials]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_values_are_of_their_ranges_and_the_same_for_the_same_seed(strategy: str) -> None:
    trials = told(course(search(strategy), 5))
    for each in trials:
        assert 0.01 <= float(each["eta"]) <= 0.3
        assert 0.5 <= float(each["momentum"]) <= 0.999
        assert 3 <= int(each["depth"]) <= 9
        assert each["booster"] in ("gbtree", "dart")
    assert trials == told(course(search(strategy), 5))
    assert trials != told(course(search(strategy, seed=8), 5))
    assert len({each["eta"] for each in trials}) == 5


def test_a_search_that_is_taken_up_again_goes_on_as_it_would_have() -> None:
    asked = search("Bayesian")
    trials = course(asked, 5, lambda told: float(told["eta"]))
    question = {"search": asked, "trials": trials[:4], "ask": 4}
    other = subprocess.run(
        [sys.executable, str(PROGRAM)], input=json.dumps(question) + "\n", capture_output=True, text=True, timeout=600
    )
    assert json.loads(other.stdout)["hyperparameters"] == trials[4]["hyperparameters"]


def test_a_bayesian_search_comes_closer_to_the_best() -> None:
    space = {"eta": {"kind": "continuous", "least": 0.0, "largest": 1.0, "scaling": "Linear"}}
    trials = course(search("Bayesian", space=space, trials=30), 30, lambda told: -((float(told["eta"]) - 0.83) ** 2))
    late = [abs(float(each["eta"]) - 0.83) for each in told(trials)[-8:]]
    early = [abs(float(each["eta"]) - 0.83) for each in told(trials)[:8]]
    assert sum(late) < sum(early) / 2


def test_a_grid_has_every_combination_once_even_with_trials_under_way() -> None:
    space = {name: {"kind": "categorical", "values": ["1", "2", "3"]} for name in ("left", "right")}
    trials: list[dict[str, Any]] = []
    for number in range(9):
        answer = ask({"search": search("Grid", space=space), "trials": trials, "ask": number})
        trials.append({**trial(answer["hyperparameters"], state="running"), "attrs": answer["attrs"]})
    assert len({json.dumps(each, sort_keys=True) for each in told(trials)}) == 9


def test_what_a_parent_has_found_is_known_unless_it_is_not_of_the_ranges() -> None:
    space = {"eta": {"kind": "continuous", "least": 0.0, "largest": 1.0, "scaling": "Linear"}}
    known = [{"hyperparameters": {"eta": str(at / 10), "other": "1"}, "value": -abs(at / 10 - 0.8)} for at in range(11)]
    known.append({"hyperparameters": {"eta": "7"}, "value": 99.0})
    first = [
        float(
            ask({"search": search("Bayesian", space=space, known=known, seed=seed), "trials": [], "ask": 0})[
                "hyperparameters"
            ]["eta"]
        )
        for seed in range(8)
    ]
    assert sorted(abs(each - 0.8) for each in first)[4] < 0.2


def test_a_reverse_log_is_dense_below_one() -> None:
    found = SPACE["momentum"]
    assert from_text(found, "0.999") == pytest.approx(0.001)
    assert float(to_text(found, 0.001)) == pytest.approx(0.999)
    trials = told(course(search("Random", space={"momentum": found}), 30))
    assert sum(float(each["momentum"]) > 0.9 for each in trials) > 15


@pytest.mark.parametrize(("least", "largest", "log"), [(0.001, 1.0, True), (0.1, 1.0, False), (0.0, 1000.0, False)])
def test_a_range_without_scaling_is_searched_by_its_log_when_it_is_wide(
    least: float, largest: float, log: bool
) -> None:
    found = distribution({"kind": "continuous", "least": least, "largest": largest, "scaling": "Auto"})
    assert isinstance(found, optuna.distributions.FloatDistribution) and found.log is log


def judged(direction: str, value: float, *others: tuple[float, ...]) -> Any:
    asked = search("Random", stops_early=True, direction=direction)
    trials = [trial({}, *values) for values in others]
    trials.append(trial({}, value, state="running"))
    return judge({"search": asked, "trials": trials, "judge": len(others)})["stop"]


def test_a_trial_below_the_median_of_the_others_averages_is_stopped() -> None:
    assert judged("maximize", 0.4, (0.5, 0.9), (0.6, 0.9), (0.1, 0.9)) is True
    assert judged("maximize", 0.55, (0.5, 0.9), (0.6, 0.9), (0.1, 0.9)) is False
    assert judged("minimize", 0.55, (0.5, 0.1), (0.6, 0.1), (0.1, 0.1)) is True


def test_averages_go_as_far_as_the_trial_that_is_compared() -> None:
    asked = search("Random", stops_early=True)
    others = [trial({}, 0.0, 1.0), trial({}, 0.0, 1.0), trial({}, 0.9)]
    now = trial({}, 0.9, 0.6, state="running", judged=1)
    answer = judge({"search": asked, "trials": [*others, now], "judge": 3})
    assert answer == {"stop": False, "judged": 2, "attrs": {}}


def test_nothing_is_compared_with_a_single_trial() -> None:
    assert judged("maximize", 0.1, (0.9,)) is False


def test_hyperband_keeps_the_best_third_of_a_rung() -> None:
    asked = search("Hyperband", min_resource=1, max_resource=9)
    trials: list[dict[str, Any]] = []
    for number in range(9):
        answer = ask({"search": asked, "trials": trials, "ask": number})
        height = 1 - number / 10
        trials.append({**trial(answer["hyperparameters"], *[height] * 9, state="running"), "attrs": answer["attrs"]})
        told = judge({"search": asked, "trials": trials, "judge": number})
        trials[-1].update(judged=told["judged"], attrs=told["attrs"], state="stopped" if told["stop"] else "completed")
    assert trials[0]["state"] == "completed"
    assert sum(each["state"] == "stopped" for each in trials) >= 4
    assert all(each["judged"] in (1, 3, 9) for each in trials)
