"""How a workload's model is made: which images train it and which serve it, and what makes these images."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Aws, CfnMapping
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.grants import grant
from constructs_lib.image_build import ImageBuild
from constructs_lib.image_repository import ImageRepository
from constructs_lib.images import FrameworkImage, Image, Pullable, RegistryImage
from constructs_lib.machines.image_scan import ScannedImages
from constructs_lib.machines.images import ADAPTERS, JOBS, SERVING, TRAINING, TaggedImage, pinned
from constructs_lib.machines.makers.adapters import FOLDER
from constructs_lib.machines.makers.automl import AutoMLMaker
from constructs_lib.machines.makers.built_in import BuiltInMaker
from constructs_lib.machines.makers.container import ContainerMaker
from constructs_lib.machines.makers.parts import Maker
from constructs_lib.machines.makers.pinned_scripts import FOLDER as ALGORITHMS_FOLDER
from constructs_lib.machines.makers.pinned_scripts import PinnedArchive, PinnedScripts
from constructs_lib.machines.makers.pipeline import PipelineMaker
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.packing import FOLDER as PACKED_FOLDER
from constructs_lib.names import framework_images
from constructs_lib.names.algorithm_images import IMAGES, REGISTRIES
from constructs_lib.names.algorithm_pins import Archive, Images, Pin, command, pin_of
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.automl_images import ANY_TAG, PREPARATION
from constructs_lib.names.automl_images import REGISTRIES as SEARCH_REGISTRIES
from constructs_lib.names.automl_images import SERVING as FOUND_SERVING
from constructs_lib.names.automl_images import TRAINING as SEARCH_TRAINING
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.container_file import ContainerModel
from constructs_lib.names.frameworks import ADAPTERS_IMAGE, processor_of
from constructs_lib.names.model_file import Model, PipelineModel, ScriptModel
from constructs_lib.names.workload_file import WorkloadFile

ADAPTER_IMAGE = Image.parse(ADAPTERS_IMAGE)
"""What the adapters around an algorithm run in; they need nothing of it but Python and its server."""


def regions_of(model: Model) -> frozenset[str]:
    """Returns the regions that have every image of AWS's by which a model is made, served and evaluated.

    Where those of an algorithm are that AWS ships as scripts, :mod:`constructs_lib.names.algorithm_pins` says.
    """
    tables = [Image.parse(model.jobs_image).registries]
    if isinstance(model, ScriptModel):
        of_framework = [
            number for key, (number, *_) in framework_images.IMAGES.items() if key.split()[0] == model.image
        ]
        tables += [framework_images.REGISTRIES[number] for number in of_framework]
    if isinstance(model, BuiltInModel):
        tables += [ADAPTER_IMAGE.registries]
        tables += [REGISTRIES[IMAGES[model.algorithm][2]]] if not model.traits.pinned else []
    if isinstance(model, AutoMLModel):
        tables += [ADAPTER_IMAGE.registries, *SEARCH_REGISTRIES.values()]
    return frozenset.intersection(*map(frozenset, tables))


class ModelMaking(Construct):
    """Finds the images by which a model is made and served, and says how it is made.

    Args:
        workload: Whose model it is.
        jobs_image: The image of processing jobs, and of scripts whose model these load.
        own_images: Where images of the workload's own container are. Default: it has none.
        prefix: What the names of run-time things start with.
        key: Encrypts logs of builds.
        alarms: Whom to tell when a build fails.
        log_retention_days: How long logs of builds are kept.

    Attributes:
        maker: How the model is made.
        jobs_image: The image of processing jobs.
        training_image: What trains.
        serving_image: What serves.
        other_images: What serves beside it.
        searching_images: What a search runs beside the image that trains.
        scanned: Whose scans of images are read; AWS's own images are not ours to scan.
        scripts: What AWS ships of the algorithm, where it is no image of its own. Default: it is one, or none.

    Raises:
        ValueError: The workload has a container of its own, and no place for its images is given; or AWS ships its
            algorithm as scripts that are not pinned.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: WorkloadFile,
        jobs_image: FrameworkImage,
        own_images: ImageRepository | None = None,
        prefix: str,
        key: kms.IKey,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.jobs_image = jobs_image
        self.maker: Maker = ScriptMaker(image_uri=pinned(JOBS))
        self._looked_up: dict[str, RegistryImage] = {JOBS: jobs_image}
        self.training_image: Pullable = jobs_image
        self.serving_image: Pullable = jobs_image
        self.other_images: tuple[Pullable, ...] = ()
        self.searching_images: tuple[RegistryImage, ...] = ()
        self._build: ImageBuild | None = None
        self._scanned: ImageRepository | None = None
        self.scanned: ScannedImages | None = None
        self.scripts: PinnedScripts | None = None
        model = workload.model
        self._encodes = isinstance(model, BuiltInModel | AutoMLModel)
        if isinstance(model, BuiltInModel) and model.traits.pinned:
            self._make_by_scripts(model, workload)
        elif isinstance(model, BuiltInModel):
            self._make_by_algorithm(model)
        elif isinstance(model, ContainerModel):
            if own_images is None:
                raise ValueError(f"own_images must be given for a container, got none for: {workload.name}")
            self._build = ImageBuild(
                self,
                "Build",
                name=f"{prefix}image",
                folder=model.folder,
                tag=model.tag,
                repository=own_images,
                machine=model.build_machine,
                minutes=model.build_minutes,
                key=key,
                alarms=alarms,
                log_retention_days=log_retention_days,
            )
            self._make_by_container(model, own_images, self._build)
        elif isinstance(model, AutoMLModel):
            self._make_by_search(model)
        elif isinstance(model, PipelineModel):
            self.maker = PipelineMaker(image_uri=pinned(JOBS), pipeline_name=f"{prefix}train")
        elif not model.evaluated_in_process:
            self._make_by_framework(model, workload.training.compute.instance_type, workload.serving.instance_type)

    def _make_by_algorithm(self, model: BuiltInModel) -> None:
        repository, tag, table = IMAGES[model.algorithm]
        image = RegistryImage(
            self, "Algorithm", registries=REGISTRIES[table], repository=repository, tag=tag, hidden=True
        )
        adapters = FrameworkImage(self, "Adapters", image=ADAPTER_IMAGE)
        self.training_image, self.serving_image, self.other_images = image, image, (adapters,)
        self._looked_up |= {TRAINING: image, ADAPTERS: adapters}
        self.maker = BuiltInMaker(model=model, image_uri=pinned(TRAINING), adapter_image_uri=pinned(ADAPTERS))

    def _make_by_scripts(self, model: BuiltInModel, workload: WorkloadFile) -> None:
        """Images of a framework train and serve; which ones, and by which scripts, is pinned."""
        pin = pin_of(model.algorithm, workload.problem)
        if pin is None:
            raise ValueError(
                f"the algorithm must be pinned, got: {model.algorithm} for {workload.problem}; pin it by "
                f"{command(model.algorithm, None)}"
            )
        trains, serves = workload.training.compute.instance_type, workload.serving.instance_type
        registries = {region: place.training_registry for region, place in pin.regions.items()}
        training_image = self._pinned_image("Training", pin.training.images, registries, trains)
        registries = {region: place.serving_registry for region, place in pin.regions.items()}
        serving_image = self._pinned_image("Serving", pin.serving.images, registries, serves)
        adapters = FrameworkImage(self, "Adapters", image=ADAPTER_IMAGE)
        self.training_image, self.serving_image, self.other_images = training_image, serving_image, (adapters,)
        self._looked_up |= {TRAINING: training_image, SERVING: serving_image, ADAPTERS: adapters}
        self.scripts = self._find_scripts(pin)
        self.maker = BuiltInMaker(
            model=model,
            image_uri=pinned(TRAINING),
            adapter_image_uri=pinned(ADAPTERS),
            serving_image_uri=pinned(SERVING),
            scripts=self.scripts,
        )

    def _pinned_image(
        self, construct_id: str, images: Images, registries: Mapping[str, str], instance_type: str
    ) -> RegistryImage:
        tag = images.tags[processor_of(instance_type) or "cpu"]
        return RegistryImage(self, construct_id, registries=registries, repository=images.repository, tag=tag)

    def _find_scripts(self, pin: Pin) -> PinnedScripts:
        """The archives, in AWS's bucket of the region that the stack is deployed to."""
        buckets = {region: {"bucket": place.bucket} for region, place in pin.regions.items()}
        bucket = CfnMapping(self, "Buckets", mapping=buckets).find_in_map(Aws.REGION, "bucket")

        def found(archive: Archive) -> PinnedArchive:
            return PinnedArchive(bucket, archive.key, archive.sha256)

        return PinnedScripts(
            training_script=found(pin.training.script),
            model=found(pin.training.model),
            serving_script=found(pin.serving.script) if pin.serving.script is not None else None,
            hyperparameters={each.name: each.default for each in pin.hyperparameters},
            settings=pin.settings,
            environment=pin.serving.environment,
        )

    def _make_by_search(self, model: AutoMLModel) -> None:
        found = self._image_of_search("Found", FOUND_SERVING)
        self.searching_images = (
            self._image_of_search("Search", SEARCH_TRAINING),
            self._image_of_search("DataPreparation", PREPARATION),
        )
        adapters = FrameworkImage(self, "Adapters", image=ADAPTER_IMAGE)
        self.training_image, self.serving_image, self.other_images = found, found, (adapters,)
        self._looked_up |= {ADAPTERS: adapters}
        self.maker = AutoMLMaker(model=model, adapter_image_uri=pinned(ADAPTERS))

    def _image_of_search(self, construct_id: str, repository: str) -> RegistryImage:
        registries = SEARCH_REGISTRIES[repository]
        return RegistryImage(self, construct_id, registries=registries, repository=repository, tag=ANY_TAG)

    def _make_by_framework(self, model: ScriptModel, training: str, serving: str) -> None:
        """One image trains and another serves; the workload file has refused machines without an image."""
        trains = Image.parse(model.image, "training", processor_of(training) or "cpu")
        serves = Image.parse(model.image, "inference", processor_of(serving) or "cpu")
        training_image = FrameworkImage(self, "Training", image=trains)
        serving_image = FrameworkImage(self, "Serving", image=serves)
        self.training_image, self.serving_image = training_image, serving_image
        self._looked_up |= {TRAINING: training_image, SERVING: serving_image}
        self.maker = ScriptMaker(pinned(TRAINING), pinned(SERVING))

    def _make_by_container(self, model: ContainerModel, images: ImageRepository, build: ImageBuild) -> None:
        self.training_image, self.serving_image = images, images
        self.maker = ContainerMaker(images.name, images.uri, model.tag, build.name, model.build_minutes, model.scan)
        self._scanned = images
        self.scanned = ScannedImages(images.name, model.scan)

    @property
    def looked_up(self) -> tuple[TaggedImage, ...]:
        """What the model machine finds the digests of."""
        return tuple(image.tagged(name) for name, image in self._looked_up.items())

    def grant_encode(self, job: iam.IGrantable, lake: DataLake, workload: str) -> None:
        """Lets a processing job encode splits, if the algorithm needs it."""
        if self._encodes:
            lake.grant_write(job, "artefacts", f"{workload}/{FOLDER}/")

    def grant_read_encoded(self, grantee: iam.IGrantable, lake: DataLake, workload: str) -> None:
        """Lets somebody read encoded splits and adapters, if there are any."""
        if self._encodes:
            lake.grant_read(grantee, "artefacts", f"{workload}/{FOLDER}/")

    def grant_copy_scripts(self, machine: iam.IGrantable, lake: DataLake, workload: str) -> None:
        """Lets the model machine copy what AWS ships of the algorithm, and nothing else of AWS's, if it needs that."""
        if self.scripts is not None:
            archives = [f"arn:{Aws.PARTITION}:s3:::{each.bucket}/{each.key}" for each in self.scripts.archives]
            grant(machine, ["s3:GetObject"], *archives)
            lake.grant_write(machine, "artefacts", f"{workload}/{ALGORITHMS_FOLDER}/")

    def grant_read_scripts(self, job: iam.IGrantable, lake: DataLake, workload: str) -> None:
        """Lets a training job read the copies, if there are any."""
        if self.scripts is not None:
            lake.grant_read(job, "artefacts", f"{workload}/{ALGORITHMS_FOLDER}/")

    def grant_pack(self, job: iam.IGrantable, lake: DataLake, workload: str) -> None:
        """Lets a processing job write a model's archive with the script that serves it, if that is needed."""
        if self.scripts is not None and self.scripts.serving_script is not None:
            lake.grant_write(job, "artefacts", f"{workload}/{PACKED_FOLDER}/")

    def grant_serve(self, grantee: iam.IGrantable) -> None:
        """Lets containers pull what serves beside the image that serves."""
        for image in self.other_images:
            image.grant_pull(grantee)

    def grant_look(self, machine: iam.IGrantable) -> None:
        """Lets whoever registers a model look at what serves it, as SageMaker does with its leave."""
        for image in (self.serving_image, *self.other_images):
            image.grant_look(machine)

    def grant_read_scan(self, machine: iam.IGrantable) -> None:
        """Lets whoever runs images read what their scans have found, where the workload has images of its own."""
        if self._scanned is not None:
            self._scanned.grant_read_scan(machine)

    def grant_run(self, machine: iam.IGrantable) -> None:
        """Lets the model machine look at what it runs and what serves, and build what is missing."""
        for image in self._looked_up.values():
            image.grant_find(machine)
        self.grant_look(machine)
        self.grant_read_scan(machine)
        if self._build is not None:
            self._build.grant_run(machine)
