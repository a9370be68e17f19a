"""Earlier models on the rows whose truth is known by now: would one have done better than the one that serves?"""

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


def best_of(found: Sequence[Mapping[str, Any]], *, more_is_better: bool) -> dict[str, Any]:
    """Give what is said of the best earlier model, with its ``place`` among them; of equal ones the first.

    One that is better than the serving model goes before all that are not, and one that cannot be scored behind all
    others. What is said of every one is under ``versions``.
    """
    sign = 1.0 if more_is_better else -1.0

    def rank(place: int) -> tuple[bool, bool, float]:
        value = found[place]["value"]
        return found[place]["better"], value is not None, sign * value if value is not None else 0.0

    place = max(range(len(found)), key=rank)
    return {**found[place], "place": place, "versions": [dict(each) for each in found]}


def _left_out(reason: str) -> dict[str, Any]:
    return {"value": None, "interval": None, "better": False, "text": f"the earlier model {reason}"}


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
