"""The first of two steps in which something that holds data leaves the platform: it is marked, and kept."""

from __future__ import annotations

from aws_cdk import CfnResource, RemovalPolicy, Stack
from constructs import IConstruct

from constructs_lib.names.change import LET_GO_METADATA

_SHORTEST_REASON = 20


def let_go(resource: IConstruct, reason: str) -> None:
    """Marks a stateful resource as one that the next change may remove, rename or replace, and has it kept.

    A stack may be marked as a whole; then the next change may take it out of the application, which deletes nothing.

    The guard of changes lets the next change pass once the marked template is the base that it compares with: what
    leaves the stack then stays in the account, with its data, until somebody deletes it or adopts it by
    ``cdk import``.

    Args:
        resource: The resource, a construct whose default child it is, or a stack.
        reason: Why it goes and where its data are from then on, in a sentence.

    Raises:
        ValueError: The reason is shorter than twenty characters.
        TypeError: The construct has no resource of its own.
    """
    if len(reason.strip()) < _SHORTEST_REASON:
        raise ValueError(
            f"reason to let something go must be a sentence of at least {_SHORTEST_REASON} characters, got: {reason!r}"
        )
    if isinstance(resource, Stack):
        resource.add_metadata(LET_GO_METADATA, reason)
        return
    target = resource if isinstance(resource, CfnResource) else resource.node.default_child
    if not isinstance(target, CfnResource):
        raise TypeError(f"{resource.node.path} has no resource that could be let go")
    target.apply_removal_policy(RemovalPolicy.RETAIN)
    target.add_metadata(LET_GO_METADATA, reason)
