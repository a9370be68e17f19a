"""What makes the models of a workload in a story, by its kind, and how these are asked.

What a container trains with, and what serves, is said by the functions by which the platform says it; what runs in the
place of an image is what the local AWS runs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa

import encode
from constructs_lib.names import algorithm_images, framework_images
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.container_file import ContainerModel, content_of
from constructs_lib.names.encoding import (
    ANSWER_ADAPTER,
    REQUEST_ADAPTER,
    SERVING,
    adapter_environment,
    algorithm_environment,
    algorithm_hyperparameters,
    encoded_content_types,
    encoding_options,
    found_environment,
    search_request,
)
from constructs_lib.names.frameworks import ADAPTERS_IMAGE, IN_PROCESS, Scope, processor_of
from constructs_lib.names.model_file import ScriptModel, allows_pickle
from constructs_lib.names.segments import segment_variables
from constructs_lib.names.serving_modes import MultiModel
from constructs_lib.names.workload_file import WorkloadFile
from gapless_sagemaker.evaluation.split import read_split
from local.errors import UserError
from local.server.host import ServiceError
from local.server.own_images import OwnImage, read_entry_points
from local.server.sagemaker.algorithms import algorithm_of
from local.server.sagemaker.automl.jobs import container_of, failure_of, found_by, longest_seconds, start_search
from local.server.sagemaker.automl.jobs import lay_out as lay_out_search
from local.server.sagemaker.children import Sandbox
from local.server.sagemaker.errors import unsupported
from local.server.sagemaker.images import require_framework
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.machines import failed
from local.server.sagemaker.jobs.runner import RunningJob
from local.server.sagemaker.models import Container
from local.settings import CHECKOUT, REGION
from local.story.asking import Answered, Serving, answers_in, ask_containers, ask_in_process
from local.story.bench import JOB_PYTHON, NOBODY, Bench
from local.story.models import Model, TrainingFailed, archive_in, keep, split_in
from local.story.training import STREAM, Asked, link_channel, run_training

_PROGRAM: Final = "train.py"
_IN_SCRIPTS: Final = CHECKOUT / "sagemaker_jobs" / "in_scripts"
_SPLITS: Final = ("train", "validation")
_ENCODED: Final = "encoded"


class Maker(ABC):
    """Makes the models of a workload, which :func:`check_models` has passed, and has them answer.

    Threads may train at the same time, each in a folder of its own.

    Args:
        workload_dir: The folder of the workload.
        bench: Runs containers.
    """

    def __init__(self, workload: WorkloadFile, workload_dir: Path, bench: Bench) -> None:
        self.workload = workload
        self.workload_dir = workload_dir
        self.bench = bench

    @abstractmethod
    def train(self, folder: Path) -> None:
        """Train on the splits in ``dataset`` below a folder; leave ``model/model.tar.gz`` there.

        Raises:
            TrainingFailed: The training failed.
        """

    @abstractmethod
    def serving(self, model: Model) -> Serving:
        """What serves a model."""

    def ask(self, model: Model, rows: pa.Table) -> Answered:
        """Have a model answer rows.

        Raises:
            Failure: Its containers do not.
        """
        if self.workload.model.evaluated_in_process:
            return ask_in_process(model, rows, pickles=allows_pickle(self.workload.model))
        folder = Path(tempfile.mkdtemp(prefix="asked-", dir=model.folder))
        try:
            return ask_containers(self.bench, model.name, self.serving(model), rows, self.workload.target, folder)
        finally:
            shutil.rmtree(folder)

    def answer_split(self, model: Model, split: Path, folder: Path) -> Path | None:
        """Have a model's containers answer a split for the jobs; give the folder of the answers.

        Of a model that the jobs load themselves nothing is written, and None given.

        Args:
            folder: Where to write.

        Raises:
            Failure: Its containers do not.
        """
        if self.workload.model.evaluated_in_process:
            return None
        folder.mkdir(parents=True)
        ask_containers(self.bench, model.name, self.serving(model), read_split(split), self.workload.target, folder)
        return answers_in(folder)

    def asked(self, folder: Path, image: str, **more: Any) -> Asked:
        """What a training on the splits of a folder is asked for."""
        told: dict[str, Any] = {
            "hyperparameters": self.hyperparameters,
            "channels": {name: split_in(folder, name) for name in _SPLITS},
            **more,
        }
        training = self.workload.training
        return Asked(
            image=image, instance_type=training.instance_type, seconds=training.max_runtime_minutes * 60, **told
        )

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Those of the workload, its target among them."""
        target = {"target": self.workload.target} if self.workload.target is not None else {}
        return {**self.workload.training.texts(), **target}


class ScriptMaker(Maker):
    """The workload's own ``train.py`` and ``inference.py``, in an image of a framework."""

    def __init__(self, workload: WorkloadFile, workload_dir: Path, bench: Bench) -> None:
        super().__init__(workload, workload_dir, bench)
        self._training_image, self._serving_image = images_of(workload, cast("ScriptModel", workload.model))

    def train(self, folder: Path) -> None:
        """Run ``train.py``."""
        program = {script_mode.PROGRAM: _PROGRAM}
        asked = self.asked(
            folder,
            self._training_image,
            hyperparameters={**self.hyperparameters, **program},
            environment=self._environment(),
            code=self.workload_dir,
        )
        run_training(self.bench, asked, folder)

    def _environment(self) -> dict[str, str]:
        """Where the platform's packages are, the rules of the guard, and of which segments there are models."""
        guard, mode = self.workload.training.guard, self.workload.serving.mode
        rules = {"GAPLESS_GUARD": guard.rules_json()} if guard is not None and guard.watch == "script" else {}
        segments = segment_variables(mode.training_json()) if isinstance(mode, MultiModel) else {}
        return {"PYTHONPATH": str(_IN_SCRIPTS), **rules, **segments}

    def serving(self, model: Model) -> Serving:
        """One container, which serves by ``inference.py``."""
        return Serving([Container(self._serving_image, str(_archive(model)), dict(SERVING))])


class ContainerMaker(Maker):
    """The workload's own container, by the commands that ``gapless.json`` gives."""

    def __init__(self, workload: WorkloadFile, workload_dir: Path, bench: Bench) -> None:
        super().__init__(workload, workload_dir, bench)
        folder = cast("ContainerModel", workload.model).folder
        files = Path(tempfile.mkdtemp(prefix="image-", dir=bench.settings.scratch))
        for name in content_of(folder):
            target = files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, target)
        commands = read_entry_points(files)
        self._own = OwnImage(files, tuple(commands["train"]), tuple(commands["serve"]))

    def train(self, folder: Path) -> None:
        """Run its ``train``."""
        run_training(self.bench, self.asked(folder, "", own=self._own), folder)

    def serving(self, model: Model) -> Serving:
        """Its ``serve``."""
        return Serving([Container("", str(_archive(model)), {})], self._own)


class EncodedMaker(Maker):
    """Encodes the splits for whatever learns from them, and serves that between two adapters."""

    def encode(self, folder: Path) -> Mapping[str, Any]:
        """Encode the splits of a folder, as the job does it; give what it tells.

        Raises:
            TrainingFailed: They cannot be encoded.
        """
        model = cast("BuiltInModel | AutoMLModel", self.workload.model)
        options = encoding_options(
            model,
            problem=self.workload.problem,
            target=self.workload.target,
            hyperparameters=self.workload.training.texts(),
        )
        folders = {**{name: split_in(folder, name) for name in _SPLITS}, "output": folder / _ENCODED}
        words = [f"--{name}={value}" for name, value in {**folders, **options}.items()]
        try:
            return encode.run(encode.parse_options([*words, f"--message={folder / 'message'}"]))
        except encode.BadSplit as error:
            raise TrainingFailed(f"the splits cannot be encoded: {error}") from error

    def serving(self, model: Model) -> Serving:
        """An adapter, what has learned, an adapter."""
        adapters = model.folder / _ENCODED / "adapters" / "model.tar.gz"
        digest = json.loads((model.folder / _ENCODED / encode.RESULT).read_text(encoding="utf-8"))["adapters_sha256"]
        before, behind = (
            Container(_ADAPTERS, str(adapters), adapter_environment(program, digest))
            for program in (REQUEST_ADAPTER, ANSWER_ADAPTER)
        )
        return Serving([before, self.learned(model), behind])

    @abstractmethod
    def learned(self, model: Model) -> Container:
        """The container between the adapters."""


class AlgorithmMaker(EncodedMaker):
    """One of SageMaker's built-in algorithms, by what stands in for it on the local AWS."""

    def __init__(self, workload: WorkloadFile, workload_dir: Path, bench: Bench) -> None:
        super().__init__(workload, workload_dir, bench)
        self._model = cast("BuiltInModel", workload.model)
        self._image = algorithm_image(self._model.algorithm)

    def train(self, folder: Path) -> None:
        """Encode the splits and run the algorithm on them."""
        follows = self.encode(folder)["hyperparameters"]
        types = encoded_content_types(self._model)
        hyperparameters = algorithm_hyperparameters(
            self._model,
            problem=self.workload.problem,
            hyperparameters=self.workload.training.texts(),
            encoded=lambda name: str(follows[name]),
        )
        channels = {name: folder / _ENCODED / name for name in types}
        asked = self.asked(folder, self._image, hyperparameters=hyperparameters, channels=channels, content_types=types)
        run_training(self.bench, asked, folder)

    def learned(self, model: Model) -> Container:
        """The algorithm."""
        return Container(self._image, str(_archive(model)), algorithm_environment(self._model))


class SearchMaker(EncodedMaker):
    """The best candidate of a search, by what stands in for Autopilot on the local AWS."""

    def train(self, folder: Path) -> None:
        """Write the splits as tables and search on them, for as many candidates as the workload wants."""
        self.encode(folder)
        job = RunningJob(self._request(), Sandbox(folder / "job"), NOBODY)
        lay_out_search(job.sandbox, job.document)
        for channel, split in (("training", "train"), ("validation", "validation")):
            link_channel(folder / _ENCODED / split, job.sandbox, channel)
        child = start_search(self.bench, job, folder.name, STREAM)
        try:
            outcome = child.wait(longest_seconds(job.document), 0)
        finally:
            child.end(0)
        if failed(outcome):
            raise TrainingFailed(f"{failure_of(job.sandbox, outcome)[0][-500:]} (log: {self._log(folder)})")
        if found_by(job.sandbox).get("best") is None:
            raise TrainingFailed(f"no candidate was ready in time (log: {self._log(folder)})")
        keep(job.sandbox.path("model"), folder)

    def _log(self, folder: Path) -> Path:
        return self.bench.log_of(folder.name, STREAM)

    def _request(self) -> dict[str, Any]:
        model, training = cast("AutoMLModel", self.workload.model), self.workload.training
        return search_request(
            model,
            problem=self.workload.problem,
            target=self.workload.target,
            candidate_seconds=training.max_runtime_minutes * 60,
        )

    def learned(self, model: Model) -> Container:
        """The candidate, told what to answer."""
        found = container_of(str(_archive(model)), self._request())
        environment = {**found["Environment"], **found_environment(self.workload.problem)}
        return Container(found["Image"], found["ModelDataUrl"], environment)


_MAKERS: Final[Mapping[str, type[Maker]]] = {
    "script": ScriptMaker,
    "pipeline": ScriptMaker,
    "container": ContainerMaker,
    "built_in": AlgorithmMaker,
    "automl": SearchMaker,
}
"""Kind of a model to what makes it."""


def maker_of(workload: WorkloadFile, workload_dir: Path, bench: Bench) -> Maker:
    """Give what makes the models of a workload."""
    return _MAKERS[workload.model.kind](workload, workload_dir, bench)


def check_models(workload: WorkloadFile, workload_dir: Path) -> None:
    """See that a story can make the workload's models and ask them.

    Raises:
        UserError: The local AWS cannot train or serve them, or something is missing.
    """
    model = workload.model
    try:
        if isinstance(model, ScriptModel):
            for image in images_of(workload, model):
                require_framework(image, JOB_PYTHON)
            _check_files(workload_dir)
        elif isinstance(model, BuiltInModel):
            _check_algorithm(workload, model)
    except ServiceError as error:
        raise UserError(f"model of {workload.name}: {error.message}") from error


def _check_files(workload_dir: Path) -> None:
    for name in (_PROGRAM, "inference.py"):
        if not (workload_dir / name).is_file():
            raise UserError(f"there is no {workload_dir / name}; a story trains by it")


def _check_algorithm(workload: WorkloadFile, model: BuiltInModel) -> None:
    name = model.algorithm
    if model.traits.pinned:
        raise unsupported(f"the built-in algorithm {name}, whose scripts lie with AWS,")
    algorithm_of(algorithm_image(name))
    missing = [each for each in model.traits.required if each not in workload.training.hyperparameters]
    if missing:
        raise UserError(
            f"training.hyperparameters: {name} needs {', '.join(missing)}, and a story searches for none (allowed: a "
            "value in place of the range in training.tuning)"
        )


def images_of(workload: WorkloadFile, model: ScriptModel) -> tuple[str, str]:
    """Give the addresses of the images of a framework, that which trains and that which serves."""
    training, serving = workload.training.compute.instance_type, workload.serving.instance_type
    return framework_image(model.image, "training", training), framework_image(model.image, "inference", serving)


def algorithm_image(name: str) -> str:
    """Give the address of an algorithm's image."""
    repository, tag, table = algorithm_images.IMAGES[name]
    return address(algorithm_images.REGISTRIES[table], repository, tag)


def framework_image(name: str, scope: Scope, instance_type: str) -> str:
    """Give the address of a framework's image, ``framework:version``, for a machine."""
    processor = "cpu" if name.partition(":")[0] in IN_PROCESS else processor_of(instance_type) or "cpu"
    table, repository, tag = framework_images.IMAGES[f"{name} {scope} {processor}"]
    return address(framework_images.REGISTRIES[table], repository, tag)


def address(registries: Mapping[str, str], repository: str, tag: str) -> str:
    """Give the address of an image in the region that a laptop stands for."""
    return f"{registries[REGION]}.dkr.ecr.{REGION}.amazonaws.com/{repository}:{tag}"


_ADAPTERS: Final = framework_image(ADAPTERS_IMAGE, "inference", "ml.m5.large")


def _archive(model: Model) -> Path:
    return archive_in(model.folder) / "model.tar.gz"
