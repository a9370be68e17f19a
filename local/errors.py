"""The two ways in which a local command ends badly, other than a defect."""

from __future__ import annotations


class UserError(Exception):
    """The command was given something that cannot be right, or came too early; ends with exit code 2."""


class Failure(Exception):
    """The command was right, but what it did failed; ends with exit code 1."""
