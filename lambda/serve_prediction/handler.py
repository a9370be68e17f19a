"""Answers a request that API Gateway hands over: checks it by the API's document, asks the endpoint, tells what failed.

The event is API Gateway's of a proxy integration; the answer has a status, headers and a JSON body. A request that is
none gets 400 with the field, what was given and what is allowed, before the endpoint is asked. Every answer carries an
inference id, the caller's (``x-inference-id``) or a new one, under which the exchange is captured and outcomes are told
later. Where the endpoint has several models, the segment of a request names the one that is asked. Where it has several
variants and the workload says by what they are assigned, equal values meet the same variant.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from botocore.exceptions import ClientError

from constructs_lib.names.segments import Routing, fallback_archive
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings
from predict_online.features import BadRequest as NoInstances
from predict_online.features import NoFeatures
from predict_online.store import join
from serve_prediction.assigning import assign, sticky_value, unit_of, weights
from serve_prediction.capturing import Draw, Exchange, attributes, keep
from serve_prediction.checking import BadRequest, parse
from serve_prediction.endpoint import Answer, NoAnswer, NoModel, NoVariant, ask, explained, runtime
from serve_prediction.measures import measured

INFERENCE_ID = "x-inference-id"
INFERENCE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
WEIGHTS_SECONDS = 15
"""How long the weights of the variants are taken for unchanged."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """Where document and contract are, the endpoint, and whose metrics these are."""

    document_uri: str
    contract_uri: str
    endpoint_name: str
    stage: str
    workload: str


@dataclass(frozen=True)
class Options:
    """What only some workloads have.

    Attributes:
        group_names: Feature group → its physical name.
        sticky_by: By what requests are assigned to variants; an empty text if each is drawn by itself.
        capture: Where exchanges are kept, if this function has to keep them.
        capture_percent: How many of 100 it keeps.
        routing: Which model of several is asked, if there are several.
    """

    group_names: Mapping[str, str]
    sticky_by: str
    capture: Address | None
    capture_percent: float
    routing: Routing | None

    @classmethod
    def read(cls) -> Options:
        """Reads the optional variables of the environment."""
        uri = os.environ.get("CAPTURE_URI")
        return cls(
            group_names=json.loads(os.environ.get("GROUP_NAMES", "{}")),
            sticky_by=os.environ.get("STICKY_BY", ""),
            capture=parse_uri(uri) if uri else None,
            capture_percent=float(os.environ.get("CAPTURE_PERCENT", "100")),
            routing=Routing.of(json.loads(os.environ["ROUTING"])) if "ROUTING" in os.environ else None,
        )


@dataclass(frozen=True)
class Asked:
    """A request that is one.

    Attributes:
        body: What the endpoint gets.
        fallbacks: Features that were not read but replaced; none where there is nothing to read.
        sticky: The value by which a variant is drawn; none if SageMaker draws one.
        model: Which model of several is asked; none if there is one.
    """

    body: str
    fallbacks: list[dict[str, Any]] | None
    sticky: str | None
    model: str | None


@cache
def read(uri: str) -> Mapping[str, Any]:
    """A document that is named after its content, so it never changes."""
    content: Mapping[str, Any] = read_json(client("s3"), parse_uri(uri))
    return content


@lru_cache(maxsize=1)
def shares_of(endpoint_name: str, period: int) -> tuple[str, Mapping[str, float]]:  # noqa: ARG001
    """The configuration of the endpoint and the weights of its variants, read once in a period.

    Raises:
        NoAnswer: There is no endpoint, or SageMaker does not say.
    """
    try:
        endpoint = client("sagemaker").describe_endpoint(EndpointName=endpoint_name)
    except ClientError as error:
        raise explained(error) from error
    return endpoint["EndpointConfigName"], weights(endpoint)


def inference_id_of(headers: Mapping[str, str]) -> str:
    """Gives the caller's inference id, or a new one.

    Raises:
        BadRequest: The caller's cannot be one.
    """
    given = headers.get(INFERENCE_ID)
    if given is None:
        return str(uuid.uuid4())
    if re.fullmatch(INFERENCE_ID_PATTERN, given) is None:
        raise BadRequest(
            "is not written as it has to be",
            field=INFERENCE_ID,
            given=given,
            allowed=f"a text that matches {INFERENCE_ID_PATTERN}",
        )
    return given


def prepare(event: Mapping[str, Any], headers: Mapping[str, str], settings: Settings, options: Options) -> Asked:
    """Gives what the endpoint is asked.

    Raises:
        BadRequest: The request is none.
        NoFeatures: A record is missing without which there is no prediction.
    """
    request = parse(event.get("body"), read(settings.document_uri))
    instances, fallbacks = request["instances"], None
    model = model_of(instances, options.routing) if options.routing is not None else None
    sticky = sticky_value(options.sticky_by, instances, headers) if options.sticky_by else None
    if options.group_names:
        instances, found = join(request, read(settings.contract_uri), options.group_names)
        fallbacks = [asdict(each) for each in found]
    return Asked(json.dumps({"instances": instances}), fallbacks, sticky, model)


def model_of(instances: Sequence[Mapping[str, Any]], routing: Routing) -> str:
    """Gives the one model of several that answers for a request.

    Raises:
        BadRequest: Several would have to.
    """
    models = routing.parts(instances)
    if len(models) > 1:
        values = list(dict.fromkeys(json.dumps(instance.get(routing.feature)) for instance in instances))
        raise BadRequest(
            "is answered by several models in one request",
            field=routing.feature,
            given=values,
            allowed="instances that one model answers for; ask for others in a request of their own",
        )
    return next(iter(models))


def drawn(sticky: str, settings: Settings) -> Draw | None:
    """Gives whom a value is drawn by, and in which shares; nothing where one variant answers everybody.

    Raises:
        NoAnswer: There is no endpoint.
    """
    config, shares = shares_of(settings.endpoint_name, int(time.monotonic() // WEIGHTS_SECONDS))
    return Draw(unit_of(sticky, config), shares) if len(shares) > 1 else None


def predict(asked: Asked, inference_id: str, settings: Settings) -> Answer:
    """Asks the endpoint for the prediction of a request; draws anew where the variant has gone in the meantime.

    Raises:
        BadRequest: The model refuses the request.
        NoAnswer: There is none.
    """
    try:
        return ask_variant(asked, inference_id, settings)
    except NoVariant:
        shares_of.cache_clear()
    return ask_variant(asked, inference_id, settings)


def ask_variant(asked: Asked, inference_id: str, settings: Settings) -> Answer:
    """Asks the variant that is drawn, and of several models the one of the segment.

    The fallback is asked where the set that serves is older than the segment and has no model of it.
    """
    draw = drawn(asked.sticky, settings) if asked.sticky is not None else None
    try:
        return ask(runtime(), settings.endpoint_name, asked.body, options_of(inference_id, draw, asked.model))
    except NoModel:
        log.warning("no model of its own", extra={"model": asked.model})
    return ask(runtime(), settings.endpoint_name, asked.body, options_of(inference_id, draw, fallback_archive()))


def options_of(inference_id: str, draw: Draw | None, model: str | None) -> dict[str, str]:
    """Gives what a request says beside its body: who is to answer, and what capture keeps of that."""
    options = {
        "InferenceId": inference_id,
        "TargetVariant": assign(draw.unit, draw.shares) if draw is not None else None,
        "TargetModel": model,
        "CustomAttributes": attributes(draw, model),
    }
    return {name: value for name, value in options.items() if value is not None}


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Answer one request; what nobody expects is raised, and becomes 502 and an alarm."""
    settings, options = read_settings(Settings), Options.read()
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    begun, inference_id, answer = time.perf_counter(), "", None
    try:
        inference_id = inference_id_of(headers)
        asked = prepare(event, headers, settings, options)
        answer = predict(asked, inference_id, settings)
        status, body, retry_after = 200, _answered(answer, asked), None
    except BadRequest as error:
        status, body, retry_after = 400, error.document(), None
    except NoInstances as error:
        field, _, text = str(error).partition(": ")
        status, body, retry_after = 400, {"error": text, "field": field}, None
    except NoFeatures as error:
        status, body, retry_after = 422, {"error": str(error)}, None
    except NoAnswer as error:
        status, body, retry_after = error.status, {"error": error.error}, error.retry_after
    milliseconds = (time.perf_counter() - begun) * 1000
    if answer is not None:
        _keep(
            Exchange(asked.body, answer.body, answer.variant, inference_id, answer.attributes, milliseconds, _now()),
            options,
            settings,
        )
    variant = answer.variant if answer is not None else ""
    request_id = (event.get("requestContext") or {}).get("requestId", "")
    ids = {"inference_id": inference_id, "request_id": request_id, "variant": variant, "status": status}
    log.info("answered", extra={**ids, **measured(settings.stage, settings.workload, status, milliseconds, _now())})
    return _response(status, {**body, "inference_id": inference_id}, retry_after)


def _answered(answer: Answer, asked: Asked) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except ValueError as error:
        raise NoAnswer(502, "the model's answer is not JSON") from error
    if not isinstance(content, dict):
        raise NoAnswer(502, "the model's answer is not an object")
    told = {} if asked.fallbacks is None else {"fallbacks": asked.fallbacks}
    return {**content, "variant": answer.variant, **told}


def _keep(exchange: Exchange, options: Options, settings: Settings) -> None:
    """Keeps an exchange, if it is to be kept; what cannot be kept is logged and does not take the answer away."""
    if options.capture is None or random.random() * 100 >= options.capture_percent:  # noqa: S311 - a sample
        return
    try:
        keep(client("s3"), options.capture, settings.endpoint_name, exchange)
    except Exception:
        log.exception("not captured", extra={"inference_id": exchange.inference_id})


def _response(status: int, body: Mapping[str, Any], retry_after: int | None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **({} if retry_after is None else {"Retry-After": str(retry_after)})}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body), "isBase64Encoded": False}


def _now() -> datetime:
    return datetime.now(UTC)
