"""A container of several models: one is fetched and loaded when it is asked for, and the one idle longest goes.

What the real server bounds by the machine's memory is bounded here by a number, so that a laptop is no measure.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

from local.server.sagemaker.archive import BadArchive, unpack
from local.server.sagemaker.endpoints.instance import Instance, Launch, Loading, NotHealthy, Reply
from local.server.sagemaker.jobs.runner import DATA_ERRORS
from local.server.sagemaker.s3_data import Address, download_object

MOST_LOADED = 4
"""How many models an instance keeps loaded."""

TARGET = "X-Amzn-SageMaker-Target-Model"
_SUBMITTED = "SAGEMAKER_SUBMIT_DIRECTORY"


class NoSuchModel(Exception):
    """The model that a request asks for is not there, or may not be read; the text is for the caller."""


@dataclass(frozen=True)
class Source:
    """Where a container's models and their script come from.

    Args:
        s3: A client of S3 that acts as the model's role.
        uri: What the addresses of all models start with.
    """

    s3: Any
    uri: str

    def fetch(self, target: str, folder: Path) -> None:
        """Fetches a model into a folder.

        Raises:
            NoSuchModel: It is not there, or the role may not read it.
            BadArchive: It is no archive.
        """
        base = Address.parse(self.uri)
        address = Address(base.bucket, base.key + target)
        try:
            self._unpack(address, folder)
        except ClientError as error:
            raise NoSuchModel(
                f"Failed to download model data(bucket: {address.bucket}, key: {address.key}). Please ensure that "
                "there is an object located at the URL and that the role passed to CreateModel has permissions to "
                "download the model."
            ) from error

    def fetch_script(self, environment: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Fetches the script that all models share, if it lies in S3; gives the environment that names it then.

        Raises:
            NotHealthy: It cannot be had, so that the container does not start.
        """
        uri = environment.get(_SUBMITTED, "")
        if not uri.startswith("s3://"):
            return dict(environment)
        try:
            self._unpack(Address.parse(uri), folder)
        except (*DATA_ERRORS, BadArchive) as error:
            raise NotHealthy(f"the script {uri} cannot be had: {error}") from error
        program = environment.get("SAGEMAKER_PROGRAM", "")
        if not (folder / program).is_file():
            raise NotHealthy(f"SAGEMAKER_PROGRAM {program} is not in {uri}")
        return {**environment, _SUBMITTED: str(folder)}

    def _unpack(self, address: Address, folder: Path) -> None:
        archive = folder.with_suffix(".tar.gz")
        download_object(self.s3, address, archive)
        unpack(archive, folder)
        archive.unlink()


@dataclass
class Loaded:
    """A model that is loaded, or is being loaded while its lock is held, and how many requests it works on."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    instance: Instance | None = None
    in_flight: int = 0


class SeveralModels:
    """The container of one instance; requests say which model they ask.

    Attributes:
        healthy: Whether it listens, whatever is loaded.
    """

    def __init__(self, launch: Launch, number: int, source: Source) -> None:
        self._launch, self._number, self._source = launch, number, source
        self._folder = Path(tempfile.mkdtemp(prefix="models-", dir=launch.host.settings.scratch))
        self._lock = threading.Lock()
        self._models: OrderedDict[str, Loaded] = OrderedDict()
        self._fetched = 0
        self.healthy = False

    @property
    def restarts(self) -> int:
        """How often servers of models that are loaded had to be started again."""
        with self._lock:
            return sum(each.instance.restarts for each in self._models.values() if each.instance is not None)

    def start(self) -> None:
        """Fetch the script; models are loaded when they are asked for.

        Raises:
            NotHealthy: There is none.
        """
        environment = self._source.fetch_script(self._launch.environment, self._folder / "script")
        self._launch = replace(self._launch, environment=environment)
        self.healthy = True

    def stop(self) -> None:
        """End all servers and remove their files."""
        self.healthy = False
        with self._lock:
            models, self._models = self._models, OrderedDict()
        for each in models.values():
            if each.instance is not None:
                each.instance.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a request to the model that it asks for.

        Raises:
            NoSuchModel: It is not there.
            NoAnswer: The model server broke off or took longer than a minute.
        """
        target, asked = headers[TARGET], time.perf_counter()
        entry = self._entry(target)
        try:
            with entry.lock:
                hit = entry.instance is not None
                instance = entry.instance = entry.instance or self._load(target)
            waited = (time.perf_counter() - asked) * 1e6
            return replace(instance.invoke(body, headers), loading=Loading(hit, waited))
        except NotHealthy as error:
            return Reply(500, {}, f"{target} did not load: {error}".encode())
        finally:
            self._leave(target, entry)

    def _entry(self, target: str) -> Loaded:
        with self._lock:
            entry = self._models.setdefault(target, Loaded())
            self._models.move_to_end(target)
            entry.in_flight += 1
        return entry

    def _leave(self, target: str, entry: Loaded) -> None:
        """Forget a model that did not load, and those that are too many, unless they work on requests."""
        with self._lock:
            entry.in_flight -= 1
            late = entry.instance if not self.healthy else None  # it was loaded while this container was stopped
            if entry.instance is None and entry.in_flight == 0:
                self._models.pop(target, None)
            idle = [name for name, each in self._models.items() if each.in_flight == 0]
            gone = [self._models.pop(name) for name in idle[: max(0, len(self._models) - MOST_LOADED)]]
        for instance in (late, *(each.instance for each in gone)):
            if instance is not None:
                instance.stop()

    def _load(self, target: str) -> Instance:
        with self._lock:
            self._fetched += 1
            folder = self._folder / f"model-{self._fetched}"
        if ".." in PurePosixPath(target).parts:
            raise NoSuchModel(f"the target model {target!r} leads out of the prefix of the endpoint's models")
        try:
            self._source.fetch(target, folder)
        except BadArchive as error:
            raise NotHealthy(str(error)) from error
        container = target.removesuffix(".tar.gz").replace("/", "_")
        instance = Instance(replace(self._launch, model=folder, container=container), self._number)
        try:
            instance.start()
        except NotHealthy:
            instance.stop()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return instance
