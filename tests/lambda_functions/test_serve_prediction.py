"""What the API's function makes of a request: refusals that name the field, variants by unit, errors by their cause."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from constructs_lib.names.api_file import Api
from constructs_lib.names.openapi import Described, document
from gapless_lambda.s3 import Address
from judge_experiment.records import parse_exposure
from serve_prediction import handler as serving
from serve_prediction.assigning import assign, sticky_value, unit_of, weights
from serve_prediction.capturing import Draw, Exchange, address, attributes, record
from serve_prediction.checking import BadRequest, parse
from serve_prediction.endpoint import NoAnswer, ask, explained

ORDERS = Described(
    name="orders",
    description="",
    problem="binary_classification",
    attributes={
        "amount": "double",
        "items": "int",
        "channel": "string",
        "gift": "boolean",
        "since": "date",
        "at": "timestamp",
    },
    takes_as_of=False,
)
DOCUMENT = document(ORDERS, Api(most_instances=2, allowed={"channel": ("web", "shop")}))
INSTANCE: dict[str, Any] = {
    "amount": 1.5,
    "items": 2,
    "channel": "web",
    "gift": False,
    "since": "2024-01-31",
    "at": "2024-01-31T12:00:00Z",
}
WHOLE = "a whole number from -2147483648 to 2147483647 or null"


def body(**changes: Any) -> str:
    return json.dumps({"instances": [{**INSTANCE, **changes}]})


def refusal(text: str | None) -> dict[str, Any]:
    with pytest.raises(BadRequest) as refused:
        parse(text, DOCUMENT)
    return refused.value.document()


def test_a_request_of_the_document_is_taken_as_it_is() -> None:
    assert parse(body(), DOCUMENT) == {"instances": [INSTANCE]}
    nothing = dict.fromkeys(INSTANCE)
    assert parse(json.dumps({"instances": [nothing]}), DOCUMENT) == {"instances": [nothing]}


@pytest.mark.parametrize(
    ("changes", "field", "given_", "allowed"),
    [
        ({"amount": "much"}, "amount", "much", "a number or null"),
        ({"amount": True}, "amount", True, "a number or null"),
        ({"items": 1.5}, "items", 1.5, WHOLE),
        ({"items": 2**31}, "items", 2**31, WHOLE),
        ({"channel": "phone"}, "channel", "phone", ["web", "shop", None]),
        ({"gift": 1}, "gift", 1, "true or false or null"),
        ({"since": "31.1.2024"}, "since", "31.1.2024", "a date such as 2024-01-31 or null"),
        ({"at": "2024-01-31T12:00:00"}, "at", "2024-01-31T12:00:00", "an instant such as 2024-01-31T12:00:00Z or null"),
        ({"channl": "web"}, "channl", "web", sorted(INSTANCE)),
    ],
)
def test_a_refusal_names_the_field_what_was_given_and_what_is_allowed(
    changes: dict[str, Any], field: str, given_: Any, allowed: Any
) -> None:
    said = refusal(body(**changes))
    assert (said["field"], said["given"], said["allowed"]) == (f"instances[0].{field}", given_, allowed)


def test_what_is_missing_is_named_with_what_belongs_there() -> None:
    said = refusal(json.dumps({"instances": [INSTANCE, {"items": 1}]}))
    assert (said["field"], said["error"]) == ("instances[1].amount", "is missing")
    assert refusal("{}")["field"] == "instances"


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '"text"', '{"instances": [NaN]}', "[" * 100_000])
def test_a_body_that_is_no_object_of_json_is_refused(text: str | None) -> None:
    assert refusal(text)["field"] == "body"


def test_there_is_a_limit_of_instances() -> None:
    assert refusal(json.dumps({"instances": [INSTANCE] * 3}))["allowed"] == "1 to 2 items"
    assert refusal('{"instances": []}')["given"] == "0 items"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_no_double_holds_is_refused_in_words_that_are_json(number: str) -> None:
    said = refusal(body().replace("1.5", number))
    assert said["field"] == "instances[0].amount"
    assert json.loads(json.dumps(said, allow_nan=False)) == said


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=4))
def test_no_value_of_json_makes_the_check_fail_otherwise_than_by_a_refusal(value: Any) -> None:
    text = json.dumps({"instances": [{**INSTANCE, "amount": value, "channel": value}]})
    try:
        parse(text, DOCUMENT)
    except BadRequest as refused:
        json.dumps(refused.document(), allow_nan=False)


def test_units_meet_the_variants_by_their_weights_and_always_the_same_one() -> None:
    shares = {"champion": 0.9, "challenger": 0.1}
    units = [unit_of(f"customer {number}", "config-1") for number in range(5000)]
    counts = Counter(assign(unit, shares) for unit in units)
    assert 400 < counts["challenger"] < 600
    assert [assign(unit, shares) for unit in units] == [assign(unit, shares) for unit in units]


def test_a_larger_weight_moves_units_to_the_later_variant_only() -> None:
    units = [unit_of(str(number), "config") for number in range(500)]
    before = [assign(unit, {"a": 0.9, "b": 0.1}) for unit in units]
    after = [assign(unit, {"a": 0.5, "b": 0.5}) for unit in units]
    assert all(new == "b" for old, new in zip(before, after, strict=True) if old == "b")


def test_another_experiment_draws_anew() -> None:
    shares = {"a": 1.0, "b": 1.0}
    drawn = [[assign(unit_of(str(number), salt), shares) for number in range(200)] for salt in ("one", "two")]
    assert 60 < sum(first == second for first, second in zip(*drawn, strict=True)) < 140


def test_shadows_and_variants_without_weight_are_not_assigned() -> None:
    variants = [
        {"VariantName": "b", "CurrentWeight": 1.0},
        {"VariantName": "a", "CurrentWeight": 3.0},
        {"VariantName": "c", "CurrentWeight": 0.0},
    ]
    endpoint = {
        "ProductionVariants": variants,
        "ShadowProductionVariants": [{"VariantName": "s", "CurrentWeight": 1.0}],
    }
    assert list(weights(endpoint).items()) == [("a", 3.0), ("b", 1.0)]


def test_instances_of_one_request_have_one_unit() -> None:
    assert sticky_value("channel", [INSTANCE, INSTANCE], {}) == '"web"'
    with pytest.raises(BadRequest, match="channel: has several values"):
        sticky_value("channel", [INSTANCE, {**INSTANCE, "channel": None}], {})
    assert sticky_value("header:x-user", [], {"x-user": "7"}) == "7"
    with pytest.raises(BadRequest, match="x-user: is missing"):
        sticky_value("header:x-user", [], {})


def failure(code: str, message: str = "", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, **more}, "InvokeEndpoint")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failure("ThrottlingException"), 429),
        (failure("ServiceUnavailable"), 503),
        (failure("ModelNotReadyException"), 503),
        (failure("ValidationError", "Endpoint e of account 1 not found."), 503),
        (failure("ValidationException", 'Could not find endpoint "e".'), 503),
        (failure("ValidationError", "Variant b not found for Request"), 503),
        (failure("ModelError", OriginalStatusCode=500), 502),
    ],
)
def test_what_keeps_the_endpoint_from_answering_has_a_status_of_its_own(error: ClientError, status: int) -> None:
    said = explained(error)
    assert isinstance(said, NoAnswer)
    assert said.status == status


def test_a_model_that_refuses_the_request_is_the_callers_fault_and_told_in_its_words() -> None:
    said = explained(failure("ModelError", OriginalStatusCode=400, OriginalMessage='{"error": "amount is odd"}'))
    assert isinstance(said, BadRequest)
    assert said.allowed == "amount is odd"


def test_a_missing_permission_is_nobodys_answer() -> None:
    error = failure("AccessDeniedException")
    assert explained(error) is error


class Endpoint:
    """Stands for the runtime's client; keeps what it is asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Body": io.BytesIO(self.answer), "InvokedProductionVariant": "b"}


def test_a_model_that_does_not_answer_in_time_is_504() -> None:
    with pytest.raises(NoAnswer) as given_up:
        ask(Endpoint(ReadTimeoutError(endpoint_url="e")), "e", "{}", {})
    assert given_up.value.status == 504


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DOCUMENT_URI", "CONTRACT_URI", "ENDPOINT_NAME", "STAGE", "WORKLOAD"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setattr(serving, "read", lambda _uri: DOCUMENT)
    return monkeypatch


def called(
    endpoint: Endpoint, settings: pytest.MonkeyPatch, **event: Any
) -> tuple[int, dict[str, Any], dict[str, str]]:
    settings.setattr(serving, "runtime", lambda: endpoint)
    answer = serving.handler({"headers": {}, "body": body(), "requestContext": {"requestId": "r"}, **event}, None)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def test_the_callers_inference_id_goes_to_the_endpoint_and_comes_back(settings: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(b'{"predictions": [{"probability": 0.5, "label": true}]}')
    status, said, _ = called(endpoint, settings, headers={"X-Inference-Id": "order-7"})
    assert (status, said["inference_id"], said["variant"]) == (200, "order-7", "b")
    assert endpoint.asked[0]["InferenceId"] == "order-7"
    assert json.loads(endpoint.asked[0]["Body"]) == {"instances": [INSTANCE]}
    assert "TargetVariant" not in endpoint.asked[0]
    assert len(called(endpoint, settings)[1]["inference_id"]) == 36


def test_a_bad_request_never_reaches_the_endpoint(settings: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(b"{}")
    assert called(endpoint, settings, body=body(items="two"))[0] == 400
    assert called(endpoint, settings, headers={"x-inference-id": "a b"})[:1] == (400,)
    assert endpoint.asked == []


@pytest.mark.parametrize("answer", [b"no JSON", b"[]"])
def test_an_answer_that_is_none_is_the_models_fault(settings: pytest.MonkeyPatch, answer: bytes) -> None:
    assert called(Endpoint(answer), settings)[0] == 502


def test_too_many_requests_say_when_to_come_again(settings: pytest.MonkeyPatch) -> None:
    status, said, headers = called(Endpoint(failure("ThrottlingException")), settings)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert said["inference_id"]


def test_the_log_line_of_an_answer_holds_its_metrics_and_ids(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[dict[str, Any]] = []
    settings.setattr(serving.log, "info", lambda _message, extra: lines.append(extra))
    called(Endpoint(b"{}"), settings, body="{}")
    (line,) = lines
    assert (line["request_id"], line["status"], line["PredictionsRefused"]) == ("r", 400, 1)
    directive = line["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "Gapless"
    assert all(metric["Name"] in line for metric in directive["Metrics"])
    assert all(name in line for names in directive["Dimensions"] for name in names)


def test_several_variants_are_assigned_by_the_attribute_that_the_workload_names(settings: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(b'{"predictions": []}')
    settings.setenv("STICKY_BY", "channel")
    shares = {"a": 0.5, "b": 0.5}
    settings.setattr(serving, "shares_of", lambda _name, _period: ("config", shares))
    for channel in ("web", "shop", "web"):
        called(endpoint, settings, body=body(channel=channel))
    targets = [asked["TargetVariant"] for asked in endpoint.asked]
    assert targets[0] == targets[2] == assign(unit_of('"web"', "config"), shares)
    assert endpoint.asked[0]["CustomAttributes"] == attributes(Draw(unit_of('"web"', "config"), shares))
    settings.setattr(serving, "shares_of", lambda _name, _period: ("config", {"a": 1.0}))
    called(endpoint, settings)
    assert "TargetVariant" not in endpoint.asked[-1]


class Ended(Endpoint):
    """An endpoint of which one variant is left, since a test of two has ended."""

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        if "TargetVariant" in asked:
            self.asked.append(asked)
            raise failure("ValidationError", f"Variant {asked['TargetVariant']} not found for Request")
        return super().invoke_endpoint(**asked)


class Looks:
    """SageMaker, whose endpoint has these variants, each at one look."""

    def __init__(self, *variants: Sequence[str]) -> None:
        self.looks = iter(variants)

    def describe_endpoint(self, **_: Any) -> dict[str, Any]:
        variants = [{"VariantName": name, "CurrentWeight": 0.5} for name in next(self.looks)]
        return {"EndpointConfigName": "config", "ProductionVariants": variants}


def drawn_from(settings: pytest.MonkeyPatch, endpoint: Endpoint, *variants: Sequence[str]) -> int:
    """The status of a request that is drawn, where each look at the endpoint finds other variants."""
    settings.setenv("STICKY_BY", "channel")
    described = Looks(*variants)
    settings.setattr(serving, "client", lambda _name: described)
    serving.shares_of.cache_clear()
    try:
        return called(endpoint, settings)[0]
    finally:
        serving.shares_of.cache_clear()


def test_a_variant_that_has_gone_costs_no_request(settings: pytest.MonkeyPatch) -> None:
    endpoint = Ended(b'{"predictions": []}')
    assert drawn_from(settings, endpoint, ("a", "b"), ("a",)) == 200
    assert ["TargetVariant" in asked for asked in endpoint.asked] == [True, False]
    assert drawn_from(settings, Ended(b"{}"), ("a", "b"), ("a", "c")) == 503


ROUTING = json.dumps({"feature": "channel", "values": ["web"]})


def test_the_segment_of_a_request_names_the_model_that_answers(settings: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(b'{"predictions": []}')
    called(endpoint, settings)
    settings.setenv("ROUTING", ROUTING)
    for channel in ("web", "shop", None):
        assert called(endpoint, settings, body=body(channel=channel))[0] == 200
    targets = [asked.get("TargetModel") for asked in endpoint.asked]
    assert targets == [None, "web.tar.gz", "_fallback.tar.gz", "_fallback.tar.gz"]
    said = [asked.get("CustomAttributes") for asked in endpoint.asked]
    assert said == [None, "model=web", "model=_fallback", "model=_fallback"]


def test_what_is_captured_names_draw_and_model(settings: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(b'{"predictions": []}')
    settings.setenv("ROUTING", ROUTING)
    assert drawn_from(settings, endpoint, ("a", "b")) == 200
    unit = unit_of('"web"', "config")
    assert endpoint.asked[0]["CustomAttributes"] == f"unit={unit};shares=a:0.5,b:0.5;model=web"


def test_one_model_answers_for_a_whole_request(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("ROUTING", ROUTING)
    mixed = json.dumps({"instances": [INSTANCE, {**INSTANCE, "channel": "shop"}]})
    status, said, _ = called(Endpoint(b"{}"), settings, body=mixed)
    assert (status, said["field"], said["given"]) == (400, "channel", ['"web"', '"shop"'])


class OlderSet(Endpoint):
    """An endpoint whose set has the fallback alone."""

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        if asked["TargetModel"] != "_fallback.tar.gz":
            self.asked.append(asked)
            raise failure("ValidationError", "Failed to download model data(bucket: b, key: web.tar.gz).")
        return super().invoke_endpoint(**asked)


def test_a_set_that_has_no_model_of_a_segment_yet_answers_by_its_fallback(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("ROUTING", ROUTING)
    endpoint = OlderSet(b'{"predictions": []}')
    assert called(endpoint, settings)[0] == 200
    assert [asked["TargetModel"] for asked in endpoint.asked] == ["web.tar.gz", "_fallback.tar.gz"]
    assert [asked["CustomAttributes"] for asked in endpoint.asked] == ["model=web", "model=_fallback"]
    none = Endpoint(failure("ValidationError", "Failed to download model data(bucket: b, key: k)."))
    assert called(none, settings)[0] == 503


EXCHANGE = Exchange(
    request=body(),
    response='{"predictions": [{"probability": 0.5, "label": true}]}',
    variant="b",
    inference_id="id-1",
    attributes=attributes(Draw("00ff", {"a": 0.9, "b": 0.1}), "north.tar.gz"),
    latency_ms=12.3456,
    at=datetime(2024, 1, 31, 12, 5, 6, tzinfo=UTC),
)


def test_what_is_kept_is_what_the_judge_of_experiments_reads() -> None:
    exposure = parse_exposure(json.dumps(record(EXCHANGE)))
    assert (exposure.inference_id, exposure.unit, exposure.latency_ms) == ("id-1", "00ff", 12.346)
    assert exposure.shares == {"a": 0.9, "b": 0.1}
    assert list(exposure.predictions) == [{"probability": 0.5, "label": True}]
    assert exposure.at == EXCHANGE.at
    kept = address(Address("bucket", "orders/capture/"), "dev-orders-live", EXCHANGE)
    assert kept.key == "orders/capture/dev-orders-live/b/2024/01/31/12/05-06-id-1.jsonl"


def test_what_cannot_be_kept_does_not_take_the_answer_away(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CAPTURE_URI", "s3://bucket/orders/capture/")
    kept: list[Exchange] = []
    settings.setattr(serving, "client", lambda _name: None)
    settings.setattr(serving, "keep", lambda _s3, _base, _endpoint, exchange: kept.append(exchange))
    endpoint = Endpoint(b'{"predictions": []}')
    assert called(endpoint, settings)[0] == 200
    assert [exchange.response for exchange in kept] == ['{"predictions": []}']

    def fails(*_: Any) -> None:
        raise failure("AccessDenied")

    settings.setattr(serving, "keep", fails)
    assert called(endpoint, settings)[0] == 200
