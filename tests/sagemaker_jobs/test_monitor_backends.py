"""What SageMaker's own monitors get from our jobs: baselines in their formats, and rows with named columns."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gapless_sagemaker.monitoring.backends import (
    ATTRIBUTIONS,
    BIAS,
    QUALITY,
    levels,
    quality_constraints,
    write_backend_baselines,
)
from gapless_sagemaker.monitoring.baseline import Baseline, make_baseline
from gapless_sagemaker.monitoring.documents import statistics
from gapless_sagemaker.monitoring.options import MonitoringOptions
from gapless_sagemaker.monitoring.sketch import NumberSketch
from record_preprocessor import preprocess_handler

ASKED: dict[str, Any] = {
    "problem": "binary_classification",
    "target": "late",
    "more_is_better": True,
    "monitoring": {"backend": "clarify", "margin": 0.02, "bias_margin": 0.1},
}
FACET = {"name": "region", "column": "region", "values": ["north", True], "post_training": {"DPPL": -0.2, "DI": 1.1}}


@pytest.fixture
def baseline() -> Baseline:
    random = np.random.default_rng(3)
    table = pa.table({"amount": random.normal(10, 3, 5000), "region": random.choice(["north", "south"], 5000)})
    made = make_baseline([table], ["amount", "region"])
    made.metrics = {"metric": "auc", "values": {"auc": 0.7}, "bias": {"facets": [FACET]}}
    made.importance = {"amount": 0.5, "region": 0.1}
    return made


def written(folder: Path, baseline: Baseline) -> dict[str, Any]:
    write_backend_baselines(folder, ASKED, baseline, statistics(baseline.columns, 5000))
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


def test_writes_what_model_monitor_and_clarify_compare_with(tmp_path: Path, baseline: Baseline) -> None:
    found = written(tmp_path, baseline)
    quality = found[QUALITY]["binary_classification_constraints"]
    assert quality == {"auc": {"threshold": pytest.approx(0.68), "comparison_operator": "LessThanThreshold"}}
    (facet,) = found[BIAS]["post_training_bias_metrics"]["facets"]["region"]
    assert facet["value_or_threshold"] == "north,1"
    assert {each["name"]: each["value"] for each in facet["metrics"]} == {
        "DPPL": pytest.approx(-0.3),
        "DI": pytest.approx(1.2),
    }
    explained = found[ATTRIBUTIONS]["explanations"]["kernel_shap"]["label0"]
    assert explained["global_shap_values"] == {"amount": 0.5, "region": 0.1}


def test_a_model_without_facets_and_explanations_has_only_a_baseline_of_answers(
    tmp_path: Path, baseline: Baseline
) -> None:
    baseline.metrics["bias"], baseline.importance = None, {}
    assert set(written(tmp_path, baseline)) == {"statistics.json", QUALITY}


def test_a_floor_counts_where_it_is_stricter_and_less_may_be_better() -> None:
    high = MonitoringOptions(margin=0.1, floor=0.75)
    assert quality_constraints("binary_classification", "auc", 0.8, high)["binary_classification_constraints"] == {
        "auc": {"threshold": 0.75, "comparison_operator": "LessThanThreshold"}
    }
    low = MonitoringOptions(margin=1.0, more_is_better=False)
    assert quality_constraints("regression", "rmse", 4.0, low)["regression_constraints"] == {
        "rmse": {"threshold": 5.0, "comparison_operator": "GreaterThanThreshold"}
    }


def test_a_sketch_stands_for_every_row_once(tmp_path: Path, baseline: Baseline) -> None:
    amount = baseline.columns["amount"]
    assert isinstance(amount, NumberSketch)
    weights = [(value, 2**level) for level, values in enumerate(levels(amount)) for value in values]
    assert sum(weight for _, weight in weights) == 5000
    mean = sum(value * weight for value, weight in weights) / 5000
    assert mean == pytest.approx(amount.mean, abs=0.1)
    features = {each["name"]: each for each in written(tmp_path, baseline)["statistics.json"]["features"]}
    kll = features["amount"]["numerical_statistics"]["distribution"]["kll"]
    assert kll["sketch"] == {"parameters": {"c": 0.64, "k": 2048.0}, "data": levels(amount)}
    assert kll["buckets"]


def part(content: Any, *, coded: bool = False) -> SimpleNamespace:
    text = content if isinstance(content, str) else json.dumps(content)
    if coded:
        return SimpleNamespace(data=base64.b64encode(text.encode()).decode(), encoding="BASE64")
    return SimpleNamespace(data=text, encoding="JSON")


def test_names_the_columns_of_what_was_asked() -> None:
    rows = [{"amount": 1.5, "region": None}, {"amount": 2.5, "region": "north"}]
    for coded in (False, True):
        assert preprocess_handler(SimpleNamespace(endpoint_input=part({"instances": rows}, coded=coded))) == rows


def test_puts_what_came_true_beside_each_answer() -> None:
    answers = [{"label": True, "probability": 0.7, "all": [0.3, 0.7]}, {"label": False, "probability": 0.2}]
    exchange = SimpleNamespace(endpoint_output=part({"predictions": answers}), ground_truth=part([True, False]))
    assert preprocess_handler(exchange) == [
        {"endpointOutput_label": 1, "endpointOutput_probability": 0.7, "groundTruthData_0": 1},
        {"endpointOutput_label": 0, "endpointOutput_probability": 0.2, "groundTruthData_0": 0},
    ]
    one = SimpleNamespace(endpoint_output=part({"predictions": [{"label": "late"}]}), ground_truth=part("early"))
    assert preprocess_handler(one) == [{"endpointOutput_label": "late", "groundTruthData_0": "early"}]


def test_refuses_fewer_truths_than_answers() -> None:
    exchange = SimpleNamespace(endpoint_output=part({"predictions": [{}, {}]}), ground_truth=part("1"))
    with pytest.raises(ValueError, match="shorter"):
        preprocess_handler(exchange)
