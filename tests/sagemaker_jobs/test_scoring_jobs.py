"""Models that answer by batch transforms: requests are written, answers read, and both are told by their names."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evaluate
import golden
import golden_requests
import write_requests
from gapless_sagemaker.artefact import UnsafeArtefact
from gapless_sagemaker.predictions import MOST_BYTES, MOST_ROWS, BadPredictions, read_predictions
from tests.sagemaker_jobs.options_folder import options_folder

JOBS = Path(__file__).parents[2] / "sagemaker_jobs"
ROWS = 600
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def guess(instance: dict[str, Any]) -> dict[str, Any]:
    probability = instance["distance"] / ROWS
    return {"probability": probability, "label": probability > 0.5}


@pytest.fixture
def test_split(tmp_path: Path) -> Path:
    """Rows in two files; far flights are late."""
    table = pa.table(
        {
            "_row_id": [f"row {number}" for number in range(ROWS)],
            "_event_time": [dt.datetime(2013, 4, 1, tzinfo=dt.UTC)] * ROWS,
            "distance": pa.array(range(ROWS), pa.int32()),
            "temp": pa.array([float("nan") if number % 7 == 0 else 20.5 for number in range(ROWS)]),
            "seen": [dt.date(2013, 4, 1)] * ROWS,
            "dest": ["München", None] * (ROWS // 2),
            "late": [number > 400 for number in range(ROWS)],
        }
    )
    folder = tmp_path / "test"
    folder.mkdir()
    pq.write_table(table.slice(0, 450), folder / "part-0.parquet")
    pq.write_table(table.slice(450), folder / "part-1.parquet")
    return folder


@pytest.fixture
def requests(test_split: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "requests"
    write_requests.main(
        ["--test", str(test_split), "--target", "late", "--output", str(folder), "--message", str(tmp_path / "message")]
    )
    return folder


def transform(requests: Path, folder: Path, answer: Answer) -> Path:
    """Answer each file as a transform does that does not split its input."""
    folder.mkdir()
    for path in requests.iterdir():
        predictions = [answer(each) for each in json.loads(path.read_text())["instances"]]
        (folder / f"{path.name}.out").write_text(json.dumps({"predictions": predictions}))
    return folder


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def archive(folder: Path, name: str = "weights.bin", content: bytes = b"\x00\x01 any bytes") -> Path:
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return folder


def options(tmp_path: Path, test_split: Path, answers: Path, **more: Path) -> evaluate.Options:
    return evaluate.Options(
        model=more["model"] if "model" in more else archive(tmp_path / "model"),
        champion=more.get("champion"),
        test=test_split,
        options=options_folder(tmp_path / "options"),
        version="v1",
        output=tmp_path / "output",
        predictions=answers,
        champion_predictions=more.get("champion_predictions"),
    )


# --- requests and answers ---------------------------------------------------------------------------------------------


def test_requests_hold_every_row_in_order_with_its_features_alone(requests: Path) -> None:
    files = sorted(requests.iterdir())
    assert [path.name for path in files] == ["00000000.json", "00000001.json", "00000002.json"]
    instances = [each for path in files for each in json.loads(path.read_text())["instances"]]
    assert [each["distance"] for each in instances] == list(range(ROWS))
    assert instances[0] == {"distance": 0, "temp": None, "seen": "2013-04-01", "dest": "München"}
    assert instances[1] == {"distance": 1, "temp": 20.5, "seen": "2013-04-01", "dest": None}


def test_a_request_has_a_limited_number_of_rows_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    long = "x" * 10_000
    pq.write_table(pa.table({"text": [long] * 300, "late": [True] * 300}), folder / "part-0.parquet")
    output = tmp_path / "requests"
    write_requests.main(
        ["--test", str(folder), "--target", "late", "--output", str(output), "--message", str(tmp_path / "message")]
    )
    sizes = [path.stat().st_size for path in output.iterdir()]
    counts = [len(json.loads(path.read_text())["instances"]) for path in output.iterdir()]
    assert sum(counts) == 300
    assert max(counts) <= MOST_ROWS
    assert max(sizes) < MOST_BYTES * 1.1


def test_rows_without_a_target_are_asked_as_a_whole(test_split: Path, tmp_path: Path) -> None:
    output = tmp_path / "requests"
    write_requests.main(["--test", str(test_split), "--output", str(output), "--message", str(tmp_path / "message")])
    assert "late" in json.loads((output / "00000000.json").read_text())["instances"][0]


def test_predictions_are_told_by_the_names_of_files_and_not_by_when_they_were_written(
    requests: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    for path in sorted(requests.iterdir(), reverse=True):
        predictions = [guess(each) for each in json.loads(path.read_text())["instances"]]
        (folder / f"{path.name}.out").write_text(json.dumps({"predictions": predictions}, indent=1))
    (folder / "_manifest").write_text("anything")
    assert [each["probability"] * ROWS for each in read_predictions(folder, ROWS)] == pytest.approx(range(ROWS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "00000001.json.out").unlink(), "answers are missing: there are 2"),
        (lambda folder: (folder / "00000002.json.out").unlink(), "500 predictions for 600 rows"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "there are no answers"),
        (lambda folder: (folder / "00000000.json.out").write_text("<html>"), "00000000.json.out: no JSON"),
        (lambda folder: (folder / "00000000.json.out").write_text('{"predictions": 1}'), "00000000.json.out: given"),
    ],
)
def test_refuses_answers_that_are_not_one_prediction_per_row(
    requests: Path, tmp_path: Path, change: Callable[[Path], Any], said: str
) -> None:
    folder = transform(requests, tmp_path / "answers", guess)
    change(folder)
    with pytest.raises(BadPredictions, match=said):
        read_predictions(folder, ROWS)


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_evaluates_a_model_by_its_answers_without_loading_it(requests: Path, test_split: Path, tmp_path: Path) -> None:
    answers = transform(requests, tmp_path / "answers", guess)
    document = evaluate.run(options(tmp_path, test_split, answers), made(tmp_path / "scratch"))
    assert (document["rows"], document["metrics"]["auc"]) == (ROWS, 1.0)
    (file,) = document["model"]["files"]
    assert (file["path"], file["kind"]) == ("weights.bin", "other")
    assert len(document["model"]["sha256"]) == 64


def test_evaluates_the_champion_by_its_answers_on_the_same_rows(
    requests: Path, test_split: Path, tmp_path: Path
) -> None:
    answers = transform(requests, tmp_path / "answers", guess)
    coin = transform(requests, tmp_path / "coin", lambda _: {"probability": 0.5, "label": False})
    champion = archive(tmp_path / "champion", content=b"\x00 other bytes")
    given = options(tmp_path, test_split, answers, champion=champion, champion_predictions=coin)
    document = evaluate.run(given, made(tmp_path / "scratch"))
    assert document["champion"]["metrics"]["auc"] == 0.5
    assert document["champion"]["sha256"] != document["model"]["sha256"]


def test_an_archive_that_leaves_its_folder_is_refused_whoever_loads_it(
    requests: Path, test_split: Path, tmp_path: Path
) -> None:
    answers = transform(requests, tmp_path / "answers", guess)
    given = options(tmp_path, test_split, answers, model=archive(tmp_path / "model", name="../weights.bin"))
    with pytest.raises(UnsafeArtefact, match="not a path inside the archive"):
        evaluate.run(given, made(tmp_path / "scratch"))


@pytest.mark.parametrize("wrong", [{"probability": 1.5, "label": True}, {"probability": 0.5}, {"score": 1}])
def test_refuses_predictions_of_another_form(
    requests: Path, test_split: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    answers = transform(requests, tmp_path / "answers", lambda _: wrong)
    with pytest.raises(BadPredictions, match="prediction 0: given"):
        evaluate.run(options(tmp_path, test_split, answers), made(tmp_path / "scratch"))


# --- golden requests --------------------------------------------------------------------------------------------------

CASES = [
    {"name": "near", "request": {"instances": [{"distance": 6}]}, "expect": {"probability": [[0.0, 0.1]]}},
    {"name": "odd", "request": {"instances": []}, "expect": {"refused": "instances"}},
    {"name": "far", "request": {"instances": [{"distance": 540}]}, "expect": {"probability": [[0.8, 1.0]]}},
]


def bundle(folder: Path, cases: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    content = json.dumps({"cases": cases}).encode()
    with tarfile.open(folder / "sourcedir.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("golden.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return folder


def asked(tmp_path: Path, cases: list[dict[str, Any]]) -> Path:
    output = tmp_path / "asked"
    golden_requests.main(
        ["--golden", str(bundle(tmp_path / "golden", cases)), "--output", str(output), "--message", str(tmp_path / "m")]
    )
    return output


def judged(tmp_path: Path, answers: Path, sha256: str | None = None, refusals: int = 0) -> dict[str, Any]:
    folders = (archive(tmp_path / "model"), tmp_path / "golden", tmp_path / "output")
    given = golden.Options(*folders, sha256, answers, refusals=refusals)
    golden.run(given, made(tmp_path / "scratch"))
    document: dict[str, Any] = json.loads((tmp_path / "output" / "golden.json").read_text())
    return document


def test_golden_requests_are_judged_by_what_a_transform_answered(tmp_path: Path) -> None:
    requests = asked(tmp_path, CASES)
    assert sorted(path.name for path in requests.iterdir()) == ["00000000.json", "00000002.json"]
    document = judged(tmp_path, transform(requests, tmp_path / "answers", guess))
    assert document["passed"] is True
    assert [case["passed"] for case in document["cases"]] == [True, None, True]
    assert document["cases"][1]["reason"].startswith("not asked: a batch transform does not go on after a refusal")
    assert document["cases"][2]["predictions"] == [guess({"distance": 540})]


def test_refusals_are_left_to_the_endpoint_as_many_as_its_alarms_let_pass(tmp_path: Path) -> None:
    cases = [CASES[0], CASES[1], {**CASES[1], "name": "odder"}]
    document = judged(tmp_path, transform(asked(tmp_path, cases), tmp_path / "answers", guess), refusals=1)
    near, odd, odder = document["cases"]
    assert (near["passed"], "refusal" in near) == (True, False)
    assert (odd["passed"], odd["refusal"], odd["request"]) == (None, "instances", CASES[1]["request"])
    assert (odder["passed"], "refusal" in odder) == (None, False)
    assert odder["reason"] == (
        "not asked: a batch transform does not go on after a refusal; the alarms of the endpoint let 1 be asked there"
    )


def test_a_wrong_or_missing_answer_to_a_golden_request_fails_the_job(tmp_path: Path) -> None:
    answers = transform(asked(tmp_path, CASES), tmp_path / "answers", guess)
    (answers / "00000002.json.out").unlink()
    (answers / "00000000.json.out").write_text('{"predictions": [{"probability": 0.9, "label": true}]}')
    with pytest.raises(golden.GoldenFailed, match=r"near: .* is 0\.9.*far: .*there is no answer"):
        judged(tmp_path, answers)


def test_golden_answers_of_another_model_than_the_evaluated_one_are_refused(tmp_path: Path) -> None:
    answers = transform(asked(tmp_path, CASES), tmp_path / "answers", guess)
    with pytest.raises(UnsafeArtefact, match="the evaluated model's is"):
        judged(tmp_path, answers, sha256="0" * 64)


def test_golden_requests_need_one_that_is_answered(tmp_path: Path) -> None:
    with pytest.raises(golden.BadGolden, match=r"every case of golden\.json expects a refusal"):
        asked(tmp_path, CASES[1:2])


def test_both_jobs_run_by_their_names(tmp_path: Path, test_split: Path) -> None:
    arguments = ["--test", str(test_split), "--target", "late", "--output", str(tmp_path / "out"), "--message", "/x"]
    subprocess.run([sys.executable, str(JOBS), "requests", *arguments], check=True, timeout=600)
    assert len(list((tmp_path / "out").iterdir())) == 3
