"""Deployments: an alias is asked, moved in shares, watched, and taken back when something is wrong."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from local.server.host import Caller, Host
from local.server.sagemaker.store import Document, Store

DEPLOYMENT = "Deployment"
SERVICE = "codedeploy.amazonaws.com"
_LOOK_SECONDS = 0.25


class DeploymentFailed(Exception):
    """The alias serves what it served before."""


@dataclass(frozen=True)
class Move:
    """An alias that is to serve another version.

    Attributes:
        before_hook, after_hook: Functions that are asked before and after callers reach the version, if any.
    """

    function: str
    alias: str
    old_version: str
    new_version: str
    before_hook: str | None
    after_hook: str | None


class Deployments:
    """Runs deployments, each under the role of its group."""

    def __init__(self, host: Host, store: Store) -> None:
        self._host = host
        self._store = store

    def run(self, group: Document, move: Move) -> str:
        """Move an alias to its new version; give the deployment's id.

        Raises:
            DeploymentFailed: A hook or an alarm was against it.
        """
        deployment = f"d-{uuid.uuid4().hex[:9].upper()}"
        group_key = f"{group['application']}/{group['name']}"
        document = {"deploymentId": deployment, "group": group_key, "status": "InProgress", "hooks": {}}
        self._store.add(DEPLOYMENT, deployment, document)
        credentials = self._host.mint(group["role"], SERVICE, deployment)
        functions, caller = self._host.client("lambda", credentials), Caller(credentials.access_key, group["role"])
        moved = False
        try:
            self._ask(functions, deployment, move.before_hook, "BeforeAllowTraffic")
            moved = True
            self._shift(functions, caller, group, move)
            self._ask(functions, deployment, move.after_hook, "AfterAllowTraffic")
        except Exception as error:
            self._store.change(DEPLOYMENT, deployment, status="Failed", reason=str(error))
            if moved:
                _point(functions, move, move.old_version)
            raise DeploymentFailed(f"deployment {deployment} of {group_key}: {error}") from error
        finally:
            self._host.forget(credentials)
        self._store.change(DEPLOYMENT, deployment, status="Succeeded")
        return deployment

    def _shift(self, functions: Any, caller: Caller, group: Document, move: Move) -> None:
        self._check_alarms(caller, group)
        if group["percent"] < 100:
            weights = {move.new_version: group["percent"] / 100}
            functions.update_alias(
                FunctionName=move.function, Name=move.alias, RoutingConfig={"AdditionalVersionWeights": weights}
            )
            end = time.monotonic() + group["minutes"] * 60 * self._host.settings.wait_scale
            while time.monotonic() < end:
                self._check_alarms(caller, group)
                time.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic())))
        self._check_alarms(caller, group)
        _point(functions, move, move.new_version)

    def _check_alarms(self, caller: Caller, group: Document) -> None:
        settings = self._host.settings
        for name in group["alarms"]:
            arn = f"arn:aws:cloudwatch:{settings.region}:{settings.account}:alarm:{name}"
            self._host.check(caller, "cloudwatch:DescribeAlarms", arn)
        states = self._host.alarm_states(group["alarms"])
        on = sorted(name for name, state in states.items() if state == "ALARM")
        if on:
            raise DeploymentFailed(f"alarms went off: {', '.join(on)}")

    def _ask(self, functions: Any, deployment: str, function: str | None, event: str) -> None:
        """Call a hook, and expect that it says ``Succeeded`` through CodeDeploy's API."""
        if function is None:
            return
        execution = uuid.uuid4().hex
        self._tell(deployment, execution, "Pending")
        payload = {"DeploymentId": deployment, "LifecycleEventHookExecutionId": execution}
        answer = functions.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        said = answer["Payload"].read().decode("utf-8", errors="replace")
        found = self._store.find(DEPLOYMENT, deployment) or {}
        status = found.get("hooks", {}).get(execution)
        if status != "Succeeded":
            raise DeploymentFailed(f"{event}: hook {function} said {status}: {said[:500]}")

    def _tell(self, deployment: str, execution: str, status: str) -> None:
        found = self._store.find(DEPLOYMENT, deployment) or {}
        self._store.change(DEPLOYMENT, deployment, hooks={**found.get("hooks", {}), execution: status})


def _point(functions: Any, move: Move, version: str) -> None:
    functions.update_alias(
        FunctionName=move.function,
        Name=move.alias,
        FunctionVersion=version,
        RoutingConfig={"AdditionalVersionWeights": {}},
    )
