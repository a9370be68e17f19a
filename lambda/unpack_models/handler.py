"""Makes of the archive of a version what an endpoint of several models serves: an archive for each of them.

Invoked by the deployment machine once the model is known to be what was signed. Reads the sealed archive, judges and
unpacks it as every job does, makes sure that its content has the digest that was evaluated and signed, and writes the
archives below ``<workload>/segments/<digest>/``: a folder that is named by its content, which nobody else may write to.
The same version gives the same objects, so that it may be asked any number of times, at once too. Each call writes
them anew, which makes them young again for those who clean up.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri
from gapless_lambda.settings import read_settings
from gapless_sagemaker.artefact import Limits, UnsafeArtefact, open_artefact
from unpack_models.archives import MODELS, SCRIPT, BadSet, archives_of, routing_of

MOST_BYTES = 1 << 29
"""What the models of a version may have together, unpacked; the function holds them in its memory."""

log = get_logger(__name__)


class Event(TypedDict):
    """The sealed archive of a version, and the canonical digest of its content."""

    model_uri: str
    model_sha256: str


class Result(TypedDict):
    """The prefix of the archives, ``s3://…/``, the address of the script that all of them share, and which model of
    this set is asked (``constructs_lib.names.segments``): the file may have other values by now."""

    models_uri: str
    code_uri: str
    routing: dict[str, Any]
    objects: int


@dataclass(frozen=True)
class Settings:
    """The environment: where sealed archives are and where sets go, ``s3://…/``, and whether they may hold pickles."""

    models_uri: str
    sets_uri: str
    allow_pickle: str

    @property
    def limits(self) -> Limits:
        """What the archive may hold."""
        return Limits(unpacked_bytes=MOST_BYTES, pickles=self.allow_pickle == "true")


def read_files(s3: Any, event: Event, settings: Settings) -> dict[str, bytes]:
    """Give the files of a version's archive, path → content.

    Raises:
        BadSet: It is no sealed archive.
        UnsafeArtefact: It is refused, or is not the model that was evaluated.
    """
    if not event["model_uri"].startswith(settings.models_uri):
        raise BadSet(f"the archive is at {event['model_uri']}; allowed is below {settings.models_uri}")
    address = parse_uri(event["model_uri"])
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, "model.tar.gz")
        s3.download_file(address.bucket, address.key, str(archive))
        opened = open_artefact(archive, Path(scratch, "model"), settings.limits)
        if opened.sha256 != event["model_sha256"]:
            raise UnsafeArtefact(f"digest is {opened.sha256}; the evaluated model's is {event['model_sha256']}")
        return {file.path: (opened.directory / file.path).read_bytes() for file in opened.files}


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Unpack a version."""
    settings, s3 = read_settings(Settings), client("s3")
    files = read_files(s3, event, settings)
    sets = parse_uri(settings.sets_uri)
    folder = Address(sets.bucket, f"{sets.key}{event['model_sha256']}/")
    made = 0
    for key, content in archives_of(files):
        s3.put_object(Bucket=folder.bucket, Key=f"{folder.key}{key}", Body=content)
        made += 1
    routing = routing_of(files).content()
    result = Result(models_uri=f"{folder}{MODELS}", code_uri=f"{folder}{SCRIPT}", routing=routing, objects=made)
    log.info("models unpacked", extra={**result})
    return result
