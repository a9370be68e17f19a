"""Runs of the model pipeline are logged to MLflow, where the stage has it.

Logging comes last and decides nothing: when it fails for good, the run ends as it would have, and the function's alarm
tells. The function is given little; it reads the run's record.
"""

from __future__ import annotations

from constructs_lib.asl import State, choice, go_to, jsonata, task
from constructs_lib.machines.common import MINUTE
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.reproduction import WANTED

FUNCTION_SECONDS = 5 * MINUTE
"""How long one call may take: a first one may wait for the server."""


def log_states(p: ModelParts, name: str, *, following: str) -> dict[str, State]:
    """Returns the state that logs the run, or none where nobody asks for it.

    Args:
        name: Of the state.
        following: The state to go on with, whether it was logged or not.
    """
    if p.log_experiment_arn is None:
        return {}
    return {name: go_to(following, log_run(p.log_experiment_arn, following))}


def log_failed_states(p: ModelParts, *, following: str) -> dict[str, State]:
    """Returns the states that log a run that failed; a replay is no experiment."""
    logging = log_states(p, "LogFailed", following=following)
    if not logging:
        return {}
    return {"IsExperiment": choice([(WANTED, following)], default="LogFailed"), **logging}


def log_run(function_arn: str, following: str) -> State:
    """Has the function log the run."""
    bundle, dataset = "$states.input.bundle", "$states.input.dataset"
    given = (
        f"{{'as_of': $states.input.as_of, 'bundle': {bundle}.bundle, 'commit': {bundle}.commit, "
        f"'dataset_version': {dataset}.version}}"
    )
    return task(
        "lambda:invoke",
        {
            "FunctionName": function_arn,
            "Payload": {
                "run_id": jsonata("$states.input.run_id"),
                "ended": jsonata("$states.context.State.EnteredTime"),
                "given": jsonata(given),
            },
        },
        timeout=FUNCTION_SECONDS + MINUTE,
        on_failure=following,
        failure="log_failure",
        retry_also=("TrackingUnavailable",),
    )
