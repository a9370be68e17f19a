"""How models are asked: in this process where the platform's jobs load them, and by their containers where they answer
for themselves, as a batch transform has them do it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from evaluate import predictions_of
from gapless_sagemaker.artefact import Limits
from gapless_sagemaker.model import load
from gapless_sagemaker.predictions import MOST_ROWS, BadPredictions, features_of, read_predictions, write_requests
from local.errors import Failure
from local.server.own_images import OwnImage
from local.server.sagemaker.algorithms import container_environment
from local.server.sagemaker.archive import BadArchive, unpack
from local.server.sagemaker.children import Sandbox
from local.server.sagemaker.endpoints.fleet import STARTUP_SECONDS
from local.server.sagemaker.endpoints.instance import Instance, Launch, NotHealthy
from local.server.sagemaker.endpoints.line import Line
from local.server.sagemaker.jobs.runner import JobFailed
from local.server.sagemaker.jobs.transform import answer_file
from local.server.sagemaker.models import Container
from local.story.bench import NOBODY, Bench
from local.story.models import Model, Prediction

_TRANSFORM: Final = {
    "TransformInput": {"ContentType": "application/json", "SplitType": "None"},
    "TransformOutput": {"Accept": "application/json", "AssembleWith": "None"},
}
"""How the platform has models scored; see ``constructs_lib/machines/scoring.py``."""


@dataclass(frozen=True)
class Answered:
    """What a model was asked with, and what it has answered, row by row."""

    features: tuple[str, ...]
    answers: list[Prediction]


@dataclass(frozen=True)
class Serving:
    """What serves a model.

    Attributes:
        containers: In their order; ``model_data`` is the path of an archive.
        own: The image of the only container, where the workload brings it.
    """

    containers: Sequence[Container]
    own: OwnImage | None = None


def ask_in_process(model: Model, rows: pa.Table, *, pickles: bool) -> Answered:
    """Load a model as the evaluation does, unpacked with distrust, and ask it."""
    scratch = Path(tempfile.mkdtemp(prefix="asked-", dir=model.folder)) / "model"
    loaded = load(model.archive, scratch, Limits(pickles=pickles))
    return Answered(loaded.features, predictions_of(loaded, rows, "model") if rows.num_rows else [])


def ask_containers(
    bench: Bench, name: str, serving: Serving, rows: pa.Table, target: str | None, folder: Path
) -> Answered:
    """Have a model's containers answer rows.

    Args:
        name: The model's, for messages and logs.
        target: The column that is not asked.
        folder: Holds nothing; gets ``requests`` and ``answers``, as a batch transform reads and writes them.

    Raises:
        Failure: They do not come up, or do not answer every row as the platform wants it.
    """
    features = tuple(features_of(rows.column_names, target))
    if not rows.num_rows:
        return Answered(features, [])
    requests, answers = folder / "requests", answers_in(folder)
    asked = (
        row for some in rows.select(list(features)).to_batches(max_chunksize=MOST_ROWS) for row in some.to_pylist()
    )
    write_requests(requests, asked)
    answers.mkdir()
    try:
        with _line(bench, name, serving) as line:
            for path in sorted(requests.iterdir()):
                (answers / f"{path.name}.out").write_bytes(answer_file(line, _TRANSFORM, path))
        return Answered(features, read_predictions(answers, rows.num_rows))
    except (NotHealthy, JobFailed, BadPredictions) as error:
        raise Failure(f"model {name} cannot be asked: {error} (logs: {bench.log_of(name, '').parent})") from error


def answers_in(folder: Path) -> Path:
    """Where the answers of containers lie, by the folder that they were asked for."""
    return folder / "answers"


@contextmanager
def _line(bench: Bench, name: str, serving: Serving) -> Iterator[Line]:
    """Start the containers, and end them at the end of the block.

    Raises:
        NotHealthy: One does not answer its ping.
        JobFailed: An archive cannot be unpacked.
    """
    folder = Path(tempfile.mkdtemp(prefix="serving-", dir=bench.settings.scratch))
    line = None
    try:
        line = Line([_instance(bench, name, serving, number, folder) for number in range(len(serving.containers))])
        line.start()
        yield line
    finally:
        if line is not None:
            line.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _instance(bench: Bench, name: str, serving: Serving, number: int, folder: Path) -> Instance:
    container, unpacked = serving.containers[number], folder / str(number)
    try:
        unpack(Path(str(container.model_data)), unpacked)
    except BadArchive as error:
        raise JobFailed(str(error)) from error
    environment = Sandbox(folder).environment(bench, NOBODY, isolated=True)
    launch = Launch(
        host=bench,
        environment=environment | container_environment(container.image, container.environment),
        model=unpacked,
        group=name,
        variant="asked",
        startup_seconds=STARTUP_SECONDS,
        container=f"container-{number + 1}",
        own_image=serving.own,
    )
    return Instance(launch, number)
