"""Champion and challenger side by side: begun and ended by guarded updates, decided by a function.

The function is asked ``{"workload", "experiment": {"id", "champion", "challenger", "started_at"}, "as_of", "mode"}``,
with the names of the variants, and answers ``{"decision": "promote" | "stop" | "continue", "reason", …}``. A shadow is
a precaution: unless the function stops it, its model takes over when the time is up. A test that is not decided in time
leaves the champion where it is.
"""

from __future__ import annotations

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    State,
    choice,
    go_to,
    jsonata,
    now_seconds,
    remember,
    task,
    wait,
)
from constructs_lib.machines.common import CALL_SECONDS, HOUR, MINUTE, Surroundings, failure_kept, record, text
from constructs_lib.machines.deployment import endpoint
from constructs_lib.machines.deployment.golden import golden_after
from constructs_lib.machines.deployment.package import capture_config, production_variant
from constructs_lib.machines.deployment.parts import CHALLENGER, VARIANT, DeploymentParts
from constructs_lib.machines.deployment.strategy import Experiment, Rollout, deployment_config
from constructs_lib.machines.deployment.turn import leave_turn

_LOOKS = 400
"""How often an experiment is judged at most: an execution has room for 25,000 events."""

_MODES = {"ab": "test", "shadow": "shadow"}


def experiment_states(s: Surroundings, p: DeploymentParts, e: Experiment) -> dict[str, State]:
    """Returns the states between what serves and the rollout of what is to serve; the first one asks for them."""
    checked = "GoldenChallenger" if e.kind == "ab" else "BeginExperiment"
    states = {
        "Compares": compares(),
        "NameExperiment": name_experiment(s, p, e),
        "CreateExperimentConfig": create_experiment_config(s, p, e),
        "StartExperiment": start_experiment(p),
        "WaitForExperiment": wait(30),
        "DescribeExperiment": endpoint.look_again(p),
        "ExperimentStarted": endpoint.rollout_over(checked, "$experiment.config", "WaitForExperiment"),
    }
    if e.kind == "ab":
        states["GoldenChallenger"] = golden_after(s, p, CHALLENGER)
    return {
        **states,
        "BeginExperiment": begin_experiment(e),
        "RecordExperiment": record_experiment(s, e, "'running'"),
        "LeaveTurn": leave_turn(s),
        "WaitToJudge": wait(max(10 * MINUTE, e.max_hours * HOUR // _LOOKS)),
        "LookAtExperiment": endpoint.look_again(p, on_failure="RecordStopped"),
        "StillRuns": choice([("$endpoint.config = $experiment.config", "AskAlarmsMeanwhile")], default="Overtaken"),
        "AskAlarmsMeanwhile": endpoint.ask_alarms(p, "RecordStopped"),
        "QuietMeanwhile": choice([("$count($noisy) = 0", "Judge")], default="AlarmMeanwhile"),
        "Judge": judge(s, e),
        "Decision": decision(e),
        "AskAlarmsAtTheEnd": endpoint.ask_alarms(p, "RecordStopped"),
        "QuietAtTheEnd": choice([("$count($noisy) = 0", "RecordPromoted")], default="AlarmMeanwhile"),
        "RecordPromoted": record_experiment(s, e, "'promoted'"),
        "ChallengerAlone": go_to("ReadTurn", remember({"compared": True, "deadline": endpoint.settled_by()})),
        "ExperimentExists": choice(
            [("$contains($failure.cause, 'already exist')", "StartExperiment")], default=FAILURE_STATE
        ),
        "Overtaken": go_to(FAILURE_STATE, stopped("'another deployment has taken over while the experiment ran'")),
        "AlarmMeanwhile": go_to("RecordStopped", stopped("'alarms went off: ' & $join($noisy, ', ')")),
        "ChallengerStopped": stopped("$verdict.reason"),
        "RecordStopped": record_experiment(s, e, "'stopped'", "stop_failure"),
        "LookBeforeBack": endpoint.look_again(p, "look_failure"),
        "StillTested": choice([("$endpoint.config = $experiment.config", "TakeBack")], default=FAILURE_STATE),
        "WasCompared": choice([("$compared", "RecordStopped")], default=FAILURE_STATE),
    }


def still_quiet() -> State:
    """Looks at the alarms once more; one that came on since the challenger won leaves the champion, alone."""
    return endpoint.alarms_quiet("Compares", ("$compared", "AlarmMeanwhile"))


def compares() -> State:
    """Nobody is compared with when there is no champion, nor by who goes back on purpose."""
    return choice(
        [
            ("$compared and $endpoint.config != $experiment.config", "Overtaken"),
            ("$rollback or $compared or $serving.model in ['none', $model_name]", "UpdateEndpoint"),
        ],
        default="NameExperiment",
    )


def name_experiment(s: Surroundings, p: DeploymentParts, e: Experiment) -> State:
    """Names the configuration of both models after what is in it."""
    parts = ["$serving.model", "$model_name", text(f"{e.kind} {e.share:g} {p.fleet.digest}")]
    content = f"$substring($hash($join([{', '.join(parts)}], ' '), 'SHA-256'), 0, 16)"
    return remember({"experiment": {"config": jsonata(f"'{s.prefix}test-' & {content}")}})


def create_experiment_config(s: Surroundings, p: DeploymentParts, e: Experiment) -> State:
    """Says that both models serve, or that one does and the other sees copies."""
    champion = production_variant(p, VARIANT, "$serving.model", round(1 - e.share, 4) if e.kind == "ab" else 1)
    challenger = production_variant(p, CHALLENGER, "$model_name", e.share)
    both: dict[str, JSON] = {"ProductionVariants": [champion, challenger]}
    if e.kind == "shadow":
        both = {"ProductionVariants": [champion], "ShadowProductionVariants": [challenger]}
    return task(
        "aws-sdk:sagemaker:createEndpointConfig",
        {
            "EndpointConfigName": jsonata("$experiment.config"),
            "KmsKeyId": p.place.key_arn,
            **both,
            "DataCaptureConfig": capture_config(s, p),
        },
        timeout=CALL_SECONDS,
        on_failure="ExperimentExists",
    )


def start_experiment(p: DeploymentParts) -> State:
    """Lets both serve: a guarded update like every other."""
    beside = Rollout("all_at_once", p.rollout.bake_minutes)
    return task(
        "aws-sdk:sagemaker:updateEndpoint",
        {
            "EndpointName": p.endpoint_name,
            "EndpointConfigName": jsonata("$experiment.config"),
            **endpoint.retained(p),
            "DeploymentConfig": deployment_config(beside, p.alarm_names),
        },
        timeout=CALL_SECONDS,
        assign={
            "previous": jsonata(endpoint.PREVIOUS),
            "deadline": jsonata(f"{now_seconds()} + {beside.seconds + HOUR}"),
        },
        on_failure="UpdateRefused",
    )


def begin_experiment(e: Experiment) -> State:
    """Notes since when both serve, and until when."""
    return remember(
        {
            "experiment": {
                "config": jsonata("$experiment.config"),
                "id": jsonata("$substringAfter($experiment.config, '-test-')"),
                "champion": VARIANT,
                "challenger": CHALLENGER,
                "started_at": jsonata("$states.context.State.EnteredTime"),
                "until": jsonata(f"{now_seconds()} + {e.max_hours * HOUR}"),
            },
            "verdict": {"decision": "continue", "reason": "not judged yet"},
        }
    )


def record_experiment(s: Surroundings, e: Experiment, status: str, failure: str = "failure") -> State:
    """Writes down what is compared with what, and how it ended.

    Args:
        failure: The variable that keeps an error.
    """
    return record(
        s,
        text(f"experiment#{s.workload}"),
        {
            "workload": text(s.workload),
            "kind": text(e.kind),
            "status": status,
            "config": "$experiment.config",
            "champion_package_arn": "$live.package",
            "challenger_package_arn": "$states.input.model_package_arn",
            "started_at": "$experiment.started_at",
            "verdict": "$string($verdict)",
            "execution": "$states.context.Execution.Id",
        },
        on_failure="LookBeforeBack",
        failure=failure,
    )


def judge(s: Surroundings, e: Experiment) -> State:
    """Asks the function that knows the outcomes; an experiment that cannot be judged ends with the champion."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": e.judge_arn,
            "Payload": {
                "workload": s.workload,
                "experiment": jsonata("$sift($experiment, function($v, $k) { $not($k in ['config', 'until']) })"),
                "as_of": jsonata("$states.context.State.EnteredTime"),
                "mode": _MODES[e.kind],
            },
        },
        timeout=15 * MINUTE,
        assign={
            "verdict": {
                "decision": jsonata("$states.result.Payload.decision"),
                "reason": jsonata("[$states.result.Payload.reason, 'no reason given'][0]"),
            }
        },
        on_failure="RecordStopped",
    )


def decision(e: Experiment) -> State:
    """Goes on while nothing is decided and there is time."""
    return choice(
        [
            ("$verdict.decision = 'promote'", "AskAlarmsAtTheEnd"),
            ("$verdict.decision = 'stop'", "ChallengerStopped"),
            (f"{now_seconds()} < $experiment.until", "WaitToJudge"),
        ],
        default="AskAlarmsAtTheEnd" if e.kind == "shadow" else "ChallengerStopped",
    )


def stopped(cause: str) -> State:
    return failure_kept("ChallengerStopped", cause)
