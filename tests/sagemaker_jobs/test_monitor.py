"""The monitor's jobs: what is read, what is found, and what stays quiet."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import json
import math
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import monitor
import monitor_baseline
from gapless_sagemaker.monitoring.attributions import check_attributions, ndcg
from gapless_sagemaker.monitoring.baseline import BadBaseline, Baseline, make_baseline, read_baseline
from gapless_sagemaker.monitoring.bias import check_bias
from gapless_sagemaker.monitoring.earlier import best_of
from gapless_sagemaker.monitoring.quality import BadLabel
from gapless_sagemaker.monitoring.rows import BadCapture, BadLabels, Read, read_capture, read_labels
from gapless_sagemaker.predictions import write_requests
from tests.sagemaker_jobs.options_folder import options_folder
from tests.sagemaker_jobs.test_scoring_jobs import archive, transform

FEATURES = ["dest", "distance", "temp"]
NOON = dt.datetime(2013, 5, 1, 12, tzinfo=dt.UTC)
Row = dict[str, Any]


def drawn(rows: int, seed: int, *, warmer: float = 0.0) -> pa.Table:
    """Flights of a year: far ones are late more often, summers are warmer."""
    random = np.random.default_rng(seed)
    month = random.integers(1, 13, rows)
    distance = random.integers(1, 40, rows) * 50
    temp = random.normal(10 - 12 * np.cos(month / 12 * 2 * math.pi) + warmer, 3)
    return pa.table(
        {
            "_event_time": [dt.datetime(2013, int(each), 5, tzinfo=dt.UTC) for each in month],
            "dest": random.choice(["BOS", "ORD", "SFO"], rows, p=[0.5, 0.3, 0.2]),
            "distance": pa.array(distance, pa.int32()),
            "temp": pa.array([None if place % 20 == 0 else float(each) for place, each in enumerate(temp)]),
            "late": random.random(rows) < 0.1 + distance / 4000,
        }
    )


def guess(row: Row) -> Row:
    probability = min(1.0, 0.1 + row["distance"] / 4000)
    return {"probability": probability, "label": probability > 0.4}


def line(rows: list[Row], name: str, answers: list[Row] | None = None, **about: Any) -> dict[str, Any]:
    """One line of data capture."""
    said = [guess(row) for row in rows] if answers is None else answers
    return {
        "captureData": {
            "endpointInput": {"mode": "INPUT", "encoding": "JSON", "data": json.dumps({"instances": rows})},
            "endpointOutput": {"mode": "OUTPUT", "encoding": "JSON", "data": json.dumps({"predictions": said})},
        },
        "eventMetadata": {
            "eventId": f"event-{name}",
            "inferenceId": name,
            "inferenceTime": "2013-05-01T12:00:00Z",
            **about,
        },
        "eventVersion": "0",
    }


def captured(folder: Path, lines: Iterable[Any]) -> Path:
    """Write lines as an endpoint's capture lies in its hours' folders."""
    target = folder / "live/primary/2013/05/01/12"
    target.mkdir(parents=True)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    (target / "00-00-000-a.jsonl").write_text("\n".join(texts[::2]) + "\n")
    (target / "30-00-000-b.jsonl.gz").write_bytes(gzip.compress(("\n".join(texts[1::2]) + "\n").encode()))
    return folder


def asked_of(table: pa.Table) -> list[Row]:
    found: list[Row] = table.select(FEATURES).to_pylist()
    return found


def served(
    table: pa.Table, change: Callable[[Row], Row] = lambda row: row, at: str = "2013-05-01T12:00:00Z"
) -> list[Any]:
    """Serve each row of a table by a request of its own."""
    return [line([change(row)], f"id-{n}", inferenceTime=at) for n, row in enumerate(asked_of(table))]


def labels_of(folder: Path, table: pa.Table) -> Path:
    folder.mkdir()
    lines = [
        truth(f"id-{n}", "true" if late else "0", encoding="CSV") for n, late in enumerate(table["late"].to_pylist())
    ]
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of a model that answers with what it was made of."""
    root = tmp_path_factory.mktemp("baseline")
    train, test = drawn(15_000, 1), drawn(3_000, 2)
    for name, table in (("train", train), ("test", test)):
        (root / name).mkdir()
        pq.write_table(table, root / name / "part-0.parquet")
    write_requests(root / "requests", asked_of(test))
    transform(root / "requests", root / "answers", guess)
    (root / "evaluation").mkdir()
    evaluation = {
        "metric": "auc",
        "metrics": {"auc": 0.66},
        "intervals": {},
        "bias": None,
        "attributions": {"global": {"distance": 1.0, "temp": 0.1, "dest": 0.01}},
    }
    (root / "evaluation/evaluation.json").write_text(json.dumps(evaluation))
    arguments = {
        "train": root / "train",
        "test": root / "test",
        "evaluation": root / "evaluation",
        "options": options_folder(root / "options", features=FEATURES),
        "model": archive(root / "model"),
        "predictions": root / "answers",
        "version": "v1",
        "output": root / "output",
        "message": root / "message",
    }
    monitor_baseline.main([text for name, value in arguments.items() for text in (f"--{name}", str(value))])
    return root / "output"


def run(
    baseline: Path,
    capture: Path,
    tmp_path: Path,
    labels: Path | None = None,
    *earlier: Path,
    **wishes: Any,
) -> dict[str, Any]:
    """Monitor a window; give what is written for the state machine."""
    output = tmp_path / "output"
    options = options_folder(tmp_path / "options", features=FEATURES, more_is_better=True, monitoring=wishes)
    arguments = ["--baseline", str(baseline), "--capture", str(capture), "--options", str(options)]
    arguments += ["--as_of", "2013-05-02T00:00:00Z", "--output", str(output), "--message", str(tmp_path / "message")]
    arguments += [text for folder in earlier for text in ("--earlier", str(folder))]
    monitor.main([*arguments, *(["--labels", str(labels)] if labels is not None else [])])
    found: dict[str, Any] = json.loads((output / "monitoring.json").read_text())
    return found


def checks(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["column"], each["check"]) for each in found["violations"]}


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_captured_line_is_rows_or_is_counted_with_its_reason(tmp_path: Path) -> None:
    rows = asked_of(drawn(3, 5))
    coded = line(rows[:1], "b")
    side = coded["captureData"]["endpointInput"]
    side.update(encoding="BASE64", data=base64.b64encode(side["data"].encode()).decode())
    silent = line(rows[:1], "c")
    del silent["captureData"]["endpointOutput"]
    broken = line(rows[:1], "d")
    broken["captureData"]["endpointInput"]["encoding"] = "BASE64"
    nothing = line(rows[:1], "e")
    nothing["captureData"]["endpointInput"]["data"] = "{}"
    lines = [line(rows, "a"), coded, silent, broken, nothing, line(rows, "f", [guess(rows[0])]), "no json", {"x": 1}]
    read = Read()
    found = [row for some in read_capture(captured(tmp_path / "capture", lines), read) for row in some]
    assert Counter(row.inference_id for row in found) == {"a": 3, "b": 1, "c": 1}
    assert {(row.inference_id, row.position) for row in found} >= {("a", 0), ("a", 1), ("a", 2)}
    assert [row.answered for row in found if row.inference_id == "c"] == [None]
    assert read.refused == {
        "data of encoding BASE64 is no JSON": 1,
        "there is no list of instances": 1,
        "there is not one prediction per instance": 1,
        "the line is no JSON": 1,
        "the line is not of data capture": 1,
    }
    assert read.lines == 8


def test_a_request_without_an_inference_id_is_known_by_its_event(tmp_path: Path) -> None:
    nameless = line(asked_of(drawn(1, 5)), "x")
    del nameless["eventMetadata"]["inferenceId"]
    (rows,) = read_capture(captured(tmp_path / "capture", [nameless]), Read())
    assert rows[0].inference_id == "event-x"


def truth(name: str, data: Any, **more: Any) -> str:
    """One line of ground truth."""
    told = {"groundTruthData": {"data": data, **more}, "eventMetadata": {"eventId": name}, "eventVersion": "0"}
    return json.dumps(told)


def test_of_two_labels_of_a_row_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(f"{truth('a', True)}\n\n{truth('b', '[1, 2]', encoding='JSON')}\n")
    (tmp_path / "2.jsonl").write_text(f"{truth('a', False)}\n{truth('c', 'x,y', encoding='CSV')}\n")
    assert read_labels(tmp_path) == {("a", 0): True, ("b", 0): 1, ("b", 1): 2, ("c", 0): "x,y"}
    assert read_labels(None) == {}


def test_what_people_answered_corrects_labels_and_is_no_sample_of_its_own(tmp_path: Path) -> None:
    def told(name: str, label: str, **about: Any) -> str:
        return json.dumps({"groundTruthData": {"data": label}, "eventMetadata": {"eventId": name, **about}})

    def answer(name: str, label: str, at: str) -> str:
        return told(name, label, source="relabelling", position=0, labelledAt=at)

    lines = [
        *(
            told("corrected", "late"),
            told("untouched", "late"),
            told("newer", "late", labelledAt="2026-03-03T00:00:00Z"),
        ),
        *(answer("corrected", "second", "2026-03-02T00:00:00Z"), answer("corrected", "first", "2026-03-01T00:00:00Z")),
        *(answer("chosen", "only", "2026-03-01T00:00:00Z"), answer("newer", "older", "2026-03-01T00:00:00Z")),
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    found = read_labels(tmp_path)
    assert found == {("corrected", 0): "second", ("untouched", 0): "late", ("newer", 0): "late"}
    (tmp_path / "labels.jsonl").write_text(told("any", "any", source="relabelling"))
    with pytest.raises(BadLabels, match="needs a position and labelledAt"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "x",
        '{"eventMetadata": {"eventId": "a"}}',
        truth("a", None),
        truth("a", {}),
        truth("a", "[", encoding="JSON"),
    ],
)
def test_refuses_a_line_that_is_no_label(tmp_path: Path, text: str) -> None:
    (tmp_path / "1.jsonl").write_text(f"{truth('a', 1)}\n{text}\n")
    with pytest.raises(BadLabels, match=r"1\.jsonl:2"):
        read_labels(tmp_path)


def test_fails_when_no_line_can_be_read_and_not_when_there_is_none(baseline: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCapture, match="none of 2 captured lines can be read: the line is no JSON"):
        run(baseline, captured(tmp_path / "capture", ["x", "y"]), tmp_path)
    (tmp_path / "empty").mkdir()
    found = run(baseline, tmp_path / "empty", tmp_path)
    assert (found["rows"], found["violations"]) == (0, [])


# --- the baseline ----------------------------------------------------------------------------------------------------


def test_a_baseline_keeps_rows_by_month_and_reads_back_what_it_wrote(baseline: Path, tmp_path: Path) -> None:
    found = read_baseline(baseline / "baseline.json")
    assert sorted(found.months) == list(range(1, 13))
    assert found.columns.keys() == {"dest", "distance", "temp"}
    for name, sketch in found.columns.items():
        rows = [each[name].present + each[name].missing for each in found.months.values()]
        assert sum(rows) == sketch.present + sketch.missing == 15_000
    assert found.predictions.keys() == {"probability", "label"}
    assert (found.dataset, found.importance["distance"]) == ("v1", 1.0)
    (tmp_path / "baseline.json").write_text(json.dumps({**found.document(), "format": 0}))
    with pytest.raises(BadBaseline, match="given format 0; allowed is 1"):
        read_baseline(tmp_path / "baseline.json")


def test_refuses_a_dataset_without_rows_or_features() -> None:
    with pytest.raises(BadBaseline, match="no rows"):
        make_baseline([drawn(0, 1)], FEATURES)
    with pytest.raises(BadBaseline, match="features missing in the dataset: wind"):
        make_baseline([drawn(5, 1)], [*FEATURES, "wind"])


def test_the_same_season_is_compared_with_itself_while_it_has_rows() -> None:
    year = make_baseline([drawn(24_000, 1)], FEATURES)
    june, name = year.reference([6], "season")
    assert name == "months 6 of the dataset"
    assert june["temp"].present < year.columns["temp"].present / 8
    assert year.reference([6], "all") == (year.columns, "all rows of the dataset")
    little = make_baseline([drawn(1_200, 1)], FEATURES)
    assert little.reference([6], "season") == (little.columns, "all rows of the dataset")
    assert Baseline(dict(year.columns)).reference([6], "season")[1] == "all rows of the dataset"


# --- what is found ---------------------------------------------------------------------------------------------------


def month(table: pa.Table, number: int) -> pa.Table:
    return table.filter(pa.array([each.month == number for each in table["_event_time"].to_pylist()]))


def test_rows_of_the_same_kind_break_nothing(baseline: Path, tmp_path: Path) -> None:
    found = run(baseline, captured(tmp_path / "capture", served(drawn(1_500, 77))), tmp_path, reference="all")
    assert found["violations"] == []
    assert found["rows"] == found["lines"] == 1_500
    assert found["families"]["drift"]["violations"] == 0
    assert 0 < found["families"]["drift"]["worst"] < 0.05
    assert found["families"].keys() == {"schema", "completeness", "drift", "predictions"}


def test_a_warm_june_is_a_shift_against_the_year_and_none_against_junes(baseline: Path, tmp_path: Path) -> None:
    june = served(month(drawn(12_000, 9), 6), at="2013-06-05T00:00:00Z")
    capture = captured(tmp_path / "capture", june)
    against_all = run(baseline, capture, tmp_path / "all", reference="all")
    assert checks(against_all) == {("temp", "baseline_drift_check")}
    by_season = run(baseline, capture, tmp_path / "season", reference="season")
    assert (by_season["violations"], by_season["reference"]) == ([], "months 6 of the dataset")


Changed = Callable[[Row], Row]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row: {**row, "temp": None if row["distance"] % 3 else row["temp"]}, ("temp", "completeness_check")),
        (lambda row: {name: row[name] for name in row if name != "temp"}, ("temp", "missing_column_check")),
        (lambda row: {**row, "wind": 3}, ("wind", "extra_column_check")),
        (lambda row: {**row, "temp": "warm"}, ("temp", "data_type_check")),
        (lambda row: {**row, "distance": row["distance"] + 5_000}, ("distance", "range_check")),
        (lambda row: {**row, "distance": row["distance"] - 5_000}, ("distance", "range_check")),
        (
            lambda row: {**row, "dest": "LAX" if row["dest"] == "SFO" else row["dest"]},
            ("dest", "categorical_values_check"),
        ),
        (lambda row: {**row, "dest": "SFO" if row["distance"] % 3 else row["dest"]}, ("dest", "baseline_drift_check")),
        (lambda row: {**row, "temp": (row["temp"] or 0.0) + 8}, ("temp", "baseline_drift_check")),
        (lambda row: {**row, "distance": 1_950}, ("probability", "prediction_drift_check")),
    ],
)
def test_finds_what_has_changed(baseline: Path, tmp_path: Path, change: Changed, expected: tuple[str, str]) -> None:
    found = run(baseline, captured(tmp_path / "capture", served(drawn(800, 78), change)), tmp_path, reference="all")
    assert expected in checks(found)
    columns = {column for column, _ in checks(found)}
    assert columns <= {expected[0], "probability", "label", "distance"}, "what has not changed is not named"
    broken = next(each for each in found["violations"] if (each["column"], each["check"]) == expected)
    assert broken["measured"] > broken["allowed"]


def test_what_matters_is_the_workloads_to_say(baseline: Path, tmp_path: Path) -> None:
    warmer = captured(
        tmp_path / "capture", served(drawn(800, 78), lambda row: {**row, "temp": (row["temp"] or 0.0) + 8})
    )
    deaf = dict.fromkeys(("psi", "kolmogorov_smirnov", "jensen_shannon", "cramers_v", "wasserstein"), 99.0)
    found = run(baseline, warmer, tmp_path, reference="all", matters=deaf)
    assert ("temp", "baseline_drift_check") not in checks(found)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_answers_that_still_hold_break_nothing(baseline: Path, tmp_path: Path) -> None:
    table = drawn(2_000, 80)
    found = run(
        baseline,
        captured(tmp_path / "capture", served(table)),
        tmp_path,
        labels_of(tmp_path / "labels", table),
        reference="all",
        margin=0.02,
    )
    assert found["violations"] == []
    assert (found["labels"], found["quality"]["rows"]) == (2_000, 2_000)
    assert found["quality"]["allowed"] == pytest.approx(0.64)
    assert found["families"]["quality"] == {"violations": 0, "worst": found["quality"]["metrics"]["auc"]}


def test_answers_that_no_longer_hold_are_found_by_their_labels_alone(baseline: Path, tmp_path: Path) -> None:
    """Requests are as ever, but who is late has nothing to do with the distance any more."""
    table = drawn(2_000, 80)
    late = pa.array(np.random.default_rng(1).random(2_000) < 0.3)
    changed = table.set_column(table.column_names.index("late"), "late", late)
    capture, labels = captured(tmp_path / "capture", served(table)), labels_of(tmp_path / "labels", changed)
    found = run(baseline, capture, tmp_path, labels, reference="all", margin=0.02)
    assert checks(found) == {("auc", "model_quality_check")}
    few = run(baseline, capture, tmp_path / "few", _first(labels, tmp_path / "some", 150), reference="all", margin=0.02)
    assert few["violations"] == [], "a handful of labels wakes nobody up"
    assert few["quality"]["rows"] == 150


INFERENCE = """
def model_fn(folder):
    return None
def predict_fn(rows, model):
    %s
    return [{"probability": p, "label": p > 0.5} for p in (float(row["%s"] == "%s") * 0.8 + 0.1 for row in rows)]
"""


def earlier_model(folder: Path, feature: str, value: str, first: str = "pass") -> Path:
    """A model that answers by one feature alone, once it has done something first."""
    folder.mkdir()
    contents = {
        "code/inference.py": INFERENCE % (first, feature, value),
        "features.json": json.dumps({"features": [{"name": feature, "type": "string"}]}),
    }
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return folder


@pytest.mark.parametrize(
    ("feature", "value", "better"), [("dest", "BOS", True), ("dest", "none", False), ("gate", "A", False)]
)
def test_an_earlier_model_is_scored_on_the_rows_on_which_the_serving_one_is_worse(
    baseline: Path, tmp_path: Path, feature: str, value: str, better: bool
) -> None:
    """By now flights to Boston are late, and no others."""
    table = drawn(2_000, 80)
    late = pa.array([dest == "BOS" for dest in table["dest"].to_pylist()])
    changed = table.set_column(table.column_names.index("late"), "late", late)
    capture, labels = captured(tmp_path / "capture", served(table)), labels_of(tmp_path / "labels", changed)
    model = earlier_model(tmp_path / "earlier", feature, value)
    found = run(baseline, capture, tmp_path, labels, model, reference="all")["earlier"]
    assert (found["better"], found["metric"], found["rows"]) == (better, "auc", 2_000)
    assert found["serving"] == pytest.approx(0.5, abs=0.05)
    assert found["value"] == {"BOS": 1.0, "none": 0.5, "A": None}[value]
    assert ("needs gate, which requests do not have" in found["text"]) == (feature == "gate")


def test_the_best_of_several_earlier_models_is_named_by_its_place(baseline: Path, tmp_path: Path) -> None:
    table = drawn(2_000, 80)
    late = pa.array([dest == "BOS" for dest in table["dest"].to_pylist()])
    changed = table.set_column(table.column_names.index("late"), "late", late)
    capture, labels = captured(tmp_path / "capture", served(table)), labels_of(tmp_path / "labels", changed)
    given = [("gate", "A"), ("dest", "none"), ("dest", "BOS"), ("dest", "BOS")]
    models = [earlier_model(tmp_path / f"earlier{place}", *each) for place, each in enumerate(given)]
    found = run(baseline, capture, tmp_path, labels, *models, reference="all")["earlier"]
    assert (found["place"], found["better"], found["value"]) == (2, True, 1.0)
    assert [each["value"] for each in found["versions"]] == [None, 0.5, 1.0, 1.0]
    assert [each["better"] for each in found["versions"]] == [False, False, True, True]


@pytest.mark.parametrize(("more_is_better", "best"), [(True, 3), (False, 2)])
def test_a_better_earlier_model_goes_before_others_whatever_their_figures(more_is_better: bool, best: int) -> None:
    def said(value: float | None, *, better: bool) -> dict[str, Any]:
        return {"value": value, "better": better}

    found = [said(None, better=False), said(0.9, better=False), said(0.6, better=True), said(0.7, better=True)]
    assert best_of(found, more_is_better=more_is_better)["place"] == best
    assert best_of(found[:2], more_is_better=more_is_better)["place"] == 1
    assert best_of(found[:1], more_is_better=more_is_better)["place"] == 0


def test_an_earlier_model_that_refuses_a_row_is_left_out(baseline: Path, tmp_path: Path) -> None:
    """The rows were answered by the serving model; that another one cannot is no failure of the monitor."""
    table = drawn(2_000, 80)
    late = pa.array([dest == "BOS" for dest in table["dest"].to_pylist()])
    changed = table.set_column(table.column_names.index("late"), "late", late)
    capture, labels = captured(tmp_path / "capture", served(table)), labels_of(tmp_path / "labels", changed)
    model = earlier_model(tmp_path / "earlier", "dest", "BOS", "raise ValueError('dest: given BOS')")
    found = run(baseline, capture, tmp_path, labels, model, reference="all")["earlier"]
    assert (found["better"], found["value"], found["interval"]) == (False, None, None)
    assert found["text"] == "the earlier model refuses what the serving one has answered: dest: given BOS"


def test_no_earlier_model_is_scored_while_the_serving_one_is_good_enough(baseline: Path, tmp_path: Path) -> None:
    table = drawn(2_000, 80)
    capture, labels = captured(tmp_path / "capture", served(table)), labels_of(tmp_path / "labels", table)
    model = earlier_model(tmp_path / "earlier", "dest", "BOS")
    assert run(baseline, capture, tmp_path, labels, model, reference="all", margin=0.02)["earlier"] is None


def _first(labels: Path, folder: Path, number: int) -> Path:
    folder.mkdir()
    (folder / "labels.jsonl").write_text("\n".join((labels / "labels.jsonl").read_text().splitlines()[:number]))
    return folder


def test_labels_without_a_row_and_rows_without_a_label_are_no_error(baseline: Path, tmp_path: Path) -> None:
    table = drawn(300, 81)
    (tmp_path / "labels").mkdir()
    texts = [truth(name, place % 2 == 0) for place, name in enumerate(["id-1", "id-2", "nobody"])]
    (tmp_path / "labels/a.jsonl").write_text("\n".join(texts))
    found = run(baseline, captured(tmp_path / "capture", served(table)), tmp_path, tmp_path / "labels")
    assert (found["rows"], found["labels"]) == (300, 2)


def test_refuses_a_label_of_another_type(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.jsonl").write_text(truth("id-1", "yes"))
    with pytest.raises(BadLabel, match="label of id-1: given 'yes'; allowed is true, false, 1 or 0"):
        run(baseline, captured(tmp_path / "capture", served(drawn(10, 1))), tmp_path, tmp_path / "labels")


def test_the_order_of_lines_and_files_changes_nothing(baseline: Path, tmp_path: Path) -> None:
    table = drawn(600, 82)
    lines, labels = served(table), labels_of(tmp_path / "labels", table)
    first = run(baseline, captured(tmp_path / "one", lines), tmp_path / "a", labels)
    second = run(baseline, captured(tmp_path / "two", list(reversed(lines))), tmp_path / "b", labels)
    assert first["quality"] == second["quality"]
    assert first["violations"] == second["violations"]
    assert (tmp_path / "a/output/constraint_violations.json").read_text() == (
        tmp_path / "b/output/constraint_violations.json"
    ).read_text()


# --- bias and attributions -------------------------------------------------------------------------------------------


def facet(value: float, low: float, high: float) -> dict[str, Any]:
    return {"name": "black: true", "post_training": {"DPPL": value}, "intervals": {"DPPL": {"low": low, "high": high}}}


@pytest.mark.parametrize(
    ("now", "broken"),
    [
        (facet(0.30, 0.25, 0.35), True),
        (facet(-0.30, -0.35, -0.25), True),
        (facet(0.30, 0.10, 0.50), False),  # by chance
        (facet(0.12, 0.11, 0.13), False),  # not by the margin
        (facet(0.02, -0.20, 0.24), False),
    ],
)
def test_finds_bias_that_has_grown_by_more_than_margin_and_chance(now: dict[str, Any], broken: bool) -> None:
    found = list(check_bias([facet(0.05, 0.0, 0.1)], [now], ["DPPL", "DI"], 0.1))
    assert [each.check for each in found] == ["bias_drift_check"] * broken


def test_the_gain_of_an_order_is_the_published_one() -> None:
    before = {"a": 0.7, "b": 0.2, "c": 0.1}
    ideal = 0.7 / math.log2(2) + 0.2 / math.log2(3) + 0.1 / math.log2(4)
    turned = 0.1 / math.log2(2) + 0.2 / math.log2(3) + 0.7 / math.log2(4)
    assert ndcg(before, {"a": 9, "b": 4, "c": 1}) == 1.0
    assert ndcg(before, {"a": 1, "b": 4, "c": 9}) == pytest.approx(turned / ideal)
    assert ndcg({"a": 0.0}, {"a": 1.0}) == 1.0
    described, findings = check_attributions(before, {"c": 1.0})
    assert described["ndcg"] < 0.9
    assert [each.check for each in findings] == ["attribution_drift_check"]
    assert check_attributions(before, before)[1] == []


# --- what is written -------------------------------------------------------------------------------------------------


def test_writes_the_files_of_model_monitor(baseline: Path, tmp_path: Path) -> None:
    run(baseline, captured(tmp_path / "capture", served(drawn(500, 83), lambda row: {**row, "dest": "LAX"})), tmp_path)
    statistics, constraints, violations = (
        json.loads((tmp_path / "output" / name).read_text())
        for name in ("statistics.json", "constraints.json", "constraint_violations.json")
    )
    assert (statistics["version"], statistics["dataset"]) == (0, {"item_count": 500})
    kinds = {each["name"]: each["inferred_type"] for each in statistics["features"]}
    assert kinds == {"dest": "String", "distance": "Integral", "temp": "Fractional"}
    distance = next(each for each in statistics["features"] if each["name"] == "distance")["numerical_statistics"]
    assert distance["common"] == {"num_present": 500, "num_missing": 0}
    assert sum(each["count"] for each in distance["distribution"]["kll"]["buckets"]) == 500
    assert distance["min"] == distance["distribution"]["kll"]["buckets"][0]["lower_bound"]
    (dest,) = [each for each in constraints["features"] if each["name"] == "dest"]
    assert dest["string_constraints"] == {"domains": ["BOS", "ORD", "SFO"]}
    assert constraints["monitoring_config"]["distribution_constraints"]["comparison_method"] == "Robust"
    named = {(each["feature_name"], each["constraint_check_type"]) for each in violations["violations"]}
    assert named >= {("dest", "categorical_values_check"), ("dest", "baseline_drift_check")}
    assert json.loads((baseline / "constraints.json").read_text())["features"]


def test_values_of_sensitive_features_are_counted_and_not_shown(baseline: Path, tmp_path: Path) -> None:
    changed = served(drawn(500, 83), lambda row: {**row, "dest": "secret" if row["dest"] == "ORD" else "SFO"})
    output = tmp_path / "output"
    asked = {"features": FEATURES, "more_is_better": True, "sensitive": ["dest"]}
    arguments = {
        "baseline": baseline,
        "capture": captured(tmp_path / "capture", changed),
        "options": options_folder(tmp_path / "options", **asked),
        "as_of": "2013-05-02T00:00:00Z",
        "output": output,
        "message": tmp_path / "message",
    }
    monitor.main([text for name, value in arguments.items() for text in (f"--{name}", str(value))])
    found = json.loads((output / "monitoring.json").read_text())
    assert ("dest", "baseline_drift_check") in checks(found)
    for name in ("monitoring.json", "statistics.json", "constraints.json", "constraint_violations.json", "report.html"):
        text = (output / name).read_text()
        assert "secret" not in text and "SFO" not in text, name


def test_the_page_names_what_is_broken_and_is_whole_in_itself(baseline: Path, tmp_path: Path) -> None:
    warmer = served(drawn(500, 83), lambda row: {**row, "temp": (row["temp"] or 0.0) + 9, "<b>": 1})
    run(baseline, captured(tmp_path / "capture", warmer), tmp_path, reference="all")
    page = (tmp_path / "output/report.html").read_text()
    assert "temp has moved" in page and "&lt;b&gt;" in page and "<b>" not in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
