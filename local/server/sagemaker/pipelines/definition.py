"""The definition of a pipeline: what of it runs here, what it refers to, and what stands for its references."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.store import Document

CONDITION = "Condition"
JOBS = ("Training", "Processing")

_TYPES: Mapping[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: {"true": True, "false": False}[text.lower()],
}


@dataclass
class Known:
    """What references can be resolved to while a pipeline runs.

    Attributes:
        parameters: Name to value.
        steps: Step to what its job's description says.
    """

    parameters: Mapping[str, Any]
    steps: dict[str, Document] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """Put what is known in the place of references.

        Raises:
            LookupError: There is nothing of this name; the text says what was asked for.
        """
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Get"}:
            return self._get(str(value["Get"]))
        if value.keys() == {"Std:Join"}:
            join = value["Std:Join"]
            return str(join["On"]).join(str(self.resolve(each)) for each in join["Values"])
        return {name: self.resolve(each) for name, each in value.items()}

    def holds(self, condition: Document) -> bool:
        """Whether a condition of a condition step is true."""
        return bool(self.resolve(condition["LeftValue"]) == self.resolve(condition["RightValue"]))

    def _get(self, path: str) -> Any:
        scope, _, rest = path.partition(".")
        name, _, members = rest.partition(".")
        found: Any = self.parameters if scope == "Parameters" else self.steps
        for member in (name, *(members.split(".") if members else ())):
            if not isinstance(found, Mapping) or member not in found:
                raise LookupError(f"{path} has no value: there is no {member}")
            found = found[member]
        return found


def parse(text: str) -> Document:
    """Read a definition and check that it can run here.

    Raises:
        ServiceError: It is not valid, or holds what the local server does not run (``ValidationException``).
    """
    try:
        definition = json.loads(text)
    except ValueError as error:
        raise invalid(f"the pipeline definition is not JSON: {error}") from error
    if not isinstance(definition, dict) or not definition.get("Steps") or definition.get("Version") != "2020-12-01":
        raise invalid("a pipeline definition needs Version 2020-12-01 and Steps")
    steps = list(all_steps(definition["Steps"]))
    names = [step["Name"] for step in steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid(f"names of steps are not unique: {', '.join(twice)}")
    for parameter in definition.get("Parameters", []):
        if parameter["Type"] not in _TYPES:
            raise unsupported(f"the type {parameter['Type']} of a pipeline's parameter")
    for step in steps:
        _check(step, {parameter["Name"] for parameter in definition.get("Parameters", [])}, set(names))
    return definition


def all_steps(steps: Sequence[Document]) -> Iterator[Document]:
    """Yield steps and those inside condition steps."""
    for step in steps:
        yield step
        if step["Type"] == CONDITION:
            yield from all_steps([*step["Arguments"]["IfSteps"], *step["Arguments"]["ElseSteps"]])


def own_arguments(step: Document) -> Any:
    """What belongs to a step itself: of a condition step its conditions, not the steps inside."""
    return step["Arguments"]["Conditions"] if step["Type"] == CONDITION else step["Arguments"]


def awaited(step: Document) -> set[str]:
    """The steps that have to be done before this one."""
    return {path.split(".")[1] for path in references(own_arguments(step)) if path.startswith("Steps.")} | {
        str(name) for name in step.get("DependsOn", [])
    }


def references(value: Any) -> Iterator[str]:
    """Yield the paths that a value refers to."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        if value.keys() == {"Get"}:
            yield str(value["Get"])
        for each in value.values():
            yield from references(each)


def parameter_values(definition: Document, given: Sequence[Document]) -> dict[str, Any]:
    """The values of a run's parameters: those given, otherwise the defaults.

    Raises:
        ServiceError: One is missing, unknown or not of its type (``ValidationException``).
    """
    declared = {each["Name"]: each for each in definition.get("Parameters", [])}
    texts = {each["Name"]: each["Value"] for each in given}
    unknown = sorted(texts.keys() - declared.keys())
    if unknown:
        raise invalid(f"the pipeline has no parameters {', '.join(unknown)}; it has: {', '.join(declared)}")
    missing = [name for name, each in declared.items() if name not in texts and "DefaultValue" not in each]
    if missing:
        raise invalid(f"parameters without a value: {', '.join(missing)}")
    return {
        name: _typed(name, each["Type"], texts[name]) if name in texts else each["DefaultValue"]
        for name, each in declared.items()
    }


def _typed(name: str, kind: str, text: str) -> Any:
    try:
        return _TYPES[kind](text)
    except (ValueError, KeyError) as error:
        raise invalid(f"parameter {name} must be of type {kind}, was {text!r}") from error


def _check(step: Document, parameters: set[str], steps: set[str]) -> None:
    where = f"step {step['Name']}"
    if step["Type"] not in (*JOBS, CONDITION):
        raise unsupported(f"the type {step['Type']} of {where} ({', '.join((*JOBS, CONDITION))} are)")
    if step.get("CacheConfig", {}).get("Enabled"):
        raise unsupported(f"CacheConfig of {where}")
    if step["Type"] == CONDITION:
        for condition in step["Arguments"]["Conditions"]:
            if condition["Type"] != "Equals":
                raise unsupported(f"the condition {condition['Type']} of {where} (Equals is)")
    for path in references(own_arguments(step)):
        scope, _, rest = path.partition(".")
        name = rest.partition(".")[0]
        if scope not in ("Parameters", "Steps") or "[" in path:
            raise unsupported(f"the reference {path} of {where} (names of parameters, and members of steps are)")
        if name not in (parameters if scope == "Parameters" else steps):
            raise invalid(f"{where} refers to {path}, which the pipeline does not have")
    lost = sorted(awaited(step) - steps)
    if lost:
        raise invalid(f"{where} depends on {', '.join(lost)}, which the pipeline does not have")
