"""A container of the workload's own, built when its content has no image yet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from constructs_lib.asl import State, choice, jsonata, task
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, own_failure
from constructs_lib.machines.image_scan import scan_states
from constructs_lib.machines.makers.made import Made
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.script import split_channel
from constructs_lib.machines.makers.tuning import training_states
from constructs_lib.names.scan_file import Scan

_START_MINUTES = 30
_FOUND = "$states.result.Images[0].ImageId.ImageDigest"


@dataclass(frozen=True)
class ContainerMaker:
    """Trains and serves by one image, which is named by its digest from then on.

    Args:
        repository_name, repository_uri: Where the image is; may be tokens.
        tag: The image's tag, which stands for the content that it is built of.
        project_name: The CodeBuild project that builds it.
        build_minutes: How long that may take.
        scan: Which findings stop the run.
    """

    repository_name: str
    repository_uri: str
    tag: str
    project_name: str
    build_minutes: int
    scan: Scan

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states that find the image, build it if there is none, read its scan, and train by it."""
        training = training_states(s, p, self._asked(p))
        following = next(iter(training))
        scanning = scan_states(self.scan, self.repository_name, "$substringAfter($image, '@')", following=following)
        built = [("$image != 'none'", next(iter(scanning), following))]
        return {
            "FindImage": self._find_image(),
            "HasImage": choice(built, default="BuildImage"),
            "BuildImage": self._build_image(),
            "FindBuiltImage": self._find_image(),
            "IsBuilt": choice(built, default="ImageMissing"),
            "ImageMissing": own_failure("ImageMissing", f"'{self._missing()}'"),
            **scanning,
            **training,
        }

    def _missing(self) -> str:
        return (
            f"there is no image {self.tag} after its build, as the workload was deployed with another container "
            "meanwhile: start the run again"
        )

    def _find_image(self) -> State:
        """Looks which digest the image has that is built of this content."""
        return task(
            "aws-sdk:ecr:batchGetImage",
            {"RepositoryName": self.repository_name, "ImageIds": [{"ImageTag": self.tag}]},
            timeout=CALL_SECONDS,
            assign={"image": jsonata(f"$exists({_FOUND}) ? '{self.repository_uri}@' & {_FOUND} : 'none'")},
        )

    def _build_image(self) -> State:
        """Builds the image; a build that finds it made meanwhile ends well."""
        return task(
            "codebuild:startBuild.sync",
            {"ProjectName": self.project_name},
            timeout=(self.build_minutes + _START_MINUTES) * MINUTE,
        )

    def _asked(self, p: ModelParts) -> Made:
        """What a training is asked for: what is told to the container are its hyperparameters."""
        splits = "$states.input.dataset.splits"
        image, artefact = jsonata("$image"), jsonata("$states.result.ModelArtifacts.S3ModelArtifacts")
        return Made(
            replace(p.place, image_uri=image),
            channels=[split_channel(p, name, f"{splits}.{name}.manifest_uri") for name in ("train", "validation")],
            hyperparameters={**p.hyperparameters, **({"target": p.target} if p.target is not None else {})},
            kept=p.hyperparameters,
            assign={
                "model_uri": artefact,
                "training_job": jsonata("$states.result.TrainingJobName"),
                "training_image": image,
                "containers": [{"Image": image, "ModelDataUrl": artefact}],
            },
            own_image=True,
        )
