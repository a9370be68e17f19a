"""An earlier model on the rows whose truth is known by now: would it have done better than the one that serves?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from evaluate import scored
from gapless_sagemaker.evaluation.options import EvaluationOptions
from gapless_sagemaker.model import LoadedModel
from gapless_sagemaker.monitoring.quality import Wanted, measure


def judge_earlier(
    asked: EvaluationOptions,
    model: LoadedModel,
    table: pa.Table,
    quality: Mapping[str, Any],
    *,
    more_is_better: bool,
    seed: int,
) -> dict[str, Any]:
    """Score an earlier model on labelled rows; it is better when the two intervals do not even touch.

    Args:
        asked: What the workload asks of evaluations.
        model: The earlier model.
        table: The rows, features and target.
        quality: What the serving model's answers to the same rows are worth.
        more_is_better: Which way the metric that decides goes.
        seed: Of the resampling.

    Returns:
        ``{"metric", "rows", "value", "serving", "interval", "better", "text"}``; value and interval are None where the
        earlier model needs a feature that nobody is asked for any more, or refuses a row that the serving one answered.
    """
    metric = quality["metric"]
    serving, rows = quality["metrics"][metric], quality["rows"]
    absent = [name for name in model.features if name not in table.column_names]
    told: dict[str, Any] = {"metric": metric, "rows": rows, "serving": serving}
    if absent:
        return {**told, **_left_out(f"needs {', '.join(absent)}, which requests do not have")}
    features: Sequence[dict[str, Any]] = table.select(list(model.features)).to_pylist()
    try:
        answers = model.predict(features)
    except ValueError as refusal:
        return {**told, **_left_out(f"refuses what the serving one has answered: {refusal}")}
    wanted = Wanted(metric=metric, more_is_better=more_is_better, reached=None, margin=0.0)
    found, _ = measure(scored(asked, table, answers), wanted, seed)
    value, interval = found["metrics"].get(metric), found["intervals"].get(metric)
    own = quality["intervals"][metric]
    better = interval is not None and (
        interval["low"] > own["high"] if more_is_better else interval["high"] < own["low"]
    )
    text = f"on {rows} labelled rows {metric} is {_shown(value)} of the earlier model, {serving:.4f} of the serving one"
    return {**told, "value": value, "interval": interval, "better": better, "text": text}


def _left_out(reason: str) -> dict[str, Any]:
    return {"value": None, "interval": None, "better": False, "text": f"the earlier model {reason}"}


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
