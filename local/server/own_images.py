"""Images that were built on this machine: a folder with files and two commands, instead of a file system of its own.

No image is run as such. What a build packs is the only layer of an image in the registry, and ``gapless.json`` among
the files says which commands train and serve. Whoever runs an image pulls it with the leave of the role that has to;
the files of a layer are kept below the server's state.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from local.server.host import Settings

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
ENTRY_POINTS = "gapless.json"
"""The file among those of an image that says how it trains and serves: ``{"train": [word, …], "serve": [word, …]}``."""

_ADDRESS = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.[\w-]+\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))"
)


class BadImage(Exception):
    """An image that cannot be built or run; the text says why."""


@dataclass(frozen=True)
class OwnImage:
    """An image that was built here.

    Attributes:
        files: The folder with its files, which belongs to nobody who runs it.
        train, serve: Its commands.
    """

    files: Path
    train: tuple[str, ...]
    serve: tuple[str, ...]


@dataclass(frozen=True)
class PackedImage:
    """An image as a registry takes it.

    Attributes:
        manifest: What it consists of.
        blobs: Its configuration and its layer, by their digests.
    """

    manifest: dict[str, Any]
    blobs: Mapping[str, bytes]


class OwnImages:
    """The files of images by the digests of their layers.

    Args:
        settings: How the server runs; the files are below its state.
    """

    def __init__(self, settings: Settings) -> None:
        self._account = settings.account
        self._ca_file = settings.ca_file
        self._folder = settings.state_dir / "images"

    def pack(self, archive: Path) -> PackedImage:
        """Make an image of the files of a zip.

        Raises:
            BadImage: It is no zip, or its files cannot be an image.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            folder = Path(made, "files")
            _unpack(archive, folder)
            if not (folder / "Dockerfile").is_file():
                raise BadImage("there is no Dockerfile")
            read_entry_points(folder)
            layer = _layer(folder)
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [_digest(layer)]}}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **_described(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", **_described(layer)}],
        }
        return PackedImage(manifest, {_digest(each): each for each in (config, layer)})

    def names(self, address: str) -> bool:
        """Whether an address is one of this account's own registry."""
        match = _ADDRESS.fullmatch(address)
        return match is not None and match["account"] == self._account

    def find(self, ecr: Any, address: str) -> OwnImage | None:
        """The image of an address; ``None`` for one of another account's registry.

        Args:
            ecr: A client that acts for whoever has to pull the image.

        Raises:
            BadImage: There is no such image, or whoever asks may not pull it.
        """
        match = _ADDRESS.fullmatch(address)
        if match is None or match["account"] != self._account:
            return None
        wanted = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"]}
        try:
            found = ecr.batch_get_image(repositoryName=match["repository"], imageIds=[wanted])["images"]
        except ClientError as error:
            raise BadImage(f"the image {address} cannot be pulled: {error}") from error
        if not found:
            raise BadImage(f"there is no image {address}")
        layers = json.loads(found[0]["imageManifest"]).get("layers", [])
        if len(layers) != 1:
            raise BadImage(f"the image {address} was not built by a local server")
        files = self._files(ecr, match["repository"], str(layers[0]["digest"]))
        commands = read_entry_points(files)
        return OwnImage(files, tuple(commands["train"]), tuple(commands["serve"]))

    def _files(self, ecr: Any, repository: str, digest: str) -> Path:
        """The folder with the files of a layer, which is pulled if it is not there yet."""
        files = self._folder / digest.removeprefix("sha256:")
        try:
            url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)["downloadUrl"]
            if not files.is_dir():
                layer = URLLib3Session(verify=str(self._ca_file)).send(AWSRequest("GET", url).prepare()).content
                _extract(layer, files)
        except (ClientError, BotoCoreError, tarfile.TarError) as error:
            raise BadImage(f"the layer {digest} of {repository} cannot be pulled: {error}") from error
        return files


def read_entry_points(folder: Path) -> dict[str, list[str]]:
    """The commands of an image's files.

    Raises:
        BadImage: The file is missing or not of the form that is asked for.
    """
    try:
        given = json.loads((folder / ENTRY_POINTS).read_text())
    except (OSError, ValueError) as error:
        raise BadImage(f"{ENTRY_POINTS} cannot be read: {error}") from error
    if not isinstance(given, dict) or sorted(given) != ["serve", "train"] or not all(map(_is_command, given.values())):
        raise BadImage(f'{ENTRY_POINTS} must be {{"train": [word, …], "serve": [word, …]}}, was {given!r:.200}')
    return given


def _is_command(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            for member in source.infolist():
                written = Path(source.extract(member, folder))
                if not member.is_dir() and (member.external_attr >> 16) & 0o100:
                    written.chmod(0o755)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadImage(f"the source is no zip: {error}") from error


def _layer(folder: Path) -> bytes:
    """The files as a tar: the same files give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(member, content)
    return packed.getvalue()


def _extract(layer: bytes, files: Path) -> None:
    files.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.parent) as made:
        folder = Path(made, "files")
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(folder, filter="data")
        try:
            folder.rename(files)
        except OSError:  # somebody else has pulled it meanwhile
            if not files.is_dir():
                raise


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(content: bytes) -> dict[str, Any]:
    return {"digest": _digest(content), "size": len(content)}


def copy_files(image: OwnImage, target: Path) -> Path:
    """Give whoever runs an image files of its own; returns ``target``."""
    shutil.copytree(image.files, target, dirs_exist_ok=True)
    return target
