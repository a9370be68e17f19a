"""What ``workload.yaml`` says of a container of the workload's own, and what its folder has to hold.

The folder ``container`` lies in the workload's folder and is read with it. It is infrastructure: it is deployed with
the pipeline, is no part of a bundle, and the digest of its content is the tag of the image that is built of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from constructs_lib.names.bundle import CONTAINER
from constructs_lib.names.features_file import FOLDER
from constructs_lib.names.file_parts import Part, shown
from constructs_lib.names.frameworks import JOBS_IMAGE
from constructs_lib.names.scan_file import Scan

DOCKERFILE: Final = "Dockerfile"
ENTRY_POINTS: Final = "gapless.json"
"""How the image's entry points are run without Docker: ``{"train": [word, …], "serve": [word, …]}``."""

ASIDE: Final = ("**/__pycache__", "**/.*", "!**/.dockerignore")
"""What of the folder is no part of an image, as ``.dockerignore`` writes it."""

_KEPT_HIDDEN = ".dockerignore"
_PURPOSES = ("train", "serve")
_TAG_LENGTH = 32


class ContainerModel(Part):
    """A container of the workload's own, which trains and serves.

    Attributes:
        build_machine: Size of the machine that builds the image.
        build_minutes: How long that may take.
        scan: Which findings in the image stop it before it trains or serves.
    """

    kind: Literal["container"]
    build_machine: Literal["small", "medium", "large"] = "small"
    build_minutes: Annotated[int, Field(ge=5, le=480)] = 60
    scan: Scan = Scan()
    _folder: Path = PrivateAttr(Path())
    _tag: str = PrivateAttr("")

    @model_validator(mode="after")
    def _reads_its_folder(self, info: ValidationInfo) -> Self:
        folder = (info.context or {}).get(FOLDER)
        if folder is None:
            raise ValueError(f"kind: the folder {CONTAINER} cannot be read without the workload's folder")
        self._folder = Path(folder, CONTAINER)
        check_container(self._folder)
        self._tag = content_tag(self._folder)
        return self

    @property
    def evaluated_in_process(self) -> bool:
        """Whether jobs load the model; otherwise its containers answer them by batch transforms."""
        return False

    @property
    def jobs_image(self) -> str:
        """What jobs around the container run in."""
        return JOBS_IMAGE

    @property
    def folder(self) -> Path:
        """The folder that the image is built of."""
        return self._folder

    @property
    def tag(self) -> str:
        """The image's tag: the same content has the same tag, whoever builds it and wherever."""
        return self._tag


def check_container(folder: Path) -> None:
    """Looks whether a folder can become an image.

    Raises:
        ValueError: A file is missing or not of the form that is asked for.
    """
    if not (folder / DOCKERFILE).is_file():
        raise ValueError(f"kind: a container needs the file {CONTAINER}/{DOCKERFILE}")
    where = f"kind: {CONTAINER}/{ENTRY_POINTS}"
    try:
        given = json.loads((folder / ENTRY_POINTS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"kind: a container needs the file {CONTAINER}/{ENTRY_POINTS}") from error
    except ValueError as error:
        raise ValueError(f"{where}: is not JSON: {error}") from error
    if not isinstance(given, dict) or sorted(given) != sorted(_PURPOSES) or not all(map(_is_command, given.values())):
        raise ValueError(f'{where}: must be {{"train": [word, …], "serve": [word, …]}}, was {shown(given)}')


def _is_command(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)


def content_tag(folder: Path) -> str:
    """Returns the digest of a folder's content: names, bytes, and which files can be executed.

    Raises:
        ValueError: A file is a link, which would mean something else on another machine.
    """
    lines = [f"{digest}  {name}\n" for name, digest in sorted(_digests(folder).items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_TAG_LENGTH]


def content_of(folder: Path) -> list[str]:
    """Returns the names of the files of a folder that become an image, in order.

    Raises:
        ValueError: A file is a link.
    """
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if any(_is_aside(part) for part in name.parts):
            continue
        if path.is_symlink():
            raise ValueError(f"kind: {CONTAINER}/{name.as_posix()} is a link; allowed are plain files and folders")
        if path.is_file():
            found.append(name.as_posix())
    return sorted(found)


def _digests(folder: Path) -> Mapping[str, str]:
    return {name: _digest(folder / name) for name in content_of(folder)}


def _digest(path: Path) -> str:
    mode = "x" if path.stat().st_mode & 0o100 else "-"
    return mode + hashlib.sha256(path.read_bytes()).hexdigest()


def _is_aside(part: str) -> bool:
    return part == "__pycache__" or (part.startswith(".") and part != _KEPT_HIDDEN)
