"""CodeDeploy on the local server: aliases of functions move to new versions with hooks, shares of the calls and alarms.

Applications and deployment groups are CloudFormation types; the API has what hooks need. A share of an alias's calls
does go to the new version meanwhile, which ministack leaves out.
"""

from __future__ import annotations

import random
from typing import Any

from local.server import hooks
from local.server.codedeploy.aliases import AliasType
from local.server.codedeploy.deployments import Deployments
from local.server.codedeploy.groups import GroupType, application
from local.server.codedeploy.service import CodeDeploy
from local.server.host import Host
from local.server.sagemaker.store import Store

_RECORD_OF = "services.lambda_svc:_effective_func_record_for_qualifier"
_INVOKE = "services.lambda_svc:_invoke"
_FUNCTIONS = "services.lambda_svc:_functions"


def register(host: Host) -> None:
    """Serve CodeDeploy, make its types, and move aliases by it."""
    store = Store(host.settings.state_dir / "codedeploy.sqlite")
    deployments = Deployments(host, store)
    service = CodeDeploy(store)
    host.add_service(
        "codedeploy",
        service.handle,
        iam_namespace="codedeploy",
        resource=lambda request: service.resource(request, host.settings),
    )
    host.add_resource_type(
        "AWS::CodeDeploy::Application",
        create=application,
        update=lambda _id, _old, props, _stack: application("", props, ""),
        delete=lambda _id, _props: None,
    )
    groups = GroupType(store)
    host.add_resource_type(
        "AWS::CodeDeploy::DeploymentGroup", create=groups.create, update=groups.update, delete=groups.delete
    )
    aliases = AliasType(host, store, deployments)
    host.add_resource_type("AWS::Lambda::Alias", create=aliases.create, update=aliases.update, delete=aliases.delete)
    _share_calls()


def _share_calls() -> None:
    """A call of an alias meets its other version as often as the alias says, whichever way it comes."""
    record_of, invoke = hooks.get(_RECORD_OF), hooks.get(_INVOKE)

    def shared_record(func: dict[str, Any] | None, qualifier: str | None) -> Any:
        return record_of(func, _drawn(func, qualifier))

    def shared_invoke(
        name: str,
        event: Any,
        headers: dict[str, str],
        path_qualifier: str | None = None,
        query_params: dict[str, Any] | None = None,
    ) -> Any:
        given = (query_params or {}).get("Qualifier")
        asked = path_qualifier or (given[0] if isinstance(given, list) else given)
        drawn = _drawn(hooks.get(_FUNCTIONS).get(name), asked)
        return invoke(name, event, headers, drawn if drawn != asked else path_qualifier, query_params)

    hooks.replace(_RECORD_OF, shared_record)
    hooks.replace(_INVOKE, shared_invoke)


def _drawn(func: dict[str, Any] | None, qualifier: str | None) -> str | None:
    """The version that a call of an alias meets instead of the alias's own, or the qualifier as it is."""
    alias = (func or {}).get("aliases", {}).get(qualifier, {})
    point = random.random()  # noqa: S311 - a share, no secret
    for version, weight in (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {}).items():
        if point < float(weight):
            return str(version)
        point -= float(weight)
    return qualifier
