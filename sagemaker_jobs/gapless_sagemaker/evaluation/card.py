"""The model card of a model package, by the schema that SageMaker has for cards of packages.

Source: "Model package model card schema" in the Amazon SageMaker AI Developer Guide; of ``model_overview`` such a card
has the creator and the artefact alone. The model machine adds what the evaluation cannot know: run, dataset and verdict
of the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_FEATURES = 20
MOST_TEXT = 2000
"""How long a text may be, in characters; the schema ends some at 2,048."""

_RATINGS = {"high": "High", "medium": "Medium", "low": "Low", "unknown": "Unknown"}


def model_card(document: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the content of the card.

    Args:
        document: The evaluation.
        options: ``name``, ``owner``, ``description``, ``problem``, ``target`` of the workload and its ``model_card``.
    """
    told = options["model_card"]
    outcome = f"{options['target']} ({options['problem']})" if options["target"] is not None else options["problem"]
    return {
        "model_overview": {"model_creator": _short(options["owner"])},
        "intended_uses": _texts(
            purpose_of_model=options["description"] or options["name"],
            intended_uses=told["intended_uses"] or f"Predicts {outcome}",
            factors_affecting_model_efficiency=told["factors"],
            risk_rating=_RATINGS[told["risk_rating"]],
            explanations_for_risk_rating=told["risk_reason"],
        ),
        "evaluation_details": [
            {
                "name": "Held-back test split",
                "evaluation_observation": f"{document['rows']} rows, the newest of the dataset",
                "metadata": {"test_digest": document["test_digest"], "model_sha256": document["model"]["sha256"]},
                "metric_groups": _groups(document),
            }
        ],
        "additional_information": _texts(
            ethical_considerations=told["ethical_considerations"] or _bias_in_words(document["bias"]),
            caveats_and_recommendations=told["caveats"],
        ),
    }


def _groups(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    limits, bias, attributions = document["limits"], document["bias"], document["attributions"]
    groups = [("Metrics", _metrics(document["metrics"], document["intervals"]))]
    groups += [(f"Bias: {facet['name']}", _facet(facet)) for facet in (bias["facets"] if bias is not None else [])]
    if attributions is not None:
        groups.append(("Attributions", [_attributions(attributions)]))
    cost = [_number("Bytes of the unpacked archive", limits["bytes"])]
    if limits["latency_ms"] is not None:
        cost += [_number(f"Milliseconds per request, {name}", value) for name, value in limits["latency_ms"].items()]
    groups.append(("Limits", cost))
    return [{"name": name[:63], "metric_data": data} for name, data in groups if data]


def _metrics(figures: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_number(name, value, intervals.get(name)) for name, value in figures.items() if value is not None]


def _facet(facet: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [_number("rows of the group", facet["group_rows"]), _number("rows", facet["rows"])]
    return [*rows, *_metrics({**facet["pre_training"], **facet["post_training"]}, facet["intervals"])]


def _number(name: str, value: float, interval: Mapping[str, float] | None = None) -> dict[str, Any]:
    told = {"notes": f"interval {interval['low']:.4g} to {interval['high']:.4g}"} if interval is not None else {}
    return {"name": name, "type": "number", "value": value, **told}


def _attributions(found: Mapping[str, Any]) -> dict[str, Any]:
    largest = list(found["global"].items())[:MOST_FEATURES]
    return {
        "name": f"Mean absolute SHAP value ({found['method']})",
        "type": "bar_chart",
        "value": [value for _, value in largest],
        "x_axis_name": [name for name, _ in largest],
        "y_axis_name": found["output"],
    }


def _bias_in_words(bias: Mapping[str, Any] | None) -> str:
    if bias is None:
        return "No facet was looked at for bias."
    return "; ".join(_facet_in_words(facet) for facet in bias["facets"])


def _facet_in_words(facet: Mapping[str, Any]) -> str:
    if facet["reason"] is not None:
        return f"{facet['name']}: {facet['reason']}"
    shown = {name: facet["post_training"].get(name) for name in ("DPPL", "DI", "RD", "AD")}
    figures = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
    return f"{facet['name']} ({facet['group_rows']} of {facet['rows']} rows): {figures}"


def _texts(**texts: str) -> dict[str, str]:
    return {name: _short(text) for name, text in texts.items() if text}


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
