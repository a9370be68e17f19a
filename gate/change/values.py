"""Values of templates in one spelling, so that equal values compare as equal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
_ABSENT = {"Ref": "AWS::NoValue"}


def canonical(value: Any) -> Any:
    """Returns a value in the one spelling that all equal values share.

    Joins are flattened and what they join is put together, ``Fn::Sub`` becomes a join, numbers and truth values become
    text as CloudFormation makes them, and what refers to ``AWS::NoValue`` is left out.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return [canonical(each) for each in value if each != _ABSENT]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"Fn::Join"}:
        return _joined(list(_parts(value)))
    if set(value) == {"Fn::Sub"}:
        return _joined(list(_parts(value)))
    if set(value) == {"Fn::GetAtt"} and isinstance(value["Fn::GetAtt"], str):
        return {"Fn::GetAtt": value["Fn::GetAtt"].split(".", 1)}
    return {key: canonical(each) for key, each in value.items() if each != _ABSENT}


def canonical_tags(tags: Any) -> Any:
    """Returns tags without their order."""
    if isinstance(tags, list) and all(isinstance(tag, Mapping) and {"Key", "Value"} == set(tag) for tag in tags):
        return {str(canonical(tag["Key"])): canonical(tag["Value"]) for tag in tags}
    return canonical(tags)


def references(value: Any) -> Iterator[str | tuple[str, str]]:
    """Yields what a value refers to: logical ids of its own stack, and outputs of others as (stack, output)."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, Mapping):
        if set(value) == {"Ref"}:
            yield str(value["Ref"])
        elif set(value) == {"Fn::GetAtt"}:
            attribute = value["Fn::GetAtt"]
            yield attribute.split(".")[0] if isinstance(attribute, str) else str(attribute[0])
        elif set(value) == {"Fn::GetStackOutput"}:
            output = value["Fn::GetStackOutput"]
            yield str(output["StackName"]), str(output["OutputName"])
        elif set(value) == {"Fn::Sub"}:
            yield from references([part for part in _parts(value) if not isinstance(part, str)])
        else:
            for each in value.values():
                yield from references(each)


def _parts(value: Any) -> Iterator[Any]:
    """Yields the texts and references that a value puts together."""
    if isinstance(value, Mapping) and set(value) == {"Fn::Join"} and isinstance(value["Fn::Join"][1], list):
        separator, values = value["Fn::Join"]
        for index, each in enumerate(values):
            if index and separator:
                yield separator
            yield from _parts(each)
    elif isinstance(value, Mapping) and set(value) == {"Fn::Sub"}:
        content = value["Fn::Sub"]
        text, variables = (content, {}) if isinstance(content, str) else content
        end = 0
        for found in _VARIABLE.finditer(text):
            yield text[end : found.start()]
            end = found.end()
            if found[1]:
                yield "${" + found[2] + "}"
            elif found[2] in variables:
                yield from _parts(variables[found[2]])
            elif "." in found[2]:
                yield {"Fn::GetAtt": found[2].split(".", 1)}
            else:
                yield {"Ref": found[2]}
        yield text[end:]
    elif isinstance(value, Mapping) and set(value) == {"Fn::Join"}:
        yield {"Fn::Join": [value["Fn::Join"][0], canonical(value["Fn::Join"][1])]}
    else:
        yield canonical(value)


def _joined(parts: list[Any]) -> Any:
    together: list[Any] = []
    for part in parts:
        if isinstance(part, str) and together and isinstance(together[-1], str):
            together[-1] += part
        elif part != "":
            together.append(part)
    if len(together) == 1:
        return together[0]
    return {"Fn::Join": ["", together]} if together else ""
