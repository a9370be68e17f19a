"""Compares two assemblies and tells what would happen to everything that holds data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from constructs_lib.names.change import LET_GO_METADATA
from gate.assembly import StackTemplate
from gate.change.findings import Change, Effect
from gate.change.replacements import Place, referred, replacements
from gate.change.specification import Specification
from gate.change.stateful import RETAINING, holds, strength
from gate.change.values import canonical

_KEYS = frozenset({"KMSMasterKeyID", "KMSMasterKeyId", "KmsKey", "KmsKeyArn", "KmsKeyId", "SseKmsKeyId"})
_PROTECTION = ("DeletionProtectionEnabled", "DeletionProtection")
_LEAVES = (Effect.DELETED, Effect.ORPHANED, Effect.RENAMED, Effect.MOVED, Effect.ABANDONED)
_REPLACED = (Effect.REPLACED, Effect.MAY_BE_REPLACED)


@dataclass(frozen=True)
class _Stacks:
    before: dict[str, StackTemplate]
    after: dict[str, StackTemplate]
    known: Specification

    def added(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for name, stack in sorted(self.after.items()):
            old = self.before[name].resources if name in self.before else {}
            for logical_id, resource in stack.resources.items():
                if logical_id not in old:
                    yield name, logical_id, resource


def compare(
    before: Iterable[StackTemplate],
    after: Iterable[StackTemplate],
    known: Specification,
    expendable: Collection[str] = (),
) -> list[Change]:
    """Returns every change of what holds data, in order of stack and logical id.

    Args:
        before: The stacks as they are deployed.
        after: The stacks as they would be.
        known: Which properties cannot be changed in place.
        expendable: Stages whose data may go: both keys are turned.
    """
    stacks = _Stacks({each.stack: each for each in before}, {each.stack: each for each in after}, known)
    replaced = replacements(stacks.before.values(), stacks.after.values(), known)
    referring = _referring(stacks.before)
    found = []
    for name, stack in sorted(stacks.before.items()):
        for logical_id, resource in sorted(stack.resources.items()):
            content = holds(resource)
            if content is None:
                continue
            for effect, because, successor in _effects(stacks, name, logical_id, replaced):
                found.append(
                    Change(
                        stack=name,
                        logical_id=logical_id,
                        resource_type=resource["Type"],
                        effect=effect,
                        because=because,
                        holds=content,
                        referred_by=tuple(sorted(referring.get((name, logical_id), ()))),
                        successor=successor,
                        identifier=tuple(known.identifier(resource["Type"])),
                        let_go=_let_go(stack, resource, effect),
                        kept=_is_kept(resource, effect),
                    )
                )
        if stack.protected and name in stacks.after and not stacks.after[name].protected and _holds_any(stack):
            found.append(
                Change(
                    stack=name,
                    logical_id="",
                    resource_type="AWS::CloudFormation::Stack",
                    effect=Effect.UNPROTECTED,
                    because="termination protection is switched off",
                    holds="everything that its resources hold",
                )
            )
    return [_judged(change, stacks, expendable) for change in found]


def _holds_any(stack: StackTemplate) -> bool:
    return any(holds(resource) is not None for resource in stack.resources.values())


def _effects(
    stacks: _Stacks, name: str, logical_id: str, replaced: Mapping[Place, tuple[str, bool]]
) -> Iterator[tuple[Effect, str, str | None]]:
    resource = stacks.before[name].resources[logical_id]
    stack = stacks.after.get(name)
    if stack is None or logical_id not in stack.resources:
        yield _left(stacks, name, logical_id, resource)
        return
    if (name, logical_id) in replaced:
        because, certain = replaced[name, logical_id]
        yield (Effect.REPLACED if certain else Effect.MAY_BE_REPLACED), because, None
    elif _tags_of_stack_matter(stacks, name, resource):
        yield Effect.MAY_BE_REPLACED, "tags of its stack change, and those of the type cannot be changed in place", None
    now = stack.resources[logical_id]
    condition = now.get("Condition")
    if condition is not None and _condition(stacks.before[name], resource) != _condition(stack, now):
        yield Effect.CONDITIONAL, f"it is deleted wherever the condition {condition} does not hold", None
    for because in _lost_protection(resource, now):
        yield Effect.UNPROTECTED, because, None
    if now["Type"] == resource["Type"]:
        yield from _inside(resource, now)


def _left(stacks: _Stacks, name: str, logical_id: str, resource: Mapping[str, Any]) -> tuple[Effect, str, str | None]:
    gone = name not in stacks.after
    policy = resource.get("DeletionPolicy", "Delete")
    successor = _successor(stacks, name, logical_id, resource)
    because = f"stack {name} is no longer in the application" if gone else "it is no longer in the template"
    because += f", DeletionPolicy {policy}"
    if successor is not None:
        other, new_id = successor
        effect = Effect.RENAMED if other == name else Effect.MOVED
        return effect, f"{because}; {other}/{new_id} takes its place", f"{other}/{new_id}"
    if gone:
        return Effect.ABANDONED, because, None
    return (Effect.ORPHANED if policy in RETAINING else Effect.DELETED), because, None


def _successor(stacks: _Stacks, name: str, logical_id: str, resource: Mapping[str, Any]) -> Place | None:
    """Returns what most likely is meant to be the same thing: of the type, and alike in id or in what it is like."""
    mine = canonical(resource.get("Properties", {}))
    ranked = []
    for other, new_id, each in stacks.added():
        if each["Type"] != resource["Type"]:
            continue
        theirs = canonical(each.get("Properties", {}))
        keys = {*mine, *theirs}
        alike = sum(mine.get(key) == theirs.get(key) for key in keys) / len(keys) if keys else 1
        if alike == 1 or new_id == logical_id or (other == name and alike > 0.5):
            ranked.append((other != name, new_id != logical_id, -alike, other, new_id))
    return min(ranked)[-2:] if ranked else None


def _tags_of_stack_matter(stacks: _Stacks, name: str, resource: Mapping[str, Any]) -> bool:
    if stacks.before[name].tags == stacks.after[name].tags:
        return False
    return bool(stacks.known.causes(resource["Type"], {"Tags": []}, {"Tags": [{"Key": "any", "Value": "other"}]}))


def _condition(stack: StackTemplate, resource: Mapping[str, Any]) -> Any:
    """Returns the meaning of the condition that a resource exists under, conditions inside it included."""

    def meaning(value: Any) -> Any:
        if isinstance(value, list):
            return [meaning(each) for each in value]
        if isinstance(value, Mapping):
            if set(value) == {"Condition"}:
                return meaning(stack.content.get("Conditions", {}).get(value["Condition"]))
            return {key: meaning(each) for key, each in value.items()}
        return value

    return canonical(meaning({"Condition": resource["Condition"]})) if "Condition" in resource else None


def _lost_protection(resource: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
        if strength(now, attribute) < strength(resource, attribute):
            yield f"{attribute} {resource.get(attribute)} becomes {now.get(attribute, 'Delete')}"
    for name in _PROTECTION:
        old, new = (canonical(each.get("Properties", {}).get(name)) for each in (resource, now))
        if old in ("true", "ACTIVE") and new != old:
            yield f"{name} is switched off"


def _inside(resource: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[Effect, str, str | None]]:
    old, new = (canonical(each.get("Properties", {})) for each in (resource, now))
    for path in sorted(set(_key_paths(old)) - set(_key_paths(new))):
        yield Effect.UNENCRYPTED, f"{path} is no longer given", None
    if resource["Type"] == "AWS::KMS::Key" and old.get("Enabled", "true") == "true" and new.get("Enabled") == "false":
        yield Effect.DISABLED, "Enabled becomes false", None
    if resource["Type"] == "AWS::SageMaker::FeatureGroup":
        was, will_be = (_features(each) for each in (old, new))
        lost = sorted(name for name, kind in was.items() if will_be.get(name) != kind)
        if lost:
            yield Effect.NARROWED, f"FeatureDefinitions no longer have {', '.join(lost)} as it was", None


def _features(properties: Mapping[str, Any]) -> dict[str, str]:
    return {str(each["FeatureName"]): str(each["FeatureType"]) for each in properties.get("FeatureDefinitions", [])}


def _key_paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _key_paths(each, f"{path}.{index}")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            here = f"{path}.{key}" if path else key
            if key in _KEYS:
                yield here
            else:
                yield from _key_paths(each, here)


def _let_go(stack: StackTemplate, resource: Mapping[str, Any], effect: Effect) -> str | None:
    """Returns the reason for letting a resource go; that of its stack counts where the stack as a whole goes."""
    marks = [resource.get("Metadata", {})]
    if effect is Effect.ABANDONED:
        marks.append(stack.content.get("Metadata", {}))
    return next((mark[LET_GO_METADATA] for mark in marks if LET_GO_METADATA in mark), None)


def _is_kept(resource: Mapping[str, Any], effect: Effect) -> bool:
    if effect is Effect.ABANDONED:
        return True
    if effect in _LEAVES:
        return resource.get("DeletionPolicy") in RETAINING
    if effect in _REPLACED:
        return resource.get("UpdateReplacePolicy") in RETAINING
    return True


def _judged(change: Change, stacks: _Stacks, expendable: Collection[str]) -> Change:
    """Says why a change may be made, if it may."""
    if change.let_go and change.kept and change.effect in (*_LEAVES, *_REPLACED):
        return replace(change, allowed=f"it was let go ({change.let_go}), and stays in the account")
    stage = stacks.before[change.stack].stage
    if stage is not None and stage in expendable:
        return replace(change, allowed=f"stage {stage} is removable and allow_removal is given")
    return change


def _referring(stacks: Mapping[str, StackTemplate]) -> dict[Place, set[str]]:
    outputs = {name: stack.content.get("Outputs", {}) for name, stack in stacks.items()}
    found: dict[Place, set[str]] = {}
    for name, stack in stacks.items():
        for logical_id, resource in stack.resources.items():
            for target in referred(name, resource.get("Properties", {}), outputs):
                if target != (name, logical_id):
                    found.setdefault(target, set()).add(f"{name}/{logical_id}")
    return found
