"""Predictions before and during a rollout: how far they are apart, and the metric that says so."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from constructs_lib.names import metrics
from gapless_lambda import clients
from watch_predictions.distance import LEAST, said, shift
from watch_predictions.handler import METRIC, NAMESPACE, BadEvent, handler, parse_event

SINCE = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)
NOW = SINCE + timedelta(minutes=5)
EVENT: Any = {"since": SINCE.isoformat(), "as_of": "2026-03-01T12:25:00Z"}


def scores(mean: float, count: int, seed: int) -> list[float]:
    draw = random.Random(seed)  # noqa: S311 - a simulation
    return [min(1.0, max(0.0, draw.gauss(mean, 0.1))) for _ in range(count)]


# --- the distance -----------------------------------------------------------------------------------------------------


def test_a_mixture_is_as_far_as_the_new_model_times_its_share() -> None:
    """A limit times the share is the limit of what the new fleet does alone."""
    before, new = [0.5] * 10_000, [0.9] * 10_000
    alone = shift(before, new)
    assert alone == pytest.approx(1.0, abs=0.03)
    for share in (0.1, 0.25, 0.5):
        count = round(share * 10_000)
        assert shift(before, [*before[count:], *new[:count]]) == pytest.approx(share, abs=0.03)


def test_what_chance_explains_is_no_shift() -> None:
    """With a limit of 1 in 1,000 at each look, however few there are."""
    found = [shift(scores(0.5, 60, seed), scores(0.5, 80, 1000 + seed)) for seed in range(300)]
    assert sum(each is not None and each > 0 for each in found) <= 2


def test_a_small_sample_says_less_than_a_large_one_and_a_tiny_one_nothing() -> None:
    small, large = shift(scores(0.3, 100, 1), scores(0.7, 100, 2)), shift(scores(0.3, 5000, 1), scores(0.7, 5000, 2))
    assert small is not None and large is not None and 0.3 < small < large
    assert shift(scores(0.3, LEAST - 1, 1), scores(0.7, 5000, 2)) is None
    assert shift(scores(0.3, 5000, 1), []) is None


def test_labels_are_compared_by_their_shares() -> None:
    assert shift(["a"] * 2000 + ["b"] * 2000, ["a"] * 2000 + ["c"] * 2000) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("prediction", "compared"),
    [
        ({"probability": 0.25, "label": False}, 0.25),
        ({"probabilities": {"a": 0.2, "b": 0.8}, "label": "b"}, 0.8),
        ({"value": 7}, 7.0),
        ({"cluster": 3, "distance": 1.5}, 1.5),
        ({"projection": [1.0], "error": 0.5}, 0.5),
        ({"label": "b"}, "b"),
        ({"cluster": 3}, "3"),
        ({}, None),
    ],
)
def test_every_kind_of_prediction_says_something(prediction: dict[str, Any], compared: object) -> None:
    assert said(prediction) == compared


# --- the function -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    settings = {
        "STAGE": "dev",
        "WORKLOAD": "orders",
        "ENDPOINT_NAME": "dev-orders-live",
        "VARIANT": "primary",
        "CAPTURE_URI": "s3://artefacts/orders/capture/",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        clients.client.cache_clear()
        made = boto3.resource("s3", region_name="us-east-1").create_bucket(Bucket="artefacts")
        yield made
        clients.client.cache_clear()


def capture(bucket: Any, at: datetime, values: list[float], *more: str) -> None:
    lines = [
        json.dumps(
            {
                "captureData": {
                    "endpointOutput": {"data": json.dumps({"predictions": [{"probability": each}]}), "encoding": "JSON"}
                },
                "eventMetadata": {"eventId": "e", "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"},
                "eventVersion": "0",
            }
        )
        for each in values
    ]
    key = f"orders/capture/dev-orders-live/primary/{at:%Y/%m/%d/%H}/{at:%M-%S}.jsonl"
    bucket.put_object(Key=key, Body="\n".join([*lines, *more]).encode())


def test_what_was_said_in_the_hour_before_is_compared_with_what_is_said_since(
    bucket: Any, caplog: pytest.LogCaptureFixture
) -> None:
    capture(bucket, SINCE - timedelta(hours=2), [0.9] * 500)
    capture(bucket, SINCE - timedelta(minutes=40), [0.5] * 300)
    capture(bucket, SINCE - timedelta(minutes=1), [0.5] * 300)
    capture(bucket, SINCE + timedelta(minutes=1), [0.5] * 300 + [0.9] * 300, "no line", '{"captureData": {}}')
    found = handler(EVENT, None)
    assert (found["before"], found["since"]) == (600, 600)
    assert 0.35 < found["shift"] < 0.5
    line = vars(caplog.records[-1])
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == (metrics.NAMESPACE, [list(metrics.DIMENSIONS)])
    assert (line["Stage"], line["Workload"], line["PredictionShift"]) == ("dev", "orders", round(found["shift"], 4))


def test_only_the_last_minutes_of_a_long_rollout_are_looked_at(bucket: Any) -> None:
    capture(bucket, SINCE - timedelta(minutes=1), [0.5] * 300)
    capture(bucket, SINCE + timedelta(minutes=2), [0.5] * 3000)
    capture(bucket, SINCE + timedelta(minutes=50), [0.9] * 300)
    later: Any = {**EVENT, "as_of": (SINCE + timedelta(minutes=55)).isoformat()}
    found = handler(later, None)
    assert found["since"] == 300 and found["shift"] > 0.8


def test_where_nothing_can_be_told_there_is_no_metric(bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    capture(bucket, SINCE + timedelta(minutes=1), [0.9] * 300)
    assert handler(EVENT, None) == {"before": 0, "since": 300, "shift": None}
    assert "_aws" not in vars(caplog.records[-1])


def test_the_metric_is_the_one_that_the_alarm_watches() -> None:
    assert (NAMESPACE, METRIC) == (metrics.NAMESPACE, metrics.PREDICTION_SHIFT)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"as_of": "2026-03-01T12:25:00Z"}, "since: given None"),
        ({**EVENT, "since": "yesterday"}, "since: given 'yesterday'; allowed is an instant"),
        ({**EVENT, "as_of": "2026-03-01T12:25:00"}, "as_of: given"),
        ({**EVENT, "as_of": "2026-03-01T12:00:00Z"}, "allowed is an instant after"),
    ],
)
def test_refuses_an_event_that_names_no_rollout(event: dict[str, Any], says: str) -> None:
    with pytest.raises(BadEvent, match=says):
        parse_event(event)
