"""What the evaluation says of a model beside how good it is: bias, attributions, what it costs, its card and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gapless_sagemaker.answered import AnsweredModel
from gapless_sagemaker.evaluation.attributions import Effort, explain
from gapless_sagemaker.evaluation.bias import LEVEL, METHOD, Facet, Outcome, Rows, measure
from gapless_sagemaker.evaluation.card import model_card
from gapless_sagemaker.evaluation.limits import REQUESTS, latency_ms
from gapless_sagemaker.evaluation.report import report
from gapless_sagemaker.evaluation.split import read_split, rows_of
from gapless_sagemaker.job import write_json
from gapless_sagemaker.model import LoadedModel

Prediction = Mapping[str, Any]

_ANSWERS = {"binary_classification": "label", "multiclass_classification": "label", "regression": "value"}
"""Which figure of a prediction says whether its outcome is favourable."""


def supplement(
    options: Mapping[str, Any],
    model: LoadedModel | AnsweredModel,
    test: pa.Table,
    predictions: Sequence[Prediction],
    train: Path | None,
    seed: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what belongs into ``evaluation.json`` and into ``details.json``.

    The first is ``{"bias": {…} or null, "attributions": {…} or null, "limits": {…}}``, the second
    ``{"attributions": [row]}``.

    Args:
        options: What the workload asks for.
        test: The test split with every column.
        predictions: For its rows.
        train: Folder of the split that the model was trained on; read only if there are facets. Default: not known.
        seed: Of all choices by chance.

    Raises:
        BadFacet: A facet or the favourable outcome does not fit the dataset.
    """
    loaded = model if isinstance(model, LoadedModel) else None
    features = loaded.features if loaded is not None else tuple(options["features"])
    explained, rows = attributions_of(options, loaded, test, seed)
    trained = read_split(train) if train is not None and options["facets"] else None
    figures = {
        "bias": bias_of(options, test, predictions, trained, features, seed),
        "attributions": explained,
        "limits": limits_of(loaded, model.artefact.bytes, test),
    }
    return figures, {"attributions": rows}


def write_reports(
    output: Path, document: Mapping[str, Any], more: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Write ``model_card.json`` and ``report.html`` about what ``evaluation.json`` and ``details.json`` say."""
    write_json(output, "model_card.json", model_card(document, options))
    (output / "report.html").write_text(report(document, more, options), encoding="utf-8")


def bias_of(
    options: Mapping[str, Any],
    test: pa.Table,
    predictions: Sequence[Prediction],
    train: pa.Table | None,
    features: Sequence[str],
    seed: int,
) -> dict[str, Any] | None:
    """Give ``{"favourable", "level", "method", "training": [facet], "facets": [facet]}``; None without facets.

    ``training`` has the metrics of the rows that the model was trained on, before there was a model; ``facets`` those
    of the test split and the predictions for it. See :func:`gapless_sagemaker.evaluation.bias.measure`.

    Args:
        options: ``facets`` and ``favourable`` of the workload, its ``problem`` and ``target``.
        test, train: Rows of the splits with every column.
        predictions: For the rows of the test split.
        features: What the model was given, by which the flip test compares rows.
        seed: Of the resampling.

    Raises:
        BadFacet: A facet or the favourable outcome does not fit the dataset.
    """
    facets = [Facet.read(facet) for facet in options["facets"]]
    if not facets:
        return None
    outcome, target = Outcome.read(options["favourable"]), options["target"]
    answers = pa.array([prediction[_ANSWERS[options["problem"]]] for prediction in predictions])
    tested = Rows(
        test, outcome.of(test[target], f"target {target}"), outcome.of(answers, "the prediction"), tuple(features)
    )
    trained = [] if train is None else measure(Rows(train, outcome.of(train[target], f"target {target}")), facets, seed)
    return {
        "favourable": outcome.describe(),
        "level": LEVEL,
        "method": METHOD,
        "training": trained,
        "facets": measure(tested, facets, seed),
    }


def attributions_of(
    options: Mapping[str, Any], model: LoadedModel | None, test: pa.Table, seed: int
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Give the global figures and a few rows, see :func:`gapless_sagemaker.evaluation.attributions.explain`.

    Args:
        options: ``explanations`` of the workload and its ``problem``; ``sensitive`` are features whose values
            are not shown.
        model: None for a model that cannot be asked here; it is not explained.
    """
    asked = options["explanations"]
    if asked is None or model is None:
        return None, []
    return explain(model, test, options["problem"], Effort(**asked), seed, options["sensitive"])


def limits_of(model: LoadedModel | None, size: int, test: pa.Table) -> dict[str, Any]:
    """Give ``{"latency_ms": {"p50", "p99"} or None, "bytes"}``.

    Args:
        model: None for a model that does not run in this process.
        size: Of its unpacked archive, in bytes.
    """
    if model is None:
        return {"latency_ms": None, "bytes": size}
    rows = [row for some in rows_of(test.select(model.features).slice(0, REQUESTS)) for row in some]
    return {"latency_ms": latency_ms(model.answer, rows), "bytes": size}
