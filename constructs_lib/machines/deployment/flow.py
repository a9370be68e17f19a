"""The flow of the deployment machine, from the wish to the record."""

from __future__ import annotations

from constructs_lib.asl import FAILURE_STATE, State, choice, go_to, jsonata, machine, succeed, wait
from constructs_lib.machines.common import HOUR, Surroundings, failure_states, own_failure, put_metrics, release_lease
from constructs_lib.machines.deployment import endpoint, modes, package, records, rollback, scaling, turn
from constructs_lib.machines.deployment.experiment import experiment_states, still_quiet
from constructs_lib.machines.deployment.golden import golden_after, golden_states
from constructs_lib.machines.deployment.parts import FINAL_ERRORS, DeploymentParts
from constructs_lib.machines.signing import verify_model
from constructs_lib.names import metrics

_AROUND_SECONDS = 6 * HOUR
"""What a deployment may take beside the rollout: golden requests, waiting for others, going back."""


def deployment_machine(s: Surroundings, p: DeploymentParts) -> State:
    """Returns the definition."""
    golden = golden_states(s, p)
    return machine(
        f"Puts an approved model of {s.workload} behind its endpoint",
        {
            **wanted(s),
            "DescribePackage": package.describe_package(),
            "IsApproved": package.is_approved(),
            "VerifyModel": verify_model(p.signing, jsonata("$package.containers"), jsonata("$package.properties")),
            **package.scanning_states(p, "AskAlarms"),
            "AskAlarms": endpoint.ask_alarms(p),
            "AlarmsQuiet": endpoint.alarms_quiet("AnsweredBefore"),
            "AnsweredBefore": choice([("$golden_uri != 'none'", "BeginRollout")], default=next(iter(golden))),
            **golden,
            "BeginRollout": endpoint.begin_rollout(),
            **rolled_out(s, p),
            "GoldenAfter": golden_after(s, p),
            **written_down(s, p),
            **scaling.register_states(s, p, "ReleaseLease"),
            "ReleaseLease": release_lease(s, "$package.run_id", on_failure="Done"),
            "Done": succeed(records.done(p)),
            **refusals(p),
            **gone_back(p),
            **failed(s),
        },
        timeout=_AROUND_SECONDS + p.rollout.seconds + (p.experiment.max_hours * HOUR if p.experiment else 0),
    )


def wanted(s: Surroundings) -> dict[str, State]:
    """Finds out what is wanted: an approved version, or one that has served before."""
    return {
        "Begin": rollback.begin(s),
        "ReadLive": records.read_live(s),
        "WhatIsAsked": rollback.what_is_asked(),
        "FindVersion": rollback.find_version(),
        "ReadServed": rollback.read_served(s),
        "HasServed": rollback.has_served(),
    }


def rolled_out(s: Surroundings, p: DeploymentParts) -> dict[str, State]:
    """Names what is new by its content, makes it, waits for the turn, and has SageMaker move the traffic to it."""
    return {
        "NameConfig": package.name_config(s, p),
        **modes.unpacking_states(p),
        "CreateModel": package.create_model(p),
        "CreateEndpointConfig": package.create_endpoint_config(s, p),
        **turn.turn_states(s, "DescribeEndpoint", _unchanged(p)),
        "DescribeEndpoint": endpoint.describe_endpoint(p),
        "EndpointReady": endpoint.endpoint_ready("DeleteFailedEndpoint" if p.scaling is None else "ForgetScaling"),
        "DescribeServing": endpoint.describe_serving(),
        "AskAlarmsAgain": endpoint.ask_alarms(p),
        "AlarmsStillQuiet": still_quiet() if p.experiment is not None else endpoint.alarms_quiet("UpdateEndpoint"),
        **(experiment_states(s, p, p.experiment) if p.experiment is not None else {}),
        "UpdateEndpoint": go_to("WaitForRollout", endpoint.update_endpoint(p)),
        "CreateEndpoint": endpoint.create_endpoint(p),
        "WaitForRollout": wait(30),
        **endpoint.watch_predictions(p),
        "DescribeRollout": endpoint.look_again(p),
        "RolloutOver": endpoint.rollout_over(),
        "EndpointBusy": go_to(_unchanged(p), endpoint.endpoint_busy()),
    }


def _unchanged(p: DeploymentParts) -> str:
    """Where a deployment goes that may not change the endpoint: the winner of an experiment has to end it first."""
    return FAILURE_STATE if p.experiment is None else "WasCompared"


def written_down(s: Surroundings, p: DeploymentParts) -> dict[str, State]:
    """Records what serves now, and tells of it when somebody went back."""
    return {
        "RecordServed": records.record_served(s),
        "RecordLive": records.record_live(s, p),
        "HasReplaced": choice([("$previous != 'none'", "RecordPrevious")], default="RecordRun"),
        "RecordPrevious": records.record_previous(s),
        "WentBack": choice([("$rollback", "AuditRollback")], default="RecordRun"),
        "AuditRollback": rollback.audit_rollback(s),
        "RejectLeft": rollback.reject_left(),
        "TellOfRollback": rollback.tell_of_rollback(s),
        "RecordRun": records.record_run(s, p),
        "PublishMetrics": put_metrics(s, {metrics.DEPLOYMENT_SUCCEEDED: "1"}),
    }


def refusals(p: DeploymentParts) -> dict[str, State]:
    """What is made of a refusal: it is there already, it has to be tried again, or it may not be."""
    return {
        "ModelExists": package.model_exists(),
        "ConfigExists": package.exists_already("ReadTurn", "TooManyRequests"),
        "TooManyRequests": endpoint.refused("WaitToMake"),
        "WaitToMake": go_to("CreateModel", wait(30)),
        "EndpointMissing": endpoint.endpoint_missing(),
        "CreateRefused": endpoint.refused("WaitForEndpoint"),
        "UpdateRefused": endpoint.refused("WaitForEndpoint", _unchanged(p)),
        "WaitForEndpoint": go_to("DescribeEndpoint", wait(30)),
        "ProbationOver": rollback.probation_over(),
        "BadRequest": rollback.bad_request(),
        "NeverServed": rollback.never_served(),
        "NotApproved": own_failure("NotApproved", "'the model package is ' & $package.status & ', not Approved'"),
        "AlarmAlreadyOn": endpoint.alarm_already_on(),
    }


def gone_back(p: DeploymentParts) -> dict[str, State]:
    """What becomes of an endpoint after a failure: the old model serves on, alone."""
    return {
        **scaling.forget_states(p, "DeleteFailedEndpoint"),
        "DeleteFailedEndpoint": go_to("WaitForEndpoint", endpoint.delete_endpoint(p)),
        "SilentRollback": go_to("TakeBack", endpoint.silent_rollback()),
        "NoCapacity": go_to("TakeBack", endpoint.no_capacity()),
        "RollbackFailed": go_to("TakeBack", endpoint.rollback_failed()),
        "RolloutStuck": go_to("TakeBack", endpoint.rollout_stuck()),
        "EndpointFailed": endpoint.endpoint_failed(),
        "TakeBack": endpoint.take_back(),
        "RemoveEndpoint": endpoint.remove_endpoint(p),
        "RestorePrevious": endpoint.restore_previous(p),
        "WaitForRestore": wait(30),
        "DescribeRestore": endpoint.look_again(p, "restore_failure"),
        "RestoreOver": endpoint.restore_over(),
        "RestoreRefused": endpoint.restore_refused(),
        "WaitToRestore": wait(120),
        "LookToRestore": endpoint.look_to_restore(p),
        "StillToRestore": endpoint.still_to_restore(),
    }


def failed(s: Surroundings) -> dict[str, State]:
    """Ends every failure: explained, recorded, told, and the model's approval taken back where it is to blame."""
    return failure_states(
        s,
        "deployment",
        final=FINAL_ERRORS,
        resume_at="DescribePackage",
        release={
            "IsToBlame": package.is_to_blame(),
            "RejectPackage": package.reject_package(),
            "CountFailed": put_metrics(
                s, {metrics.DEPLOYMENT_FAILED: "1"}, on_failure="ReleaseLeaseOfFailed", failure="count_failure"
            ),
            "ReleaseLeaseOfFailed": release_lease(s, "$package.run_id", on_failure="ResumeOrFail"),
        },
    )
