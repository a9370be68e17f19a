import json
import os
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.bundle import build_bundle
from constructs_lib.names.container_file import content_tag
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

SMALL: dict[str, Any] = {
    "name": "boxes",
    "owner": "somebody",
    "target": "late",
    "event_time": "at",
    "sources": {"orders": {"key": ["id"], "columns": {"id": "string", "at": "timestamp", "late": "boolean"}}},
}
ENTRY_POINTS = {"train": ["python3", "main.py", "train"], "serve": ["python3", "main.py", "serve"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workload's folder with a container."""
    container = tmp_path / "container"
    container.mkdir()
    (container / "Dockerfile").write_text("FROM scratch\n")
    (container / "gapless.json").write_text(json.dumps(ENTRY_POINTS))
    (container / "main.py").write_text("print('here')\n")
    return tmp_path


def workload(folder: Path | None, **changes: Any) -> WorkloadFile:
    content = {**SMALL, "model": {"kind": "container"}, "problem": "binary_classification", **changes}
    return WorkloadFile.parse(content, folder=folder)


def refusal(folder: Path | None, **changes: Any) -> str:
    with pytest.raises(WorkloadFileError) as caught:
        workload(folder, **changes)
    return str(caught.value)


def tag(folder: Path) -> str:
    return content_tag(folder / "container")


def test_the_image_s_tag_stands_for_the_content_of_the_folder(folder: Path) -> None:
    first = tag(folder)
    (folder / "container" / "__pycache__").mkdir()
    (folder / "container" / "__pycache__" / "main.pyc").write_bytes(b"compiled")
    (folder / "container" / ".editor").write_text("notes")
    os.utime(folder / "container" / "main.py", (1, 1))
    assert tag(folder) == first == getattr(workload(folder).model, "tag")  # noqa: B009 - of one kind of model only
    (folder / "container" / "main.py").write_text("print('there')\n")
    assert tag(folder) != first


def test_names_and_the_right_to_execute_are_content(folder: Path) -> None:
    first = tag(folder)
    (folder / "container" / "main.py").chmod(0o755)
    second = tag(folder)
    (folder / "container" / "main.py").rename(folder / "container" / "other.py")
    (folder / "container" / ".dockerignore").write_text("*.md\n")
    assert len({first, second, tag(folder)}) == 3


def test_the_container_is_no_part_of_a_bundle(folder: Path) -> None:
    (folder / "features.py").write_text("")
    bundle = build_bundle(folder)
    (folder / "container" / "main.py").write_text("print('there')\n")
    assert build_bundle(folder).sha256 == bundle.sha256


def test_a_commit_of_scripts_makes_a_bundle_and_no_image(folder: Path) -> None:
    (folder / "train.py").write_text("")
    image, bundle = tag(folder), build_bundle(folder).sha256
    (folder / "train.py").write_text("print('train')\n")
    assert tag(folder) == image
    assert build_bundle(folder).sha256 != bundle


def test_a_commit_of_tests_makes_neither(folder: Path) -> None:
    (folder / "train.py").write_text("")
    image, bundle = tag(folder), build_bundle(folder).sha256
    (folder / "tests").mkdir()
    (folder / "tests" / "test_train.py").write_text("")
    assert (tag(folder), build_bundle(folder).sha256) == (image, bundle)


@pytest.mark.parametrize("name", ["Dockerfile", "gapless.json"])
def test_refuses_a_folder_without_what_an_image_needs(folder: Path, name: str) -> None:
    (folder / "container" / name).unlink()
    assert f"model.kind: a container needs the file container/{name}" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "model.kind: container/gapless.json: is not JSON"),
        ('{"train": ["a"]}', 'must be {"train": [word, …], "serve": [word, …]}, was'),
        ('{"train": "a", "serve": ["b"]}', 'must be {"train": [word, …], "serve": [word, …]}, was'),
        ('{"train": [], "serve": ["b"]}', 'must be {"train": [word, …], "serve": [word, …]}, was'),
    ],
)
def test_refuses_entry_points_of_another_form(folder: Path, text: str, said: str) -> None:
    (folder / "container" / "gapless.json").write_text(text)
    assert said in refusal(folder)


def test_refuses_a_link_that_another_machine_would_not_have(folder: Path) -> None:
    (folder / "container" / "weights").symlink_to("/etc/hostname")
    assert "container/weights is a link" in refusal(folder)


def test_refuses_a_container_whose_folder_is_not_known() -> None:
    assert "the folder container cannot be read without the workload's folder" in refusal(None)


def test_a_container_is_watched_by_its_log_only(folder: Path) -> None:
    assert workload(folder, training={"guard": {"watch": "log"}}).training.guard is not None
    said = refusal(folder, training={"guard": {"watch": "script"}})
    assert "training.guard.watch: a container is watched from outside, was script (allowed: log)" in said


def test_refuses_what_a_container_does_not_know(folder: Path) -> None:
    assert "model.image: 'image' is not a known key" in refusal(
        folder, model={"kind": "container", "image": "xgboost:3.2-0"}
    )


def test_the_machine_that_serves_has_to_run_batch_transforms(folder: Path) -> None:
    said = refusal(folder, serving={"instance_type": "ml.t2.medium"})
    assert (
        "serving.instance_type: a model of this kind is scored by a batch transform on it, which ml.t2.medium" in said
    )


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        (
            "huggingface:4.49.0",
            {},
            "training.instance_type: there is an image of huggingface:4.49.0 for",
        ),
        (
            "pytorch:2.6.0",
            {"training": {"instance_type": "ml.trn1.2xlarge"}},
            "training.instance_type: there is an",
        ),
        (
            "pytorch:2.6.0",
            {"serving": {"instance_type": "ml.c7g.large"}},
            "serving.instance_type: there is an",
        ),
        ("xgboost:3.2-0", {"serving": {"instance_type": "ml.inf2.xlarge"}}, "x86 processors or GPUs only, was ml.inf2"),
        ("tensorflow:2.19.0", {"serving": {"instance_type": "ml.m5d.large"}}, "which ml.m5d.large cannot run"),
    ],
)
def test_refuses_machines_that_no_image_of_the_framework_runs_on(
    model: str, changes: dict[str, Any], said: str
) -> None:
    assert said in refusal(None, model={"image": model}, **changes)


def test_a_framework_of_which_jobs_know_nothing_answers_by_batch_transforms() -> None:
    ways = {image: workload(None, model={"image": image}).model for image in ("scikit-learn:1.9-0", "pytorch:2.6.0")}
    assert [(model.evaluated_in_process, model.jobs_image) for model in ways.values()] == [
        (True, "scikit-learn:1.9-0"),
        (False, "xgboost:3.2-0"),
    ]
