"""What ``workload.yaml`` says of hyperparameter tuning: where to search, for what, by which strategy, and how long.

Limits are those of ``CreateHyperParameterTuningJob`` and SageMaker's default quotas for automatic model tuning:
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-limits.html.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.compute_file import TrialCompute
from constructs_lib.names.file_parts import Part, shown
from constructs_lib.names.guard_file import Pattern
from constructs_lib.names.hyperparameters import Hyperparameter, HyperparameterName, text_of

MOST_RANGES: Final = 30
MOST_TRIALS: Final = 750
MOST_AT_ONCE: Final = 10
DEFAULT_TRIALS: Final = 10

STRATEGIES: Final[Mapping[str, str]] = {
    "random": "Random",
    "bayesian": "Bayesian",
    "grid": "Grid",
    "hyperband": "Hyperband",
}
WARM_STARTS: Final[Mapping[str, str]] = {"transfer": "TransferLearning", "identical": "IdenticalDataAndAlgorithm"}
_SCALINGS: Final[Mapping[str, str]] = {
    "auto": "Auto",
    "linear": "Linear",
    "log": "Logarithmic",
    "reverse_log": "ReverseLogarithmic",
}
_ROUNDS: Final = ("epochs", "num_epochs", "n_epochs", "num_round")
"""Hyperparameters that say how many rounds a training makes."""

_LIST_BYTES: Final = 200_000
_TRIAL_BYTES: Final = 350
_VALUE_BYTES: Final = 30
"""A run keeps the list of its trials as one document, which Step Functions carries: at most 256 KiB of it."""

Goal = Literal["maximize", "minimize"]
Values = Annotated[tuple[Hyperparameter, ...], Field(min_length=1, max_length=30)]


class Range(Part):
    """Where one hyperparameter is searched: whole numbers, numbers, or some values.

    Attributes:
        integer, continuous: The least and the largest value.
        categorical: The values.
        scaling: How numbers are spread: ``log`` for ranges over several orders of magnitude, ``reverse_log`` for those
            that are about what is missing to 1. Default: the search decides.
    """

    integer: tuple[int, int] | None = None
    continuous: tuple[float, float] | None = None
    categorical: Values | None = None
    scaling: Literal["auto", "linear", "log", "reverse_log"] = "auto"

    @model_validator(mode="after")
    def _is_one_range(self) -> Self:
        kinds = ("integer", "continuous", "categorical")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"must be one of {', '.join(kinds)}, was {', '.join(given) or 'none of them'}")
        if self.categorical is not None:
            self._check_values(self.categorical)
        else:
            self._check_numbers(given[0], *(self.integer or self.continuous or ()))
        return self

    def _check_values(self, values: tuple[Any, ...]) -> None:
        texts = [text_of(value) for value in values]
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise ValueError(f"categorical: {twice[0]!r} is given twice")
        if self.scaling != "auto":
            raise ValueError(f"scaling: has no meaning for categorical, was {self.scaling}")

    def _check_numbers(self, kind: str, least: float, largest: float) -> None:
        if not (math.isfinite(least) and math.isfinite(largest) and least < largest):
            raise ValueError(f"{kind}: must be [least, largest], the first below the second, was [{least}, {largest}]")
        if self.scaling == "log" and least <= 0:
            raise ValueError(f"scaling: log needs numbers above 0, was {kind}: [{least}, {largest}]")
        if self.scaling == "reverse_log" and (kind == "integer" or least < 0 or largest >= 1):
            raise ValueError(
                f"scaling: reverse_log needs continuous numbers from 0 to below 1, was {kind}: [{least}, {largest}]"
            )

    def as_requested(self, name: str) -> dict[str, Any]:
        """The range as a member of ``ParameterRanges``."""
        if self.categorical is not None:
            return {"Name": name, "Values": [text_of(value) for value in self.categorical]}
        least, largest = self.integer or self.continuous or (0, 0)
        return {
            "Name": name,
            "MinValue": text_of(least),
            "MaxValue": text_of(largest),
            "ScalingType": _SCALINGS[self.scaling],
        }


class Objective(Part):
    """What trials are compared by: a metric that every training reports.

    Attributes:
        metric: Its name. Default: the metric that decides in the gate; a built-in algorithm has names of its own.
        goal: Whether more or less of it is better. Default: it follows from the name, where the name is known.
        pattern: How it stands in the log of a training, a regular expression with one group around the number.
            Default: ``validation-<metric>:<number>``, as XGBoost writes it.
    """

    metric: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    goal: Goal | None = None
    pattern: Pattern | None = None


class Budget(Part):
    """How much a tuning may take.

    Attributes:
        trials: How many trainings at most. Default: 10; for a grid all of its combinations, which cannot be limited.
        parallel: How many of them at once.
        minutes: How long all of them together; one has ``training.max_runtime_minutes``.
    """

    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    parallel: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 2
    minutes: Annotated[int, Field(ge=2, le=1200)] = 120


class Hyperband(Part):
    """What a trial is given by Hyperband, in rounds: each report of the objective is one.

    Attributes:
        min_resource: Rounds before which no trial is stopped.
        max_resource: Rounds after which every trial is stopped. Let it be what a whole training makes: a training that
            is stopped before its end leaves no model.
    """

    min_resource: Annotated[int, Field(ge=1, le=20_000)] = 1
    max_resource: Annotated[int, Field(ge=1, le=20_000)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min_resource >= self.max_resource:
            raise ValueError(f"min_resource: must be below max_resource {self.max_resource}, was {self.min_resource}")
        return self


class Tuning(Part):
    """Searches for better hyperparameters: many trainings, of which the best one becomes the run's model.

    Attributes:
        strategy: How the next values are chosen.
        ranges: Hyperparameter to where it is searched; it is not among ``training.hyperparameters`` then.
        objective: What trials are compared by.
        budget: How many trials, how many at once, and how long.
        early_stopping: ``auto`` stops trials that are unlikely to become the best.
        hyperband: Of the strategy ``hyperband``.
        warm_start: Begins with what the last tuning of this workload has found. ``transfer``: with other data, too.
            ``identical``: only when data, image and scripts are the same.
        seed: Of the search. Default: that of the training.
        trial: The machines of a trial, where they are not those of the training.
        when: ``on_search``: only when the policy of trainings or a person asks for it, when nothing was found yet, and
            when the search space or the scripts have changed; every other training takes over what was found last.
            Default: every training searches.
        checkpoints: Trials on spare machines keep checkpoints, each below a folder of its own name, in
            ``/opt/ml/checkpoints/<TRAINING_JOB_NAME>``. The script has to look for them there, as
            ``gapless_checkpoints`` does.
    """

    strategy: Literal["random", "bayesian", "grid", "hyperband"] = "bayesian"
    ranges: Annotated[dict[HyperparameterName, Range], Field(min_length=1, max_length=MOST_RANGES)]
    objective: Objective = Objective()
    budget: Budget = Budget()
    early_stopping: Literal["off", "auto"] = "off"
    hyperband: Hyperband | None = None
    warm_start: Literal["none", "transfer", "identical"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    trial: TrialCompute = TrialCompute()
    checkpoints: bool = False
    when: Literal["every_training", "on_search"] = "every_training"

    @model_validator(mode="after")
    def _fits_its_strategy(self) -> Self:
        if self.strategy == "grid":
            self._check_grid()
        if self.strategy == "hyperband" and self.hyperband is None:
            raise ValueError("hyperband: is required by strategy: hyperband, which must know max_resource")
        if self.strategy != "hyperband" and self.hyperband is not None:
            raise ValueError(f"hyperband: has no meaning for strategy: {self.strategy}")
        if self.strategy == "hyperband" and self.early_stopping == "auto":
            raise ValueError("early_stopping: hyperband stops trials by its own rule, was auto (allowed: off)")
        if self.warm_start != "none" and self.strategy not in ("random", "bayesian"):
            raise ValueError(
                f"warm_start: {self.strategy} does not learn from an earlier tuning, was {self.warm_start} "
                "(allowed: none, or strategy random or bayesian)"
            )
        return self

    @model_validator(mode="after")
    def _is_affordable(self) -> Self:
        if self.budget.parallel > self.trials:
            raise ValueError(f"budget.parallel: must be at most the {self.trials} trials, was {self.budget.parallel}")
        each = _TRIAL_BYTES + sum(len(name) + _VALUE_BYTES for name in self.ranges)
        if self.trials * each > _LIST_BYTES:
            raise ValueError(
                f"budget.trials: the list of trials would not fit into a run's record, was {self.trials} with "
                f"{len(self.ranges)} ranges (allowed with these: {_LIST_BYTES // each})"
            )
        return self

    def _check_grid(self) -> None:
        for name, each in self.ranges.items():
            if each.categorical is None:
                raise ValueError(f"ranges.{name}: a grid takes categorical only; list the values to try")
        if self.budget.trials is not None:
            raise ValueError(
                f"budget.trials: a grid tries all of its {self.trials} combinations, was {self.budget.trials}; "
                "leave it out"
            )
        if self.trials > MOST_TRIALS:
            raise ValueError(f"ranges: a grid may have {MOST_TRIALS} combinations, was {self.trials}")

    @property
    def trials(self) -> int:
        """How many trainings there are at most."""
        if self.strategy == "grid":
            return math.prod(len(each.categorical or ()) for each in self.ranges.values())
        return self.budget.trials if self.budget.trials is not None else DEFAULT_TRIALS

    def check_fixed(self, hyperparameters: Mapping[str, Any]) -> None:
        """Checks the ranges against what every training is told.

        Args:
            hyperparameters: Of the training.

        Raises:
            ValueError: They do not go together; the message starts with the key that it is about.
        """
        for name in self.ranges:
            if name in hyperparameters:
                raise ValueError(
                    f"ranges.{name}: is fixed by training.hyperparameters.{name}: {shown(hyperparameters[name])}; "
                    "leave one of them out"
                )
            if name in ("seed", "target") or name.startswith("sagemaker_"):
                raise ValueError(f"ranges.{name}: every training is told it by the platform; choose another name")
        for name in _ROUNDS if self.hyperband is not None else ():
            rounds = hyperparameters.get(name, 0)
            if isinstance(rounds, int | float) and self.hyperband is not None and rounds > self.hyperband.max_resource:
                raise ValueError(
                    f"hyperband.max_resource: every trial would be stopped before its end, and leave no model: "
                    f"training.hyperparameters.{name} is {shown(rounds)}, was {self.hyperband.max_resource}"
                )

    def config(self, metric: str, goal: Goal, seed: int) -> dict[str, Any]:
        """The tuning as ``HyperParameterTuningJobConfig``.

        Args:
            metric: The objective, as trainings report it.
            goal: Whether more or less of it is better.
            seed: Of the training.
        """
        limits: dict[str, Any] = {
            "MaxParallelTrainingJobs": self.budget.parallel,
            "MaxRuntimeInSeconds": 60 * self.budget.minutes,
        }
        if self.strategy != "grid":
            limits["MaxNumberOfTrainingJobs"] = self.trials
        strategy: dict[str, Any] = {"Strategy": STRATEGIES[self.strategy]}
        if self.hyperband is not None:
            resources = {
                "MinResource": self.hyperband.min_resource,
                "MaxResource": self.hyperband.max_resource,
            }
            strategy["StrategyConfig"] = {"HyperbandStrategyConfig": resources}
        return {
            **strategy,
            "HyperParameterTuningJobObjective": {"Type": goal.capitalize(), "MetricName": metric},
            "ResourceLimits": limits,
            "ParameterRanges": {kind: found for kind, found in self._listed() if found},
            "TrainingJobEarlyStoppingType": self.early_stopping.capitalize(),
            "RandomSeed": self.seed if self.seed is not None else seed,
        }

    def _listed(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for kind in ("integer", "continuous", "categorical"):
            found = {name: each for name, each in self.ranges.items() if getattr(each, kind) is not None}
            yield f"{kind.capitalize()}ParameterRanges", [each.as_requested(name) for name, each in found.items()]

    def kinship(self, hyperparameters: Mapping[str, Any], metric: str) -> str:
        """A digest that two tunings share when one can begin with what the other has found.

        SageMaker asks for the same objective and as many hyperparameters, searched and fixed together.
        """
        names = sorted({*self.ranges, *hyperparameters})
        return hashlib.sha256(json.dumps([metric, names]).encode()).hexdigest()[:16]

    def space(self, hyperparameters: Mapping[str, Any], metric: str) -> str | None:
        """A digest of where is searched, for what and beside what; None where every training searches.

        Strategy and budget are left out: they say how long is searched, not where.
        """
        if self.when == "every_training":
            return None
        fixed = {name: text_of(value) for name, value in hyperparameters.items()}
        searched = [metric, sorted(fixed.items()), [found for _, found in self._listed()]]
        return hashlib.sha256(json.dumps(searched, sort_keys=True).encode()).hexdigest()[:16]
