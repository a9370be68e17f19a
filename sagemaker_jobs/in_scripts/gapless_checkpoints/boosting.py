"""Boosting that goes on where an interrupted training has stopped, to the same bytes as one that was never interrupted.

A training is a row of spans of rounds. At the end of a span the booster is written out, and the next span begins with a
booster that is read from it, whose random numbers start from the seed and the number of rounds so far. So what a span
begins with is all in what the last one has left, whoever reads it and when: the same process, or another one after an
interruption. Trainings that keep no checkpoints are made of the same spans, so a model does not tell.

A checkpoint is one file: the trees and the figures of every round. Whoever goes on shows these figures to the callbacks
once more, round by round, so that they know what they knew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = "checkpoints"
"""The folder beside the job's others, ``/opt/ml/checkpoints``; it is there when the job keeps checkpoints."""

SPAN = 25
"""How many rounds a span has."""

_NAME = "boosting.json"
_APART = ("GAPLESS_CHECKPOINTS", "apart")
"""Set for trials of a tuning: SageMaker tells all of them the same place."""


def train(
    parameters: Mapping[str, Any],
    data: Any,
    *,
    num_boost_round: int,
    evals: Sequence[tuple[Any, str]],
    callbacks: Sequence[Any],
    environment: Mapping[str, str] = os.environ,
    span: int = SPAN,
) -> Any:
    """Train as ``xgboost.train`` does, with a checkpoint after every span of rounds where the job keeps any.

    Args:
        parameters: Of the booster, ``seed`` among them.
        data: The matrix to learn from.
        num_boost_round: How many rounds there are at most.
        evals: Matrices to measure after each round, each with its name.
        callbacks: What looks at each round; none of them may need anything but the rounds' figures.
        environment: Says by ``SM_MODEL_DIR`` where the job's folders are, and whether the folder of checkpoints is
            one that other jobs keep theirs in as well.
        span: After how many rounds a checkpoint is kept. Models of different spans differ.
    """
    import xgboost as xgb  # other frameworks' images have none

    folder = _folder(environment)
    measured = list(evals)
    matrices = [data, *(matrix for matrix, _ in measured)]
    rounds = xgb.callback.CallbackContainer([*callbacks, xgb.callback.EvaluationMonitor()])
    # Callbacks count rounds from what they see here, so they see a booster without trees even when there are some.
    booster = rounds.before_training(xgb.Booster(dict(parameters), matrices))
    trees, history = _read(folder) or (None, {})
    done = len(next(iter(next(iter(history.values())).values()))) if history else 0
    if trees is not None:
        booster = _next_span(xgb, parameters, matrices, trees, done)
        _show_again(rounds, booster, history, done)
    for number in range(done, num_boost_round):
        if rounds.before_iteration(booster, number, data, measured):
            break
        booster.update(data, iteration=number)
        if rounds.after_iteration(booster, number, data, measured):
            break
        if (number + 1) % span == 0:
            trees = bytes(booster.save_raw("ubj"))
            if folder.is_dir():
                _write(folder, trees, rounds.history)
            booster = _next_span(xgb, parameters, matrices, trees, number + 1)
    return rounds.after_training(booster).reset()


def _folder(environment: Mapping[str, str]) -> Path:
    """Give the folder of this job's checkpoints, which exists if the job keeps any."""
    folder = Path(environment.get("SM_MODEL_DIR", "/opt/ml/model")).parent / FOLDER
    name, value = _APART
    if environment.get(name) != value or not folder.is_dir():
        return folder
    own = folder / environment["TRAINING_JOB_NAME"]
    own.mkdir(exist_ok=True)
    return own


def _next_span(xgb: Any, parameters: Mapping[str, Any], matrices: Sequence[Any], trees: bytes, done: int) -> Any:
    """Read the booster that a span begins with; random numbers are those of the seed and the rounds so far."""
    told = {**parameters, "seed": int(parameters.get("seed", 0)) + done}
    return xgb.Booster(told, matrices, model_file=bytearray(trees))


def _show_again(rounds: Any, booster: Any, history: Mapping[str, Mapping[str, list[float]]], done: int) -> None:
    """Show the callbacks the figures of earlier rounds, as they have seen them in their time."""
    rounds.history.update(history)
    for number in range(done):
        so_far = {
            name: {metric: values[: number + 1] for metric, values in figures.items()}
            for name, figures in history.items()
        }
        for callback in rounds.callbacks:
            callback.after_iteration(booster, number, so_far)


def _read(folder: Path) -> tuple[bytes, dict[str, dict[str, list[float]]]] | None:
    """Give trees and figures of the checkpoint, or nothing: there is none, or it is not whole."""
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return bytes.fromhex(found["trees"]), found["history"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, trees: bytes, history: Mapping[str, Any]) -> None:
    """Write the checkpoint beside the last one and put it in its place, so that there is always a whole one."""
    unfinished = folder / f"{_NAME}.unfinished"
    unfinished.write_text(json.dumps({"trees": trees.hex(), "history": history}), encoding="utf-8")
    unfinished.replace(folder / _NAME)
