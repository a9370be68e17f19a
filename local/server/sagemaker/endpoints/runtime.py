"""InvokeEndpoint and InvokeEndpointAsync: a request's way to a model and back."""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
import uuid
from urllib.parse import unquote

from local.server.host import Request, Response, ServiceError
from local.server.sagemaker.endpoints.asynchronous import AsyncQueue
from local.server.sagemaker.endpoints.capture import Exchange
from local.server.sagemaker.endpoints.control import Endpoints, Live
from local.server.sagemaker.endpoints.fleet import Slot, VariantFleet
from local.server.sagemaker.endpoints.instance import NoAnswer, Reply
from local.server.sagemaker.endpoints.meter import Invocation, Meter
from local.server.sagemaker.endpoints.on_demand import OnDemand
from local.server.sagemaker.endpoints.several_models import TARGET, NoSuchModel
from local.server.sagemaker.endpoints.traffic import NoCapacity, UnknownVariant
from local.server.sagemaker.platform import Platform

_PATH = re.compile(r"/endpoints/([^/]+)/invocations")
_ASYNC_PATH = re.compile(r"/endpoints/([^/]+)/async-invocations")
_OTHER = re.compile(r"/endpoints/([^/]+)/(async-invocations|invocations-response-stream)")
_HEADER = "x-amzn-sagemaker-"
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_TARGET = "x-amzn-sagemaker-target-model"
_UNSUPPORTED = (
    "target-container-hostname",
    "enable-explanations",
    "inference-component",
    "session-id",
    "prefix-aware-id",
)
_READY_SECONDS = 60.0
_LONGEST_MESSAGE = 2000
_SILENT = "Your invocation timed out or was broken off while waiting for a response from the container"


def action_of(path: str) -> str:
    """The action that a path of the runtime API needs."""
    return "InvokeEndpointAsync" if _ASYNC_PATH.fullmatch(path) else "InvokeEndpoint"


def endpoint_of(path: str) -> str | None:
    """The endpoint that a path of the runtime API names, or ``None`` for another path."""
    match = _PATH.fullmatch(path) or _OTHER.fullmatch(path)
    return None if match is None else unquote(match[1])


class Runtime:
    """The runtime API."""

    def __init__(self, platform: Platform, endpoints: Endpoints) -> None:
        self._platform = platform
        self._endpoints = endpoints
        self._meter = Meter(platform.host)
        self._queue = AsyncQueue(platform, endpoints, self._meter)
        self._on_demand = OnDemand(platform, endpoints)

    def start(self) -> None:
        """Work on what waits, and end what is idle."""
        self._queue.start()
        self._on_demand.start()

    def close(self) -> None:
        """Publish what was measured."""
        self._meter.close()

    def invoke(self, request: Request) -> Response:
        """Serve one request of the runtime API.

        Raises:
            ServiceError: ``ValidationError`` when nothing serves it, ``ServiceUnavailable`` without a healthy instance.
        """
        started = time.perf_counter()
        waiting = _ASYNC_PATH.fullmatch(request.path)
        if waiting is not None:
            return self._queue.take(request, unquote(waiting[1]))
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise ServiceError("ValidationError", "responses are not streamed on the local server")
        for header in (_HEADER + name for name in _UNSUPPORTED):
            if header in request.headers:
                raise ServiceError("ValidationError", f"the header {header} is not available on the local server")
        name = unquote(match[1])
        live = self._serving(name)
        if "AsyncInferenceConfig" in live.fleet.config:
            raise ServiceError("ValidationError", f"Endpoint {name} is asynchronous; use InvokeEndpointAsync.")
        try:
            with (
                self._on_demand.admitted(live),
                live.traffic.taken(request.headers.get(_HEADER + "target-variant")) as (variant, slot),
            ):
                _check_target(name, variant, request)
                response = self._ask(name, variant, slot, request, started)
            self._copy(name, live, variant, request)
            return response
        except NoSuchModel as error:
            raise ServiceError("ValidationError", str(error)) from error
        except UnknownVariant as error:
            raise ServiceError("ValidationError", f"Variant {error} not found for Request") from error
        except NoCapacity as error:
            raise ServiceError(
                "ServiceUnavailable", f"no instance of variant {error} of endpoint {name} is in service", 503
            ) from error

    def _serving(self, name: str) -> Live:
        live = self._endpoints.live(name)
        account = self._platform.settings.account
        if live is None:
            raise ServiceError("ValidationError", f"Endpoint {name} of account {account} not found.")
        if not (live.ready.wait(_READY_SECONDS) and live.serving):
            raise ServiceError("ValidationError", f"Endpoint {name} of account {account} is not in service.")
        return live

    def _ask(self, endpoint: str, variant: VariantFleet, slot: Slot, request: Request, started: float) -> Response:
        asked = time.perf_counter()
        try:
            reply = slot.instance.invoke(request.body, _forwarded(request))
        except NoAnswer:
            reply = None
        answered = time.perf_counter()
        response = self._respond(variant, request, reply, endpoint)
        status = 500 if reply is None else reply.status
        loading = None if reply is None else reply.loading
        latency = (answered - asked) * 1e6 - (0.0 if loading is None else loading.waited)
        overhead = (time.perf_counter() - started) * 1e6 - latency
        counted = Invocation(status, latency, overhead, instances=len(variant.slots), loading=loading)
        self._meter.add(endpoint, variant.name, counted)
        return response

    def _copy(self, endpoint: str, live: Live, variant: VariantFleet, request: Request) -> None:
        """Send a copy to the shadow, if there is one; nobody waits for its answer."""
        shadow = variant.shadow
        if shadow is None or random.random() >= variant.shadow_share:  # noqa: S311 - a sample, no secret
            return

        def ask() -> None:
            with contextlib.suppress(NoCapacity), live.traffic.lent(shadow) as slot:
                self._ask(endpoint, shadow, slot, request, time.perf_counter())

        threading.Thread(target=ask, name=f"shadow of {endpoint}", daemon=True).start()

    def _respond(self, variant: VariantFleet, request: Request, reply: Reply | None, endpoint: str) -> Response:
        if reply is None:
            return self._model_error(endpoint, variant.name, 0, _SILENT)
        if not 200 <= reply.status < 300:
            text = reply.body.decode("utf-8", errors="replace")[:_LONGEST_MESSAGE]
            return self._model_error(endpoint, variant.name, reply.status, text)
        if variant.capture is not None:
            variant.capture.add(_exchange(request, reply))
        headers = {
            # in lower case: ministack gives every "Content-Type" of JSON the type of the control plane's answers
            "content-type": reply.headers.get("content-type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": variant.name,
            "x-amzn-RequestId": str(uuid.uuid4()),
        }
        if _ATTRIBUTES in reply.headers:
            headers["X-Amzn-SageMaker-Custom-Attributes"] = reply.headers[_ATTRIBUTES]
        return Response(200, headers, reply.body)

    def _model_error(self, endpoint: str, variant: str, status: int, text: str) -> Response:
        settings = self._platform.settings
        group = f"/aws/sagemaker/Endpoints/{endpoint}"
        side = "client" if 400 <= status < 500 else "server"
        document = {
            "Message": f'Received {side} error ({status}) from {variant} with message "{text}". See log group {group} '
            f"in account {settings.account} for more information.",
            "OriginalStatusCode": status,
            "OriginalMessage": text,
            "LogStreamArn": f"arn:aws:logs:{settings.region}:{settings.account}:log-group:{group}",
        }
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
        return Response(424, headers, json.dumps(document).encode())


def _check_target(endpoint: str, variant: VariantFleet, request: Request) -> None:
    """See that a request names a model where there are several, and nowhere else."""
    if variant.several_models and not request.headers.get(_TARGET):
        raise ServiceError("ValidationError", f"Endpoint {endpoint} is a multi-model endpoint: give TargetModel.")
    if not variant.several_models and _TARGET in request.headers:
        raise ServiceError(
            "ValidationError",
            f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header.",
        )


def _forwarded(request: Request) -> dict[str, str]:
    headers = {
        "Content-Type": request.headers.get("content-type", "application/octet-stream"),
        "Accept": request.headers.get("accept", "*/*"),
    }
    if _TARGET in request.headers:
        headers[TARGET] = request.headers[_TARGET]
    if _ATTRIBUTES in request.headers:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = request.headers[_ATTRIBUTES]
    return headers


def _exchange(request: Request, reply: Reply) -> Exchange:
    return Exchange(
        request=request.body,
        request_type=request.headers.get("content-type", "application/octet-stream"),
        response=reply.body,
        response_type=reply.headers.get("content-type", "application/octet-stream"),
        inference_id=request.headers.get(_HEADER + "inference-id"),
        custom_attributes=request.headers.get(_ATTRIBUTES),
    )
