"""Makes a pin of a specification: what of it a run needs, with the images for each kind of processor, by region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from sagemaker.core import image_uris
from sagemaker.core.jumpstart.types import JumpStartModelSpecs

from constructs_lib.names.algorithm_pins import (
    Archive,
    Hyperparameter,
    Images,
    Pin,
    Region,
    Serving,
    Source,
    Training,
)
from constructs_lib.names.frameworks import PROCESSORS, Processor, processor_of
from gate.algorithms.public_list import NotPinned

Use = Literal["training", "inference"]
_MACHINES: Mapping[Processor, tuple[str, ...]] = {
    "cpu": ("ml.m5.xlarge", "ml.m5.2xlarge", "ml.c5.2xlarge"),
    "gpu": ("ml.g4dn.xlarge", "ml.g5.xlarge", "ml.p3.2xlarge"),
}
"""What an image is asked for where the list names no machine with such a processor."""

_NAMES = {"training": "training", "inference": "hosting"}
"""Use to what the list calls it."""


def pin(
    document: Mapping[str, Any],
    source: Source,
    buckets: Mapping[str, str],
    sha256: Callable[[str], str | None],
) -> Pin:
    """Returns the pin of a specification.

    Args:
        document: The specification.
        source: Where it was read.
        buckets: Region to AWS's bucket, for all regions to pin.
        sha256: Gives the digest of an archive by its key, or nothing where it cannot be seen.

    Raises:
        NotPinned: It names something that is missing, or images that differ between regions.
    """
    specs = JumpStartModelSpecs(dict(document))
    training, trains_in = _images(specs, "training", buckets)
    serving, serves_in = _images(specs, "inference", buckets)

    def archive(key: str) -> Archive:
        return Archive(key=key, sha256=sha256(key))

    return Pin(
        model_id=specs.model_id,
        version=specs.version,
        source=source,
        training=Training(
            images=training,
            script=archive(getattr(specs, "training_prepacked_script_key", None) or specs.training_script_key),
            model=archive(specs.training_artifact_key),
            instance_types=tuple(getattr(specs, "supported_training_instance_types", None) or ()),
        ),
        serving=Serving(
            images=serving,
            script=archive(specs.hosting_script_key) if _packs_script(specs) else None,
            environment=_environment(document),
            instance_types=tuple(getattr(specs, "supported_inference_instance_types", None) or ()),
        ),
        hyperparameters=tuple(_hyperparameter(each) for each in _scoped(document, "algorithm")),
        settings={each["name"]: str(each["default"]) for each in _scoped(document, "container")},
        regions={
            region: Region(bucket=bucket, training_registry=trains_in[region], serving_registry=serves_in[region])
            for region, bucket in sorted(buckets.items())
        },
    )


def _packs_script(specs: JumpStartModelSpecs) -> bool:
    """Whether the training leaves it to others to put the script that serves into the model's archive."""
    return specs.use_inference_script_uri() and getattr(specs, "training_prepacked_script_key", None) is None


def _images(specs: JumpStartModelSpecs, use: Use, regions: Iterable[str]) -> tuple[Images, dict[str, str]]:
    """Returns the images for each kind of processor, and region to the registry that holds them."""
    found: set[tuple[str, tuple[tuple[Processor, str], ...]]] = set()
    registries: dict[str, str] = {}
    for region in regions:
        addresses = {each: _address(specs, use, region, each) for each in PROCESSORS}
        known = {each: address for each, address in addresses.items() if address is not None}
        if not known:
            raise NotPinned(f"{specs.model_id} {specs.version}: no image for {use} in {region}")
        parts = {each: _parts(address) for each, address in known.items()}
        registries[region] = next(iter(parts.values()))[0]
        repository = next(iter(parts.values()))[1]
        found.add((repository, tuple((each, tag) for each, (_, _, tag) in parts.items())))
    if len(found) != 1:
        raise NotPinned(f"{specs.model_id} {specs.version}: other images for {use} in other regions: {sorted(found)}")
    repository, tags = found.pop()
    return Images(repository=repository, tags=dict(tags)), registries


def _address(specs: JumpStartModelSpecs, use: Use, region: str, processor: Processor) -> str | None:
    """The address of an image by the list itself, or by the framework that it names; nothing where there is none."""
    variants = getattr(specs, f"{_NAMES[use]}_instance_type_variants", None)
    listed: Sequence[str] = getattr(specs, f"supported_{use}_instance_types", None) or ()
    for machine in [*(each for each in listed if processor_of(each) == processor), *_MACHINES[processor]]:
        address = variants.get_image_uri(machine, region) if variants is not None else None
        image = getattr(specs, f"{_NAMES[use]}_ecr_specs", None)
        if address is None and image is not None:
            address = _of_framework(image.framework, image.framework_version, image.py_version, use, region, machine)
        if address is not None:
            return str(address)
    return None


@cache
def _of_framework(framework: str, version: str, python: str, use: Use, region: str, machine: str) -> str | None:
    try:
        address: str = image_uris.retrieve(
            framework, region, version=version, py_version=python, instance_type=machine, image_scope=use
        )
    except (KeyError, ValueError):
        return None
    return address


def _parts(address: str) -> tuple[str, str, str]:
    """Registry, repository and tag of an image's address."""
    host, _, rest = address.partition("/")
    repository, _, tag = rest.partition(":")
    return host.partition(".")[0], repository, tag


def _scoped(document: Mapping[str, Any], scope: str) -> list[Mapping[str, Any]]:
    return [each for each in document.get("hyperparameters", []) if each.get("scope", "algorithm") == scope]


def _hyperparameter(told: Mapping[str, Any]) -> Hyperparameter:
    return Hyperparameter(
        name=told["name"],
        type=told["type"],
        default=str(told["default"]),
        min=told.get("min"),
        max=told.get("max"),
        options=tuple(str(each) for each in told.get("options", ())),
    )


def _environment(document: Mapping[str, Any]) -> dict[str, str]:
    told = document.get("inference_environment_variables", [])
    return {each["name"]: str(each["default"]) for each in told if each.get("default") is not None}
