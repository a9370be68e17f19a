"""A model per segment: trained as one archive, evaluated as one, and answered by the one that is asked for."""

from __future__ import annotations

import importlib
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evaluate
from constructs_lib.names.segments import segment_variables
from constructs_lib.names.serving_modes import MultiModel
from gapless_segments import BadSegments, Segments, TooLittle
from local.server.sagemaker.serving.model_server import load_script
from stacks.config import ROOT
from tests.local.sagemaker.conftest import archive
from tests.sagemaker_jobs.options_folder import options_folder
from unpack_models.archives import archives_of

SEGMENTS = Segments("dest", ("EWR", "JFK", "SWF", "LGA"), "_fallback", 20)
FEATURES = {"features": [{"name": "dest", "type": "category"}, {"name": "distance", "type": "number"}]}
OWN = """
import json
from pathlib import Path
def model_fn(folder):
    return json.loads(Path(folder, "model.json").read_text())
def predict_fn(instances, model):
    return [{"probability": min(0.99, model["share"] + each["distance"] / 1e6), "label": True} for each in instances]
"""


def rows() -> pa.Table:
    """Flights to EWR are late, those to JFK seldom; to LGA all are, and to SWF hardly any go."""
    dest = ["EWR"] * 200 + ["JFK"] * 200 + ["SWF"] * 10 + ["LGA"] * 30 + ["BOS"] * 40
    late = [n % 10 < 8 for n in range(200)] + [n % 10 < 1 for n in range(200)] + [n % 2 == 0 for n in range(10)]
    late += [True] * 30 + [n % 2 == 0 for n in range(40)]
    return pa.table({"dest": dest, "late": late, "distance": [float(n % 100) for n in range(len(dest))]})


def fit(chosen: pa.Table, folder: Path) -> None:
    late = chosen["late"].to_pylist()
    if len(set(late)) < 2:
        raise TooLittle("one class only")
    (folder / "model.json").write_text(json.dumps({"share": sum(late) / len(late), "name": folder.name}))


def train(folder: Path) -> Path:
    own = folder / "inference.py"
    own.write_text(OWN)
    SEGMENTS.train(rows(), fit, folder / "model", features=FEATURES, own=own)
    return folder / "model"


def test_models_are_trained_where_the_package_is_in_the_zip_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "job.zip"
    with zipfile.ZipFile(packed, "w") as zipped:
        for file in (ROOT / "sagemaker_jobs" / "in_scripts" / "gapless_segments").glob("*.py"):
            zipped.write(file, f"in_scripts/gapless_segments/{file.name}")
    monkeypatch.syspath_prepend(packed / "in_scripts")
    for name in [name for name in sys.modules if name.partition(".")[0] == "gapless_segments"]:
        monkeypatch.delitem(sys.modules, name)
    zipped_segments = importlib.import_module("gapless_segments").Segments
    assert zipped_segments is not Segments
    (tmp_path / "inference.py").write_text(OWN)
    segments = zipped_segments("dest", ("EWR", "JFK"), "_fallback", 20)
    segments.train(rows(), fit, tmp_path / "model", features=FEATURES, own=tmp_path / "inference.py")
    code = {file.name: file.read_text() for file in (tmp_path / "model" / "code").iterdir()}
    assert set(code) == {"inference.py", "own.py"} and "def model_fn" in code["inference.py"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return train(tmp_path)


def files_in(folder: Path) -> dict[str, bytes]:
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_small_segments_and_those_with_nothing_to_learn_are_left_to_the_fallback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train(tmp_path)
    index = json.loads((trained / "segments.json").read_text())
    assert index["models"] == {"EWR": "EWR", "JFK": "JFK", "SWF": "_fallback", "LGA": "_fallback"}
    assert sorted(each.name for each in (trained / "segments").iterdir()) == ["EWR", "JFK", "_fallback"]
    told = capsys.readouterr().out
    assert "segment SWF: answered by _fallback (10 rows, needed are 20)" in told
    assert "segment LGA: answered by _fallback (one class only)" in told


def test_rows_without_the_feature_are_no_rows_of_segments(tmp_path: Path) -> None:
    with pytest.raises(BadSegments, match="'dest' is missing"):
        SEGMENTS.train(rows().drop_columns(["dest"]), fit, tmp_path, features=FEATURES, own=tmp_path)


def test_a_job_reads_what_the_workload_names_however_long_it_is() -> None:
    values = tuple(f"a-destination-with-a-long-name-{number:03d}" for number in range(100))
    mode = MultiModel(segment="dest", values=values, min_rows=50)
    variables = segment_variables(mode.training_json())
    assert all(len(each) <= 512 for each in variables.values())
    assert Segments.of_job(variables) == Segments("dest", values, "_fallback", 50)
    with pytest.raises(BadSegments, match="needed are the segments"):
        Segments.of_job({})


def test_the_whole_is_evaluated_as_one_model_and_by_segment(trained: Path, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("archive", "test", "output", "scratch")}
    for place in places.values():
        place.mkdir()
    (places["archive"] / "model.tar.gz").write_bytes(archive(dict(files_in(trained))))
    pq.write_table(rows(), places["test"] / "part.parquet")
    by_segment = [{"column": "dest", "values": list(SEGMENTS.values), "bins": None}]
    options = options_folder(tmp_path / "options", slices=by_segment, features=["dest", "distance"])
    arguments = {"model": places["archive"], "test": places["test"], "options": options, "output": places["output"]}
    given = [text for name, path in arguments.items() for text in (f"--{name}", str(path))]
    found = evaluate.run(evaluate.parse_options([*given, "--version", "1", "--message", "none"]), places["scratch"])
    assert found["rows"] == 480 and found["metrics"]["auc"] > 0.7
    enough = {each["slice"]: each["enough"] for each in found["slices"]}
    assert enough == {"EWR": True, "JFK": True, "SWF": False, "LGA": False, "(others)": False}


def loaded(folder: Path) -> tuple[ModuleType, Any]:
    module = load_script(folder / "code", "inference.py")
    return module, module.model_fn(str(folder))


def unpacked(trained: Path, folder: Path, name: str) -> Path:
    """The archive of one model, unpacked."""
    packed = dict(archives_of(files_in(trained)))[f"models/{name}.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def ask(module: ModuleType, model: Any, *instances: Any) -> list[float]:
    body = json.dumps({"instances": list(instances)})
    answer = module.output_fn(module.predict_fn(module.input_fn(body, "application/json"), model), "application/json")
    return [round(each["probability"], 3) for each in json.loads(answer)["predictions"]]


EWR, JFK, SWF, BOS, NONE = ({"dest": dest, "distance": 0.0} for dest in ("EWR", "JFK", "SWF", "BOS", None))


def test_the_whole_asks_the_model_of_each_instance_in_order(trained: Path) -> None:
    module, model = loaded(trained)
    others = round(sum(rows()["late"].to_pylist()) / 480, 3)
    assert ask(module, model, JFK, EWR, SWF, JFK, BOS, NONE) == [0.1, 0.8, others, 0.1, others, others]


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [("EWR", [EWR], [JFK, SWF, BOS, NONE]), ("SWF", [SWF], [EWR, BOS]), ("_fallback", [BOS, NONE, SWF], [])],
)
def test_one_model_answers_as_the_whole_does_and_for_its_own_segment_alone(
    trained: Path, tmp_path: Path, name: str, own: list[Any], others: list[Any]
) -> None:
    whole, one = loaded(trained), loaded(unpacked(trained, tmp_path / "one", name))
    assert ask(*one, *own) == ask(*whole, *own)
    for other in others:
        with pytest.raises(ValueError, match="this model answers for") as refused:
            ask(*one, *own, other)
        assert refused.value.status_code == 400  # type: ignore[attr-defined]


def test_the_fallback_answers_for_a_segment_that_the_file_has_given_up(trained: Path, tmp_path: Path) -> None:
    one = loaded(unpacked(trained, tmp_path / "one", "_fallback"))
    assert ask(*one, EWR, JFK) == ask(*one, BOS, BOS)


@pytest.mark.parametrize(
    ("body", "says"), [("{", "not JSON"), ("[]", "allowed is"), ('{"instances": [1]}', "no object of features")]
)
def test_what_is_no_request_is_refused(trained: Path, body: str, says: str) -> None:
    module, model = loaded(trained)
    with pytest.raises(module.WrongRequest, match=says):
        module.predict_fn(module.input_fn(body, "application/json"), model)
