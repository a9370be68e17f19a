"""What ``workload.yaml`` says of features that are made without code: by a DataBrew recipe or a Data Wrangler flow.

The file that it names lies in the workload's folder and is read with it. It is infrastructure: it is deployed with the
pipeline, and its digest is part of the contract and so of every dataset's version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from constructs_lib.names.file_parts import Part, shown, unknown

SCRIPT: Final = "script"
FOLDER: Final = "folder"
"""Key of the validation context: the folder of the workload."""

LARGEST: Final = 100_000
"""Bytes of a file as canonical JSON: a recipe is part of a state machine's definition, which has a limit."""

FROM_OTHERS: Final = ("JOIN", "UNION")
"""Operations of a recipe that read another dataset, which would lie at a place that no recipe can know."""

Kind = Literal["databrew_recipe", "data_wrangler_flow"]

_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_OPERATION = r"[A-Z_]{1,128}"
_OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "databrew_recipe": ("nodes",),
    "data_wrangler_flow": ("output_node", "instance_type", "instances"),
}


class NoCode(Part):
    """Who makes the features in place of ``features.py``.

    Attributes:
        databrew_recipe: Name of the file with the recipe's steps, as DataBrew downloads it in JSON.
        data_wrangler_flow: Name of the file with the flow, as Data Wrangler keeps it.
        output_node: Id of the node of the flow whose rows are the features.
        nodes: How many nodes a recipe may use.
        instance_type: The machines that a flow runs on.
        instances: How many of them.
        timeout_minutes: How long one run may take.
    """

    databrew_recipe: Annotated[str, Field(pattern=_FILE)] | None = None
    data_wrangler_flow: Annotated[str, Field(pattern=_FILE)] | None = None
    output_node: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")] | None = None
    nodes: Annotated[int, Field(ge=2, le=100)] = 5
    instance_type: Literal["ml.m5.4xlarge", "ml.m5.12xlarge", "ml.m5.24xlarge"] = "ml.m5.4xlarge"
    instances: Annotated[int, Field(ge=1, le=20)] = 1
    timeout_minutes: Annotated[int, Field(ge=5, le=600)] = 60
    _content: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        given = [kind for kind in _OWN_KEYS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"must name one of {', '.join(_OWN_KEYS)}, was {shown(given)}")
        foreign = [key for kind, keys in _OWN_KEYS.items() if kind != self.kind for key in keys]
        for key in (key for key in foreign if key in self.model_fields_set):
            raise ValueError(f"{key}: has no meaning for a {self.kind} (allowed: {', '.join(_OWN_KEYS[self.kind])})")
        if self.kind == "data_wrangler_flow" and self.output_node is None:
            raise ValueError("output_node: is required, the id of the node of the flow whose rows are the features")
        return self

    @model_validator(mode="after")
    def _reads_its_file(self, info: ValidationInfo) -> Self:
        if self._content is not None:
            return self
        folder = (info.context or {}).get(FOLDER)
        if folder is None:
            raise ValueError(f"{self.kind}: {self.file} cannot be read without the workload's folder")
        try:
            self._content = _read(Path(folder, self.file))
            if self.kind == "databrew_recipe":
                check_recipe(self._content)
            else:
                check_flow(self._content, self.output_node or "")
        except ValueError as error:
            raise ValueError(f"{self.kind}: {self.file} {error}") from error
        return self

    @property
    def kind(self) -> Kind:
        """Which of both it is."""
        return "databrew_recipe" if self.databrew_recipe is not None else "data_wrangler_flow"

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.databrew_recipe or self.data_wrangler_flow or ""

    @property
    def content(self) -> Any:
        """What the file says, as JSON types: the list of a recipe's steps, or a flow."""
        return self._content

    @property
    def output(self) -> str:
        """The output of the flow that is taken, as Data Wrangler names it."""
        return f"{self.output_node}.default"

    def check_sources(self, sources: Iterable[str], primary: str) -> None:
        """Looks whether a flow reads the workload's sources, the primary one among them.

        Raises:
            ValueError: It does not.
        """
        if self.kind == "databrew_recipe":
            return
        sources, read = list(sources), self.flow_sources
        for name in read:
            if name not in sources:
                raise ValueError(f"{self.kind}: {self.file}: what it reads: {unknown(name, sources, 'source')}")
        if primary not in read:
            raise ValueError(f"{self.kind}: {self.file} does not read the primary source {primary!r}")

    @property
    def flow_sources(self) -> list[str]:
        """Names of the datasets that a flow reads, in its order."""
        return [_definition(node)["name"] for node in self._content["nodes"] if node["type"] == "SOURCE"]

    def contract(self) -> dict[str, str]:
        """Returns what the data job must know: who makes the features, and the digest of how."""
        told = {"content": self._content, "output": self.output if self.output_node else None}
        return {"kind": self.kind, "digest": hashlib.sha256(_canonical(told)).hexdigest()}

    def text(self) -> str:
        """Returns the file's content as canonical JSON."""
        return _canonical(self._content).decode()


def script_is_none(value: Any) -> Any:
    """Reads ``script``, which is the default, as None."""
    return None if value == SCRIPT else value


def check_recipe(content: Any) -> None:
    """Looks whether this is a list of a recipe's steps that each take rows and give rows.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(content, list) or not content:
        raise ValueError(f"must be a list of steps that is not empty, was {shown(content)}")
    for number, step in enumerate(content, start=1):
        try:
            _check_step(step)
        except ValueError as error:
            raise ValueError(f"step {number}: {error}") from error


def _check_step(step: Any) -> None:
    action = step.get("Action") if isinstance(step, dict) else None
    if not isinstance(action, dict) or not set(step) <= {"Action", "ConditionExpressions"}:
        raise ValueError(f"must be an object with Action and perhaps ConditionExpressions, was {shown(step)}")
    operation, parameters = action.get("Operation"), action.get("Parameters", {})
    if not isinstance(operation, str) or not re.fullmatch(_OPERATION, operation):
        raise ValueError(f"Action.Operation: must be a name in capitals, was {shown(operation)}")
    if not isinstance(parameters, dict) or not all(isinstance(each, str) for each in parameters.values()):
        raise ValueError(f"Action.Parameters: must map names to texts, was {shown(parameters)}")
    if operation in FROM_OTHERS or "secondInputs" in parameters:
        raise ValueError(
            f"{operation} reads another dataset; a recipe gets the rows of the primary source alone (a flow or a "
            "script may join)"
        )
    for condition in step.get("ConditionExpressions", []):
        if not isinstance(condition, dict) or not {"Condition", "TargetColumn"} <= set(condition):
            raise ValueError(f"a condition must have Condition and TargetColumn, was {shown(condition)}")


def check_flow(content: Any, output_node: str) -> None:
    """Looks whether this is a flow with the node, whose sources are Parquet in S3 and have names of their own.

    Raises:
        ValueError: It is not.
    """
    nodes = content.get("nodes") if isinstance(content, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ValueError(f"must be an object with a list of nodes, was {shown(content)}")
    for node in nodes:
        if not isinstance(node.get("node_id"), str) or not isinstance(node.get("type"), str):
            raise ValueError(f"a node must have node_id and type, was {shown(node)}")
    made = [node["node_id"] for node in nodes if node["type"] == "TRANSFORM"]
    if output_node not in made:
        raise ValueError(f"cannot give its rows: {unknown(output_node, made, 'node that transforms')}")
    names = [_source_name(node) for node in nodes if node["type"] == "SOURCE"]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"reads {twice[0]!r} twice; one source node can have many nodes after it")


def _source_name(node: Mapping[str, Any]) -> str:
    definition = _definition(node)
    place = definition.get("s3ExecutionContext")
    if definition.get("datasetSourceType") != "S3" or not isinstance(place, dict):
        raise ValueError(
            f"node {node['node_id']}: a source must be S3, was {shown(definition.get('datasetSourceType'))}"
        )
    kind = place.get("s3ContentType")
    if not isinstance(kind, str) or kind.lower() != "parquet":
        raise ValueError(f"node {node['node_id']}: a source must be of content type parquet, was {shown(kind)}")
    name = definition.get("name")
    if not isinstance(name, str):
        raise ValueError(f"node {node['node_id']}: a source must have the name of one of the workload's sources")
    return name


def _definition(node: Mapping[str, Any]) -> dict[str, Any]:
    parameters = node.get("parameters")
    definition = parameters.get("dataset_definition") if isinstance(parameters, dict) else None
    return definition if isinstance(definition, dict) else {}


def _read(path: Path) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError("is not in the workload's folder") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cannot be read as JSON: {error}") from error
    size = len(_canonical(content))
    if size > LARGEST:
        raise ValueError(f"must have at most {LARGEST} bytes without blanks, was {size}")
    if "{%" in _canonical(content).decode():
        raise ValueError("must not hold '{%', which begins an expression in the state machine")
    return content


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
