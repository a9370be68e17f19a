"""A training that takes over the hyperparameters which the last tuning has found, unless there is a reason to search.

Reasons are: whoever runs the machine asks for it (``search`` of the input), nothing was found yet, or what was found is
about another search space, other scripts or, for a container, another image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from constructs_lib.asl import JSON, State, choice, expression, go_to, jsonata, remember, task
from constructs_lib.machines.common import CALL_SECONDS, Surroundings, text
from constructs_lib.machines.makers.made import Made, last_tuning, train_once
from constructs_lib.machines.makers.parts import ModelParts

BEGUN: Final[Mapping[str, JSON]] = {"search": "none", "tuned": {"name": "none"}}
"""Variables before it is known whether to search: why, and what was found before."""

_KEPT = ("name", "space", "bundle", "image", "hyperparameters")


def reuse_states(
    s: Surroundings, p: ModelParts, made: Made, *, searching: str
) -> tuple[dict[str, State], dict[str, State]]:
    """Returns the states that train by what was found before, and the one in which they and a search meet.

    None where every run searches.

    Args:
        searching: The state that a search begins with.
    """
    if p.tuning is None or p.tuning.space is None:
        return {}, {}
    return (
        {
            "FindTuned": find_tuned(s),
            "WhySearch": remember({"search": jsonata(why_search(p.tuning.space, made))}),
            "Searches": choice([("$search = 'none'", "TrainTuned")], default=searching),
            "TrainTuned": go_to("HasTrained", train_tuned(s, p, made)),
        },
        {"HasTrained": {"Type": "Pass"}},
    )


def find_tuned(s: Surroundings) -> State:
    """Reads what the last tuning of this workload has found; ``none`` where there was none, or it kept nothing."""
    item = "$states.result.Item"
    kept = ", ".join(f"'{name}': [{item}.{name}.S, 'none'][0]" for name in _KEPT)
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": last_tuning(s)}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={"tuned": jsonata(f"{{{kept}}}")},
    )


def why_search(space: str, made: Made) -> str:
    """The JSONata of why this run searches; ``none`` where it does not."""
    reasons = {
        "$exists($states.input.search) and $states.input.search": "it was asked for",
        "$tuned.hyperparameters = 'none'": "nothing was found yet",
        f"$tuned.space != {text(space)}": "the search space has changed",
        "$tuned.bundle != $states.input.bundle.bundle": "the scripts have changed",
        **(
            {f"$tuned.image != {expression(made.place.image_uri)}": "the container has changed"}
            if made.own_image
            else {}
        ),
    }
    return " : ".join(f"{holds} ? {text(reason)}" for holds, reason in reasons.items()) + " : 'none'"


def train_tuned(s: Surroundings, p: ModelParts, made: Made) -> State:
    """Trains once, with what the last tuning has found beside what every training is told."""
    state = train_once(s, p, made)
    found = "$parse($tuned.hyperparameters)"
    told, kept = (f"$merge([{expression(dict(each))}, {found}])" for each in (made.hyperparameters, made.kept))
    return {
        **state,
        "Arguments": {**state["Arguments"], "HyperParameters": jsonata(told)},
        "Assign": {**state["Assign"], "hyperparameters": jsonata(kept)},
    }
