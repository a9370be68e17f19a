"""Rows of which the model was unsure go out to people, and their answers come back: nothing twice, nothing lost."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from choose_rows import handler as choosing
from choose_rows.candidates import Best, Served
from choose_rows.uncertainty import uncertainty
from constructs_lib.names import metrics
from constructs_lib.names.relabelled import Sent, read_answers
from gapless_lambda import clients
from import_labels import handler as importing
from import_labels.judging import DIFFERENT, EMPTY, NEVER_ASKED, NO_ROW, Rules, judge
from import_labels.reading import BadFile, Given, read

BUCKET, BASE = "artefacts", "orders/relabelling/"
ENDPOINT = "dev-orders-live"
AS_OF, RUN = "2024-03-10T04:23:00Z", "20240310T042300Z"
SERVED = "2024-03-02T20:00:00Z"
OPTIONS: dict[str, Any] = {
    "problem": "binary_classification",
    "target_type": "boolean",
    "shown": ["amount", "country"],
    "uncertainty": "margin",
    "max_rows": 2,
    "label_delay_days": 7,
    "look_back_days": 1,
    "due_days": 14,
    "format": "csv",
    "labels": [],
    "range": None,
}


class World:
    """A bucket of artefacts with what an endpoint has served."""

    def __init__(self) -> None:
        self.s3 = clients.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.options(**OPTIONS)

    def options(self, **changed: Any) -> None:
        self.put("options.json", json.dumps({**OPTIONS, **changed}).encode())

    def put(self, key: str, content: bytes, **metadata: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata=metadata)

    def get(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def keys(self, folder: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
        return [each["Key"] for each in found]

    def serve(
        self,
        name: str,
        *predictions: Any,
        at: str = SERVED,
        variant: str = "primary",
        encoding: str = "JSON",
        **row: Any,
    ) -> None:
        """Keep a request of as many rows as there are predictions; a bare number is a probability."""
        moment = datetime.fromisoformat(at)
        rows = [
            {"amount": len(name) + position, "country": name, "customer": "secret", **row}
            for position in range(len(predictions))
        ]
        said = [each if isinstance(each, dict) else {"probability": each, "label": each > 0.5} for each in predictions]
        sides = [json.dumps({"instances": rows}), json.dumps({"predictions": said})]
        if encoding == "BASE64":
            sides = [base64.b64encode(side.encode()).decode() for side in sides]
        asked, answered = ({"data": side, "encoding": encoding} for side in sides)
        line = {
            "captureData": {"endpointInput": asked, "endpointOutput": answered},
            "eventMetadata": {"eventId": f"other-{name}", "inferenceId": name, "inferenceTime": at},
            "eventVersion": "0",
        }
        folder = f"orders/capture/{ENDPOINT}/{variant}/{moment:%Y/%m/%d/%H}"
        self.put(f"{folder}/{name}.jsonl", json.dumps(line).encode() + b"\n")

    def label(self, name: str) -> None:
        """Tell what came true of a request, as producers do."""
        line = {"groundTruthData": {"data": "true", "encoding": "CSV"}, "eventMetadata": {"eventId": name}}
        self.put(f"orders/outcomes/{name}.jsonl", json.dumps(line).encode())

    def choose(self, as_of: str = AS_OF) -> Any:
        return choosing.handler({"time": as_of}, None)

    def exported(self, run: str = RUN) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.get(f"{BASE}out/{run}/rows.csv").decode())))

    def names(self, run: str = RUN) -> list[str]:
        return [row["_inference_id"] for row in self.exported(run)]

    def answer(
        self, content: bytes, name: str = "mine.csv", time: str = "2024-03-12T09:00:00Z", **metadata: str
    ) -> list[Any]:
        """Put a file where people put theirs and bring its event; give the failures."""
        self.put(f"{BASE}in/{name}", content, **metadata)
        event = {"time": time, "detail": {"bucket": {"name": BUCKET}, "object": {"key": f"{BASE}in/{name}"}}}
        message = {"messageId": "m", "body": json.dumps(event)}
        return list(importing.handler({"Records": [message]}, None)["batchItemFailures"])

    def answers(self) -> list[Any]:
        keys = self.keys(f"{BASE}answered/")
        return read_answers(self.get(max(keys))) if keys else []

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(self.get(key)) for key in self.keys(f"{BASE}results/")]

    def quarantined(self) -> list[dict[str, Any]]:
        return [json.loads(line) for key in self.keys(f"{BASE}quarantine/") for line in self.get(key).splitlines()]

    def figure(self, metric: str) -> list[float]:
        """All values of a metric."""
        now = datetime.now(UTC)
        found = clients.client("cloudwatch").get_metric_statistics(
            Namespace=metrics.NAMESPACE,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in metrics.dimensions("dev", "orders").items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
        return [each["Sum"] for each in found["Datapoints"]]


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Clients are made once, since that is what takes the time."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "STAGE": "dev",
            "WORKLOAD": "orders",
            "ENDPOINT_NAME": ENDPOINT,
            "VARIANT": "primary",
            "CHALLENGER": "none",
            "CAPTURE_URI": f"s3://{BUCKET}/orders/capture/",
            "OUTCOMES_URI": f"s3://{BUCKET}/orders/outcomes/",
            "RELABELLING_URI": f"s3://{BUCKET}/{BASE}",
            "OPTIONS_URI": f"s3://{BUCKET}/options.json",
        }.items():
            environment.setenv(name, value)
        clients.client.cache_clear()
        with mock_aws():
            for service in ("s3", "cloudwatch"):
                clients.client(service)
        yield
        clients.client.cache_clear()


@pytest.fixture
def world(aws: None) -> Iterator[World]:
    with mock_aws():
        yield World()


def filled(world: World, label: str, run: str = RUN) -> bytes:
    """The exported file with one label in every row."""
    text = io.StringIO()
    rows = world.exported(run)
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "_label": label} for row in rows)
    return text.getvalue().encode()


# --- how unsure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "problem", "prediction", "other", "expected"),
    [
        ("margin", "binary_classification", {"probability": 0.5}, None, 1.0),
        ("margin", "binary_classification", {"probability": 0.9}, None, 0.2),
        ("margin", "multiclass_classification", {"probabilities": {"a": 0.5, "b": 0.3, "c": 0.2}}, None, 0.8),
        (
            "entropy",
            "multiclass_classification",
            {"probabilities": {"a": 0.25, "b": 0.25, "c": 0.5, "d": 0}},
            None,
            0.75,
        ),
        ("entropy", "binary_classification", {"probability": 1.0}, None, 0.0),
        ("spread", "regression", {"value": 3.0}, {"value": 7.5}, 4.5),
        ("spread", "regression", {"value": 3.0}, None, None),
        ("margin", "binary_classification", {"value": 3.0}, None, None),
        ("margin", "binary_classification", {"probability": 1.5}, None, None),
        ("spread", "regression", {"value": "nan"}, {"value": 1}, None),
    ],
)
def test_uncertainty(how: str, problem: str, prediction: Any, other: Any, expected: float | None) -> None:
    found = uncertainty(how, problem, prediction, other)
    assert found == (pytest.approx(expected) if expected is not None else None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=30), st.integers(1, 4), st.randoms())
def test_which_rows_are_kept_depends_on_no_order(pairs: list[tuple[int, int]], most: int, chance: Any) -> None:
    """Contents are told apart by their number, and equal contents are equally unsure, as they are of one model."""
    rows = [
        (Served(f"r{content}", 0, datetime.fromisoformat(SERVED), {"x": content}, {}), (content * 7 % 5) / 5)
        for content, _ in pairs
    ]
    first, second = Best(most), Best(most)
    for row, unsure in rows:
        first.add(row, unsure)
    chance.shuffle(rows)
    for row, unsure in rows:
        second.add(row, unsure)
    assert first.rows("r") == second.rows("r")
    contents = {row.asked["x"]: unsure for row, unsure in rows}
    assert len(first.rows("r")) == min(most, len(contents))
    assert [row.uncertainty for row in first.rows("r")] == sorted(contents.values(), reverse=True)[:most]


# --- rows go out ------------------------------------------------------------------------------------------------------


def test_the_least_sure_rows_go_out_without_what_people_may_not_see(world: World) -> None:
    for name, probability in {"sure": 0.98, "unsure": 0.52, "wavering": 0.4, "certain": 0.01}.items():
        world.serve(name, probability)
    chosen = world.choose()
    assert (chosen["run"], chosen["rows"]) == (RUN, 2)
    assert world.names() == ["unsure", "wavering"]
    first = world.exported()[0]
    assert list(first) == [
        "_run",
        "_inference_id",
        "_position",
        "amount",
        "country",
        "_prediction",
        "_uncertainty",
        "_label",
    ]
    assert (first["_run"], first["country"], first["_label"]) == (RUN, "unsure", "")
    everything = b"".join(world.get(key) for key in world.keys(f"{BASE}out/"))
    assert b"secret" not in everything
    manifest = json.loads(world.get(f"{BASE}out/{RUN}/manifest.json"))
    content = world.get(f"{BASE}out/{RUN}/rows.csv")
    assert (manifest["bytes"], manifest["rows"], manifest["due"]) == (len(content), 2, "2024-03-24T04:23:00Z")
    assert world.figure(metrics.ROWS_OUT_FOR_LABELS) == [2.0]
    task = json.loads(world.get(f"{BASE}out/{RUN}/tasks.manifest").splitlines()[0])
    assert task == {"source": "amount: 6\ncountry: unsure", "run": RUN, "inference-id": "unsure", "position": 0}


def test_rows_that_have_a_label_or_may_still_get_one_stay(world: World) -> None:
    world.serve("labelled", 0.5)
    world.label("labelled")
    world.serve("young", 0.5, at="2024-03-03T04:23:00Z")
    world.serve("old-enough", 0.5, at="2024-03-03T04:22:59Z")
    world.serve("too-old", 0.5, at="2024-03-02T04:22:59Z")
    world.choose()
    assert world.names() == ["old-enough"]


def test_no_row_goes_out_twice_while_it_is_out_and_the_same_run_gives_the_same_rows(world: World) -> None:
    world.options(due_days=2, look_back_days=3)
    world.serve("first", 0.5, 0.45, encoding="BASE64")
    world.serve("second", 0.4)
    world.choose()
    assert [(row["_inference_id"], row["_position"]) for row in world.exported()] == [("first", "0"), ("first", "1")]
    before = {key: world.get(key) for key in world.keys(BASE)}
    world.serve("better", 0.5)  # comes too late for this run
    world.choose()
    assert {key: world.get(key) for key in world.keys(BASE)} == before
    world.choose("2024-03-11T04:23:00Z")
    assert world.names("20240311T042300Z") == ["better", "second"]
    assert world.choose("2024-03-12T04:22:59Z")["rows"] == 0
    assert world.choose("2024-03-12T04:23:01Z")["rows"] == 2  # the first ones are due no more


def test_equal_rows_go_out_once(world: World) -> None:
    for name in ("one", "two", "six"):
        world.serve(name, 0.5, amount=1, country="DE")
    assert world.choose()["rows"] == 1


def test_a_row_that_two_runs_choose_at_once_goes_out_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, probability in {"a": 0.5, "bb": 0.45, "ccc": 0.4, "dddd": 0.35}.items():
        world.serve(name, probability)
    real, other = choosing.Chooser._lines, "2024-03-10T05:00:00Z"

    def meanwhile(self: Any) -> bytes | None:
        found = real(self)
        if not world.keys(f"{BASE}asked/"):
            monkeypatch.setattr(choosing.Chooser, "_lines", real)
            world.choose(other)
        return found

    monkeypatch.setattr(choosing.Chooser, "_lines", meanwhile)
    world.choose()
    assert sorted(world.names() + world.names("20240310T050000Z")) == ["a", "bb", "ccc", "dddd"]


def test_a_number_is_as_unsure_as_champion_and_challenger_are_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHALLENGER", "challenger")
    world.options(problem="regression", target_type="double", uncertainty="spread")
    for name, (champion, challenger) in {"near": (1, 2), "far": (1, 9), "middle": (1, 5)}.items():
        world.serve(name, {"value": champion})
        world.serve(name, {"value": challenger}, variant="challenger")
    world.serve("alone", {"value": 1})
    world.choose()
    assert world.names() == ["far", "middle"]


# --- answers come back ------------------------------------------------------------------------------------------------


def test_answers_become_labels_by_inference_id(world: World) -> None:
    world.serve("first", 0.5, 0.45)
    world.choose()
    assert world.answer(filled(world, "yes")) == []
    answers = world.answers()
    assert [(each.inference_id, each.position, each.label) for each in answers] == [
        ("first", 0, True),
        ("first", 1, True),
    ]
    assert answers[0].asked["customer"] == "secret"  # the model saw it, and people did not
    (key,) = world.keys("orders/outcomes/relabelling/")
    line = json.loads(world.get(key).splitlines()[1])
    assert line["groundTruthData"] == {"data": "true", "encoding": "JSON"}
    assert line["eventMetadata"] == {
        "eventId": "first",
        "position": 1,
        "source": "relabelling",
        "labelledAt": "2024-03-12T09:00:00Z",
    }
    assert world.choose("2024-03-11T04:23:00Z")["rows"] == 0
    assert world.figure(metrics.LABELS_ACCEPTED) == [2.0]


def test_every_row_of_a_file_is_accepted_or_kept_with_a_reason(world: World) -> None:
    world.options(max_rows=5)
    for name in ("a", "bb", "ccc", "dddd"):
        world.serve(name, 0.5)
    world.choose()
    rows = [
        (RUN, "a", "true"),
        (RUN, "bb", "perhaps"),
        (RUN, "ccc", "true"),
        (RUN, "ccc", "false"),
        (RUN, "dddd", ""),
        (RUN, "unknown", "true"),
        ("20990101T000000Z", "a", "true"),
        ("", "a", "true"),
    ]
    content = "_run,_inference_id,_label\n" + "".join(",".join(row) + "\n" for row in rows)
    assert world.answer(content.encode()) == []
    (result,) = world.results()
    assert (result["rows"], result["accepted"], result["refused"], result["labels"]) == (8, 1, 7, 1)
    assert result["rows"] == result["accepted"] + len(world.quarantined())
    assert result["reasons"] == {
        NO_ROW: 1,
        NEVER_ASKED: 2,
        EMPTY: 1,
        DIFFERENT: 2,
        "the label is no yes or no (allowed: true, false, 1 or 0)": 1,
    }
    assert next((each["line"], each["row"]["_inference_id"]) for each in world.quarantined()) == (3, "bb")
    assert [each.inference_id for each in world.answers()] == ["a"]
    assert world.figure(metrics.LABELS_REFUSED) == [6.0]  # an answer that is missing is no mistake


def test_a_file_that_comes_twice_or_half_changes_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.serve("first", 0.5)
    world.choose()
    content = filled(world, "true")

    def died(*_: Any) -> None:
        raise OSError("the process ended in the middle")

    with monkeypatch.context() as broken:
        broken.setattr(importing, "told", died)
        assert world.answer(content) == [{"itemIdentifier": "m"}]
    assert len(world.answers()) == 1
    assert world.keys("orders/outcomes/") == []
    assert world.answer(content) == []
    once = {key: world.get(key) for key in world.keys("orders/")}
    assert world.answer(content, "again.csv", "2024-03-20T00:00:00Z") == []
    again = {key: world.get(key) for key in world.keys("orders/")}
    assert again == {**once, f"{BASE}in/again.csv": content}
    assert len(world.keys("orders/outcomes/relabelling/")) == 1


def test_a_later_answer_is_kept_beside_the_earlier_one(world: World) -> None:
    world.serve("first", 0.5)
    world.choose()
    world.answer(filled(world, "true"))
    world.answer(filled(world, "false"), "better.csv", "2024-03-13T09:00:00Z")
    world.answer(filled(world, "False"), "same.csv", "2024-03-14T09:00:00Z")
    assert [(each.label, each.labelled_at) for each in world.answers()] == [
        (True, "2024-03-12T09:00:00Z"),
        (False, "2024-03-13T09:00:00Z"),
    ]


def test_answers_of_two_files_at_once_are_both_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "bb"):
        world.serve(name, 0.5)
    world.choose()
    lines = [b"_run,_inference_id,_label\n", f"{RUN},a,true\n".encode(), f"{RUN},bb,true\n".encode()]
    real = importing.Importer._with_new

    def meanwhile(self: Any, answers: Any) -> bytes | None:
        found = real(self, answers)
        monkeypatch.setattr(importing.Importer, "_with_new", real)
        assert world.answer(lines[0] + lines[2], "other.csv") == []
        return found

    monkeypatch.setattr(importing.Importer, "_with_new", meanwhile)
    assert world.answer(lines[0] + lines[1]) == []
    assert sorted(each.inference_id for each in world.answers()) == ["a", "bb"]
    assert [key.rpartition("/")[2] for key in world.keys(f"{BASE}answered/")] == ["00000001.jsonl", "00000002.jsonl"]


def test_a_file_may_say_when_it_was_answered(world: World) -> None:
    world.serve("first", 0.5)
    world.choose()
    world.answer(filled(world, "true"), **{"answered-at": "2024-03-11T00:00:00Z"})
    assert world.answers()[0].labelled_at == "2024-03-11T00:00:00Z"


def test_a_file_that_is_none_waits_for_a_person(world: World) -> None:
    world.serve("first", 0.5)
    world.choose()
    assert world.answer(b"a;b\n1;2\n") == [{"itemIdentifier": "m"}]
    assert world.results() == []


def test_takes_what_a_labelling_job_wrote(world: World) -> None:
    world.serve("first", 0.5, 0.45)
    world.choose()
    tasks = [json.loads(line) for line in world.get(f"{BASE}out/{RUN}/tasks.manifest").splitlines()]
    tasks[0] |= {"answer": 0, "answer-metadata": {"class-name": "true", "human-annotated": "yes"}}
    tasks[1] |= {"answer-metadata": {"failure-reason": "nobody agreed"}}
    world.put("jobs/output.manifest", "".join(json.dumps(task) + "\n" for task in tasks).encode())
    event = {"uri": f"s3://{BUCKET}/jobs/output.manifest", "time": "2024-03-15T00:00:00Z"}
    result: Any = importing.handler(event, None)
    assert (result["accepted"], result["reasons"]) == (1, {EMPTY: 1})
    assert world.answers()[0].label is True


def any_sent(**changed: Any) -> Sent:
    return replace(Sent("any", 0, SERVED, {}, {"probabilities": {"a": 0.6, "b": 0.4}}, 0.8, RUN), **changed)


@pytest.mark.parametrize(
    ("rules", "label", "expected"),
    [
        (Rules("regression", "double", range=(0, 10)), "2.5", 2.5),
        (Rules("regression", "double", range=(0, 10)), 11, "the label is not between 0 and 10"),
        (Rules("regression", "double"), "inf", "the label is no number"),
        (Rules("regression", "bigint"), "3.0", 3),
        (Rules("regression", "bigint"), "3.5", "the label is no whole number"),
        (Rules("multiclass_classification", "string"), "b", "b"),
        (Rules("multiclass_classification", "string"), "c", "the label is none of a, b"),
        (Rules("multiclass_classification", "string", labels=("c",)), "c", "c"),
        (Rules("multiclass_classification", "int", labels=("1", "2")), 2, 2),
        (Rules("binary_classification", "boolean"), 0, False),
        (Rules("binary_classification", "boolean"), "2", "the label is no yes or no (allowed: true, false, 1 or 0)"),
    ],
)
def test_a_label_has_the_type_of_the_target_and_may_be_answered(rules: Rules, label: Any, expected: Any) -> None:
    row = Given(1, {"_run": RUN, "_inference_id": "any", "_position": 0, "_label": label})
    judged = judge([row], {(RUN, "any", 0): any_sent()}, rules)
    found = [reason for _, reason in judged.refused] or list(judged.labels.values())
    assert found == [expected]
    assert type(found[0]) is type(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "_run": st.sampled_from([RUN, "", None, 7]),
                "_inference_id": st.sampled_from(["any", "other", "", None]),
                "_position": st.sampled_from([0, "0", 1, "x", None]),
                "_label": st.sampled_from(["true", "false", True, "", None, "odd", 3]),
            },
        ),
        max_size=12,
    )
)
def test_rows_are_accepted_and_refused_ones_together(contents: Sequence[dict[str, Any]]) -> None:
    rows = [Given(line, content) for line, content in enumerate(contents)]
    asked = {(RUN, "any", 0): any_sent(), (RUN, "any", 1): any_sent(position=1)}
    judged = judge(rows, asked, Rules("binary_classification", "boolean"))
    assert judged.accepted + len(judged.refused) == len(rows)
    assert all(one[0].line <= other[0].line for one, other in pairwise(judged.refused))


def test_lines_that_are_no_rows_are_rows_that_say_nothing() -> None:
    rows = read("x.jsonl", b'{"_run": "r"}\n\n[1]\nnonsense\n')
    assert [(row.line, dict(row.content)) for row in rows] == [
        (1, {"_run": "r"}),
        (3, {"_line": "[1]"}),
        (4, {"_line": "nonsense"}),
    ]
    assert read("x.csv", b"\xef\xbb\xbf_run,_inference_id,_label\nr,i,1\n")[0].content["_run"] == "r"


@pytest.mark.parametrize(
    ("key", "content", "words"),
    [
        ("x.xlsx", b"PK", "must end in .csv, .jsonl or .manifest"),
        ("x.csv", b"_run,_label\n", "no column _inference_id"),
        ("x.csv", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_files_that_are_none_of_answers_are_refused(key: str, content: bytes, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        read(key, content)
