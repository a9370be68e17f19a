"""Which resources of all stacks a change replaces, directly or because what they refer to is replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gate.assembly import StackTemplate
from gate.change.specification import Specification
from gate.change.values import canonical, references

Place = tuple[str, str]


def replacements(
    before: Iterable[StackTemplate], after: Iterable[StackTemplate], known: Specification
) -> dict[Place, tuple[str, bool]]:
    """Returns stack and logical id of what is replaced, with the reason and whether that is certain."""
    old = {stack.stack: stack for stack in before}
    new = {stack.stack: stack for stack in after}
    found: dict[Place, tuple[str, bool]] = {}
    both = [
        (name, logical_id)
        for name in sorted(old.keys() & new.keys())
        for logical_id in sorted(old[name].resources.keys() & new[name].resources.keys())
    ]
    for name, logical_id in both:
        reason = _directly(old[name].resources[logical_id], new[name].resources[logical_id], known)
        if reason is not None:
            found[name, logical_id] = reason
    fixed = [(place, *each) for place in both for each in _fixed(new[place[0]], place[1], known)]
    outputs = {name: stack.content.get("Outputs", {}) for name, stack in new.items()}
    growing = bool(found)
    while growing:
        growing = False
        for place, path, certain, value in fixed:
            for target in referred(place[0], value, outputs):
                surely = certain and found.get(target, ("", False))[1]
                if target in found and target != place and (place not in found or (surely and not found[place][1])):
                    found[place] = (f"{path} refers to {'/'.join(target)}, which is replaced", surely)
                    growing = True
    return found


def referred(stack: str, value: Any, outputs: Mapping[str, Mapping[str, Any]]) -> list[Place]:
    """Returns the resources that a value refers to, through the outputs of other stacks as well.

    Args:
        stack: Name of the stack that the value is in.
        value: The value.
        outputs: Stack to its outputs.
    """
    found: list[Place] = []
    for each in references(value):
        if isinstance(each, str):
            found.append((stack, each))
        else:
            other, output = each
            found += referred(other, outputs.get(other, {}).get(output, {}).get("Value"), outputs)
    return found


def _directly(before: Mapping[str, Any], after: Mapping[str, Any], known: Specification) -> tuple[str, bool] | None:
    if before["Type"] != after["Type"]:
        return f"its type becomes {after['Type']}", True
    causes = known.causes(before["Type"], before.get("Properties", {}), after.get("Properties", {}))
    if not causes:
        return None
    paths = ", ".join(cause.path for cause in causes)
    return f"{paths} cannot be changed in place", any(cause.certain for cause in causes)


def _fixed(stack: StackTemplate, logical_id: str, known: Specification) -> list[tuple[str, bool, Any]]:
    resource = stack.resources[logical_id]
    every = known.fixed(resource["Type"], resource.get("Properties", {}))
    return [(path, certain, canonical(value)) for path, certain, value in every]
