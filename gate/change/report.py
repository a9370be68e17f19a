"""What is printed: what changes per stack, what is refused and the way out, what is allowed and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gate.assembly import StackTemplate
from gate.change.findings import Change
from gate.change.migrations import way_out


@dataclass(frozen=True)
class StackDifference:
    """How one stack changes.

    Attributes:
        stack: Its name.
        stage: Its stage, if any.
        added, changed, removed: Logical ids.
    """

    stack: str
    stage: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Equal for stacks of several stages that change alike."""
        return self.stack.removeprefix(f"{self.stage}-"), self.added, self.changed, self.removed

    def __str__(self) -> str:
        parts = [("+", self.added), ("~", self.changed), ("-", self.removed)]
        return f"{self.stack}: " + " ".join(f"{sign}{len(ids)}" for sign, ids in parts)


def differences(before: Iterable[StackTemplate], after: Iterable[StackTemplate]) -> list[StackDifference]:
    """Returns the stacks whose resources differ, in the order of the assemblies; stacks that go come last."""
    old = {stack.stack: stack for stack in before}
    new = {stack.stack: stack for stack in after}
    found = []
    for name, stack in {**new, **{name: each for name, each in old.items() if name not in new}}.items():
        was = old[name].resources if name in old else {}
        is_now = new[name].resources if name in new else {}
        difference = StackDifference(
            name,
            stack.stage,
            added=tuple(sorted(is_now.keys() - was.keys())),
            changed=tuple(sorted(key for key in was.keys() & is_now.keys() if was[key] != is_now[key])),
            removed=tuple(sorted(was.keys() - is_now.keys())),
        )
        if difference.added or difference.changed or difference.removed:
            found.append(difference)
    return found


def told(changes: Iterable[Change]) -> Iterator[str]:
    """Yields the lines about what holds data: what is allowed first, then what is refused with the way out."""
    for change in changes:
        if change.allowed is not None:
            yield f"allowed: {change}; {change.allowed}"
    for change in changes:
        if change.allowed is None:
            avoided, first, second = way_out(change)
            yield f"refused: {change}"
            yield f"  or not at all: {avoided}"
            yield f"  step 1: {first}"
            yield f"  step 2: {second}"
