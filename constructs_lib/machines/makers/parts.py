"""What the model machine works with, and what a way to make a model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from constructs_lib.asl import JSON, State
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.images import TaggedImage
from constructs_lib.machines.jobs import JobLimits, JobPlace, LustrePlace
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import SigningParts


class Maker(Protocol):
    """A way to make a model, as states.

    The last of the states leads to the one behind them. By then these variables are set:

    - ``model_uri``: the artefact, ``s3://…/model.tar.gz``; an execution that has it already does not come here again,
    - ``training_job``: the name of the job that made it, of a tuning its best one,
    - ``training_image``: the image of that job,
    - ``hyperparameters``: what it was made with, name to text,
    - ``containers``: what serves it, as ``InferenceSpecification.Containers`` of a model package has it.

    A maker that evaluates as well sets ``evaluation_id`` beside them: the folder below the workload's evaluations.
    """

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states in order; an execution enters at the first."""
        ...


@dataclass(frozen=True)
class Watched:
    """Says how a training is watched from within.

    Args:
        rules_json: The guard's rules, for a script that calls the guard. Default: it has none.
        debugger: What SageMaker Debugger is to do, as members of the request. Default: nothing.
    """

    rules_json: str | None = None
    debugger: Mapping[str, JSON] | None = None


@dataclass(frozen=True)
class TuningParts:
    """Says how hyperparameters are searched.

    Args:
        config: ``HyperParameterTuningJobConfig``.
        metric: What trials are compared by.
        goal: Whether more or less of it is better.
        metric_definitions: How it stands in the log; none where SageMaker knows the algorithm.
        minutes: How long the tuning may take.
        kinship: What it shares with tunings that it can begin with.
        warm_start: How it begins with the last one. Default: it does not.
        checkpoints: Whether trials on spare machines keep checkpoints, each apart from the others. Default: they keep
            none.
        space: Where is searched, as a digest: while it stays the same, a run takes over what the last tuning has
            found, unless it is asked to search. Default: every run searches.
    """

    config: Mapping[str, JSON]
    metric: str
    goal: Literal["maximize", "minimize"]
    metric_definitions: Sequence[JSON]
    minutes: int
    kinship: str
    warm_start: str | None = None
    checkpoints: bool = False
    space: str | None = None


@dataclass(frozen=True)
class ModelParts:
    """Names what the model machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run.
        datasets_bucket: Where datasets are, and the pins of those who read them.
        group_name: The model package group.
        judge_model_arn: The function that judges.
        signing: The functions that sign and verify what passed.
        maker: How the model is made.
        training_role_arn, processing_role_arn: Roles of the jobs.
        problem: What is predicted, one of ``constructs_lib.names.problems``.
        target: The column that is predicted; None for a problem without a target.
        training: Machines and time limit of a training run.
        jobs: Machine of processing jobs, and the time limit of an evaluation.
        hyperparameters: Of the training, the seed among them, as texts.
        evaluation_options_uri: What the evaluation of a model must know, an object, ``s3://…``.
        gate: What a model must reach, as ``Gate.judged`` gives it.
        approval: Whether a model that passed the gate is approved at once or by a person.
        serving_instance_type: What it is meant to be served on.
        switches: Hyperparameters that tell a framework's image how to start the script. Default: as it is.
        reads_train: Whether the evaluation looks at the rows of training as well. Default: it does not.
        lustre: The file system that training reads from. Default: it reads from S3.
        log_experiment_arn: The function that logs runs to MLflow. Default: nobody logs them.
        trains: Whether ``training_job`` names a training job, and not a search. Default: it does.
        scoring: How a model answers the test split whose containers the evaluation cannot load. Default: it loads them.
        evaluated_by_maker: Whether the maker evaluates as well. Default: the machine does.
        watched: How the training itself is watched. Default: it is not, or only from outside.
        allow_pickle: Whether the model's archive may hold pickles. Default: it may not.
        tuning: How hyperparameters are searched. Default: there is one training.
        window: Which rows the script learns from, JSON. Default: it is not told, and learns from all.
        images: What a run looks up by tag, for place and maker to name by digest. Default: nothing.
        segments_json: Which segments have a model of their own, for the training script. Default: there is one model.
        serving_script_uri: The archive of the script that is packed into the model's archive, ``s3://…``. Default: the
            training has put it there.
    """

    place: JobPlace
    datasets_bucket: str
    group_name: str
    judge_model_arn: str
    signing: SigningParts
    maker: Maker
    training_role_arn: str
    processing_role_arn: str
    problem: str
    target: str | None
    training: JobLimits
    jobs: JobLimits
    hyperparameters: Mapping[str, str]
    evaluation_options_uri: str
    gate: Mapping[str, JSON]
    approval: Literal["automatic", "manual"]
    serving_instance_type: str
    switches: Mapping[str, str] = field(default_factory=dict)
    reads_train: bool = False
    lustre: LustrePlace | None = None
    log_experiment_arn: str | None = None
    trains: bool = True
    scoring: Scoring | None = None
    evaluated_by_maker: bool = False
    watched: Watched | None = None
    allow_pickle: bool = False
    tuning: TuningParts | None = None
    images: Sequence[TaggedImage] = ()
    segments_json: str | None = None
    window: str | None = None
    serving_script_uri: str | None = None
