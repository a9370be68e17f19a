"""The bundle of a workload: fetched, verified by its name, unpacked, and its scripts loaded."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType

from pyspark.sql import DataFrame

from gapless_glue import store
from gapless_glue.errors import BadBundle

Derive = Callable[[DataFrame], DataFrame]
Features = Callable[[Mapping[str, DataFrame]], DataFrame]


@dataclass(frozen=True)
class Bundle:
    """A workload's scripts: its digest, its rules and the two functions of ``features.py`` (None when absent).

    Attributes:
        features_digest: SHA-256 of ``features.py`` and of the scripts beside it that it imports: of what makes rows.
        records: Feature group → the function ``<group>_records`` of ``features.py``.
    """

    digest: str
    rules: str
    derive: Derive | None
    features: Features | None
    features_digest: str = ""
    records: Mapping[str, Features] = field(default_factory=dict)


def load_bundle(uri: str, folder: Path) -> Bundle:
    """Fetches ``…/<sha256>/sourcedir.tar.gz``, verifies it and unpacks it into a folder.

    Raises:
        BadBundle: It is absent, is not what its name says, holds anything but plain files below its root, or its
            scripts cannot be loaded.
    """
    digest = uri.split("/")[-2] if "/" in uri else ""
    try:
        content = store.read(uri)
    except FileNotFoundError as error:
        raise BadBundle(f"there is no bundle at {uri}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise BadBundle(f"bundle at {uri} has SHA-256 {found}")
    _unpack(content, folder)
    rules = folder / "rules.dqdl"
    module = _module(folder / "features.py", folder) if (folder / "features.py").exists() else None
    return Bundle(
        digest=digest,
        rules=rules.read_text(encoding="utf-8") if rules.exists() else "",
        derive=getattr(module, "derive", None),
        features=getattr(module, "features", None),
        features_digest=features_digest(folder),
        records=_records(module),
    )


def features_digest(folder: Path) -> str:
    """Returns the SHA-256, in hex, of ``features.py`` and of every script of a folder that it imports, however far."""
    found: dict[str, bytes] = {}
    names = ["features"]
    while names:
        name = names.pop()
        place = folder.joinpath(*name.split("."))
        script = next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
        if name not in found and script is not None:
            found[name] = script.read_bytes()
            names += imported_names(found[name])
    digests = [f"{name} {hashlib.sha256(found[name]).hexdigest()}" for name in sorted(found)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def imported_names(script: bytes) -> list[str]:
    """Returns the names that may be modules in the import statements of a script that was loaded before."""
    names = []
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _records(module: ModuleType | None) -> dict[str, Features]:
    suffix, found = "_records", {} if module is None else vars(module)
    return {name.removesuffix(suffix): each for name, each in found.items() if name.endswith(suffix)}


def _unpack(content: bytes, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive.getmembers():
                _extract(archive, member, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadBundle(f"bundle cannot be unpacked: {error}") from error


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Writes one member; by hand, because ``tarfile`` has its filters only since Python 3.11.4."""
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise BadBundle(f"bundle holds {member.name!r}, which is not a plain file")
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise BadBundle(f"bundle holds {member.name!r}, which would be outside its folder")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content:
        target.write_bytes(content.read())


def _module(path: Path, folder: Path) -> ModuleType:
    """Loads a script under a name of its own; scripts beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location("workload_features", path)
    if spec is None or spec.loader is None:
        raise BadBundle(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadBundle(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(folder))
    return module
