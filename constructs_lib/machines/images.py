"""Images that go by a tag are looked up once per run, and go by their digest from then on.

AWS publishes its images under tags and patches what is behind a tag. Which digest a tag has is asked of the registry
when a run begins, with the permission that pulling takes (``ecr:BatchGetImage``); every request of the run, the model
package and the run's record name that digest. A replay takes the digests of the run that it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from constructs_lib.asl import (
    JSON,
    UNNAMED_ECR,
    Catch,
    State,
    choice,
    expression,
    fail,
    for_each,
    go_to,
    jsonata,
    kept,
    raise_again,
    remember,
    succeed,
    task,
)
from constructs_lib.machines.common import CALL_SECONDS

JOBS, TRAINING, SERVING, ADAPTERS = "jobs", "training", "serving", "adapters"
"""What the images of a run are called: that of processing jobs, and those that train, serve and adapt."""

FINAL_ERRORS = ("ImageUnknown",)
"""Errors that another try would meet again: a registry has no such image."""

_FAILURE = "image_failure"
_FOUND = "$states.result.Images[0].ImageId.ImageDigest"


@dataclass(frozen=True)
class TaggedImage:
    """An image that goes by a tag; every value may be a token.

    Args:
        name: What the run calls it.
        registry: The account whose registry holds it.
        repository: Name of the repository.
        address: Address of the repository, to which ``:tag`` or ``@digest`` is added.
        tag: The tag.
        hidden: Whether the registry may refuse to tell, because SageMaker alone pulls from it. The image then goes by
            its tag. Default: a refusal fails the run.
    """

    name: str
    registry: str
    repository: str
    address: str
    tag: str
    hidden: bool = False


def pinned(name: str) -> str:
    """The marked JSONata of an image's address by digest.

    Args:
        name: What the run calls the image.
    """
    return jsonata(f"$images.{name}")


def image_states(images: Sequence[TaggedImage], *, recorded: str, following: str) -> dict[str, State]:
    """Returns the states that set ``$images``: name to address. A run that has looked before does not look again.

    Args:
        images: What to look up.
        recorded: The JSONata of the images that a replay takes in the place of what it finds, name to address.
        following: The state to go on with.
    """
    if not images:
        return {"NoImages": go_to(following, remember({"images": {}}))}
    return {
        "KnowsImages": choice([("$count($keys($images)) > 0", following)], default="FindImages"),
        "FindImages": go_to(following, _find_all(images, recorded)),
    }


def _find_all(images: Sequence[TaggedImage], recorded: str) -> State:
    items: list[JSON] = [
        {
            "name": each.name,
            "registry": each.registry,
            "repository": each.repository,
            "address": each.address,
            "tag": each.tag,
            "hidden": each.hidden,
        }
        for each in images
    ]
    return for_each(
        expression(items),
        {
            "LookUpDigest": _find(),
            "DigestFound": choice([("$digest != 'none'", "Pinned")], default="ImageUnknown"),
            "Pinned": succeed(jsonata("{$states.input.name: $states.input.address & '@' & $digest}")),
            "ImageUnknown": fail(
                "ImageUnknown",
                jsonata("'ImageUnknown: there is no image ' & $states.input.address & ':' & $states.input.tag"),
            ),
            "MayBeHidden": choice([("$states.input.hidden", "ByTag")], default="LookUpFailed"),
            "ByTag": succeed(jsonata("{$states.input.name: $states.input.address & ':' & $states.input.tag}")),
            "LookUpFailed": raise_again(_FAILURE),
        },
        at_once=4,
        assign={"images": jsonata(f"$merge([$merge($states.result), {recorded}])")},
    )


def _find() -> State:
    """Asks which digest the tag has now."""
    return task(
        "aws-sdk:ecr:batchGetImage",
        {
            "RegistryId": jsonata("$states.input.registry"),
            "RepositoryName": jsonata("$states.input.repository"),
            "ImageIds": [{"ImageTag": jsonata("$states.input.tag")}],
        },
        timeout=CALL_SECONDS,
        assign={"digest": jsonata(f"[{_FOUND}, 'none'][0]")},
        catch=[Catch([UNNAMED_ECR], "MayBeHidden", kept(_FAILURE))],
        on_failure="LookUpFailed",
        failure=_FAILURE,
    )
