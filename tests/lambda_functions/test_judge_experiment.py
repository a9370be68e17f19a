"""Exposures and outcomes become a judgement: what counts, what does not, and what is decided by it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gapless_lambda import clients
from judge_experiment.decide import Guard, Rules, Seen, judge
from judge_experiment.evidence import Evidence
from judge_experiment.handler import BadExperiment, handler, parse_event
from judge_experiment.losses import NoLoss, loss_of
from judge_experiment.records import BadRecord, Exposure, Outcome, parse_exposure, parse_outcome
from judge_experiment.sequential import Difference
from judge_experiment.shadow import Comparison

NOW = datetime.now(UTC).replace(microsecond=0)
BEGUN = NOW - timedelta(hours=2)
ENDPOINT = "dev-orders-live"
RULES = Rules(
    alpha=0.05,
    min_outcomes=50,
    max_days=7,
    smallest_share=0.3,
    challenger_share=0.5,
    worthless=None,
    error_margin=0.02,
    slow_margin=0.05,
    slow_ms=100,
    clip=1.0,
)
EXPERIMENT = {"id": "e-1", "champion": "a", "challenger": "b", "started_at": BEGUN.isoformat()}
EVENT: Any = {"workload": "orders", "experiment": EXPERIMENT, "as_of": (NOW + timedelta(hours=12)).isoformat()}
"""Long after whatever a test writes, however late it runs."""


# --- the decision -----------------------------------------------------------------------------------------------------


def seen_of(champion: float, challenger: float, count: int = 3000, **more: Any) -> Seen:
    """What is known after so many outcomes with these mean losses."""
    draw, difference = random.Random(1), Difference(RULES.alpha, RULES.smallest_share)  # noqa: S311 - a simulation
    for number in range(count):
        mean = challenger if number % 2 else champion
        difference.add(float(draw.random() < mean), challenger=bool(number % 2), share=0.5)
    known: dict[str, Any] = {"guards": (Guard("errors", (2, 9000), (3, 9000), 0.02),), "days": 1.0, **more}
    return Seen(difference, (count // 2, count // 2), (champion, challenger), **known)


@pytest.mark.parametrize(
    ("seen", "decision", "words"),
    [
        (seen_of(0.4, 0.2), "promote", "its loss is smaller by at least"),
        (seen_of(0.2, 0.4), "stop", "the challenger is worse"),
        (seen_of(0.3, 0.3), "continue", "leaves both possible"),
        (seen_of(0.3, 0.3, days=7.0), "stop", "undecided after 7 days"),
        (seen_of(0.9, 0.0, count=80), "continue", "at least 50 are needed"),
        (
            seen_of(0.4, 0.2, guards=(Guard("errors", (0, 5), (0, 5), 0.02),)),
            "continue",
            "whether it keeps the guard errors is not known yet",
        ),
        (
            seen_of(0.4, 0.2, guards=(Guard("errors", (10, 3000), (400, 3000), 0.02),)),
            "stop",
            "share of errors is larger by more than 0.02",
        ),
        (seen_of(0.4, 0.2, days=8.0), "promote", "smaller"),
    ],
)
def test_an_experiment_is_decided_by_what_is_known(seen: Seen, decision: str, words: str) -> None:
    found = judge(seen, RULES)
    assert (found.decision, words in found.reason) == (decision, True), found.reason
    assert found.figures["difference"]["low"] <= found.figures["difference"]["high"]


def test_losses_that_are_known_to_differ_by_less_than_matters_stop_it() -> None:
    found = judge(seen_of(0.05, 0.05, count=20_000), replace(RULES, worthless=0.03))
    assert (found.decision, "does not matter" in found.reason) == ("stop", True), found.reason


# --- losses and records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "prediction", "outcome", "loss"),
    [
        ("binary_classification", {"probability": 0.8, "label": True}, "true", 0.04),
        ("binary_classification", {"probability": 0.8, "label": True}, 0, 0.64),
        ("multiclass_classification", {"probabilities": {"1": 0.5, "2": 0.5}, "label": "1"}, 1, 0.25),
        ("multiclass_classification", {"probabilities": {"a": 1.0, "b": 0.0}, "label": "a"}, "b", 1.0),
        ("regression", {"value": 3.0}, "5", 0.2),
        ("regression", {"value": 3.0}, 500, 1.0),
    ],
)
def test_losses_are_between_none_and_one(problem: str, prediction: Any, outcome: Any, loss: float) -> None:
    assert loss_of(problem, [prediction], [outcome], clip=10.0) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("problem", "predictions", "outcomes"),
    [
        ("binary_classification", [{"probability": 0.8}], ["perhaps"]),
        ("binary_classification", [{"probability": 1.8}], [True]),
        ("binary_classification", [{"probability": 0.8}], [True, False]),
        ("binary_classification", [], []),
        ("multiclass_classification", [{"probabilities": {"a": 1.0}}], ["z"]),
        ("regression", [{"value": 3.0}], ["nan"]),
        ("regression", [{}], [1]),
    ],
)
def test_what_says_nothing_has_no_loss(problem: str, predictions: Any, outcomes: Any) -> None:
    with pytest.raises(NoLoss):
        loss_of(problem, predictions, outcomes, clip=1.0)


def capture_line(number: int, probability: float, *, unit: str | None = None, at: datetime = NOW) -> str:
    metadata: dict[str, Any] = {
        "eventId": "e",
        "inferenceId": f"i-{number}",
        "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    if unit is not None:
        metadata["customAttributes"] = [f"unit={unit};shares=a:1,b:1"]
    data = json.dumps({"predictions": [{"probability": probability, "label": probability > 0.5}]})
    output = {"observedContentType": "application/json", "mode": "OUTPUT", "data": data, "encoding": "JSON"}
    return json.dumps({"captureData": {"endpointOutput": output}, "eventMetadata": metadata, "eventVersion": "0"})


def outcome_line(number: int, value: Any) -> str:
    truth = {"data": str(value).lower(), "encoding": "CSV"}
    return json.dumps({"groundTruthData": truth, "eventMetadata": {"eventId": f"i-{number}"}, "eventVersion": "0"})


def test_captured_exchanges_are_read() -> None:
    found = parse_exposure(capture_line(1, 0.75, unit="00ff"))
    assert (found.inference_id, found.unit, found.shares) == ("i-1", "00ff", {"a": 1.0, "b": 1.0})
    assert found.predictions == [{"probability": 0.75, "label": True}]


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"eventMetadata": {}, "captureData": 1}', "null"])
def test_lines_that_are_no_records_are_told_apart(line: str) -> None:
    with pytest.raises(BadRecord):
        parse_exposure(line)
    with pytest.raises(BadRecord):
        parse_outcome(line)


def test_outcomes_of_several_instances_are_a_list() -> None:
    line = {"groundTruthData": {"data": "[1, 0]", "encoding": "JSON"}, "eventMetadata": {"eventId": "i"}}
    assert parse_outcome(json.dumps(line)) == Outcome("i", [1, 0])
    assert parse_outcome(outcome_line(3, True)) == Outcome("i-3", ["true"])


def test_answers_to_rows_that_were_chosen_for_people_are_no_outcomes() -> None:
    about = {"eventId": "i", "source": "relabelling", "position": 0, "labelledAt": "2026-03-01T00:00:00Z"}
    assert parse_outcome(json.dumps({"groundTruthData": {"data": "true"}, "eventMetadata": about})) is None


# --- what counts ------------------------------------------------------------------------------------------------------


def exposure(number: int, *, unit: str | None = None, shares: Any = None) -> Exposure:
    return Exposure(f"i-{number}", [{"probability": 0.5}], unit, shares or {}, NOW, 20.0 * number)


@pytest.fixture
def evidence(tmp_path: Path) -> Iterator[Evidence]:
    made = Evidence(tmp_path / "evidence.sqlite", slow_ms=50)
    yield made
    made.close()


def expose(evidence: Evidence, *given: Exposure, challenger: bool = False) -> None:
    for each in given:
        evidence.expose(each, champion="a", challenger="b", is_challenger=challenger)


def told(evidence: Evidence, *numbers: int, value: Any = True) -> None:
    for number in numbers:
        evidence.tell(Outcome(f"i-{number}", [value]))


def test_the_first_outcome_of_an_inference_id_counts_whenever_its_exposure_comes(evidence: Evidence) -> None:
    told(evidence, 2, 9, 1)
    told(evidence, 2, value=False)
    expose(evidence, exposure(1), exposure(2), exposure(2), exposure(3))
    assert [(each.outcomes, each.challenger) for each in evidence.judged()] == [("[true]", False)] * 2


def test_evidence_comes_in_the_order_in_which_outcomes_were_told(evidence: Evidence) -> None:
    expose(evidence, *(exposure(number) for number in range(5)))
    for number in (3, 0, 4):
        told(evidence, number, value=number)
    assert [json.loads(each.outcomes)[0] for each in evidence.judged()] == [3, 0, 4]


def test_the_first_outcome_of_a_unit_counts_and_what_has_no_unit_counts_by_itself(evidence: Evidence) -> None:
    expose(evidence, exposure(1, unit="u"), exposure(2, unit="u"), exposure(3, unit="v"), exposure(4), exposure(5))
    for number in (2, 1, 3, 4, 5):
        told(evidence, number, value=number)
    assert [json.loads(each.outcomes)[0] for each in evidence.first_of_units()] == [2, 3, 4, 5]
    assert len(list(evidence.first_of_units())) == 4


def test_the_share_is_the_challengers_among_the_two(evidence: Evidence) -> None:
    expose(evidence, exposure(1, shares={"a": 3, "b": 1, "c": 6}), exposure(2, shares={"a": 1.0}))
    told(evidence, 1, 2)
    assert [each.share for each in evidence.judged()] == [0.25, None]


def test_slow_answers_are_counted_among_those_that_were_timed(evidence: Evidence) -> None:
    expose(evidence, exposure(1), exposure(2), exposure(3))
    expose(evidence, exposure(4), challenger=True)
    assert (evidence.counts(challenger=False).slow, evidence.counts(challenger=False).measured) == (1, 3)
    assert evidence.counts(challenger=True).exposures == 1


# --- shadows ----------------------------------------------------------------------------------------------------------


def test_a_shadow_is_compared_by_label_and_by_score() -> None:
    comparison = Comparison("binary_classification", 1.0)
    for answered, shadow in ((0.2, 0.3), (0.6, 0.4), (0.9, 0.9)):
        comparison.add(
            {"probability": answered, "label": answered > 0.5}, {"probability": shadow, "label": shadow > 0.5}
        )
    figures = comparison.figures()
    assert figures["instances"] == 3
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert (figures["mean_distance"], figures["largest_distance"]) == (pytest.approx(0.1), pytest.approx(0.2))
    assert figures["kolmogorov_smirnov"] == pytest.approx(1 / 3)


def test_a_shadow_that_says_nothing_has_no_figures() -> None:
    comparison = Comparison("regression", 10.0)
    comparison.add({"value": 1.0}, {})
    assert comparison.figures()["mean_distance"] is None


# --- the function -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workload": "others"}, "workload: given 'others'; allowed is 'orders'"),
        ({"mode": "guess"}, "mode: given 'guess'; allowed: test, shadow"),
        ({"as_of": "now"}, "as_of: given 'now'"),
        ({"as_of": "2020-01-01T00:00:00Z"}, "allowed is an instant after"),
        ({"experiment": {**EXPERIMENT, "challenger": "a"}}, "is the champion"),
        ({"experiment": {"id": "e"}}, "allowed is an object of texts with id, champion, challenger, started_at"),
    ],
)
def test_an_event_that_names_no_experiment_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadExperiment, match=words):
        parse_event({**EVENT, **changes}, "orders")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        settings = {
            "AWS_DEFAULT_REGION": "us-east-1",
            "WORKLOAD": "orders",
            "ENDPOINT_NAME": ENDPOINT,
            "PROBLEM": "binary_classification",
            "CAPTURE_URI": "s3://artefacts/orders/capture/",
            "OUTCOMES_URI": "s3://artefacts/orders/outcomes/",
            "JUDGEMENTS_URI": "s3://artefacts/orders/judgements/",
            "AUDIT_TABLE": "audit",
            "RULES": json.dumps(vars(RULES)),
            "SCRATCH": str(tmp_path),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        clients.client.cache_clear()
        boto3.client("s3").create_bucket(Bucket="artefacts")
        keys = ("workload", "event")
        boto3.client("dynamodb").create_table(
            TableName="audit",
            KeySchema=[
                {"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        yield
        clients.client.cache_clear()


def put(key: str, lines: list[str]) -> None:
    boto3.client("s3").put_object(Bucket="artefacts", Key=f"orders/{key}", Body="\n".join(lines).encode())


def serve(variant: str, probability: float, numbers: range, *, calls: int = 2000, failed: int = 0) -> None:
    """Lets a variant have answered with a probability, and be as sure as the numbers of its calls say."""
    hour = f"{NOW:%Y/%m/%d/%H}"
    put(f"capture/{ENDPOINT}/{variant}/{hour}/x.jsonl", [capture_line(each, probability) for each in numbers])
    dimensions = [{"Name": "EndpointName", "Value": ENDPOINT}, {"Name": "VariantName", "Value": variant}]
    values = {"Invocations": calls, "Invocation5XXErrors": failed}
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": NOW - timedelta(minutes=10)}
            for name, value in values.items()
        ],
    )


def audited() -> list[str]:
    return [item["event"]["S"] for item in boto3.client("dynamodb").scan(TableName="audit")["Items"]]


def test_a_better_challenger_is_promoted_and_that_is_written_down(aws: None) -> None:
    serve("a", 0.2, range(0, 600, 2))
    serve("b", 0.9, range(1, 600, 2))
    lines = [*(outcome_line(each, True) for each in range(599)), outcome_line(599, "perhaps"), "no record"]
    put("outcomes/2024/day.jsonl", lines)
    answer = handler(EVENT, None)
    assert answer["decision"] == "promote", answer
    assert answer["figures"]["outcomes"] == {"champion": 300, "challenger": 299}
    assert answer["figures"]["refused"] == {"exposures": 0, "outcomes": 1, "pairs": 1}
    assert audited() == ["experiment#e-1#promote"]
    assert handler(EVENT, None) == answer
    bucket, _, key = answer["judgement_uri"].removeprefix("s3://").partition("/")
    kept = json.loads(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    assert (kept["decision"], kept["experiment"]) == ("promote", EXPERIMENT)


def test_a_challenger_that_fails_more_calls_is_stopped_whatever_it_answers(aws: None) -> None:
    serve("a", 0.2, range(0, 600, 2))
    serve("b", 0.9, range(1, 600, 2), failed=300)
    put("outcomes/day.jsonl", [outcome_line(each, True) for each in range(600)])
    answer = handler(EVENT, None)
    assert (answer["decision"], answer["figures"]["guards"]["errors"]["verdict"]) == ("stop", "broken")


def test_outcomes_that_come_late_are_waited_for(aws: None) -> None:
    serve("a", 0.2, range(0, 600, 2))
    serve("b", 0.9, range(1, 600, 2))
    answer = handler(EVENT, None)
    assert (answer["decision"], answer["figures"]["outcomes"]["champion"]) == ("continue", 0)
    assert audited() == []


def test_exposures_before_the_experiment_do_not_count(aws: None) -> None:
    early = BEGUN - timedelta(minutes=1)
    line = capture_line(1, 0.9, at=early)
    put(f"capture/{ENDPOINT}/a/{BEGUN:%Y/%m/%d/%H}/x.jsonl", [line])
    assert handler(EVENT, None)["figures"]["exposures"] == {"champion": 0, "challenger": 0}


class Latencies:
    """What CloudWatch says of each variant's latency, in microseconds, over two pages."""

    def __init__(self, **values: list[float]) -> None:
        self.values = values

    def get_paginator(self, operation: str) -> Latencies:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        (query,) = asked["MetricDataQueries"]
        metric = query["MetricStat"]["Metric"]
        assert (metric["MetricName"], query["MetricStat"]["Stat"]) == ("ModelLatency", "p99")
        values = self.values[metric["Dimensions"][1]["Value"]]
        for part in (values[:1], values[1:]):
            yield {"MetricDataResults": [{"Id": query["Id"], "Values": part}]}


def test_a_shadow_is_compared_by_the_latency_of_its_worst_minutes(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Latencies(a=[20_000.0, 35_000.0, 15_000.0], b=[80_000.0, 60_000.0])
    monkeypatch.setattr(
        "judge_experiment.handler.client", lambda name: known if name == "cloudwatch" else clients.client(name)
    )
    event: Any = {**EVENT, "mode": "shadow"}
    answer = handler(event, None)
    assert answer["figures"]["worst_p99_ms"] == {"answering": 35.0, "shadow": 80.0}


def test_a_shadow_is_compared_and_never_decided(aws: None) -> None:
    serve("a", 0.2, range(40))
    serve("b", 0.3, range(40))
    event: Any = {**EVENT, "mode": "shadow"}
    answer = handler(event, None)
    assert answer["decision"] == "continue"
    assert answer["figures"]["instances"] == 40
    assert answer["figures"]["mean_distance"] == pytest.approx(0.1)
    assert answer["figures"]["agreement"] == 1.0
