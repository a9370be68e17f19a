"""What a change would do to one resource."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What becomes of something that holds data; the value is how it is told."""

    DELETED = "would be deleted"
    ORPHANED = "would be left without a stack"
    RENAMED = "would get another logical id, and with it an empty successor"
    MOVED = "would get an empty successor in another stack"
    ABANDONED = "would lose its stack"
    REPLACED = "would be replaced by an empty one"
    MAY_BE_REPLACED = "may be replaced by an empty one"
    CONDITIONAL = "would exist only under a condition"
    UNPROTECTED = "would lose its protection"
    UNENCRYPTED = "would lose its encryption key"
    DISABLED = "would be disabled, and what it has encrypted could not be read"
    NARROWED = "would lose features"


@dataclass(frozen=True)
class Change:
    """One change of something that holds data.

    Attributes:
        stack: Name of the stack.
        logical_id: Of the resource, as it is now.
        resource_type: Such as ``AWS::S3::Bucket``.
        effect: What becomes of it.
        because: What in the change does that.
        holds: What is in it.
        referred_by: What refers to it, as ``stack/logical id``, in order.
        successor: Where it would be made anew, as ``stack/logical id``, if anywhere.
        identifier: The properties that an import asks for.
        let_go: The reason that the base gives for letting it go, if any.
        kept: Whether what is there now stays in the account.
        allowed: Why the change may be made all the same. Default: it may not.
    """

    stack: str
    logical_id: str
    resource_type: str
    effect: Effect
    because: str
    holds: str
    referred_by: tuple[str, ...] = ()
    successor: str | None = None
    identifier: tuple[str, ...] = ()
    let_go: str | None = None
    kept: bool = False
    allowed: str | None = None

    @property
    def where(self) -> str:
        """Stack and logical id; the stack alone where the whole of it is meant."""
        return f"{self.stack}/{self.logical_id}" if self.logical_id else self.stack

    def __str__(self) -> str:
        told = f"{self.where} ({self.resource_type}) {self.effect.value}: {self.because}"
        if not self.referred_by:
            return told
        shown = ", ".join(self.referred_by[:3])
        others = len(self.referred_by) - 3
        return f"{told}; {shown}{f' and {others} more' if others > 0 else ''} refer to it"
