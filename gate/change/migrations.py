"""The two steps in which a refused change can be made without losing anything."""

from __future__ import annotations

from gate.change.findings import Change, Effect
from gate.change.stateful import way_to_copy

_IN_PLACE = {
    Effect.UNENCRYPTED: (
        "leave the key in place",
        "give the new key in place of the old one, and keep the old one enabled; deploy that",
        "encrypt anew what the old key has encrypted, and only then let the old key go",
    ),
    Effect.DISABLED: (
        "leave the key enabled; its policy says who may use it",
        "give whatever uses the key another one and encrypt anew what this one has encrypted; deploy that",
        "disable it by hand (`aws kms disable-key`), which is taken back in a second; let it go once nobody misses it",
    ),
    Effect.NARROWED: (
        "leave them in: a feature group only ever gets more features, and CloudFormation would refuse",
        "make a second feature group under another name, with the features that are wanted, and deploy it beside this",
        "have the workload use the new group and ingest the history; then let this one go",
    ),
}
"""Ways out of what changes a thing without taking it out of its stack."""


def way_out(change: Change) -> tuple[str, str, str]:
    """Returns how a change is avoided, and the two steps in which it is made otherwise.

    Each step is deployed before the next one is merged.
    """
    ways = {
        Effect.DELETED: _removal,
        Effect.ORPHANED: _removal,
        Effect.ABANDONED: _abandonment,
        Effect.RENAMED: _renaming,
        Effect.MOVED: _renaming,
        Effect.REPLACED: _replacement,
        Effect.MAY_BE_REPLACED: _replacement,
        Effect.CONDITIONAL: _condition,
        Effect.UNPROTECTED: _protection,
    }
    return ways[change.effect](change) if change.effect in ways else _IN_PLACE[change.effect]


def _let_go(change: Change) -> str:
    return (
        f"leave everything as it is and call let_go(…, reason) of constructs_lib.letting_go on {change.logical_id}; "
        "deploy that alone"
    )


def _adopt(change: Change, stack: str) -> str:
    asked = ", ".join(change.identifier) or "its identifier"
    return (
        f"`cdk import {stack}`, which asks for {asked} (see `aws cloudformation describe-type` for types it can take)"
    )


def _removal(change: Change) -> tuple[str, str, str]:
    return (
        f"to keep it, put it back into the template under the same logical id; it holds {change.holds}",
        _let_go(change),
        "make this change; it stays in the account and can be adopted again, or deleted by hand once nobody needs it",
    )


def _abandonment(change: Change) -> tuple[str, str, str]:
    return (
        f"to keep it, leave stack {change.stack} in the application under this name; a deployment deletes no stack, "
        "but nobody would update it any more",
        f"leave everything as it is and call let_go(stack, reason) of constructs_lib.letting_go on {change.stack}; "
        "deploy that alone",
        f"make this change; `aws cloudformation delete-stack --stack-name {change.stack}` then deletes what is not "
        "retained, once nobody needs it",
    )


def _renaming(change: Change) -> tuple[str, str, str]:
    stack, _, new_id = (change.successor or "/").partition("/")
    if stack == change.stack:
        avoided = (
            f"a construct that was renamed or moved keeps what it made by "
            f"node.default_child.override_logical_id({change.logical_id!r})"
        )
    else:
        avoided = f"leave it in {change.stack} and refer to it from {stack}"
    return (
        avoided,
        _let_go(change),
        f"take {change.logical_id} out and deploy; then put {new_id} in with the same properties and "
        f"{_adopt(change, stack)}",
    )


def _replacement(change: Change) -> tuple[str, str, str]:
    return (
        "take the change back, or make a second resource under another logical id beside this one",
        _let_go(change),
        "make this change: the old one stays in the account, the new one is empty; "
        f"{way_to_copy(change.resource_type)}",
    )


def _condition(change: Change) -> tuple[str, str, str]:
    return (
        "decide in Python at synthesis whether it exists, and leave conditions to what can be made anew",
        _let_go(change),
        "take it out of the template of the stages that do not need it; there it stays in the account",
    )


def _protection(change: Change) -> tuple[str, str, str]:
    return (
        f"leave the protection on; it holds {change.holds}",
        _let_go(change) if change.logical_id else "let go, one by one, what the stack holds; deploy that alone",
        "take it out of the template; whoever deletes it later switches off what protects it, by hand and by name",
    )
