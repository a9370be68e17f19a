"""A fleet: every instance that one endpoint configuration asks for."""

from __future__ import annotations

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local.server.host import Credentials, Denied
from local.server.own_images import BadImage, OwnImage, OwnImages
from local.server.sagemaker import s3_data
from local.server.sagemaker.algorithms import container_environment
from local.server.sagemaker.archive import BadArchive, unpack
from local.server.sagemaker.children import Sandbox
from local.server.sagemaker.endpoints.capture import Capture
from local.server.sagemaker.endpoints.instance import Instance, Launch, NotHealthy
from local.server.sagemaker.endpoints.line import Container, Line
from local.server.sagemaker.endpoints.several_models import SeveralModels, Source
from local.server.sagemaker.faults import NO_CAPACITY
from local.server.sagemaker.jobs.runner import DATA_ERRORS
from local.server.sagemaker.measures import of_variant
from local.server.sagemaker.platform import Platform, log
from local.server.sagemaker.role_needs import check_role
from local.server.sagemaker.store import Document
from local.server.usage import Measure

STARTUP_SECONDS = 240.0
"""How long a container may take to answer its first ping, unless it was asked for otherwise."""

_LEAST_STARTUP_SECONDS = 20.0
_LOOK_SECONDS = 0.25


class FleetFailed(Exception):
    """A fleet did not come up; the text is the FailureReason."""


@dataclass
class Slot:
    """An instance in a fleet, and how many requests it is working on."""

    instance: Line
    in_flight: int = 0


@dataclass
class VariantFleet:
    """The instances of one variant."""

    name: str
    launches: tuple[Launch, ...]
    instance_type: str = ""
    slots: list[Slot] = field(default_factory=list)
    capture: Capture | None = None
    turn: int = 0
    serverless: Document | None = None
    starting: threading.Lock = field(default_factory=threading.Lock)
    shadow: VariantFleet | None = None
    shadow_share: float = 0.0
    sources: tuple[Source | None, ...] = ()

    @property
    def several_models(self) -> bool:
        """Whether requests have to say which model they ask."""
        return any(source is not None for source in self.sources)

    def with_shadow(self) -> list[VariantFleet]:
        """The variant, and what gets copies of its requests."""
        return [self] if self.shadow is None else [self, self.shadow]


class Fleet:
    """Starts and stops the instances of a configuration, the same number of them at any time.

    Args:
        config: The endpoint configuration as it takes effect, with retained properties put in.
        models: The documents of its models by name.
        log_group: Where its containers' logs go; default: the endpoint's own group.
    """

    def __init__(
        self,
        platform: Platform,
        endpoint: str,
        config: Document,
        models: dict[str, Document],
        *,
        log_group: str | None = None,
    ) -> None:
        self._platform = platform
        self._endpoint = endpoint
        self._is_endpoint = log_group is None
        self._group = log_group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self._models = models
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=platform.settings.scratch))
        self._credentials: list[Credentials] = []
        self._numbers = 0
        self._closed = False
        self.config = config
        self.variants: dict[str, VariantFleet] = {}

    def start(self) -> None:
        """Bring every instance up.

        Raises:
            FleetFailed: A model could not be loaded, or did not answer its ping; nothing is left running.
        """
        try:
            self.prepare()
            for variant in self.config["ProductionVariants"]:
                fleet = self.variants[variant["VariantName"]]
                fleet.slots = self.new_slots(fleet, initial_count(variant))
                for shadow in self.config.get("ShadowProductionVariants", []):
                    fleet.shadow = self._variant(shadow)
                    fleet.shadow_share = shadow["InitialVariantWeight"] / variant["InitialVariantWeight"]
                    fleet.shadow.slots = self.new_slots(fleet.shadow, shadow["InitialInstanceCount"])
        except FleetFailed:
            self.stop()
            raise

    def prepare(self) -> None:
        """Make ready to bring instances up, one after the other.

        Raises:
            FleetFailed: A model cannot be had.
        """
        for variant in self.config["ProductionVariants"]:
            self.variants[variant["VariantName"]] = self._variant(variant)

    @property
    def credentials(self) -> Credentials:
        """What the first model acts with."""
        return self._credentials[0]

    def stop(self) -> None:
        """End every instance and write what was captured."""
        with self._lock:
            self._closed = True
            variants = [each for variant in self.variants.values() for each in variant.with_shadow()]
            slots = [slot for variant in variants for slot in variant.slots]
        stop_all([slot.instance for slot in slots])
        for variant in variants:
            if variant.capture is not None:
                variant.capture.close()
        for credentials in self._credentials:
            self._platform.host.forget(credentials)
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_slots(self, variant: VariantFleet, count: int) -> list[Slot]:
        """Start more instances of a variant, side by side.

        Raises:
            FleetFailed: One did not answer its ping; none of the new ones is left running.
        """
        if self._platform.faults.has_no(variant.instance_type):
            raise FleetFailed(NO_CAPACITY)
        self._await_machines(variant.instance_type)
        instances = [self._new_instance(variant) for _ in range(count)]
        with ThreadPoolExecutor(max_workers=max(1, count)) as pool:
            problems = [problem for problem in pool.map(_started, instances) if problem is not None]
        if problems:
            stop_all(instances)
            log.warning("variant %s of endpoint %s: %s", variant.name, self._endpoint, problems[0])
            raise FleetFailed(
                f"The primary container for production variant {variant.name} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint."
            )
        return [Slot(instance) for instance in instances]

    def _await_machines(self, instance_type: str) -> None:
        if self._platform.faults.withholds(instance_type):
            log.warning("endpoint %s waits for machines of %s", self._endpoint, instance_type)
        while self._platform.faults.withholds(instance_type):
            if self._platform.stopping.wait(_LOOK_SECONDS):
                raise FleetFailed("the local server was stopped while machines were waited for")

    def _new_instance(self, variant: VariantFleet) -> Line:
        with self._lock:
            if self._closed:
                raise FleetFailed(f"endpoint {self._endpoint} is being deleted")
            self._numbers += 1
            pairs = zip(variant.launches, variant.sources, strict=True)
            return Line([_container(launch, self._numbers, source) for launch, source in pairs])

    def _variant(self, variant: Document) -> VariantFleet:
        name = variant["VariantName"]
        model = self._models[variant["ModelName"]]
        credentials = self._assume(model)
        launches = tuple(
            Launch(
                host=self._platform.host,
                environment=self._environment(model, container, credentials),
                model=self._fetch_model(f"{name}-{number}", container, credentials),
                group=self._group,
                variant=name,
                startup_seconds=self._startup_seconds(variant),
                container=f"container-{number}" if len(model["_Containers"]) > 1 else "",
                own_image=self._own_image(container["image"], credentials),
                measure=self._measure(variant),
            )
            for number, container in enumerate(model["_Containers"], start=1)
        )
        return VariantFleet(
            name,
            launches,
            variant.get("InstanceType", ""),
            capture=self._capture(name, credentials),
            serverless=variant.get("ServerlessConfig"),
            sources=tuple(self._source(container, credentials) for container in model["_Containers"]),
        )

    def _source(self, container: Document, credentials: Credentials) -> Source | None:
        if not container.get("several"):
            return None
        return Source(self._platform.host.client("s3", credentials), container["model_data"])

    def _assume(self, model: Document) -> Credentials:
        try:
            credentials = self._platform.assume(model["ExecutionRoleArn"], "SageMaker", model["ModelArn"])
            for container in model["_Containers"]:
                check_role(self._platform.host, credentials, container["image"], model.get("VpcConfig"))
        except Denied as error:
            raise FleetFailed(f"The role of model {model['ModelName']} lacks a permission: {error}") from error
        self._credentials.append(credentials)
        return credentials

    def _environment(self, model: Document, container: Document, credentials: Credentials) -> dict[str, str]:
        sandbox = Sandbox(self._folder)
        env = sandbox.environment(self._platform.host, credentials, isolated=model["EnableNetworkIsolation"])
        return env | container_environment(container["image"], container["environment"])

    def _own_image(self, address: str, credentials: Credentials) -> OwnImage | None:
        try:
            return OwnImages(self._platform.settings).find(self._platform.host.client("ecr", credentials), address)
        except BadImage as error:
            raise FleetFailed(str(error)) from error

    def _fetch_model(self, name: str, container: Document, credentials: Credentials) -> Path:
        folder = self._folder / "models" / name
        folder.mkdir(parents=True)
        uri = container["model_data"]
        if uri is None or container.get("several"):
            return folder
        archive = self._folder / f"{name}.tar.gz"
        try:
            s3 = self._platform.host.client("s3", credentials)
            s3_data.download_object(s3, s3_data.Address.parse(uri), archive)
            unpack(archive, folder)
        except BadArchive as error:
            raise FleetFailed(f"Failed to extract model data archive from URL {uri}: {error}") from error
        except DATA_ERRORS as error:
            raise FleetFailed(
                f"Failed to download model data from URL {uri} for a container ({name}): {error}"
            ) from error
        archive.unlink()
        return folder

    def _measure(self, variant: Document) -> Measure | None:
        """Of a batch transform, which has no endpoint, and of serverless variants nothing is published."""
        if not self._is_endpoint or "InstanceType" not in variant:
            return None
        return of_variant(self._endpoint, variant["VariantName"], variant["InstanceType"])

    def _startup_seconds(self, variant: Document) -> float:
        asked: float = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        return max(_LEAST_STARTUP_SECONDS, asked * self._platform.settings.wait_scale)

    def _capture(self, variant: str, credentials: Credentials) -> Capture | None:
        config = self.config.get("DataCaptureConfig")
        if config is None or not config.get("EnableCapture", True):
            return None
        return Capture(self._platform.host.client("s3", credentials), config, self._endpoint, variant)


def _container(launch: Launch, number: int, source: Source | None) -> Container:
    return Instance(launch, number) if source is None else SeveralModels(launch, number, source)


def initial_count(variant: Document) -> int:
    """With how many instances a variant begins; a serverless one with those that are kept, or one to try it."""
    if "ServerlessConfig" in variant:
        return int(variant["ServerlessConfig"].get("ProvisionedConcurrency", 1))
    return int(variant["InitialInstanceCount"])


def stop_all(instances: list[Line]) -> None:
    """Stop instances side by side."""
    if instances:
        with ThreadPoolExecutor(max_workers=len(instances)) as pool:
            list(pool.map(Line.stop, instances))


def _started(instance: Line) -> str | None:
    try:
        instance.start()
    except NotHealthy as error:
        return str(error)
    return None
