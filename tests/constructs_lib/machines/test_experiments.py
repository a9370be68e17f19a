"""Champion and challenger side by side: how an experiment begins, is judged and ends."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.deployment import Experiment
from constructs_lib.machines.jobs import JobPlace
from tests.constructs_lib.machines.test_deployment_machine import (
    GIVEN,
    OLD,
    OLD_PACKAGE,
    OTHER,
    PACKAGE,
    WISH,
    any_answers,
    back,
    definition_with,
    endpoint,
    live,
    result,
    status,
    turn_of,
    update,
)

JUDGE = "arn:aws:lambda:us-east-1:000000000000:function:judge"


def of_kind(
    kind: Literal["ab", "shadow"], surroundings: Surroundings, place: JobPlace, hours: int = 2
) -> dict[str, Any]:
    return definition_with(surroundings, place, experiment=Experiment(kind, 0.5 if kind == "ab" else 1.0, hours, JUDGE))


def verdicts(*decisions: str) -> list[dict[str, Any]]:
    return [{"result": {"Payload": {"decision": each, "reason": f"said {each}"}}} for each in decisions]


def names(definition: dict[str, Any], walk: Any) -> tuple[str, str]:
    """The configuration of the new model alone, and that of both."""
    first = any_answers(DescribeRollout=[endpoint("Failed", "x")])
    new = walk(definition, GIVEN, first).arguments("CreateEndpoint")["EndpointConfigName"]
    both = walk(definition, GIVEN, answers(new, "x", "stop", DescribeExperiment=[endpoint("Failed", "x")]))
    return new, both.arguments("StartExperiment")["EndpointConfigName"]


def answers(new: str, both: str, *decisions: str, **changed: Any) -> dict[str, Any]:
    settled = {
        "ReadLive": live(),
        "DescribeEndpoint": [endpoint("InService", OLD), endpoint("InService", both)],
        "CreateExperimentConfig": result({}),
        "StartExperiment": result({}),
        "DescribeExperiment": [endpoint("Updating", OLD), endpoint("InService", both)],
        "GoldenChallenger": result({"Payload": {"passed": True, "checked": 3}}),
        "RecordExperiment": result({}),
        "LeaveTurn": result({}),
        "RecordPromoted": result({}),
        "RecordStopped": result({}),
        "LookBeforeBack": [endpoint("InService", both)],
        "LookAtExperiment": [endpoint("InService", both)],
        "AskAlarmsMeanwhile": result({"MetricAlarms": []}),
        "AskAlarmsAtTheEnd": result({"MetricAlarms": []}),
        "Judge": verdicts(*decisions),
    }
    return update(new, **{**settled, **changed})


@pytest.mark.parametrize("kind", ["ab", "shadow"])
def test_begins_and_ends_by_guarded_updates(
    kind: Literal["ab", "shadow"], surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind(kind, surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, "continue", "promote"))
    assert done.status == "SUCCEEDED"
    assert done.output["config"] == new
    assert done.path.index("StartExperiment") < done.path.index("Judge") < done.path.index("UpdateEndpoint")
    assert done.path.count("Judge") == 2
    shape = Session().get_service_model("sagemaker").operation_model("UpdateEndpoint").input_shape
    for state in ("StartExperiment", "UpdateEndpoint"):
        request = done.arguments(state)
        assert ParamValidator().validate(request, shape).generate_report() == ""
        assert len(request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 2
    assert done.arguments("RecordPrevious")["ExpressionAttributeValues"][":previous_config"] == {"S": OLD}


def test_both_answer_by_their_weights_under_names_that_stay(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind("ab", surroundings, place)
    done = walk(definition, GIVEN, answers(*names(definition, walk), "promote"))
    variants = done.arguments("CreateExperimentConfig")["ProductionVariants"]
    assert [(each["VariantName"], each["InitialVariantWeight"]) for each in variants] == [
        ("primary", 0.5),
        ("challenger", 0.5),
    ]
    assert variants[0]["ModelName"] == "dev-flight-delays-model-old"
    assert done.arguments("GoldenChallenger")["Payload"]["variant"] == "challenger"


def test_a_shadow_is_no_variant_that_answers(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    definition = of_kind("shadow", surroundings, place)
    done = walk(definition, GIVEN, answers(*names(definition, walk), "continue"))
    config = done.arguments("CreateExperimentConfig")
    assert [each["VariantName"] for each in config["ProductionVariants"]] == ["primary"]
    assert [each["VariantName"] for each in config["ShadowProductionVariants"]] == ["challenger"]
    assert "GoldenChallenger" not in done.path, "a shadow cannot be asked"
    assert done.status == "SUCCEEDED", "when the time is up its model takes over"


def test_the_judge_is_told_who_and_since_when(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    payload = walk(definition, GIVEN, answers(new, both, "promote")).arguments("Judge")["Payload"]
    assert payload["workload"] == "flight_delays" and payload["mode"] == "test" and payload["as_of"]
    assert set(payload["experiment"]) == {"id", "champion", "challenger", "started_at"}
    assert payload["experiment"]["id"] == both.rpartition("-test-")[2]


@pytest.mark.parametrize(
    ("changed", "decisions", "says"),
    [
        ({}, ["continue", "stop"], "said stop"),
        ({}, ["continue"], "said continue"),
        ({"AskAlarmsMeanwhile": result({"MetricAlarms": [{"AlarmName": "live-errors"}]})}, ["promote"], "live-errors"),
        ({"AskAlarmsAtTheEnd": result({"MetricAlarms": [{"AlarmName": "live-errors"}]})}, ["promote"], "live-errors"),
    ],
    ids=["stopped", "time-up", "alarm", "alarm-at-the-end"],
)
def test_a_challenger_that_does_not_win_leaves_the_champion_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any, changed: dict[str, Any], decisions: list[str], says: str
) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, *decisions, **changed))
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped")
    assert says in str(done.cause)
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD
    assert done.arguments("RejectPackage")["ModelPackageArn"] == PACKAGE
    assert "UpdateEndpoint" not in done.path
    record = done.arguments("RecordStopped")["ExpressionAttributeValues"]
    assert (record[":status"]["S"], record[":champion_package_arn"]["S"]) == ("stopped", OLD_PACKAGE)


@pytest.mark.parametrize("kind", ["ab", "shadow"])
def test_a_winner_whose_own_rollout_is_taken_back_leaves_the_champion_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any, kind: Literal["ab", "shadow"]
) -> None:
    """SageMaker goes back to what was there before that rollout: to both."""
    definition = of_kind(kind, surroundings, place)
    new, both = names(definition, walk)
    back_at_both = [endpoint("InService", both, FailureReason="live-errors")]
    done = walk(definition, GIVEN, answers(new, both, "promote", DescribeRollout=back_at_both))
    assert (done.status, done.error) == ("FAILED", "SilentRollback")
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD


@pytest.mark.parametrize("kind", ["ab", "shadow"])
def test_an_alarm_that_comes_on_while_the_winner_waits_for_its_turn_leaves_the_champion_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any, kind: Literal["ab", "shadow"]
) -> None:
    definition = of_kind(kind, surroundings, place)
    new, both = names(definition, walk)
    alarms = [{"result": {"MetricAlarms": each}} for each in ([], [{"AlarmName": "live-errors"}])]
    done = walk(definition, GIVEN, answers(new, both, "promote", AskAlarmsAgain=alarms))
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped")
    assert "live-errors" in str(done.cause)
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD
    assert "UpdateEndpoint" not in done.path


def test_a_judge_that_fails_ends_the_experiment(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, Judge=[{"error": "BadRecord", "cause": "no outcomes"}]))
    assert done.status == "FAILED"
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD


DENIED = {"error": "SageMaker.SageMakerException", "cause": "User is not authorized to perform"}


def test_a_winner_whose_own_update_is_refused_leaves_the_champion_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind("shadow", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, "promote", UpdateEndpoint=[DENIED]))
    assert done.status == "FAILED" and str(done.cause).endswith("not authorized to perform")
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD
    assert done.arguments("RecordStopped")["ExpressionAttributeValues"][":status"]["S"] == "stopped"
    assert "RejectPackage" not in done.path


def test_a_challenger_that_may_not_serve_beside_the_champion_changes_nothing(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind("ab", surroundings, place)
    done = walk(definition, GIVEN, answers(*names(definition, walk), "promote", StartExperiment=[DENIED]))
    assert done.status == "FAILED" and not {"RecordStopped", "RestorePrevious"} & set(done.path)


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        ({"ReadTurn": [{"result": {}}, turn_of(OTHER)], "DescribeHolder": status("RUNNING")}, OTHER),
        ({"DescribeEndpoint": [endpoint("InService", OLD), endpoint("Updating", "both")]}, "Updating"),
    ],
    ids=["turn", "endpoint"],
)
def test_a_winner_that_waits_too_long_leaves_the_champion_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any, waits: dict[str, Any], says: str
) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, "promote", **waits))
    assert (done.status, done.error) == ("FAILED", "EndpointBusy")
    assert says in str(done.cause)
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD
    assert done.arguments("RecordStopped")["ExpressionAttributeValues"][":status"]["S"] == "stopped"
    assert "RejectPackage" not in done.path


NOT_SEEN = {"error": "CloudWatch.CloudWatchException", "cause": "not now"}


@pytest.mark.parametrize("state", ["RecordExperiment", "LookAtExperiment", "AskAlarmsMeanwhile", "AskAlarmsAtTheEnd"])
@pytest.mark.parametrize("overtaken", [False, True])
def test_a_comparison_that_nobody_can_watch_ends_unless_somebody_has_taken_over(
    surroundings: Surroundings, place: JobPlace, walk: Any, state: str, overtaken: bool
) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    seen = [endpoint("InService", "dev-flight-delays-conf-other" if overtaken else both)]
    done = walk(definition, GIVEN, answers(new, both, "promote", **{"LookBeforeBack": seen, state: [NOT_SEEN]}))
    assert done.status == "FAILED" and str(done.cause).endswith("not now")
    assert ("RestorePrevious" in done.path) != overtaken
    assert "UpdateEndpoint" not in done.path


def test_a_judge_that_fails_touches_nothing_where_somebody_has_taken_over(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    """A judge may think for minutes, and the turn is free."""
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    other = [endpoint("InService", "dev-flight-delays-conf-other")]
    failing = [{"error": "BadRecord", "cause": "no outcomes"}]
    done = walk(definition, GIVEN, answers(new, both, Judge=failing, LookBeforeBack=other))
    assert done.status == "FAILED" and "RestorePrevious" not in done.path


def test_an_end_that_cannot_be_written_down_is_an_end_for_the_same_reason(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, "stop", RecordStopped=[NOT_SEEN]))
    assert (done.error, done.cause) == ("ChallengerStopped", "said stop")
    assert {"RestorePrevious", "RejectPackage"} <= set(done.path)


def test_an_experiment_that_somebody_has_ended_touches_nothing(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    done = walk(definition, GIVEN, answers(new, both, "promote", LookAtExperiment=[endpoint("InService", OLD)]))
    assert done.error == "ChallengerStopped"
    assert not {"RestorePrevious", "UpdateEndpoint"} & set(done.path)


@pytest.mark.parametrize("decision", ["promote", "stop"])
def test_who_has_taken_over_while_it_was_decided_is_left_alone(
    surroundings: Surroundings, place: JobPlace, walk: Any, decision: str
) -> None:
    """The turn is free while an experiment runs."""
    definition = of_kind("ab", surroundings, place)
    new, both = names(definition, walk)
    other = endpoint("InService", "dev-flight-delays-conf-other")
    told = answers(new, both, decision, DescribeEndpoint=[endpoint("InService", OLD), other], LookBeforeBack=[other])
    done = walk(definition, GIVEN, told)
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped")
    assert done.path.index("LeaveTurn") < done.path.index("Judge")
    assert done.path.count("TakeTurn") == (2 if decision == "promote" else 1)
    assert not {"RestorePrevious", "UpdateEndpoint"} & set(done.path)


def test_who_goes_back_compares_nothing(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    definition = of_kind("ab", surroundings, place)
    new, _ = names(definition, walk)
    done = walk(definition, WISH, back(new))
    assert done.status == "SUCCEEDED"
    assert "StartExperiment" not in done.path


@pytest.mark.parametrize(("kind", "share"), [("ab", 0.6), ("ab", 0.0), ("shadow", 1.1)])
def test_refuses_a_share_that_is_none(kind: Any, share: float) -> None:
    with pytest.raises(ValueError, match="share of a challenger"):
        Experiment(kind, share, 1, JUDGE)
