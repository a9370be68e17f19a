"""Splits become what an algorithm reads, requests what it takes, and answers what every model answers."""

from __future__ import annotations

import io
import json
import struct
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

import answer_adapter
import encode
import gapless_encoding
import request_adapter
from gapless_encoding import BadRequest
from gapless_sagemaker import formats

TRAIN: Mapping[str, Sequence[Any]] = {
    "_event_time": [3, 1, 2, 4],
    "_row_id": ["c", "a", "b", "d"],
    "size": [3.0, 1.0, None, float("nan")],
    "items": [4, 2, 2, 4],
    "express": [True, False, None, True],
    "region": ["south", "north", "south", None],
    "late": [True, False, False, True],
}
VALIDATION = {**TRAIN, "size": [100.0, None, None, None], "region": ["west", None, "north", "north"]}
REQUEST = {"size": 2.0, "items": 3, "express": True, "region": "south"}
BY_TIME = [1, 2, 0, 3]
"""The rows of the training split in the order of their times."""


def split(folder: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    folder.mkdir(parents=True)
    table = pa.table(dict(columns))
    pq.write_table(table.slice(0, 2), folder / "part-1.parquet")
    pq.write_table(table.slice(2), folder / "part-0.parquet")
    return folder


class Bench:
    """A job with splits of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.splits: dict[str, Mapping[str, Any]] = {"train": TRAIN, "validation": VALIDATION}

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def run(self, problem: str = "binary_classification", target: str | None = "late", **options: Any) -> Any:
        for name, columns in self.splits.items():
            if not (self.folder / name).exists():
                split(self.folder / name, columns)
        asked = {"algorithm": "some", "problem": problem, "request": "csv", "answer": "scores", **options}
        if target is not None:
            asked["target"] = target
        words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
        folders = [f"--{name}={self.folder / name}" for name in (*self.splits, "output")]
        return encode.run(encode.parse_options([*words, *folders, f"--message={self.folder / 'message'}"]))

    def csv(self, name: str = "train") -> list[list[float]]:
        lines = (self.output / name / "data.csv").read_text().splitlines()
        return [[float(cell) for cell in line.split(",")] for line in lines]

    def archive(self) -> dict[str, bytes]:
        with tarfile.open(self.output / "adapters" / "model.tar.gz") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]

    def encoding(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.archive()["encoding.json"])
        return found

    def unpacked(self) -> Path:
        place = self.folder / "unpacked"
        for name, content in self.archive().items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return place


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- splits


def test_the_target_comes_first_and_rows_in_the_order_of_their_times(bench: Bench) -> None:
    bench.run()
    assert [row[0] for row in bench.csv()] == [float(TRAIN["late"][at]) for at in BY_TIME]


def test_numbers_are_centred_and_scaled_by_the_training_split(bench: Bench) -> None:
    bench.run()
    items = [row[3] for row in bench.csv()]
    assert items == [(TRAIN["items"][at] - 3) / 1.0 for at in BY_TIME]


def test_a_missing_number_becomes_the_mean_and_says_so(bench: Bench) -> None:
    bench.run()
    assert [row[1:3] for row in bench.csv()] == [[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]


def test_categories_get_a_number_each_and_what_is_missing_or_new_is_none_of_them(bench: Bench) -> None:
    bench.run()
    assert [row[-2:] for row in bench.csv()] == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    assert [row[-2:] for row in bench.csv("validation")] == [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]


def test_nothing_is_learned_from_the_validation_split(bench: Bench, tmp_path: Path) -> None:
    bench.run()
    other = Bench(tmp_path / "other")
    other.splits["validation"] = TRAIN
    other.run()
    assert other.encoding() == bench.encoding()


def test_scripts_read_both_splits_in_one_channel_with_whole_classes_and_a_list_of_columns_with_codes(
    bench: Bench,
) -> None:
    bench.run(below="training", categories="codes")
    channel = bench.output / "training"
    lines = (channel / "train" / "data.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [str(int(TRAIN["late"][at])) for at in BY_TIME]
    assert [line.split(",")[-1] for line in lines] == ["1", "2", "2", "0"]
    assert [line.split(",")[-1] for line in (channel / "validation/data.csv").read_text().splitlines()] == [
        *("0", "1", "0", "1")
    ]
    assert json.loads((channel / "categorical_index.json").read_text()) == {
        "cat_index_list": [len(lines[0].split(",")) - 1]
    }
    assert {path.name for path in channel.iterdir()} == {"train", "validation", "categorical_index.json"}


def test_a_request_has_the_codes_of_the_split(bench: Bench) -> None:
    bench.run(below="training", categories="codes")
    body, _ = adapted(bench, {"instances": [REQUEST, {**REQUEST, "region": "west"}, {**REQUEST, "region": None}]})
    assert [line.split(",")[-1] for line in body.splitlines()] == ["2", "0", "0"]


def test_without_codes_there_is_no_list_of_columns(bench: Bench) -> None:
    bench.run(below="training", categories="numbers")
    assert {path.name for path in (bench.output / "training").iterdir()} == {"train", "validation"}


def test_a_value_that_is_predicted_stays_a_value_below_a_channel(bench: Bench) -> None:
    bench.run("regression", "items", below="training")
    lines = (bench.output / "training/train/data.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["2.0", "2.0", "4.0", "4.0"]


def test_only_the_most_frequent_categories_get_a_number(bench: Bench) -> None:
    names = [f"r{number % 70:02}" if number < 70 else "r69" for number in range(80)]
    columns = {"region": names, "late": [True, False] * 40, "_row_id": [f"{number:03}" for number in range(80)]}
    bench.splits = {"train": columns, "validation": columns}
    bench.run()
    (feature,) = bench.encoding()["features"]
    assert len(feature["categories"]) == encode.MOST_CATEGORIES
    assert "r69" in feature["categories"] and "r68" not in feature["categories"]


def test_trees_get_numbers_as_they_are_in_parquet(bench: Bench) -> None:
    bench.run(format="parquet", missing="nan")
    table = pq.read_table(bench.output / "train" / "data.parquet")
    rows = np.column_stack([column.to_numpy() for column in table.columns])
    assert {str(kind) for kind in table.schema.types} == {"double"}
    assert rows[:, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert np.array_equal(rows[:, 1], [1.0, np.nan, 3.0, np.nan], equal_nan=True)
    assert np.array_equal(rows[:, 3], [0.0, np.nan, 1.0, 1.0], equal_nan=True)


def test_hyperparameters_follow_from_the_encoded_split(bench: Bench) -> None:
    document = bench.run()
    assert document["hyperparameters"]["feature_dim"] == str(len(bench.csv()[0]) - 1) == "7"
    assert document["hyperparameters"]["sample_size"] == "4"
    assert json.loads((bench.output / "encoded.json").read_text()) == document


def test_classes_are_numbered_in_order_and_rows_of_unknown_ones_are_left_out(bench: Bench) -> None:
    bench.splits = {
        "train": {**TRAIN, "late": ["b", "a", "c", "a"]},
        "validation": {**VALIDATION, "late": ["a", "d", None, "c"]},
    }
    document = bench.run("multiclass_classification")
    assert [row[0] for row in bench.csv()] == [0.0, 2.0, 1.0, 0.0]
    assert [row[0] for row in bench.csv("validation")] == [0.0, 2.0]
    assert document["left_out"] == {"train": 0, "validation": 2}
    assert document["hyperparameters"]["num_classes"] == document["hyperparameters"]["num_class"] == "3"


def test_targets_that_are_no_finite_number_are_left_out_and_counted(bench: Bench) -> None:
    bench.splits = {
        "train": {**TRAIN, "late": [4.5, float("nan"), 1.0, None]},
        "validation": {**VALIDATION, "late": [float("inf"), 2.0, float("-inf"), 3.0]},
    }
    document = bench.run("regression")
    assert [row[0] for row in bench.csv()] == [1.0, 4.5]
    assert [row[0] for row in bench.csv("validation")] == [2.0, 3.0]
    assert document["left_out"] == {"train": 2, "validation": 2}
    assert document["rows"] == {"train": 2, "validation": 2}


@pytest.mark.parametrize(
    ("late", "message"),
    [
        (["1", "2", "3", "4"], "the target of a regression is string; allowed are numbers"),
        ([float("nan")] * 4, "the split train has no rows to encode; 4 were left out"),
    ],
)
def test_a_split_without_a_finite_target_is_refused(bench: Bench, late: list[Any], message: str) -> None:
    bench.splits = {"train": {**TRAIN, "late": late}, "validation": {**VALIDATION, "late": [1.0, 2.0, 3.0, 4.0]}}
    with pytest.raises(encode.BadSplit, match=message):
        bench.run("regression")


def test_without_a_target_there_are_features_only(bench: Bench) -> None:
    bench.splits = {name: {key: TRAIN[key] for key in ("items", "region")} for name in ("train", "validation")}
    bench.run("clustering", None, answer="clusters")
    assert {len(row) for row in bench.csv()} == {3}


def test_texts_become_lines_of_a_label_and_words(bench: Bench) -> None:
    columns = {"_row_id": ["a", "b"], "text": ["Too late, AGAIN!", None], "late": [True, False]}
    bench.splits = {"train": columns, "validation": columns}
    bench.run(request="texts", answer="labels", format="text")
    assert (bench.output / "train" / "data.text").read_text() == "__label__1 too late , again !\n__label__0 \n"


def test_equal_splits_give_equal_bytes(bench: Bench, tmp_path: Path) -> None:
    bench.run()
    again = Bench(tmp_path / "again")
    again.run()
    for path in ("train/data.csv", "validation/data.csv", "adapters/model.tar.gz", "encoded.json"):
        assert (bench.output / path).read_bytes() == (again.output / path).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"late": [None] * 4}, "the split validation has no rows to encode; 4 were left out"),
        ({"region": [[1], [2], [3], [4]]}, "feature region is list<element: int64>; allowed are numbers, strings"),
    ],
)
def test_a_split_that_cannot_be_encoded_is_refused(bench: Bench, change: Mapping[str, Any], message: str) -> None:
    which = "validation" if "late" in change else "train"
    bench.splits[which] = {**bench.splits[which], **change}
    if "late" in change:
        bench.splits[which] = {**bench.splits[which], "late": pa.array([None] * 4, pa.bool_())}
    with pytest.raises(encode.BadSplit, match=message.replace("[", r"\[")):
        bench.run()


def test_a_target_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(encode.BadSplit, match="target missing: arrived; given are size, items"):
        bench.run(target="arrived")


# -- records in protobuf


def record_type() -> Any:
    """The message ``aialgs.data.Record`` as the developer guide gives it, as far as dense tensors of floats go."""
    fields = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")
    tensor = file.message_type.add(name="Float32Tensor")
    values = tensor.field.add(name="values", number=1, type=fields.TYPE_FLOAT, label=fields.LABEL_REPEATED)
    values.options.packed = True
    value = file.message_type.add(name="Value")
    message = {"type": fields.TYPE_MESSAGE, "label": fields.LABEL_OPTIONAL}
    value.field.add(name="float32_tensor", number=2, type_name=".aialgs.data.Float32Tensor", **message)
    record = file.message_type.add(name="Record")
    for number, name in enumerate(("features", "label"), start=1):
        entry = record.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=fields.TYPE_STRING, label=fields.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type_name=".aialgs.data.Value", **message)
        record.field.add(
            name=name,
            number=number,
            type=fields.TYPE_MESSAGE,
            label=fields.LABEL_REPEATED,
            type_name=f".aialgs.data.Record.{entry.name}",
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def test_records_are_read_by_protobuf() -> None:
    content = formats.record([0.5, -1.0, 3.25], 1.0)
    found = record_type().FromString(content)
    assert list(found.features["values"].float32_tensor.values) == [0.5, -1.0, 3.25]
    assert list(found.label["values"].float32_tensor.values) == [1.0]
    assert found.SerializeToString(deterministic=True) == content


def test_a_long_record_is_padded_to_four_bytes() -> None:
    content = formats.record([1.0] * 100, None)
    framed = formats.framed(content)
    assert len(framed) % 4 == 0
    assert struct.unpack("<II", framed[:8]) == (0xCED7230A, len(content))


# -- requests


def adapted(bench: Bench, request: Any, content_type: str = "application/json") -> tuple[str, str]:
    model = request_adapter.model_fn(str(bench.unpacked()))
    body, kind = request_adapter.transform_fn(model, json.dumps(request), content_type, "*/*")
    return body, kind


rows = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.none() | st.floats(-1e6, 1e6),
            "items": st.none() | st.integers(-1000, 1000),
            "express": st.none() | st.booleans(),
            "region": st.none() | st.sampled_from(["north", "south", "west", ""]),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=20)
@given(rows=rows, missing=st.sampled_from(["nan", "mean"]))
def test_an_algorithm_sees_a_row_in_a_request_as_it_sees_it_in_a_split(
    rows: list[dict[str, Any]], missing: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    schema = {"size": pa.float64(), "items": pa.int64(), "express": pa.bool_(), "region": pa.string()}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in schema.items()}
    bench.splits["validation"] = {**columns, "late": [True] * len(rows)}
    bench.run(missing=missing)
    body, _ = adapted(bench, {"instances": rows})
    in_split = [line.partition(",")[2] for line in (bench.output / "validation/data.csv").read_text().splitlines()]
    assert sorted(body.splitlines()) == sorted(in_split)


def test_a_request_becomes_csv_without_the_target(bench: Bench) -> None:
    bench.run()
    body, kind = adapted(bench, {"instances": [REQUEST, {**REQUEST, "size": None}]})
    assert kind == "text/csv"
    first, second = (list(map(float, line.split(","))) for line in body.splitlines())
    assert first[:3] == [0.0, 0.0, 0.0] and second[:2] == [0.0, 1.0]


def test_an_algorithm_that_takes_no_csv_gets_vectors_in_json(bench: Bench) -> None:
    bench.run(request="vectors")
    body, kind = adapted(bench, {"instances": [REQUEST]})
    assert kind == "application/json"
    assert len(json.loads(body)["instances"][0]["features"]) == 7


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "body: given 'list'; allowed is an object with the one member instances"),
        ({"instances": []}, "instances: given []; allowed is a list of at least one instance"),
        ({"instances": [3]}, "instances[0]: given 3; allowed is an object of features"),
        ({"instances": [{**REQUEST, "colour": 1}]}, "instances[0]: unknown feature 'colour'; allowed are size, items"),
        (
            {"instances": [REQUEST, {key: REQUEST[key] for key in ("size", "items", "region")}]},
            "instances[1]: feature express is missing; give null if it is not known",
        ),
        (
            {"instances": [{**REQUEST, "items": 2.5}]},
            "instances[0].items: given 2.5; allowed is a whole number or null",
        ),
        ({"instances": [{**REQUEST, "items": True}]}, "instances[0].items: given True; allowed is a whole number"),
        ({"instances": [{**REQUEST, "size": 1e300}]}, "instances[0].size: given 1e+300; allowed is a finite number"),
        ({"instances": [{**REQUEST, "express": 1}]}, "instances[0].express: given 1; allowed is true, false or null"),
        ({"instances": [{**REQUEST, "region": 7}]}, "instances[0].region: given 7; allowed is a string or null"),
        ({"instances": [{**REQUEST, "size": float("nan")}]}, "body: given the number NaN; allowed are finite numbers"),
    ],
)
def test_a_request_that_says_anything_else_is_refused(bench: Bench, request_: Any, message: str) -> None:
    bench.run()
    with pytest.raises(BadRequest) as caught:
        adapted(bench, request_)
    assert str(caught.value).startswith(message)
    assert caught.value.status_code == 400


def test_a_request_in_another_form_is_refused(bench: Bench) -> None:
    bench.run()
    with pytest.raises(BadRequest, match="content type: given 'text/csv'; allowed is application/json"):
        adapted(bench, {"instances": [REQUEST]}, "text/csv")


def test_adapters_whose_files_were_changed_do_not_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    document = bench.run()
    folder = bench.unpacked()
    monkeypatch.setenv(gapless_encoding.DIGEST, document["adapters_sha256"])
    assert request_adapter.model_fn(str(folder)) == answer_adapter.model_fn(str(folder)) == bench.encoding()
    (folder / "code" / "adapters.py").write_text("evil = True")
    with pytest.raises(gapless_encoding.Tampered, match=document["adapters_sha256"]):
        request_adapter.model_fn(str(folder))


# -- answers


def answered(problem: str, form: str, body: str, kind: str = "application/json", **more: Any) -> list[dict[str, Any]]:
    encoding = {"algorithm": "some", "problem": problem, "answer": form, "classes": [False, True], "kept": 2, **more}
    text, accept = answer_adapter.transform_fn(encoding, body, kind, "*/*")
    assert accept == "application/json"
    predictions: list[dict[str, Any]] = json.loads(text)["predictions"]
    return predictions


TWO = [{"probability": 0.25, "label": False}, {"probability": 0.5, "label": True}]


@pytest.mark.parametrize("body", ["0.25,0.5", "0.25\n0.5\n", "0.25\r\n0.5"])
def test_scores_of_trees_are_read_however_they_are_joined(body: str) -> None:
    assert answered("binary_classification", "numbers", body, "text/csv; charset=utf-8") == TWO


def test_scores_of_trees_in_json_are_read_too() -> None:
    body = json.dumps({"predictions": [{"score": 0.25}, {"score": 0.5}]})
    assert answered("binary_classification", "numbers", body) == TWO


@pytest.mark.parametrize("body", ["[0.1, 0.2, 0.7],[0.5, 0.3, 0.2]", "0.1,0.2,0.7\n0.5,0.3,0.2\n"])
def test_scores_of_several_classes_are_told_row_by_row(body: str) -> None:
    found = answered("multiclass_classification", "numbers", body, "text/csv", classes=["a", "b", "c"])
    assert found == [
        {"probabilities": {"a": 0.1, "b": 0.2, "c": 0.7}, "label": "c"},
        {"probabilities": {"a": 0.5, "b": 0.3, "c": 0.2}, "label": "a"},
    ]


def test_classes_that_are_numbers_stay_numbers_as_labels() -> None:
    body = json.dumps({"predictions": [{"score": [0.4, 0.6], "predicted_label": 1}]})
    assert answered("multiclass_classification", "scores", body, classes=[3, 7]) == [
        {"probabilities": {"3": 0.4, "7": 0.6}, "label": 7}
    ]


def test_a_score_is_a_value_in_a_regression() -> None:
    assert answered("regression", "scores", '{"predictions": [{"score": -1.5}]}') == [{"value": -1.5}]


def test_neighbours_vote() -> None:
    body = json.dumps({"predictions": [{"predicted_label": 1.0, "distances": [0, 1, 2, 3], "labels": [1, 0, 1, 1]}]})
    assert answered("binary_classification", "votes", body) == [{"probability": 0.75, "label": True}]


def test_neighbours_that_tell_no_votes_are_certain() -> None:
    body = json.dumps({"predictions": [{"predicted_label": 0.0}]})
    assert answered("binary_classification", "votes", body) == [{"probability": 0.0, "label": False}]


def test_neighbours_of_a_regression_have_a_mean() -> None:
    assert answered("regression", "votes", '{"predictions": [{"predicted_label": 2.5}]}') == [{"value": 2.5}]


def test_a_cluster_is_told_with_the_distance_to_its_centre() -> None:
    body = json.dumps({"predictions": [{"closest_cluster": 2.0, "distance_to_cluster": 1.5}]})
    assert answered("clustering", "clusters", body) == [{"cluster": 2, "distance": 1.5}]


def test_of_all_components_those_that_count_are_kept_and_the_rest_is_the_error() -> None:
    body = json.dumps({"projections": [{"projection": [2.0, 1.0, -3.0, 4.0]}]})
    assert answered("projection", "components", body) == [{"projection": [4.0, -3.0], "error": 5.0}]


def test_labels_of_a_text_are_told_by_their_codes() -> None:
    body = json.dumps([{"label": ["__label__1", "__label__0"], "prob": [0.9, 0.1]}])
    assert answered("binary_classification", "labels", body) == [{"probability": 0.9, "label": True}]


def test_scripts_tell_the_probability_of_each_class_in_the_order_of_their_codes() -> None:
    body = json.dumps({"probabilities": [[0.75, 0.25], [0.5, 0.5]]})
    assert answered("binary_classification", "probabilities", body) == TWO
    several = answered("multiclass_classification", "probabilities", '{"probabilities": [[0.1, 0.9]]}', classes=[3, 7])
    assert several == [{"probabilities": {"3": 0.1, "7": 0.9}, "label": 7}]


def test_scripts_that_name_the_classes_beside_the_probabilities_are_taken_at_their_word() -> None:
    body = json.dumps({"probabilities": [[0.25, 0.75]], "labels": ["1", "0"], "predicted_label": [0]})
    assert answered("binary_classification", "probabilities", body) == TWO[:1]


@pytest.mark.parametrize("body", ['{"prediction": [1.5, 2]}', '{"prediction": [[1.5], [2]]}'])
def test_scripts_tell_the_values_of_a_regression(body: str) -> None:
    assert answered("regression", "probabilities", body) == [{"value": 1.5}, {"value": 2.0}]


@pytest.mark.parametrize(
    ("form", "body", "kind"),
    [
        ("probabilities", '{"probabilities": [[1.0]]}', "application/json"),
        ("probabilities", '{"predictions": [1]}', "application/json"),
        ("numbers", "nothing", "text/csv"),
        ("scores", "{}", "application/json"),
        ("scores", "<html>", "text/html"),
        ("votes", '{"predictions": [{}]}', "application/json"),
    ],
)
def test_an_answer_of_another_form_is_no_answer(form: str, body: str, kind: str) -> None:
    with pytest.raises(answer_adapter.BadAnswer, match="answer of some: "):
        answered("binary_classification", form, body, kind)


# -- the workload's own adapters

OWN = """
def encode(splits, output):
    (output / "train").mkdir(parents=True)
    (output / "train" / "data.json").write_text(str(sorted(splits)))

def request(instances):
    if any(each["items"] is None for each in instances):
        raise ValueError("items has to be known")
    return " ".join(str(each["items"]) for each in instances), "text/plain"

def answer(body, content_type):
    return [{"value": float(word)} for word in body.split()]
"""


def bundle(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "sourcedir.tar.gz", "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return folder


def test_a_workload_encodes_for_an_algorithm_without_an_encoder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = bundle(tmp_path / "code", {"adapters.py": OWN, "train.py": ""})
    bench.run("regression", "late", request="own", answer="own", code=code)
    assert (bench.output / "train" / "data.json").read_text() == "['train', 'validation']"
    folder = bench.unpacked()
    monkeypatch.syspath_prepend(folder / "code")
    monkeypatch.delitem(sys.modules, "adapters", raising=False)
    model = request_adapter.model_fn(str(folder))
    assert adapted(bench, {"instances": [REQUEST, REQUEST]}) == ("3 3", "text/plain")
    assert answer_adapter.predictions_of(model, b"3 3", "text/plain") == [{"value": 3.0}, {"value": 3.0}]
    with pytest.raises(BadRequest, match="items has to be known"):
        adapted(bench, {"instances": [{**REQUEST, "items": None}]})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.py": ""}, "the bundle has no adapters.py, which some needs"),
        ({"adapters.py": "def encode(splits, output): ..."}, "adapters.py lacks request, answer; some needs encode"),
    ],
)
def test_adapters_that_are_not_whole_are_refused(
    bench: Bench, tmp_path: Path, files: Mapping[str, str], message: str
) -> None:
    with pytest.raises(encode.BadAdapters, match=message):
        bench.run(request="own", answer="own", code=bundle(tmp_path / "code", files))
