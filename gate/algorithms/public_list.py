"""AWS's public list of models: a manifest and a specification per version, beside the archives that they name."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

MANIFEST = "models_manifest.json"
TIMEOUT_SECONDS = 60
_CHUNK = 1 << 20


class NotPinned(Exception):
    """An algorithm cannot be pinned; the message says what was asked for, what was found and what is allowed."""


@dataclass(frozen=True)
class Specification:
    """What the list says of one version of a model.

    Args:
        document: The specification.
        sha256: The digest of its bytes.
        url: Where it was read.
    """

    document: dict[str, Any]
    sha256: str
    url: str


class PublicList:
    """Reads the list of one region.

    Args:
        address: Where the region's bucket answers, ``https://…``.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def specification(self, model_id: str, wanted: str | None = None) -> Specification:
        """Returns the newest version of a model.

        Args:
            wanted: Which versions are allowed, as ``2.1.0`` or ``<3``. Default: all.

        Raises:
            NotPinned: There is none, or AWS tells not to use it.
        """
        headers = [each for each in json.loads(self._read(MANIFEST)) if each["model_id"] == model_id]
        allowed = _allowed(wanted)
        found = [each for each in headers if Version(each["version"]) in allowed]
        if not found:
            known = ", ".join(sorted({each["version"] for each in headers}, key=Version)) or "none"
            raise NotPinned(
                f"{model_id}: no version{f' {wanted}' if wanted else ''} at {self._address} (there: {known})"
            )
        newest = max(found, key=lambda each: Version(each["version"]))
        content = self._read(newest["spec_key"])
        specification = Specification(
            json.loads(content), hashlib.sha256(content).hexdigest(), f"{self._address}/{newest['spec_key']}"
        )
        _check_use(model_id, specification.document)
        return specification

    def sha256(self, key: str) -> str:
        """Reads an archive and returns its digest."""
        digest = hashlib.sha256()
        for chunk in self._chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _read(self, key: str) -> bytes:
        return b"".join(self._chunks(key))

    def _chunks(self, key: str) -> Iterator[bytes]:
        url = f"{self._address}/{key}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - AWS's, or given
                while chunk := answer.read(_CHUNK):
                    yield chunk
        except (urllib.error.URLError, TimeoutError) as error:
            raise NotPinned(f"{url} cannot be read: {error}") from error


def _allowed(wanted: str | None) -> SpecifierSet:
    try:
        return SpecifierSet(f"=={wanted}" if wanted is not None and wanted[:1].isdigit() else wanted or "")
    except InvalidSpecifier as error:
        raise NotPinned(f"--version: must be like 2.1.0, 2.* or <3, was {wanted!r}") from error


def _check_use(model_id: str, document: dict[str, Any]) -> None:
    version = document["version"]
    if not document.get("training_supported", False):
        raise NotPinned(f"{model_id} {version}: AWS does not let it be trained")
    if document.get("deprecated", False):
        raise NotPinned(f"{model_id} {version}: AWS has deprecated it; ask for another by --version")
    for use in ("training", "inference"):
        if document.get(f"{use}_vulnerable", False):
            known = ", ".join(document.get(f"{use}_vulnerabilities", [])) or "not told"
            raise NotPinned(
                f"{model_id} {version}: AWS knows its {use} to be vulnerable ({known}); choose by --version"
            )
