"""Trains and serves a built-in algorithm of SageMaker as scikit-learn or XGBoost do it.

Training (``child.py <algorithm> <folder of /opt/ml>``) reads hyperparameters and channels where SageMaker puts them and
writes ``/opt/ml/model``; a reason to fail goes to ``/opt/ml/output/failure``. Serving: the model server loads this
file as a script. Hyperparameters have the names of SageMaker's, requests and answers the forms that its documentation
gives. A model is JSON, or XGBoost's own format; nothing is pickled. What an algorithm does inside differs: AWS's linear
learner trains many models by stochastic gradients, here one is solved for; its numbers are close and not the same.
What an algorithm can be tuned for stands in its log, in the form in which SageMaker's containers write it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Hyperparameters = Mapping[str, str]
Model = dict[str, Any]

_TINY = 1e-4
TUNING_METRIC = "_tuning_objective_metric"
_JSON = "application/json"


class UserError(ValueError):
    """Hyperparameters or data that the algorithm does not take."""


@dataclass(frozen=True)
class Table:
    """What a channel holds: shape (rows, columns), and the targets where there are any."""

    features: Floats
    labels: Floats | None


@dataclass(frozen=True)
class Algorithm:
    """How an algorithm is trained and answers.

    Args:
        required: Hyperparameters without which it does not start.
        known: Those that are taken into account here.
        ignored: Those that it takes and that change nothing here.
        fit: Training and validation table and hyperparameters to a model, as JSON.
        answer: The model, rows and whether everything is wanted to the answer.
        measure: The model, a table and hyperparameters to what it is measured by: name in the log, ``score`` or
            ``loss`` with it, to the figure. Default: it measures nothing, or while it trains.
        measured_on: The channel that it measures itself on.
    """

    required: tuple[str, ...]
    known: tuple[str, ...]
    ignored: tuple[str, ...]
    fit: Callable[[Table, Table | None, Hyperparameters], Model]
    answer: Callable[[Model, Floats, bool], Any]
    labelled: bool = True
    measure: Callable[[Model, Table, Hyperparameters], Mapping[str, float]] | None = None
    measured_on: str = "validation"


# -- linear learner


def _fit_linear(train: Table, _validation: Table | None, given: Hyperparameters) -> Model:
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    labels, rows = _labels(train), len(train.features)
    kind = given["predictor_type"]
    scaler = StandardScaler(with_std=given.get("normalize_data", "true") == "true").fit(train.features)
    inputs = scaler.transform(train.features)
    l1, l2 = _penalty(given, "l1", 0.0), _penalty(given, "wd", _TINY)
    told = given.get("positive_example_weight_mult", "1.0")
    weights_of = {0.0: 1.0, 1.0: float(told)} if kind == "binary_classifier" and told != "balanced" else None
    if kind == "regressor":
        solver = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2)) if l1 else Ridge(alpha=max(l2, 1e-12) * rows)
    else:
        solver = LogisticRegression(
            C=1 / (max(l1 + l2, 1e-9) * rows), l1_ratio=l1 / (l1 + l2) if l1 else 0.0, solver="saga" if l1 else "lbfgs",
            max_iter=1000, random_state=0, class_weight="balanced" if told == "balanced" else weights_of,
        )  # fmt: skip
    solver.fit(inputs, labels)
    weights = np.atleast_2d(solver.coef_) / (scaler.scale_ if scaler.scale_ is not None else 1.0)
    bias = np.atleast_1d(solver.intercept_) - weights @ scaler.mean_
    return {"kind": kind, "weights": weights.tolist(), "bias": bias.tolist()}


def _penalty(given: Hyperparameters, name: str, default: float) -> float:
    return default if given.get(name, "auto") == "auto" else float(given[name])


def _answer_linear(model: Model, rows: Floats, _all: bool) -> Any:
    scores = rows @ np.array(model["weights"]).T + np.array(model["bias"])
    if model["kind"] == "regressor":
        return {"predictions": [{"score": score} for score in scores[:, 0].tolist()]}
    if model["kind"] == "binary_classifier":
        shares = 1 / (1 + np.exp(-scores[:, 0]))
        return {"predictions": [{"score": share, "predicted_label": int(share >= 0.5)} for share in shares.tolist()]}
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return {"predictions": [{"score": row, "predicted_label": int(np.argmax(row))} for row in shares.tolist()]}


def _measure_linear(model: Model, table: Table, _given: Hyperparameters) -> Mapping[str, float]:
    from sklearn import metrics

    truth, found = _labels(table), _answer_linear(model, table.features, True)["predictions"]
    scores = np.array([each["score"] for each in found])
    if model["kind"] == "regressor":
        mse = metrics.mean_squared_error(truth, scores)
        return {
            "mse_objective <loss>": mse,
            "mse <loss>": mse,
            "rmse <loss>": float(np.sqrt(mse)),
            "absolute_loss <loss>": metrics.mean_absolute_error(truth, scores),
        }
    labels = np.array([each["predicted_label"] for each in found], dtype=np.float64)
    classes = np.arange(scores.shape[1] if scores.ndim > 1 else 2)
    loss = metrics.log_loss(truth, scores, labels=classes)
    binary = model["kind"] == "binary_classifier"
    average = {"average": "binary" if binary else "macro", "zero_division": 0.0}
    accuracy, f1, precision, recall = (
        metrics.accuracy_score(truth, labels),
        metrics.f1_score(truth, labels, **average),
        metrics.precision_score(truth, labels, **average),
        metrics.recall_score(truth, labels, **average),
    )
    if not binary:
        return {
            "multiclass_cross_entropy_objective <loss>": loss,
            "multiclass_accuracy <score>": accuracy,
            "macro_f_1.000 <score>": f1,
            "macro_precision <score>": precision,
            "macro_recall <score>": recall,
        }
    area = {"roc_auc_score <score>": metrics.roc_auc_score(truth, scores)} if len(set(truth)) > 1 else {}
    return {
        "binary_classification_cross_entropy_objective <loss>": loss,
        "binary_classification_accuracy <score>": accuracy,
        "binary_f_1.000 <score>": f1,
        "precision <score>": precision,
        "recall <score>": recall,
        **area,
    }


# -- nearest neighbours


def _fit_neighbours(train: Table, _validation: Table | None, given: Hyperparameters) -> Model:
    labels, wanted = _labels(train), int(given["sample_size"])
    if wanted < len(labels):
        kept = np.sort(np.random.default_rng(0).choice(len(labels), wanted, replace=False))
    else:
        kept = np.arange(len(labels))
    return {
        "kind": given["predictor_type"],
        "k": min(int(given["k"]), len(kept)),
        "metric": {"L2": "euclidean", "COSINE": "cosine"}[_one_of(given, "index_metric", ("L2", "COSINE"))],
        "vectors": train.features[kept].tolist(),
        "labels": labels[kept].tolist(),
    }


def _answer_neighbours(model: Model, rows: Floats, everything: bool) -> Any:
    from sklearn.neighbors import NearestNeighbors

    search = model.get("search")
    if search is None:
        search = NearestNeighbors(n_neighbors=model["k"], metric=model["metric"]).fit(np.array(model["vectors"]))
        model["search"] = search
    distances, found = search.kneighbors(rows)
    labels = np.array(model["labels"])[found]
    answers = []
    for near, votes in zip(distances.tolist(), labels, strict=True):
        answer: dict[str, Any] = {"predicted_label": _vote(model["kind"], votes)}
        answers.append({**answer, "distances": near, "labels": votes.tolist()} if everything else answer)
    return {"predictions": answers}


def _measure_neighbours(model: Model, table: Table, _given: Hyperparameters) -> Mapping[str, float]:
    found = _answer_neighbours(model, table.features, False)["predictions"]
    labels, truth = np.array([each["predicted_label"] for each in found]), _labels(table)
    if model["kind"] == "regressor":
        return {"mse <loss>": float(((labels - truth) ** 2).mean())}
    return {"accuracy <score>": float((labels == truth).mean())}


def _vote(kind: str, votes: Floats) -> float:
    if kind == "regressor":
        return float(votes.mean())
    values, counts = np.unique(votes, return_counts=True)
    return float(values[counts.argmax()])


# -- k-means


def _fit_clusters(train: Table, _validation: Table | None, given: Hyperparameters) -> Model:
    from sklearn.cluster import KMeans

    start = {"kmeans++": "k-means++", "random": "random"}[_one_of(given, "init_method", ("kmeans++", "random"))]
    tries = given.get("local_lloyd_num_trials", "auto")
    fitted = KMeans(
        n_clusters=int(given["k"]),
        init=start,
        n_init=3 if tries == "auto" else int(tries),
        max_iter=int(given.get("local_lloyd_max_iter", "300")),
        tol=float(given.get("local_lloyd_tol", "0.0001")),
        random_state=0,
    ).fit(train.features)
    return {"centres": fitted.cluster_centers_.tolist()}


def _answer_clusters(model: Model, rows: Floats, _all: bool) -> Any:
    distances = np.linalg.norm(rows[:, None, :] - np.array(model["centres"])[None, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    return {
        "predictions": [
            {"closest_cluster": float(cluster), "distance_to_cluster": float(distances[row, cluster])}
            for row, cluster in enumerate(nearest)
        ]
    }


def _measure_clusters(model: Model, table: Table, _given: Hyperparameters) -> Mapping[str, float]:
    found = _answer_clusters(model, table.features, False)["predictions"]
    squares = np.array([each["distance_to_cluster"] for each in found]) ** 2
    return {"msd <loss>": float(squares.mean()), "ssd <loss>": float(squares.sum())}


# -- principal components


def _fit_components(train: Table, _validation: Table | None, given: Hyperparameters) -> Model:
    from sklearn.decomposition import PCA

    _one_of(given, "algorithm_mode", ("regular",))
    _one_of(given, "subtract_mean", ("true",))
    wanted, most = int(given["num_components"]), min(train.features.shape)
    if wanted > most:
        raise UserError(f"num_components is {wanted}; rows and columns allow at most {most}")
    fitted = PCA(n_components=wanted, svd_solver="full").fit(train.features)
    return {"mean": fitted.mean_.tolist(), "components": fitted.components_[::-1].tolist()}


def _answer_components(model: Model, rows: Floats, _all: bool) -> Any:
    projections = (rows - np.array(model["mean"])) @ np.array(model["components"]).T
    return {"projections": [{"projection": row} for row in projections.tolist()]}


# -- XGBoost


def _fit_trees(train: Table, validation: Table | None, given: Hyperparameters) -> Model:
    import xgboost as xgb

    own = ("num_round", "early_stopping_rounds", TUNING_METRIC)
    matrices = {"train": xgb.DMatrix(train.features, label=_labels(train))}
    if validation is not None:
        matrices["validation"] = xgb.DMatrix(validation.features, label=_labels(validation))
    stop = given.get("early_stopping_rounds")
    told: dict[str, Any] = {name: value for name, value in given.items() if name not in own}
    if TUNING_METRIC in given:  # the container measures what it is tuned for, whatever else it measures
        metric = given[TUNING_METRIC].rpartition(":")[2]
        others = [each for each in (given.get("eval_metric"),) if each not in (None, metric)]
        told["eval_metric"] = others if metric in _TREE_METRICS else [*others, metric]
        if not told["eval_metric"]:
            told.pop("eval_metric")
    booster = xgb.train(
        told,
        matrices["train"],
        num_boost_round=int(given["num_round"]),
        evals=[(matrix, name) for name, matrix in matrices.items()],
        early_stopping_rounds=int(stop) if stop is not None else None,
        verbose_eval=False,
        custom_metric=_TREE_METRICS.get(given.get(TUNING_METRIC, "").rpartition(":")[2]),
        callbacks=[_progress()],
    )
    if stop is not None:
        booster = booster[: booster.best_iteration + 1]
    return {"booster": booster}


def _tree_accuracy(predicted: Any, matrix: Any) -> tuple[str, float]:
    return "accuracy", float((_tree_labels(predicted) == matrix.get_label()).mean())


def _tree_f1(predicted: Any, matrix: Any) -> tuple[str, float]:
    from sklearn.metrics import f1_score

    average = "macro" if np.ndim(predicted) > 1 else "binary"
    return "f1", float(f1_score(matrix.get_label(), _tree_labels(predicted), average=average, zero_division=0.0))


def _tree_mse(predicted: Any, matrix: Any) -> tuple[str, float]:
    return "mse", float(((np.asarray(predicted) - matrix.get_label()) ** 2).mean())


def _tree_labels(predicted: Any) -> Any:
    shares = np.asarray(predicted)
    return shares.argmax(axis=1) if shares.ndim > 1 else (shares > 0.5).astype(np.float64)


_TREE_METRICS: Mapping[str, Callable[[Any, Any], tuple[str, float]]] = {
    "accuracy": _tree_accuracy,
    "f1": _tree_f1,
    "mse": _tree_mse,
}
"""Metrics that SageMaker's container adds to those of XGBoost."""


def _progress() -> Any:
    import xgboost as xgb

    class Progress(xgb.callback.TrainingCallback):
        """Writes a line per round, as SageMaker's container does."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            """Write the newest value of each metric."""
            del model
            values = [
                f"{name}-{metric}:{history[-1]:.5f}"
                for name, metrics in evals_log.items()
                for metric, history in metrics.items()
            ]
            _say("#011".join([f"[{epoch}]", *values]))
            return False

    return Progress()


def _answer_trees(model: Model, rows: Floats, _all: bool) -> Any:
    return model["booster"].inplace_predict(rows).tolist()


_LINEAR_IGNORED = (
    "accuracy_top_k", "balance_multiclass_weights", "beta_1", "beta_2", "bias_lr_mult", "bias_wd_mult",
    "binary_classifier_model_selection_criteria", "early_stopping_patience", "early_stopping_tolerance", "epochs",
    "init_bias", "init_method", "init_scale", "init_sigma", "learning_rate", "loss", "lr_scheduler_factor",
    "lr_scheduler_minimum_lr", "lr_scheduler_step", "mini_batch_size", "momentum", "normalize_label",
    "num_calibration_samples", "num_models", "num_point_for_scaler", "optimizer", "unbias_data", "unbias_label",
    "use_bias", "use_lr_scheduler",
)  # fmt: skip
_TREES_KNOWN = (
    "alpha", "base_score", "booster", "colsample_bylevel", "colsample_bynode", "colsample_bytree",
    "early_stopping_rounds", "eta", "eval_metric", "gamma", "grow_policy", "huber_slope", "interaction_constraints",
    "lambda", "lambda_bias", "max_bin", "max_delta_step", "max_depth", "max_leaves", "min_child_weight",
    "monotone_constraints", "normalize_type", "nthread", "num_class", "num_round", "objective", "one_drop",
    "process_type", "rate_drop", "refresh_leaf", "sample_type", "scale_pos_weight", "seed", "skip_drop", "subsample",
    "tree_method", "tweedie_variance_power", "updater", "verbosity",
)  # fmt: skip

ALGORITHMS: Mapping[str, Algorithm] = {
    "xgboost": Algorithm(("num_round",), _TREES_KNOWN, (), _fit_trees, _answer_trees),
    "linear-learner": Algorithm(
        ("predictor_type",),
        ("feature_dim", "l1", "normalize_data", "num_classes", "positive_example_weight_mult", "predictor_type", "wd"),
        _LINEAR_IGNORED,
        _fit_linear,
        _answer_linear,
        measure=_measure_linear,
    ),
    "knn": Algorithm(
        ("feature_dim", "k", "predictor_type", "sample_size"),
        ("feature_dim", "index_metric", "k", "predictor_type", "sample_size"),
        ("faiss_index_ivf_nlists", "faiss_index_pq_m", "index_type", "mini_batch_size"),
        _fit_neighbours,
        _answer_neighbours,
        measure=_measure_neighbours,
        measured_on="test",
    ),
    "kmeans": Algorithm(
        ("feature_dim", "k"),
        ("feature_dim", "init_method", "k", "local_lloyd_max_iter", "local_lloyd_num_trials", "local_lloyd_tol"),
        ("epochs", "eval_metrics", "extra_center_factor", "half_life_time_size", "local_lloyd_init_method",
         "mini_batch_size"),
        _fit_clusters,
        _answer_clusters,
        labelled=False,
        measure=_measure_clusters,
        measured_on="test",
    ),
    "pca": Algorithm(
        ("feature_dim", "mini_batch_size", "num_components"),
        ("algorithm_mode", "feature_dim", "mini_batch_size", "num_components", "subtract_mean"),
        ("extra_components",),
        _fit_components,
        _answer_components,
        labelled=False,
    ),
}  # fmt: skip


# -- training


def check(name: str, given: Hyperparameters) -> None:
    """Check the names of hyperparameters, as the algorithm does before it starts.

    Raises:
        UserError: One is missing or unknown.
    """
    algorithm = ALGORITHMS[name]
    missing = [each for each in algorithm.required if each not in given]
    if missing:
        raise UserError(f"hyperparameters missing: {', '.join(missing)}")
    unknown = sorted(set(given) - {*algorithm.known, *algorithm.ignored, TUNING_METRIC})
    if unknown:
        raise UserError(f"hyperparameters unknown to {name}: {', '.join(unknown)}")
    without = sorted(set(given) & set(algorithm.ignored))
    if without:
        _say(f"hyperparameters without effect here: {', '.join(without)}")


def train(name: str, root: Path) -> None:
    """Train on the channels below a folder that stands for ``/opt/ml``.

    Raises:
        UserError: Hyperparameters or data are not what the algorithm takes.
    """
    algorithm = ALGORITHMS[name]
    config = root / "input" / "config"
    given: Hyperparameters = json.loads((config / "hyperparameters.json").read_text())
    channels = json.loads((config / "inputdataconfig.json").read_text())
    check(name, given)
    if "train" not in channels:
        raise UserError("there is no channel train")
    tables = {
        channel: read_channel(root / "input" / "data" / channel, channels[channel].get("ContentType"), algorithm)
        for channel in ("train", "validation", "test")
        if channel in channels
    }
    width = tables["train"].features.shape[1]
    if given.get("feature_dim", str(width)) not in (str(width), "auto"):
        raise UserError(f"feature_dim is {given['feature_dim']}; the data has {width} features")
    _say(f"{name}: {len(tables['train'].features)} rows of {width} features")
    model = algorithm.fit(tables["train"], tables.get("validation"), given)
    if algorithm.measure is not None and algorithm.measured_on in tables:
        for figure in measured(algorithm, model, tables[algorithm.measured_on], given):
            _say(figure)
    save(model, root / "model")


def measured(algorithm: Algorithm, model: Model, table: Table, given: Hyperparameters) -> list[str]:
    """Give the lines of the log that say how good a model is, as SageMaker's containers write them."""
    figures = algorithm.measure(dict(model), table, given) if algorithm.measure is not None else {}
    start = f"#quality_metric: host=algo-1, {algorithm.measured_on}"
    return [f"{start} {name}={float(value)!r}" for name, value in figures.items()]


def read_channel(folder: Path, content_type: str | None, algorithm: Algorithm) -> Table:
    """Read a channel: CSV or Parquet without a header, the target first unless the content type says otherwise.

    Raises:
        UserError: The content type is another one, or there are no rows.
    """
    kind, _, options = (content_type or "").partition(";")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "text/csv":
        parts = [np.loadtxt(path, delimiter=",", ndmin=2) for path in files]
    elif kind == "application/x-parquet":
        parts = [_parquet(path) for path in files]
    else:
        raise UserError(f"content type {content_type!r}; allowed here are text/csv and application/x-parquet")
    if not parts or not sum(len(part) for part in parts):
        raise UserError(f"the channel {folder.name} has no rows")
    matrix = np.vstack(parts)
    if not algorithm.labelled or "label_size=0" in options.replace(" ", ""):
        return Table(matrix, None)
    return Table(matrix[:, 1:], matrix[:, 0])


def _parquet(path: Path) -> Floats:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    return np.column_stack([column.to_numpy().astype(np.float64) for column in table.columns])


def save(model: Model, folder: Path) -> None:
    """Write a model: XGBoost's in its own format, any other as JSON."""
    if "booster" in model:
        model["booster"].save_model(folder / "model.ubj")
        (folder / "model.ubj").rename(folder / "xgboost-model")
    else:
        (folder / "model.json").write_text(json.dumps(model, allow_nan=False))


def _labels(table: Table) -> Floats:
    if table.labels is None:
        raise UserError("the data has no target")
    return table.labels


def _one_of(given: Hyperparameters, name: str, allowed: Sequence[str]) -> str:
    value = given.get(name, allowed[0])
    if value not in allowed:
        raise UserError(f"{name} is {value!r}; allowed here are {', '.join(allowed)}")
    return value


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# -- serving, as the model server calls it


def model_fn(model_dir: str) -> Model:
    """Load a model that was trained here.

    Raises:
        FileNotFoundError: There is not exactly one file in the archive.
    """
    files = [path for path in sorted(Path(model_dir).iterdir()) if path.is_file()]
    if len(files) != 1:
        raise FileNotFoundError(f"expected one model file in the archive, found {len(files)}")
    if os.environ["GAPLESS_ALGORITHM"] == "xgboost":
        import xgboost as xgb

        booster = xgb.Booster(model_file=bytearray(files[0].read_bytes()))
        booster.set_param({"nthread": 1})
        return {"booster": booster}
    model: Model = json.loads(files[0].read_text())
    return model


def input_fn(body: str | bytes, content_type: str) -> Floats:
    """Read rows: CSV, or JSON as ``{"instances": [{"features": [...]}]}``.

    Raises:
        ValueError: They are neither, or are no rows of numbers of one length.
    """
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    if content_type == "text/csv":
        rows = [[float(cell or "nan") for cell in line.split(",")] for line in text.strip().splitlines()]
    elif content_type == _JSON:
        rows = [each["features"] for each in json.loads(text)["instances"]]
    else:
        raise ValueError(f"content type {content_type!r}; allowed are text/csv and {_JSON}")
    return np.array(rows, dtype=np.float64)


def predict_fn(rows: Floats, model: Model) -> Any:
    """Answer rows; which algorithm it is stands in the environment."""
    everything = "verbose=true" in os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "")
    return ALGORITHMS[os.environ["GAPLESS_ALGORITHM"]].answer(model, rows, everything)


def output_fn(answer: Any, _accept: str) -> tuple[str, str]:
    """Write the answer: XGBoost's as CSV, any other as JSON."""
    if isinstance(answer, list):
        return ",".join(map(str, answer)), "text/csv"
    return json.dumps(answer), _JSON


def main() -> None:
    """Train; leave the reason of a failure where SageMaker reads it."""
    name, root = sys.argv[1], Path(sys.argv[2])
    try:
        train(name, root)
    except UserError as error:
        (root / "output" / "failure").write_text(f"Customer Error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
