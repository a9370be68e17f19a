"""What the domain of the log search is told: roles and whose they are, what a line is, and when an index goes.

The paths are those of OpenSearch's Security and Index State Management plugins, and of its index templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict

DELIVERY: Final = "gapless_delivery"
RETENTION: Final = "gapless-retention"
TEMPLATE: Final = "gapless-logs"
DASHBOARDS: Final = "opensearch_dashboards_user"
"""The domain's own role of everybody who may open Dashboards."""

Request = tuple[str, dict[str, Any]]
"""A path, and what is put there."""


class Person(TypedDict):
    """The ARN of a persona's role, and whether it searches logs or only sees which indices there are."""

    role: str
    access: Literal["search", "see"]


def security_requests(
    indices: Iterable[str], deliverers: Iterable[str], people: Mapping[str, Person], *, by_name: bool
) -> list[Request]:
    """Returns the requests that say who may do what: roles of the domain, and whose IAM roles have them.

    Args:
        indices: Patterns of all indices.
        deliverers: ARNs of the roles that write.
        people: Persona to its role, and what it may do.
        by_name: Whether personas' names come from a single sign-on as well.
    """
    patterns = list(indices)
    wanted: list[Request] = [
        (f"roles/{DELIVERY}", _role(["cluster_composite_ops", "cluster_monitor"], patterns, ["create_index", "crud"])),
        (f"rolesmapping/{DELIVERY}", _mapping(deliverers)),
    ]
    opening: list[str] = []
    for persona, person in sorted(people.items()):
        who = [person["role"], *([persona] if by_name else ())]
        searches = person["access"] == "search"
        cluster = ["cluster_composite_ops_ro"] if searches else ["cluster_monitor"]
        role = _role(cluster, patterns, ["read", "search"] if searches else ["indices_monitor"])
        wanted += [(f"roles/gapless_{persona}", role), (f"rolesmapping/gapless_{persona}", _mapping(who))]
        opening += who if searches else ()
    wanted.append((f"rolesmapping/{DASHBOARDS}", _mapping(opening)))
    return [(f"/_plugins/_security/api/{path}", body) for path, body in wanted]


def _role(cluster: list[str], patterns: list[str], actions: list[str]) -> dict[str, Any]:
    allowed = {"index_patterns": patterns, "allowed_actions": actions}
    return {"cluster_permissions": cluster, "index_permissions": [allowed], "tenant_permissions": []}


def _mapping(who: Iterable[str]) -> dict[str, Any]:
    return {"backend_roles": list(who), "hosts": [], "users": []}


def retention_policy(indices: Iterable[str], days: int) -> dict[str, Any]:
    """Returns the policy by which an index goes when it is old enough; new indices take it by their names."""
    return {
        "description": f"Logs go after {days} days",
        "default_state": "kept",
        "states": [
            {
                "name": "kept",
                "actions": [],
                "transitions": [{"state_name": "gone", "conditions": {"min_index_age": f"{days}d"}}],
            },
            {"name": "gone", "actions": [{"delete": {}}], "transitions": []},
        ],
        "ism_template": [{"index_patterns": list(indices), "priority": 50}],
    }


def index_template(indices: Iterable[str], *, copies: int) -> Request:
    """Returns the request that says what a line of a log is; its own fields are kept flat, whatever their types are.

    Args:
        indices: Patterns of all indices.
        copies: Copies of every index beside the first.
    """
    keyword = {"type": "keyword"}
    properties = {
        "@timestamp": {"type": "date"},
        "level": keyword,
        "log_group": keyword,
        "log_stream": keyword,
        "message": {"type": "text"},
        "run_id": keyword,
        "fields": {"type": "flat_object"},
    }
    template = {
        "settings": {"number_of_shards": 1, "number_of_replicas": copies},
        "mappings": {"dynamic": "false", "properties": properties},
    }
    return f"/_index_template/{TEMPLATE}", {"index_patterns": list(indices), "priority": 100, "template": template}
