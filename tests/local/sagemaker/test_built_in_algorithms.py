"""Built-in algorithms on the local server: trained as jobs, served as containers, several of them in line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.server.sagemaker.algorithms import child
from local.server.sagemaker.tuning import requests
from tests.local.sagemaker.conftest import ECHO, XGBOOST, Document, Lab, archive, error_of

REGISTRY = "382416733822.dkr.ecr.us-east-1.amazonaws.com"
RNG = np.random.default_rng(7)
FEATURES = RNG.normal(size=(200, 3))
YES = (FEATURES @ [2.0, -1.0, 0.5] + 0.3 * RNG.normal(size=200) > 0).astype(float)
VALUE = FEATURES @ [2.0, -1.0, 0.5] + 4


def csv(labels: Any, features: Any = FEATURES) -> str:
    rows = features if labels is None else np.column_stack([labels, features])
    return "".join(",".join(map(repr, row)) + "\n" for row in np.asarray(rows).tolist())


def parquet(labels: Any) -> bytes:
    matrix, buffer = np.column_stack([labels, FEATURES]), io.BytesIO()
    pq.write_table(pa.table({f"c{at}": matrix[:, at] for at in range(matrix.shape[1])}), buffer)
    return buffer.getvalue()


# -- what an algorithm does, in this process


def fit(name: str, labels: Any, features: Any = FEATURES, **hyperparameters: str) -> dict[str, Any]:
    child.check(name, hyperparameters)
    return child.ALGORITHMS[name].fit(child.Table(features, labels), None, hyperparameters)


def ask(name: str, model: dict[str, Any], rows: Any, *, everything: bool = False) -> Any:
    stored = json.loads(json.dumps(model)) if "booster" not in model else model
    return child.ALGORITHMS[name].answer(stored, np.array(rows), everything)


def test_linear_learner_finds_the_line_that_was_drawn() -> None:
    model = fit("linear-learner", VALUE, predictor_type="regressor", feature_dim="3", wd="0")
    (prediction,) = ask("linear-learner", model, [[1.0, 1.0, 1.0]])["predictions"]
    assert prediction["score"] == pytest.approx(5.5, abs=1e-6)


def test_linear_learner_tells_yes_from_no() -> None:
    model = fit("linear-learner", YES, predictor_type="binary_classifier", feature_dim="3")
    found = ask("linear-learner", model, FEATURES)["predictions"]
    assert np.mean([each["predicted_label"] == label for each, label in zip(found, YES, strict=True)]) > 0.93
    assert all(each["predicted_label"] == int(each["score"] >= 0.5) for each in found)


def test_linear_learner_tells_classes_apart_by_shares_that_add_up() -> None:
    labels = np.digitize(FEATURES[:, 0], [-0.5, 0.5]).astype(float)
    model = fit("linear-learner", labels, predictor_type="multiclass_classifier", feature_dim="3", num_classes="3")
    found = ask("linear-learner", model, FEATURES)["predictions"]
    assert all(sum(each["score"]) == pytest.approx(1) and len(each["score"]) == 3 for each in found)
    assert np.mean([each["predicted_label"] == label for each, label in zip(found, labels, strict=True)]) > 0.9


def test_l1_makes_coefficients_vanish() -> None:
    model = fit("linear-learner", VALUE, predictor_type="regressor", feature_dim="3", l1="1.0", wd="0")
    assert np.count_nonzero(np.array(model["weights"])) < 3


def test_neighbours_are_the_nearest_rows() -> None:
    given = {"predictor_type": "classifier", "feature_dim": "3", "k": "3", "sample_size": "200"}
    (found,) = ask("knn", fit("knn", YES, **given), [FEATURES[5]], everything=True)["predictions"]
    distances = np.linalg.norm(FEATURES - FEATURES[5], axis=1)
    assert found["distances"] == pytest.approx(np.sort(distances)[:3].tolist(), abs=1e-6)
    assert sorted(found["labels"]) == sorted(YES[np.argsort(distances)[:3]].tolist())
    (short,) = ask("knn", fit("knn", YES, **given), [FEATURES[5]])["predictions"]
    assert set(short) == {"predicted_label"}


def test_neighbours_are_looked_for_in_a_sample() -> None:
    given = {"predictor_type": "regressor", "feature_dim": "3", "k": "2", "sample_size": "50"}
    model = fit("knn", VALUE, **given)
    assert len(model["vectors"]) == 50


def test_clusters_are_found_with_the_distance_to_their_centres() -> None:
    rows = np.vstack([FEATURES[:50] * 0.1, FEATURES[:50] * 0.1 + 10])
    model = fit("kmeans", None, rows, k="2", feature_dim="3")
    near, far = ask("kmeans", model, [[0.0, 0, 0], [10, 10, 10.5]])["predictions"]
    assert near["closest_cluster"] != far["closest_cluster"]
    centre = rows[50:].mean(axis=0)
    assert far["distance_to_cluster"] == pytest.approx(np.linalg.norm([10, 10, 10.5] - centre), abs=1e-9)


def test_components_come_with_the_greatest_variance_last() -> None:
    rows = FEATURES * [1.0, 10.0, 3.0]
    model = fit("pca", None, rows, num_components="3", feature_dim="3", mini_batch_size="10")
    projected = np.array([each["projection"] for each in ask("pca", model, rows)["projections"]])
    assert np.all(np.diff(projected.var(axis=0)) > 0)
    assert (projected**2).sum(axis=1) == pytest.approx(((rows - rows.mean(axis=0)) ** 2).sum(axis=1))


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        ("xgboost", {}, "hyperparameters missing: num_round"),
        ("xgboost", {"num_round": "1", "depth": "3"}, "hyperparameters unknown to xgboost: depth"),
        ("knn", {"k": "1"}, "hyperparameters missing: feature_dim, predictor_type, sample_size"),
    ],
)
def test_hyperparameters_are_checked_before_anything_starts(name: str, hyperparameters: Any, message: str) -> None:
    with pytest.raises(child.UserError, match=message):
        child.check(name, hyperparameters)


@pytest.mark.parametrize("given", [{"algorithm_mode": "randomized"}, {"subtract_mean": "false"}])
def test_a_choice_that_is_not_here_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(child.UserError, match="allowed here are"):
        fit("pca", None, num_components="2", feature_dim="3", mini_batch_size="10", **given)


def test_more_components_than_columns_are_refused() -> None:
    with pytest.raises(child.UserError, match="num_components is 4; rows and columns allow at most 3"):
        fit("pca", None, num_components="4", feature_dim="3", mini_batch_size="10")


# -- what it can be tuned for

CLASSES = np.digitize(FEATURES[:, 0], [-0.5, 0.5]).astype(float)
TUNED: list[tuple[str, Any, dict[str, str], set[str]]] = [
    (
        "linear-learner",
        YES,
        {"predictor_type": "binary_classifier"},
        {"objective_loss", "binary_classification_accuracy", "binary_f_beta", "precision", "recall", "roc_auc_score"},
    ),
    (
        "linear-learner",
        CLASSES,
        {"predictor_type": "multiclass_classifier"},
        {"objective_loss", "multiclass_accuracy", "macro_f_beta", "macro_precision", "macro_recall"},
    ),
    (
        "linear-learner",
        VALUE,
        {"predictor_type": "regressor"},
        {"objective_loss", "absolute_loss", "mse", "rmse"},
    ),
    ("knn", YES, {"predictor_type": "classifier", "k": "3", "sample_size": "200"}, {"accuracy"}),
    ("knn", VALUE, {"predictor_type": "regressor", "k": "3", "sample_size": "200"}, {"mse"}),
    ("kmeans", None, {"k": "4"}, {"msd", "ssd"}),
]


def logged(name: str, labels: Any, given: dict[str, str]) -> dict[str, float]:
    """The metrics that the server reads in the log of a training, each by SageMaker's name."""
    algorithm, table = child.ALGORITHMS[name], child.Table(FEATURES, labels)
    told = {**given, "feature_dim": "3"}
    lines = child.measured(algorithm, algorithm.fit(table, None, told), table, told)
    found = {}
    for metric, start in requests.LOGGED[name].items():
        matches = [re.search(start + requests.NUMBER, line) for line in lines]
        values = [float(match[1]) for match in matches if match is not None]
        assert len(values) <= 1, metric
        if values:
            found[metric] = values[0]
    return found


@pytest.mark.parametrize(("name", "labels", "given", "metrics"), TUNED, ids=[f"{n}-{len(m)}" for n, _, _, m in TUNED])
def test_an_algorithm_reports_what_it_can_be_tuned_for(
    name: str, labels: Any, given: dict[str, str], metrics: set[str]
) -> None:
    channel = "validation" if name == "linear-learner" else "test"
    assert logged(name, labels, given).keys() == {f"{channel}:{metric}" for metric in metrics}


def test_what_is_reported_is_what_answers_say() -> None:
    model = fit("linear-learner", VALUE, predictor_type="regressor", feature_dim="3", wd="5")
    scores = np.array([each["score"] for each in ask("linear-learner", model, FEATURES)["predictions"]])
    found = logged("linear-learner", VALUE, {"predictor_type": "regressor", "wd": "5"})
    assert found["validation:rmse"] == pytest.approx(np.sqrt(((scores - VALUE) ** 2).mean()))
    near = [
        each["distance_to_cluster"]
        for each in ask("kmeans", fit("kmeans", None, k="4", feature_dim="3"), FEATURES)["predictions"]
    ]
    clusters = logged("kmeans", None, {"k": "4"})
    assert clusters["test:ssd"] == pytest.approx(np.square(near).sum())
    assert clusters["test:msd"] == pytest.approx(np.square(near).mean())


def test_the_weight_of_the_rare_class_raises_recall() -> None:
    rare = (FEATURES @ [2.0, -1.0, 0.5] + 2 * RNG.normal(size=200) > 3).astype(float)
    given = {"predictor_type": "binary_classifier"}
    light, heavy, even = (
        logged("linear-learner", rare, {**given, "positive_example_weight_mult": weight})["validation:recall"]
        for weight in ("1.0", "50.0", "balanced")
    )
    assert light < even < heavy


@pytest.mark.parametrize("metric", ["accuracy", "f1", "mse", "auc"])
def test_trees_report_also_what_only_sagemaker_s_container_adds(
    metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table, given = child.Table(FEATURES, YES), {"num_round": "2", "objective": "binary:logistic"}
    booster = child.ALGORITHMS["xgboost"].fit(table, table, {**given, child.TUNING_METRIC: f"validation:{metric}"})
    shares = np.array(ask("xgboost", booster, FEATURES))
    expected = {"accuracy": ((shares > 0.5) == YES).mean(), "mse": ((shares - YES) ** 2).mean()}
    values = re.findall(requests.LOGGED["xgboost"][f"validation:{metric}"] + requests.NUMBER, capsys.readouterr().out)
    assert len(values) == 2
    assert float(values[-1]) == pytest.approx(expected.get(metric, float(values[-1])), abs=1e-5)


# -- jobs and containers


def train(lab: Lab, repository: str, files: dict[str, str | bytes], content_type: str, **given: str) -> Document:
    name = lab.unique("train")
    channels = []
    for channel, content in files.items():
        uri = lab.put(f"{name}/{channel}/data", content)
        channels.append({**lab.channel(channel, uri.removesuffix("data")), "ContentType": content_type})
    request = lab.training_request("", InputDataConfig=channels)
    request["InputDataConfig"] = channels
    request["AlgorithmSpecification"]["TrainingImage"] = f"{REGISTRY}/{repository}"
    lab.sagemaker.create_training_job(**{**request, "HyperParameters": given})
    return lab.trained(request["TrainingJobName"])


def test_trees_are_trained_and_served_as_sagemaker_s_container_does(lab: Lab) -> None:
    job = train(
        lab,
        "sagemaker-xgboost:3.2-0",
        {"train": parquet(YES), "validation": parquet(YES)},
        "application/x-parquet",
        num_round="12",
        objective="binary:logistic",
        eval_metric="auc",
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert list(lab.members(uri)) == ["xgboost-model"]
    name = model_of(lab, [{"Image": f"{REGISTRY}/sagemaker-xgboost:3.2-0", "ModelDataUrl": uri}])
    endpoint = lab.endpoint(lab.config(name))
    answer = lab.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body=csv(None, FEATURES[:2])
    )
    assert answer["ContentType"] == "text/csv"
    scores = [float(score) for score in answer["Body"].read().decode().split(",")]
    assert [score > 0.5 for score in scores] == [bool(label) for label in YES[:2]]


def test_a_training_that_cannot_start_tells_the_reason(lab: Lab) -> None:
    job = train(lab, "kmeans:1", {"train": csv(None)}, "text/csv;label_size=0", k="3", feature_dim="4")
    assert job["TrainingJobStatus"] == "Failed"
    assert "Customer Error: feature_dim is 4; the data has 3 features" in job["FailureReason"]


def test_an_algorithm_that_is_not_here_is_refused_by_name(lab: Lab) -> None:
    request = lab.training_request("", HyperParameters={})
    request["AlgorithmSpecification"]["TrainingImage"] = f"{REGISTRY}/forecasting-deepar:1"
    request["HyperParameters"] = {"epochs": "1"}
    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))
    assert code == "ValidationException"
    assert "the built-in algorithm forecasting-deepar" in message and "linear-learner" in message


def model_of(lab: Lab, containers: list[Document]) -> str:
    name = lab.unique("model")
    lab.sagemaker.create_model(ModelName=name, ExecutionRoleArn=lab.role, Containers=containers)
    return name


def echo(lab: Lab, version: str) -> Document:
    uri = lab.put(f"{lab.unique('echo')}/model.tar.gz", archive({"code/inference.py": ECHO.format(version=version)}))
    return {"Image": XGBOOST, "ModelDataUrl": uri, "Environment": {"SAGEMAKER_PROGRAM": "inference.py"}}


def test_containers_answer_one_after_the_other(lab: Lab) -> None:
    endpoint = lab.endpoint(lab.config(model_of(lab, [echo(lab, "first"), echo(lab, "second")])))
    answer = lab.invoke(endpoint, {"x": 1})
    assert answer["json"] == {"version": "second", "got": {"version": "first", "got": {"x": 1}}}


def test_a_refusal_of_the_first_container_is_the_answer(lab: Lab) -> None:
    endpoint = lab.endpoint(lab.config(model_of(lab, [echo(lab, "first"), echo(lab, "second")])))
    code, message = error_of(lambda: lab.invoke(endpoint, {"bad": 1}))
    assert code == "ModelError" and "(400)" in message and "bad is not allowed" in message


def test_a_package_of_several_containers_serves_all_of_them(lab: Lab) -> None:
    group = lab.unique("group")
    lab.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = lab.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [echo(lab, "first"), echo(lab, "second")],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    name = model_of(lab, [{"ModelPackageName": package}])
    assert lab.invoke(lab.endpoint(lab.config(name)), {"x": 1})["json"]["got"]["version"] == "first"


def test_a_model_needs_a_container(lab: Lab) -> None:
    call = {"ModelName": lab.unique("model"), "ExecutionRoleArn": lab.role}
    code, message = error_of(lambda: lab.sagemaker.create_model(**call))
    assert (code, message) == ("ValidationException", "either PrimaryContainer or Containers is required")


def test_channels_are_read_with_and_without_a_target(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2,3\n4,5,6\n")
    labelled = child.read_channel(tmp_path, "text/csv", child.ALGORITHMS["knn"])
    assert labelled.labels is not None and labelled.labels.tolist() == [1, 4]
    assert child.read_channel(tmp_path, "text/csv;label_size=0", child.ALGORITHMS["kmeans"]).features.shape == (2, 3)
    with pytest.raises(child.UserError, match="content type 'text/plain'"):
        child.read_channel(tmp_path, "text/plain", child.ALGORITHMS["knn"])
