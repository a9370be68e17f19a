"""Other accounts: local servers beside this one, whose buckets, keys, models and images are asked for as on AWS.

A request for something of a neighbour needs what it needs on AWS: the caller's own policies allow it here, and the
policy of the bucket, the key, the model package group or the repository allows it there. Then it is handed on, signed
by the neighbour's root user, whose keys lie in its state directory. What there is: objects are read and copied,
signatures verified, model packages listed and described, images copied.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as SigningKeys
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from local.server import hooks
from local.server.ecr.layers import Layers
from local.server.host import Caller, Denied, Host
from local.server.s3 import KEY_ID

_HANDED_ON = ("x-amz-target", "content-type", "accept", "range", "if-match", "if-none-match")
_NO_POLICY = (
    *("NoSuchBucketPolicy", "RepositoryNotFoundException", "RepositoryPolicyNotFoundException", "ValidationException"),
)
_DROPPED = ("transfer-encoding", "connection", "date", "server")
_COPY = "x-amz-copy-source"
_IMAGES = ("BatchGetImage", "GetDownloadUrlForLayer")
_MODEL_PACKAGES = ("ListModelPackages", "DescribeModelPackage")

RawResponse = tuple[int, dict[str, str], Any]
Handler = Callable[..., Awaitable[RawResponse]]


def register(host: Host) -> None:
    """Put the neighbours behind S3, KMS and SageMaker; without neighbours nothing changes."""
    neighbours = [Neighbour(folder) for folder in host.settings.neighbours]
    if not neighbours:
        return
    road = Road(host, neighbours)
    handlers = hooks.get("app:SERVICE_HANDLERS")
    for service, operations in (("ecr", _IMAGES), ("kms", ("Verify",)), ("sagemaker", _MODEL_PACKAGES)):
        handlers[service] = road.beside(service, operations, handlers[service])
    hooks.replace(
        "services.s3:validate_object_request", road.before_s3(hooks.get("services.s3:validate_object_request"))
    )
    hooks.replace("services.s3:handle_request", road.behind_s3(hooks.get("services.s3:handle_request")))


@dataclass(frozen=True)
class Neighbour:
    """Another local server, known by its state directory."""

    state_dir: Path
    _clients: dict[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def document(self) -> dict[str, Any]:
        """What it says about itself."""
        found: dict[str, Any] = json.loads((self.state_dir / "server.json").read_text())
        return found

    @property
    def account(self) -> str:
        """Its account."""
        return str(self.document["account"])

    def client(self, service: str) -> Any:
        """A client as its root user."""
        if service not in self._clients:
            keys = self.document["credentials"]
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.document["endpoint"],
                region_name=self.document["region"],
                verify=self.document["ca_file"],
                aws_access_key_id=keys["access_key_id"],
                aws_secret_access_key=keys["secret_access_key"],
                config=Config(inject_host_prefix=False),
            )
        return self._clients[service]

    def has_bucket(self, name: str) -> bool:
        """Whether a bucket is its own."""
        try:
            self.client("s3").head_bucket(Bucket=name)
        except ClientError:
            return False
        return True

    def policy_of(self, arn: str) -> str:
        """The policy of a bucket, a key, a repository, a model package or its group; empty where there is none."""
        service, resource = arn.split(":")[2], arn.split(":", 5)[5]
        try:
            if service == "s3":
                return str(self.client("s3").get_bucket_policy(Bucket=resource.partition("/")[0])["Policy"])
            if service == "kms":
                return str(self.client("kms").get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
            if service == "ecr":
                name = resource.partition("/")[2]
                return str(self.client("ecr").get_repository_policy(repositoryName=name)["policyText"])
            group = resource.split("/")[1]
            found = self.client("sagemaker").get_model_package_group_policy(ModelPackageGroupName=group)
            return str(found["ResourcePolicy"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_POLICY:
                raise
            return ""

    def ask(
        self, service: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> RawResponse:
        """Hand a request on, signed by the root user; gives the whole answer."""
        keys = self.document["credentials"]
        url = f"{self.document['endpoint']}{quote(path)}{'?' + query if query else ''}"
        kept = {name: value for name, value in headers.items() if name in _HANDED_ON}
        request = AWSRequest(method=method, url=url, data=body, headers=kept)
        signing = SigningKeys(keys["access_key_id"], keys["secret_access_key"])
        (S3SigV4Auth if service == "s3" else SigV4Auth)(signing, service, self.document["region"]).add_auth(request)
        answer = URLLib3Session(verify=self.document["ca_file"]).send(request.prepare())
        dropped = _DROPPED if method == "HEAD" else (*_DROPPED, "content-length")
        given = {name: value for name, value in answer.headers.items() if name.lower() not in dropped}
        return answer.status_code, given, answer.content


class Road:
    """The way to the neighbours."""

    def __init__(self, host: Host, neighbours: list[Neighbour]) -> None:
        self._host = host
        self._neighbours = neighbours

    # -- policies

    def require(self, neighbour: Neighbour, caller: Caller, action: str, arn: str, context: Mapping[str, str]) -> None:
        """Raise ``Denied`` unless the caller's policies here and the resource's policy there allow an action."""
        self._host.check(caller, action, arn, context)
        evaluation = hooks.get("core.iam_evaluator:EvalContext")(
            principal_arn=_role_of(caller.arn),
            principal_type="AssumedRole",
            principal_account=self._host.settings.account,
            action=action,
            resource_arn=arn,
            region=self._host.settings.region,
            secure_transport=True,
            service_context={name.lower(): value for name, value in context.items()},
        )
        verdict = hooks.get("core.iam_evaluator:evaluate_resource_policy")(neighbour.policy_of(arn), evaluation)
        if verdict.decision != "Allow":
            raise Denied(
                f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn} because no "
                "resource-based policy allows the action"
            )

    # -- services that speak JSON

    def beside(self, service: str, operations: tuple[str, ...], serve: Handler) -> Handler:
        """Serve what names an ARN of a neighbour from there, everything else from here."""

        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> RawResponse:
            found = self._named(body) if headers.get("x-amz-target", "").rpartition(".")[2] in operations else None
            if found is None:
                return await serve(method, path, headers, body, query)
            return await asyncio.to_thread(self._ask_json, service, *found, headers, body, query)

        return handle

    def _named(self, body: bytes) -> tuple[Neighbour, str] | None:
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            return None
        if not isinstance(values, dict):
            return None
        by_account = {each.account: each for each in self._neighbours}
        registry, name = values.get("registryId"), values.get("repositoryName")
        if registry in by_account:
            return by_account[registry], f"arn:aws:ecr:{self._host.settings.region}:{registry}:repository/{name}"
        for value in (value for value in values.values() if isinstance(value, str) and value.count(":") >= 5):
            if value.startswith("arn:") and value.split(":")[4] in by_account:
                return by_account[value.split(":")[4]], value
        return None

    def _ask_json(
        self, service: str, neighbour: Neighbour, arn: str, headers: dict[str, str], body: bytes, query: Any
    ) -> RawResponse:
        action = f"{service}:{headers['x-amz-target'].rpartition('.')[2]}"
        try:
            self.require(neighbour, self._host.caller(headers, query), action, arn, {})
        except Denied as error:
            document = {"__type": "AccessDeniedException", "message": str(error)}
            return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
        answer = neighbour.ask(service, "POST", "/", "", headers, body)
        return self._offered(neighbour, body, answer) if action == "ecr:GetDownloadUrlForLayer" else answer

    def _offered(self, neighbour: Neighbour, body: bytes, answer: RawResponse) -> RawResponse:
        """Offer a layer of a neighbour from here: nobody but this server trusts the neighbour's certificate."""
        if answer[0] != HTTPStatus.OK:
            return answer
        asked, found = json.loads(body), json.loads(answer[2])
        request = AWSRequest("GET", found["downloadUrl"]).prepare()
        layer = URLLib3Session(verify=neighbour.document["ca_file"]).send(request).content
        copied = Layers(self._host).offer_copy(
            asked["registryId"], asked["repositoryName"], found["layerDigest"], layer
        )
        return copied.status, dict(copied.headers), copied.body

    # -- objects

    def before_s3(self, validate: Callable[..., RawResponse | None]) -> Callable[..., RawResponse | None]:
        """Let requests for objects pass whose bucket a neighbour has."""

        def check(method: str, path: str, headers: dict[str, str], query_params: Any) -> RawResponse | None:
            refusal = validate(method, path, headers, query_params)
            if refusal is None or refusal[0] != 404:
                return refusal
            return None if self._owner(path.lstrip("/").partition("/")[0]) is not None else refusal

        return check

    def behind_s3(self, serve: Handler) -> Handler:
        """Serve from here; what is not here, a bucket or what is to be copied, from a neighbour that has it."""

        async def handle(
            method: str, path: str, headers: dict[str, str], body: bytes, query: Any, *more: Any, **options: Any
        ) -> RawResponse:
            answer = await serve(method, path, headers, body, query, *more, **options)
            if answer[0] != 404 or options.get("internal"):
                return answer
            source = unquote(headers.get(_COPY, "")).lstrip("/")
            wanted = source if method == "PUT" and source else path.lstrip("/")
            bucket, _, key = wanted.partition("/")
            neighbour = (
                await asyncio.to_thread(self._owner, bucket) if key and method in ("GET", "HEAD", "PUT") else None
            )
            if neighbour is None:
                return answer
            reading = "HEAD" if method == "HEAD" else "GET"
            fetched = await asyncio.to_thread(self._fetch, neighbour, reading, bucket, key, headers, query)
            if method != "PUT" or fetched[0] != 200:
                return fetched
            return await self._put(serve, path, headers, fetched, query, more, options)

        return handle

    def _owner(self, bucket: str) -> Neighbour | None:
        return next((each for each in self._neighbours if each.has_bucket(bucket)), None)

    def _fetch(
        self, neighbour: Neighbour, method: str, bucket: str, key: str, headers: dict[str, str], query: Any
    ) -> RawResponse:
        caller, arn = self._host.caller(headers, query), f"arn:aws:s3:::{bucket}/{key}"
        asked = {} if _COPY in headers else headers
        condition = headers.get(f"{_COPY}-if-match")
        try:
            self.require(neighbour, caller, "s3:GetObject", arn, {})
            answer = neighbour.ask("s3", method, f"/{bucket}/{key}", _listed(query), asked, b"")
            named = {name.lower(): value for name, value in answer[1].items()}
            if KEY_ID in named:
                via = {"kms:ViaService": f"s3.{self._host.settings.region}.amazonaws.com"}
                self.require(neighbour, caller, "kms:Decrypt", named[KEY_ID], via)
        except Denied as error:
            return _refusal("AccessDenied", str(error), 403)
        if condition is not None and condition.strip('"') != named["etag"].strip('"'):
            return _refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        return answer

    async def _put(
        self,
        serve: Handler,
        path: str,
        headers: dict[str, str],
        fetched: RawResponse,
        query: Any,
        more: tuple[Any, ...],
        options: dict[str, Any],
    ) -> RawResponse:
        """Write what was fetched, as the copy that was asked for."""
        kept = {name: value for name, value in headers.items() if not name.startswith(_COPY)}
        kept["content-length"] = str(len(fetched[2]))
        kept.pop("x-amz-content-sha256", None)
        status, given, body = await serve("PUT", path, kept, fetched[2], query, *more, **options)
        if status != 200:
            return status, given, body
        etag = next(value for name, value in given.items() if name.lower() == "etag")
        document = (
            f"<CopyObjectResult><ETag>{etag}</ETag><LastModified>2000-01-01T00:00:00Z</LastModified></CopyObjectResult>"
        )
        return 200, {**given, "Content-Type": "application/xml"}, document.encode()


def _role_of(arn: str) -> str:
    """What a policy calls the caller: the role of a session, anybody else as they are."""
    account, _, session = arn.removeprefix("arn:aws:sts::").partition(":assumed-role/")
    return f"arn:aws:iam::{account}:role/{session.partition('/')[0]}" if session else arn


def _listed(query: Any) -> str:
    pairs = [
        (name, value)
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
        if not name.lower().startswith("x-amz-")
    ]
    return urlencode(pairs)


def _refusal(code: str, message: str, status: int) -> RawResponse:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return status, {"Content-Type": "application/xml"}, document.encode()
