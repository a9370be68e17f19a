"""Says what to try next and which trial to stop, by Optuna; runs as a child in the job interpreter.

It keeps nothing. Each line of its input is a question with all that is known of the search, each line of its output is
the answer, so the search goes on after whoever asks was killed::

    {"search": {...}, "trials": [...], "ask": number}   -> {"hyperparameters": {name: text}, "attrs": {...}}
    {"search": {...}, "trials": [...], "judge": number} -> {"stop": bool, "judged": count, "attrs": {...}}

A trial is ``{"hyperparameters", "values", "judged", "state", "attrs"}``: what it was told, the reports of the objective
until now, how many of them have been judged, how it ended, and what Optuna remembers of it. Its number is its place.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

Question = Mapping[str, Any]

WIDE = 100.0
"""How many times its least value the largest one is from which on a range without a scaling is searched by its log."""

FEWEST_BEFORE = 2
"""Trials that have to have got as far before another one is compared with them."""

_STATES = {
    "running": TrialState.RUNNING,
    "completed": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class MedianOfAverages(optuna.pruners.BasePruner):
    """SageMaker's early stopping: a trial ends when it is worse than the median of the others' averages so far.

    The average of another trial is taken over its reports up to as many as this trial has made, see
    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Say whether the trial shall end after its last report."""
        step = trial.last_step
        if step is None:
            return False
        averages = []
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            reports = [other.intermediate_values[at] for at in sorted(other.intermediate_values) if at <= step]
            if other.intermediate_values and max(other.intermediate_values) >= step:
                averages.append(sum(reports) / len(reports))
        if len(averages) < FEWEST_BEFORE:
            return False
        median, value = statistics.median(averages), trial.intermediate_values[step]
        return value < median if study.direction == optuna.study.StudyDirection.MAXIMIZE else value > median


def distribution(found: Mapping[str, Any]) -> BaseDistribution:
    """Give the distribution of a range, as Optuna has it; a reverse log is the log of what is missing to 1."""
    if found["kind"] == "categorical":
        return CategoricalDistribution(found["values"])
    least, largest, scaling = found["least"], found["largest"], found["scaling"]
    if scaling == "ReverseLogarithmic":
        return FloatDistribution(1 - largest, 1 - least, log=True)
    log = scaling == "Logarithmic" or (scaling == "Auto" and least > 0 and largest / least >= WIDE)
    if found["kind"] == "integer":
        return IntDistribution(int(least), int(largest), log=log)
    return FloatDistribution(least, largest, log=log)


def to_text(found: Mapping[str, Any], value: Any) -> str:
    """Give a value of Optuna's as a hyperparameter."""
    return str(1 - value) if found.get("scaling") == "ReverseLogarithmic" else str(value)


def from_text(found: Mapping[str, Any], text: str) -> Any:
    """Give a hyperparameter as Optuna has it, or nothing when it is not of the range."""
    if found["kind"] == "categorical":
        return text if text in found["values"] else None
    try:
        number = float(text)
    except ValueError:
        return None
    if not found["least"] <= number <= found["largest"]:
        return None
    if found["kind"] == "integer":
        return int(number) if number == int(number) else None
    shape = distribution(found)
    assert isinstance(shape, FloatDistribution)  # noqa: S101 - for the type checker
    value = 1 - number if found["scaling"] == "ReverseLogarithmic" else number
    return min(max(value, shape.low), shape.high)


def study_of(question: Question, number: int) -> optuna.Study:
    """Make Optuna's study of a search, with all of its trials and those of the tunings that it begins with.

    Args:
        number: The trial that is asked about; chance depends on the seed and on it alone.
    """
    search = question["search"]
    study = optuna.create_study(
        study_name=search["name"],
        direction=search["direction"],
        sampler=_sampler(search, _seed(search["seed"], number)),
        pruner=_pruner(search),
    )
    space = search["space"]
    for each in search["known"]:
        study.add_trial(_frozen(space, {"state": "completed", "values": [each["value"]], **each}))
    for each in question["trials"]:
        study.add_trial(_frozen(space, each))
    return study


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}-{number}".encode()).digest()[:4], "big")


def _sampler(search: Mapping[str, Any], seed: int) -> optuna.samplers.BaseSampler:
    if search["strategy"] == "Grid":  # its order hangs on the seed, so it has to be the same for all trials
        grid = {name: each["values"] for name, each in search["space"].items()}
        return optuna.samplers.GridSampler(grid, seed=search["seed"])
    if search["strategy"] == "Bayesian":
        first = max(2, min(10, search["trials"] // 3))
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=first, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(search: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    if search["strategy"] == "Hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=search["min_resource"], max_resource=search["max_resource"], reduction_factor=3
        )
    return MedianOfAverages() if search["stops_early"] else optuna.pruners.NopPruner()


def _frozen(space: Mapping[str, Any], trial: Mapping[str, Any]) -> FrozenTrial:
    """Give a trial as Optuna has it; one that was told other values than the ranges have is left with the others."""
    told = trial["hyperparameters"]
    parameters = {name: from_text(each, told[name]) for name, each in space.items() if name in told}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    values, state = trial["values"], _STATES[trial["state"]]
    if state is TrialState.COMPLETE and not (values and math.isfinite(values[-1])):
        state = TrialState.FAIL
    shown = values if state is not TrialState.RUNNING else values[: trial.get("judged", 0)]
    return optuna.trial.create_trial(
        state=state,
        value=values[-1] if state is TrialState.COMPLETE else None,
        params=parameters,
        distributions={name: distribution(space[name]) for name in parameters},
        intermediate_values=dict(enumerate(shown, 1)),
        system_attrs=trial.get("attrs", {}),
    )


def ask(question: Question) -> dict[str, Any]:
    """Say what a new trial is to be told."""
    space, number = question["search"]["space"], question["ask"]
    study = study_of(question, number)
    trial = study.ask({name: distribution(each) for name, each in space.items()})
    told = {name: to_text(space[name], value) for name, value in trial.params.items()}
    return {"hyperparameters": told, "attrs": _attrs(study)}


def judge(question: Question) -> dict[str, Any]:
    """Say whether a trial is to be stopped after the reports that have not been judged yet."""
    number = question["judge"]
    study = study_of(question, number)
    at = len(question["search"]["known"]) + number
    trial = Trial(study, study.get_trials(deepcopy=False)[at]._trial_id)
    known = question["trials"][number]
    stop, judged = False, known["judged"]
    while judged < len(known["values"]) and not stop:
        judged += 1
        trial.report(known["values"][judged - 1], judged)
        stop = trial.should_prune()
    return {"stop": stop, "judged": judged, "attrs": _attrs(study, at)}


def _attrs(study: optuna.Study, at: int = -1) -> dict[str, Any]:
    return dict(study.get_trials(deepcopy=False)[at].system_attrs)


def main() -> None:
    """Answer questions until there are no more."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        question = json.loads(line)
        answer = ask(question) if "ask" in question else judge(question)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
