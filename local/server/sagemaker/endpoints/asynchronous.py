"""Asynchronous endpoints: requests wait in a queue, and answers lie in S3 (``InvokeEndpointAsync``).

A request is taken when an instance is free, with the input and the output under the model's role; topics are told of
successes and failures. The queue outlives the process. What waits is published as metrics, as scaling needs them.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.host import Request, Response, ServiceError
from local.server.sagemaker.endpoints.control import Endpoints, Live
from local.server.sagemaker.endpoints.instance import NoAnswer, Reply
from local.server.sagemaker.endpoints.meter import Invocation, Meter
from local.server.sagemaker.endpoints.traffic import NoCapacity
from local.server.sagemaker.platform import Platform, log
from local.server.sagemaker.s3_data import Address, encryption
from local.server.sagemaker.store import Document

KIND = "AsyncRequest"
_NAMESPACE = "AWS/SageMaker"
_HEADER = "x-amzn-sagemaker-"
_LOOK_SECONDS = 0.1
_PUBLISH_SECONDS = 10.0
_DEFAULT_AT_ONCE = 4


class AsyncQueue:
    """The requests that wait for the account's asynchronous endpoints."""

    def __init__(self, platform: Platform, endpoints: Endpoints, meter: Meter) -> None:
        self._platform = platform
        self._endpoints = endpoints
        self._meter = meter
        self._lock = threading.Lock()
        self._waiting: dict[str, Document] = {}
        self._working: set[str] = set()
        self._published = 0.0

    def start(self) -> None:
        """Work on what waits from now on, what has waited before a restart first."""
        with self._lock:
            self._waiting = {each["Number"]: each for each in self._platform.store.all(KIND)} | self._waiting
        threading.Thread(target=self._run, name="async-invocations", daemon=True).start()

    # -- asking

    def take(self, request: Request, endpoint: str) -> Response:
        """Accept a request.

        Raises:
            ServiceError: The endpoint is not asynchronous, or the input has no address (``ValidationError``).
        """
        config = self._config_of(endpoint)
        if config is None:
            raise ServiceError("ValidationError", f"Endpoint {endpoint} is not an asynchronous endpoint.")
        source = request.headers.get(_HEADER + "inputlocation")
        if source is None:
            raise ServiceError("ValidationError", "InputLocation must be given on the local server")
        inference_id = request.headers.get(_HEADER + "inference-id") or str(uuid.uuid4())
        number = str(uuid.uuid4())
        output = config["OutputConfig"]
        place = Address.parse(output["S3OutputPath"]).join(f"{number}.out")
        failed = Address.parse(output.get("S3FailurePath", output["S3OutputPath"])).join(f"{number}-error.out")
        asked = {
            "Number": number,
            "Endpoint": endpoint,
            "InferenceId": inference_id,
            "Input": source,
            "Output": str(place),
            "Failure": str(failed),
            "ContentType": request.headers.get(_HEADER + "content-type", "application/octet-stream"),
            "Accept": request.headers.get(_HEADER + "accept", "*/*"),
        }
        kept = self._platform.store.add(KIND, number, asked)
        with self._lock:
            self._waiting[number] = kept
        headers = {
            "content-type": "application/json",
            "X-Amzn-SageMaker-OutputLocation": str(place),
            "X-Amzn-SageMaker-FailureLocation": str(failed),
        }
        return Response(202, headers, json.dumps({"InferenceId": inference_id}).encode())

    def _config_of(self, endpoint: str) -> Document | None:
        found: Document | None = self._endpoints.endpoint(endpoint)["_Deployed"]["config"].get("AsyncInferenceConfig")
        return found

    # -- answering

    def _run(self) -> None:
        while not self._platform.stopping.wait(_LOOK_SECONDS):
            try:
                self._look()
            except (ClientError, BotoCoreError, ServiceError):
                log.exception("asynchronous invocations")

    def _look(self) -> None:
        lives = {
            name: live for name, live in self._endpoints.lives().items() if "AsyncInferenceConfig" in live.fleet.config
        }
        with self._lock:
            waiting = list(self._waiting.values())
        for name, live in lives.items():
            if live.serving:
                self._hand_out(name, live, [each for each in waiting if each["Endpoint"] == name])
        self._publish(lives, waiting)

    def _hand_out(self, endpoint: str, live: Live, requests: list[Document]) -> None:
        with self._lock:
            busy = sum(each["Number"] in self._working for each in requests)
            fresh = [each for each in requests if each["Number"] not in self._working]
            fresh = fresh[: max(0, self._room(live) - busy)]
            self._working.update(each["Number"] for each in fresh)
        for each in fresh:
            name = f"invocation {each['InferenceId']}"
            threading.Thread(target=self._work, args=(endpoint, live, each), name=name, daemon=True).start()

    def _room(self, live: Live) -> int:
        asked = live.fleet.config["AsyncInferenceConfig"].get("ClientConfig", {})
        per_instance = int(asked.get("MaxConcurrentInvocationsPerInstance", _DEFAULT_AT_ONCE))
        return per_instance * sum(len(variant.slots) for variant in live.fleet.variants.values())

    def _work(self, endpoint: str, live: Live, request: Document) -> None:
        try:
            self._answer(endpoint, live, request)
            self._forget(request)
        except NoCapacity:
            pass  # it waits for an instance
        except (ClientError, BotoCoreError):
            log.exception("the answer to %s of %s was lost", request["InferenceId"], endpoint)
            self._forget(request)
        finally:
            with self._lock:
                self._working.discard(request["Number"])

    def _forget(self, request: Document) -> None:
        self._platform.store.remove(KIND, request["Number"])
        with self._lock:
            self._waiting.pop(request["Number"], None)

    def _answer(self, endpoint: str, live: Live, request: Document) -> None:
        role = live.fleet.credentials
        s3 = self._platform.host.client("s3", role)
        output = live.fleet.config["AsyncInferenceConfig"]["OutputConfig"]
        started = time.perf_counter()
        reply, reason = None, ""
        with live.traffic.taken(None) as (variant, slot):
            try:
                source = Address.parse(request["Input"])
                body = s3.get_object(Bucket=source.bucket, Key=source.key)["Body"].read()
                reply = slot.instance.invoke(
                    body, {"Content-Type": request["ContentType"], "Accept": request["Accept"]}
                )
            except (ClientError, BotoCoreError) as error:
                reason = f"Error downloading input: {error}"
            except NoAnswer as error:
                reason = str(error)
            status = 500 if reply is None else reply.status
            self._meter.add(endpoint, variant.name, Invocation(status, (time.perf_counter() - started) * 1e6, 0))
        if reply is not None and not 200 <= reply.status < 300:
            reason = reply.body.decode("utf-8", errors="replace")
        if reason:
            named = {"EndpointName": endpoint, "VariantName": variant.name}
            self._platform.host.put_metric(_NAMESPACE, "InvocationFailures", 1.0, named)
        place = Address.parse(request["Failure" if reason else "Output"])
        content = reason.encode() if reason else (reply or Reply(500, {}, b"")).body
        key = encryption(output.get("KmsKeyId"))
        s3.put_object(Bucket=place.bucket, Key=place.key, Body=content, **key)
        self._tell(endpoint, output, request, reason)

    def _tell(self, endpoint: str, output: Mapping[str, Any], request: Document, reason: str) -> None:
        topic = output.get("NotificationConfig", {}).get("ErrorTopic" if reason else "SuccessTopic")
        if topic is None:
            return
        live = self._endpoints.live(endpoint)
        if live is None:
            return
        message = {
            "awsRegion": self._platform.settings.region,
            "eventName": "InferenceResult",
            "eventSource": "aws:sagemaker",
            "invocationStatus": "Failed" if reason else "Completed",
            "inferenceId": request["InferenceId"],
            "requestParameters": {"endpointName": endpoint, "inputLocation": request["Input"]},
            "responseParameters": {"outputLocation": request["Output"], "contentType": request["Accept"]},
            **({"failureReason": reason[:1000], "failureLocation": request["Failure"]} if reason else {}),
        }
        try:
            self._platform.host.client("sns", live.fleet.credentials).publish(
                TopicArn=topic, Message=json.dumps(message)
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("topic %s was not told of %s: %s", topic, request["InferenceId"], error)

    # -- metrics

    def _publish(self, lives: Mapping[str, Live], waiting: Sequence[Document]) -> None:
        now = time.monotonic()
        if now - self._published < max(_LOOK_SECONDS, _PUBLISH_SECONDS * self._platform.settings.alarm_scale):
            return
        self._published = now
        for endpoint, live in lives.items():
            since = [each["CreationTime"] for each in waiting if each["Endpoint"] == endpoint]
            instances = sum(len(each.slots) for each in live.fleet.variants.values())
            values = {
                "ApproximateBacklogSize": len(since),
                "ApproximateBacklogSizePerInstance": len(since) / instances if instances else None,
                "ApproximateAgeOfOldestRequest": clock.now() - min(since) if since else 0,
                "HasBacklogWithoutCapacity": float(bool(since) and instances == 0),
            }
            dimensions = [{"Name": "EndpointName", "Value": endpoint}]
            data = [
                {"MetricName": name, "Value": float(value), "Dimensions": dimensions}
                for name, value in values.items()
                if value is not None
            ]
            self._platform.host.client("cloudwatch").put_metric_data(Namespace=_NAMESPACE, MetricData=data)
