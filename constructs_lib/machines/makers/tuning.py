"""One training, or a tuning: many trainings with other hyperparameters, of which the best is taken.

Where the workload searches only when it is asked to, a run that is not takes over what the last tuning has found.

SageMaker runs the trials, and the machine follows them by a loop of its own: a tuning whose start or whose answer got
lost is found again by its name, one that is too late is stopped and seen to end, and a redriven execution goes on with
the tuning that it had. Every trial is written down, whether the tuning has succeeded or not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from constructs_lib.asl import (
    JSON,
    UNNAMED_S3,
    UNNAMED_SAGEMAKER,
    Catch,
    State,
    choice,
    expression,
    go_to,
    jsonata,
    now_seconds,
    remember,
    task,
    wait,
)
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, own_failure, record, text
from constructs_lib.machines.jobs import JobPlace, training_members
from constructs_lib.machines.makers.made import Made, last_tuning, made_with, train_once
from constructs_lib.machines.makers.parts import ModelParts, TuningParts
from constructs_lib.machines.makers.reuse import reuse_states
from constructs_lib.machines.makers.search import search_name
from constructs_lib.machines.spending import seconds_between, trials_spent

FOLDER: Final = "tunings"
"""Where the lists of trials lie among the workload's artefacts."""

BEGUN: Final[Mapping[str, JSON]] = {"tuning_name": "none", "tuning": {}}
"""Variables before there is a tuning."""

APART: Final = {"GAPLESS_CHECKPOINTS": "apart"}
"""Tells ``gapless_checkpoints`` to keep a job's checkpoints in a folder of the job's name."""

_POLL_SECONDS = MINUTE
_FINISH_SECONDS = 30 * MINUTE
_STOP_SECONDS = 30 * MINUTE
_PAGE = 50
_LONGEST_REASON = 200
_RUNNING = "$tuning_job.status in ['InProgress', 'Stopping']"
_IN_TIME = f"{now_seconds()} < $tuning_deadline"
_TAKEN = "SageMaker.ResourceInUseException"
_GONE = "SageMaker.ResourceNotFoundException"


def training_states(s: Surroundings, p: ModelParts, made: Made) -> dict[str, State]:
    """Returns the states that train, one job or a tuning; an execution enters at the first."""
    if p.tuning is None:
        return {"Train": train_once(s, p, made)}
    parent = _parent_states(s, p.tuning, made)
    reused, done = reuse_states(s, p, made, searching="NameTuning")
    begin = next(iter(reused), "NameTuning")
    return {
        "HasTuning": choice([("$tuning_name != 'none'", next(iter(parent), "StartTuning"))], default=begin),
        **reused,
        "NameTuning": remember({"tuning_name": jsonata(search_name(s))}),
        **parent,
        "StartTuning": go_to("WaitForTuning", start_tuning(s, p, p.tuning, made)),
        **_warm_states(s, p, p.tuning, made),
        "WaitForTuning": wait(_POLL_SECONDS),
        "DescribeTuning": describe_tuning(),
        "TuningEnded": choice(
            [
                (f"{_RUNNING} and {_IN_TIME}", "WaitForTuning"),
                (f"{_RUNNING} and $not($tuning_stopped)", "StopTuning"),
                (_RUNNING, "TuningStuck"),
            ],
            default="ListTrials",
        ),
        "StopTuning": go_to("WaitForTuning", stop_tuning()),
        "TuningStuck": own_failure("TuningStuck", "$tuning_name & ' was told to stop and has not'"),
        "ListTrials": list_trials(first=True),
        "MoreTrials": choice([("$more_trials != 'none'", "ListMoreTrials")], default="ChooseTrial"),
        "ListMoreTrials": go_to("MoreTrials", list_trials(first=False)),
        "ChooseTrial": remember({"tuning": jsonata(summary(s, p.place, p.tuning))}),
        "KeepTrials": keep_trials(s, p),
        "TuningSucceeded": choice([(_succeeded(), "DescribeBest")], default="TuningFailed"),
        "TuningFailed": tuning_failed(),
        "DescribeBest": describe_best(made),
        **_remembering_states(s, p.tuning, made),
        **done,
    }


# --- starting --------------------------------------------------------------------------------------------------------


def start_tuning(
    s: Surroundings, p: ModelParts, tuning: TuningParts, made: Made, warm: Mapping[str, JSON] | None = None
) -> State:
    """Starts the tuning; its name is that of this try, so whoever finds it taken has started it before.

    Args:
        warm: ``WarmStartConfig`` of the request. Default: the search knows nothing.
    """
    begun = {
        "tuning_deadline": jsonata(f"{now_seconds()} + {tuning.minutes * MINUTE + _FINISH_SECONDS}"),
        "tuning_stopped": False,
    }
    return task(
        "aws-sdk:sagemaker:createHyperParameterTuningJob",
        {
            "HyperParameterTuningJobName": jsonata("$tuning_name"),
            "HyperParameterTuningJobConfig": dict(tuning.config),
            "TrainingJobDefinition": trial_definition(s, p, tuning, made),
            **({"WarmStartConfig": dict(warm)} if warm is not None else {}),
        },
        timeout=CALL_SECONDS,
        assign=begun,
        catch=[Catch([_TAKEN], "WaitForTuning", begun)],
    )


def trial_definition(s: Surroundings, p: ModelParts, tuning: TuningParts, made: Made) -> dict[str, JSON]:
    """The request for a training as ``TrainingJobDefinition``: the same members, some of them by other names.

    All trials are told the same folder of checkpoints, and one would go on from what another has left. So on spare
    machines they keep none, and begin anew when these are taken back, unless they keep them apart by their own names.
    """
    members = training_members(
        s,
        made.place,
        p.training,
        role_arn=p.training_role_arn,
        channels=made.channels,
        hyperparameters=made.hyperparameters,
        more=made.more,
    )
    definitions = {"MetricDefinitions": list(tuning.metric_definitions)} if tuning.metric_definitions else {}
    own = ("HyperParameters",) if tuning.checkpoints else ("HyperParameters", "CheckpointConfig")
    apart = {"Environment": {**members.get("Environment", {}), **APART}}
    return {
        **{name: value for name, value in members.items() if name not in own},
        **(apart if tuning.checkpoints and "CheckpointConfig" in members else {}),
        "StaticHyperParameters": members["HyperParameters"],
        "AlgorithmSpecification": {**members["AlgorithmSpecification"], **definitions},
    }


def _parent_states(s: Surroundings, tuning: TuningParts, made: Made) -> dict[str, State]:
    """Returns the states that look for the tuning to begin with, or none."""
    if tuning.warm_start is None:
        return {}
    fits = [f"$parent.kinship = {text(tuning.kinship)}"]
    if tuning.warm_start == "IdenticalDataAndAlgorithm":
        fits += [f"$parent.{name} = {value}" for name, value in made_with(made).items()]
    return {
        "FindParent": find_parent(s, [*made_with(made)]),
        "ParentFits": choice([(" and ".join(fits), "DescribeParent")], default="StartTuning"),
        "DescribeParent": task(
            "aws-sdk:sagemaker:describeHyperParameterTuningJob",
            {"HyperParameterTuningJobName": jsonata("$parent.name")},
            timeout=CALL_SECONDS,
            assign={"parent_status": jsonata("$states.result.HyperParameterTuningJobStatus")},
            catch=[Catch([_GONE], "StartTuning")],
            retry_also=UNNAMED_SAGEMAKER,
        ),
        "ParentEnded": choice(
            [("$parent_status in ['Completed', 'Stopped']", "StartWarmTuning")], default="StartTuning"
        ),
    }


def find_parent(s: Surroundings, known: Sequence[str]) -> State:
    """Reads which tuning of this workload was the last that succeeded.

    Args:
        known: What is known of its data and algorithm.
    """
    item = "$states.result.Item"
    kept = ", ".join(f"'{name}': [{item}.{name}.S, 'none'][0]" for name in ("name", "kinship", *known))
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": last_tuning(s)}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={"parent": jsonata(f"{{{kept}}}")},
    )


def _warm_states(s: Surroundings, p: ModelParts, tuning: TuningParts, made: Made) -> dict[str, State]:
    if tuning.warm_start is None:
        return {}
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": jsonata("$parent.name")}],
        "WarmStartType": tuning.warm_start,
    }
    return {"StartWarmTuning": start_tuning(s, p, tuning, made, warm)}


def _remembering_states(s: Surroundings, tuning: TuningParts, made: Made) -> dict[str, State]:
    """Returns the state that names this tuning as the last one, where somebody will look for it."""
    if tuning.warm_start is None and tuning.space is None:
        return {}
    values = {"workload": text(s.workload), "name": "$tuning_name", "kinship": text(tuning.kinship), **made_with(made)}
    if tuning.space is not None:
        values |= {"space": text(tuning.space), "hyperparameters": "$string($tuning.best.hyperparameters)"}
    return {"RememberTuning": record(s, text(last_tuning(s)), values)}


# --- following -------------------------------------------------------------------------------------------------------


def describe_tuning() -> State:
    """Asks how far the tuning is."""
    job = "$states.result"
    return task(
        "aws-sdk:sagemaker:describeHyperParameterTuningJob",
        {"HyperParameterTuningJobName": jsonata("$tuning_name")},
        timeout=CALL_SECONDS,
        assign={
            "tuning_job": {
                "status": jsonata(f"{job}.HyperParameterTuningJobStatus"),
                "reason": jsonata(f"[{job}.FailureReason, {job}.HyperParameterTuningJobStatus][0]"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def stop_tuning() -> State:
    """Stops the tuning with its trials, and gives it time to end: while one of them writes, nothing is tried again.

    A tuning that has ended meanwhile needs no stopping.
    """
    deadline = {"tuning_stopped": True, "tuning_deadline": jsonata(f"{now_seconds()} + {_STOP_SECONDS}")}
    return task(
        "aws-sdk:sagemaker:stopHyperParameterTuningJob",
        {"HyperParameterTuningJobName": jsonata("$tuning_name")},
        timeout=CALL_SECONDS,
        assign=deadline,
        catch=[Catch(UNNAMED_SAGEMAKER, "WaitForTuning", deadline)],
        retry_also=UNNAMED_SAGEMAKER,
    )


# --- what came of it -------------------------------------------------------------------------------------------------


def list_trials(*, first: bool) -> State:
    """Reads a page of the trials, in the order of their start.

    Args:
        first: Whether it is the first page.
    """
    times = "$exists($t.TrainingEndTime) and $exists($t.TrainingStartTime)"
    seconds = seconds_between("$t.TrainingStartTime", "$t.TrainingEndTime")
    trial = (
        "{'name': $t.TrainingJobName, 'status': $t.TrainingJobStatus, "
        "'objective': $t.FinalHyperParameterTuningJobObjectiveMetric.Value, "
        f"'seconds': {times} ? {seconds}, 'hyperparameters': $t.TunedHyperParameters, "
        f"'reason': $exists($t.FailureReason) ? $substring($t.FailureReason, 0, {_LONGEST_REASON})}}"
    )
    page = f"[$map($states.result.TrainingJobSummaries, function($t) {{{trial}}})]"
    return task(
        "aws-sdk:sagemaker:listTrainingJobsForHyperParameterTuningJob",
        {
            "HyperParameterTuningJobName": jsonata("$tuning_name"),
            "SortBy": "CreationTime",
            "SortOrder": "Ascending",
            "MaxResults": _PAGE,
            **({} if first else {"NextToken": jsonata("$more_trials")}),
        },
        timeout=CALL_SECONDS,
        assign={
            "trials": jsonata(page if first else f"[$append($trials, {page})]"),
            "more_trials": jsonata("[$states.result.NextToken, 'none'][0]"),
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def summary(s: Surroundings, place: JobPlace, tuning: TuningParts) -> str:
    """The JSONata of what a run's record says of its tuning.

    The best is a trial that has come to its end: one that was stopped has written no model.
    """
    order = ">" if tuning.goal == "maximize" else "<"
    best = f"($trials[status = 'Completed' and $exists(objective)]^({order}objective))[0]"
    completed = "$count($trials[status = 'Completed'])"
    return (
        f"($best := {best}; {{'name': $tuning_name, 'strategy': {json.dumps(tuning.config['Strategy'])}, "
        f"'metric': {json.dumps(tuning.metric)}, 'goal': {json.dumps(tuning.goal)}, 'trials': $count($trials), "
        f"'completed': {completed}, 'trials_uri': {trials_uri(s, place)}, "
        "'best': $exists($best) ? {'name': $best.name, 'objective': $best.objective, "
        "'hyperparameters': $best.hyperparameters} : 'none'})"
    )


def trials_uri(s: Surroundings, place: JobPlace) -> str:
    """The JSONata of where the list of trials lies."""
    return f"'s3://{place.artefacts_bucket}/' & {trials_key(s)}"


def trials_key(s: Surroundings) -> str:
    """The JSONata of the key of the list of trials."""
    return f"{text(f'{s.workload}/{FOLDER}/')} & $tuning_name & '.json'"


def keep_trials(s: Surroundings, p: ModelParts) -> State:
    """Writes the list of all trials; writing it again writes the same."""
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": p.place.artefacts_bucket,
            "Key": jsonata(trials_key(s)),
            "Body": {"tuning": jsonata("$tuning"), "trials": jsonata("$trials")},
            "ContentType": "application/json",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        retry_also=UNNAMED_S3,
    )


def _succeeded() -> str:
    """The JSONata of whether there is a model: a tuning that was stopped from outside ends with what it has."""
    return "$tuning_job.status in ['Completed', 'Stopped'] and $not($tuning_stopped) and $tuning.best != 'none'"


def tuning_failed() -> State:
    """Fails the run by the tuning's reason; another try starts another tuning."""
    late = "($tuning_stopped ? 'the deadline has passed; ' : '')"
    of_trials = "$trials[status = 'Failed'].reason"
    cause = (
        f"$tuning_name & ': ' & {late} & $tuning_job.reason & '; ' & $tuning.completed & ' of ' & $tuning.trials & "
        f"' trials have come to their end' & ($exists({of_trials}) ? ', one has failed by: ' & {of_trials}[0] : '') & "
        "'; all of them: ' & $tuning.trials_uri"
    )
    failed = own_failure("TuningFailed", cause)
    return {**failed, "Assign": {**failed["Assign"], "tuning_name": "none"}}


def describe_best(made: Made) -> State:
    """Takes over what the best trial has made."""
    kept = f"$merge([{expression(dict(made.kept))}, $tuning.best.hyperparameters])"
    return task(
        "aws-sdk:sagemaker:describeTrainingJob",
        {"TrainingJobName": jsonata("$tuning.best.name")},
        timeout=CALL_SECONDS,
        assign={
            **made.assign,
            **trials_spent("$tuning.best.name", "$trials"),
            "hyperparameters": jsonata(kept),
        },
        retry_also=UNNAMED_SAGEMAKER,
    )
