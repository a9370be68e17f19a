"""What the host needs of ministack, in terms of our own types."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import hashlib
import json
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError

from local.server import hooks
from local.server.clients import service_model
from local.server.host import (
    REGION,
    ActionOf,
    Caller,
    ContextOf,
    CreateType,
    Credentials,
    DeleteType,
    Denied,
    Handler,
    Request,
    ResourceOf,
    Response,
    ServiceError,
    UpdateType,
)

log = logging.getLogger("gapless.ministack")

_SESSION_SECONDS = 7 * 24 * 3600
_SESSION_NAME = re.compile(r"[^\w+=,.@-]")

RawResponse = tuple[int, dict[str, str], bytes]


class Ministack:
    """The one place that joins the host to ministack's private parts; see ``hooks`` for the list of them."""

    def __init__(self, root: Credentials, account: str) -> None:
        self._account = account
        if not hooks.get("app:AUTH"):
            raise RuntimeError("ministack was imported before the environment was set: IAM is off")
        _make_root_sign(root, account)
        self._on_worker_thread: set[str] = set()
        original = hooks.get("services.cloudformation.stacks:_runs_on_worker_thread")
        hooks.replace(
            "services.cloudformation.stacks:_runs_on_worker_thread",
            lambda resource_type: resource_type in self._on_worker_thread or original(resource_type),
        )
        is_aws_service = hooks.get("core.router:_is_aws_service_name")
        hooks.replace(
            "core.router:_is_aws_service_name",
            lambda scope_name: scope_name in hooks.get("app:SERVICE_HANDLERS") or is_aws_service(scope_name),
        )
        hooks.replace("core.responses:_service_model", model_of)

    # -- services

    def add_service(
        self,
        name: str,
        handler: Handler,
        *,
        iam_namespace: str,
        resource: ResourceOf,
        action: ActionOf | None,
        context: ContextOf | None,
    ) -> None:
        """Serve requests whose signing name is ``name``, after a policy check."""

        def serve(request: Request) -> Response:
            operation = action(request) if action is not None else request.operation
            if operation:
                keys = context(request) if context is not None else {}
                self.check(request.caller, f"{iam_namespace}:{operation}", resource(request), keys)
            return handler(request)

        hooks.get("app:SERVICE_HANDLERS")[name] = self._asgi_handler(serve)

    def add_operations(self, service: str, operations: Mapping[str, Handler]) -> None:
        """Replace single operations of a JSON-protocol service; ministack has checked the policies by then."""
        handlers = hooks.get("app:SERVICE_HANDLERS")
        original = handlers[service]
        own = {name: self._asgi_handler(handler) for name, handler in operations.items()}

        async def serve(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> RawResponse:
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            chosen = own.get(operation, original)
            answer: RawResponse = await chosen(method, path, headers, body, query)
            return answer

        handlers[service] = serve

    def add_alternatives(self, service: str, alternatives: Mapping[str, Callable[[Request], Response | None]]) -> None:
        """Ask an alternative before ministack serves an operation; ministack has checked the policies by then."""
        handlers = hooks.get("app:SERVICE_HANDLERS")
        original = handlers[service]
        passed_on = Response(status=0)
        own = {name: self._asgi_handler(_or_else(each, passed_on)) for name, each in alternatives.items()}

        async def serve(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> RawResponse:
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            if operation in own:
                found: RawResponse = await own[operation](method, path, headers, body, query)
                if found[0] != passed_on.status:
                    return found
            answer: RawResponse = await original(method, path, headers, body, query)
            return answer

        handlers[service] = serve

    def add_guards(self, service: str, guards: Mapping[str, Callable[[Request], None]]) -> None:
        """Call a guard before ministack serves an operation; what it raises is the answer."""
        handlers = hooks.get("app:SERVICE_HANDLERS")
        original = handlers[service]
        action_of = hooks.get("core.iam_actions:extract_iam_action")

        def guarded(guard: Callable[[Request], None]) -> Callable[..., Any]:
            def check(request: Request) -> Response:
                guard(request)
                return Response()

            return self._asgi_handler(check)

        checks = {name: guarded(guard) for name, guard in guards.items()}

        async def serve(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> RawResponse:
            operation = (action_of(service, method, path, headers, body, query) or "").rpartition(":")[2]
            if operation in checks:
                verdict: RawResponse = await checks[operation](method, path, headers, body, query)
                if verdict[0] != Response().status:
                    return verdict
            answered: RawResponse = await original(method, path, headers, body, query)
            return answered

        handlers[service] = serve

    def _asgi_handler(self, handler: Handler) -> Callable[..., Any]:
        async def serve(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> RawResponse:
            request = Request(
                method=method,
                path=path,
                headers=headers,
                body=body,
                query={key: values[-1] if isinstance(values, list) else values for key, values in query.items()},
                caller=self.caller(headers, query),
                queries={key: values if isinstance(values, list) else [values] for key, values in query.items()},
            )
            return await asyncio.to_thread(answer, handler, request)

        return serve

    def caller(self, headers: Mapping[str, str], query: Any) -> Caller:
        """Who signed a request; the signature itself has been verified before."""
        access_key = hooks.get("core.router:extract_access_key_id")(headers, query)
        principal = hooks.get("core.iam_evaluator:resolve_principal")(access_key, self._account)
        return Caller(access_key, getattr(principal, "arn", ""))

    # -- resource types

    def add_resource_type(
        self, type_name: str, *, create: CreateType, update: UpdateType, delete: DeleteType, worker_thread: bool
    ) -> None:
        """Provision ``type_name`` with these three functions."""
        types = hooks.get("services.cloudformation.provisioners:_RESOURCE_HANDLERS")
        types[type_name] = {"create": create, "update": update, "delete": delete}
        if worker_thread:
            self._on_worker_thread.add(type_name)

    def extend_resource_type(self, type_name: str, apply: Callable[[str, dict[str, Any]], None]) -> None:
        """Apply what ministack's own provisioner of ``type_name`` leaves out."""
        types = hooks.get("services.cloudformation.provisioners:_RESOURCE_HANDLERS")
        original = types[type_name]

        def create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
            made: tuple[str, dict[str, Any]] = original["create"](logical_id, props, stack_name)
            apply(made[0], props)
            return made

        def update(physical_id: str, old: dict[str, Any], props: dict[str, Any], *context: Any) -> Any:
            changed = original["update"](physical_id, old, props, *context)
            apply(changed[0], props)
            return changed

        types[type_name] = {**original, "create": create, "update": update}
        self._on_worker_thread.add(type_name)

    # -- identity

    def check(self, caller: Caller, action: str, resource: str, context: Mapping[str, str]) -> None:
        """Raise ``Denied`` unless the caller's policies allow the action."""
        service = action.partition(":")[0]
        verdict = _apart_from_any_request(
            hooks.get("core.iam_evaluator:enforce"), caller.access_key, action, service, REGION, resource, dict(context)
        )
        if verdict is None:
            return
        if isinstance(verdict, hooks.get("core.iam_evaluator:AuthError")):
            raise Denied(verdict.message)
        sentence = hooks.get("core.iam_actions:identity_denial_message")
        raise Denied(sentence(action, verdict.principal_arn, resource, verdict.decision == "Deny"))

    def assume_as_service(self, role_arn: str, service: str, session: str, context: Mapping[str, str]) -> Credentials:
        """Temporary credentials of a role for a service that its trust policy names."""
        role_name = role_arn.rsplit("/", 1)[-1]
        role = hooks.get("services.iam:_roles").get_scoped(self._account, None, role_name)
        if role is None:
            raise Denied(f"{service} cannot assume {role_arn}: there is no such role")
        if not _trusts(role["AssumeRolePolicyDocument"], service, context):
            raise Denied(f"{service} is not authorized to assume {role_arn}: its trust policy does not allow it")
        name = _SESSION_NAME.sub("-", session)[:64] or "session"
        credentials = Credentials(
            access_key="ASIA" + secrets.token_hex(8).upper(),
            secret_key=secrets.token_urlsafe(30),
            session_token=hashlib.sha256(uuid.uuid4().bytes).hexdigest() * 2,
        )
        hooks.get("services.sts:register_session")(
            credentials.access_key,
            {
                "Arn": f"arn:aws:sts::{self._account}:assumed-role/{role_name}/{name}",
                "UserId": f"{role.get('RoleId', role_name)}:{name}",
                "SecretAccessKey": credentials.secret_key,
                "SessionToken": credentials.session_token,
                "Expiration": time.time() + _SESSION_SECONDS,
            },
        )
        return credentials

    def service_may(self, service: str, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Whether a resource's own policy lets an AWS service perform an action on it."""
        found = _apart_from_any_request(
            hooks.get("core.iam_evaluator:_resource_policy"), action.partition(":")[0], resource
        )
        if found is None:
            return False
        evaluation = hooks.get("core.iam_evaluator:EvalContext")(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action=action,
            resource_arn=resource,
            region=REGION,
            secure_transport=True,
            service_context={key.lower(): value for key, value in context.items()},
        )
        verdict = hooks.get("core.iam_evaluator:evaluate_resource_policy")(found[0], evaluation, service)
        return bool(verdict.decision == "Allow")

    # -- events

    def put_event(self, source: str, detail_type: str, detail: str, resources: list[str]) -> None:
        """Put an event on the default bus; ``aws.`` sources are allowed here."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": detail, "Resources": resources}
        _apart_from_any_request(hooks.get("services.eventbridge:_put_events"), {"Entries": [entry]}, True)


def _make_root_sign(root: Credentials, account: str) -> None:
    """Let the root user in by its own secret only.

    Stock ministack takes several well-known keys, and no key at all, for the root user and never looks at their
    signatures. As a session of its own, the root user has to sign like anybody else.
    """
    for name in ("core.iam_evaluator:is_root_access_key", "services.sts:is_root_access_key"):
        hooks.replace(name, lambda access_key_id: False)  # noqa: ARG005 - the name is part of the hook
    hooks.get("services.sts:register_session")(
        root.access_key,
        {
            "Arn": f"arn:aws:iam::{account}:root",
            "AccountId": account,
            "UserId": account,
            "PrincipalType": "Root",
            "SecretAccessKey": root.secret_key,
        },
    )


def answer(handler: Handler, request: Request) -> RawResponse:
    """Call a handler; its errors become what AWS answers."""
    try:
        response = handler(request)
        return response.status, dict(response.headers), response.body
    except Denied as error:
        return _error("AccessDeniedException", str(error), 400)
    except ServiceError as error:
        return _error(error.code, error.message, error.status)
    except Exception as error:
        log.exception("%s %s %s failed", request.method, request.path, request.operation)
        return _error("InternalFailure", f"{type(error).__name__}: {error}", 500)


def _error(code: str, message: str, status: int) -> RawResponse:
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}, body


def _apart_from_any_request(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call as a service does: without the request that is being served, whose signature would be looked at again."""

    def call() -> Any:
        hooks.get("core.iam_evaluator:pin_request_origin")("127.0.0.1", True)
        return function(*arguments)

    return contextvars.Context().run(call)


def _trusts(document: str | dict[str, Any], service: str, context: Mapping[str, str]) -> bool:
    statements = (json.loads(document) if isinstance(document, str) else document).get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    effects = {statement["Effect"] for statement in statements if _applies(statement, service, context)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], service: str, context: Mapping[str, str]) -> bool:
    actions = statement.get("Action", [])
    evaluation = hooks.get("core.iam_evaluator:EvalContext")(
        principal_arn=service,
        principal_type="Service",
        principal_account=context["aws:SourceAccount"],
        action="sts:AssumeRole",
        resource_arn="*",
        region=REGION,
        service_context={key.lower(): value for key, value in context.items()},
    )
    return bool(
        hooks.get("core.iam_evaluator:_action_matches")(
            "sts:AssumeRole", [actions] if isinstance(actions, str) else actions, []
        )
        and hooks.get("core.iam_evaluator:_service_principal_matches")(statement.get("Principal"), service)
        and hooks.get("core.iam_evaluator:_conditions_met")(statement.get("Condition", {}), evaluation)
    )


def _or_else(alternative: Callable[[Request], Response | None], passed_on: Response) -> Handler:
    return lambda request: alternative(request) or passed_on


@functools.cache
def model_of(service: str) -> Any | None:
    """The model of a service by ministack's name of it; ``None`` when botocore knows no such service."""
    name = hooks.get("core.responses:_BOTOCORE_NAME").get(service, service)
    try:
        return service_model(name)
    except BotoCoreError:
        return None
