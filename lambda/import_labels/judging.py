"""Which answers are taken in: pure functions of the rows of a file, of what was asked, and of what may be answered."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from constructs_lib.names.problems import MULTICLASS
from constructs_lib.names.relabelled import INFERENCE_ID, LABEL, POSITION, RUN, Sent
from import_labels.reading import Given

EMPTY = "the label is empty"
NO_ROW = "the row says not which one it is"
NEVER_ASKED = "this row was never given out in this run"
DIFFERENT = "the row is given twice with different labels"

_TRUTH = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}

Place = tuple[str, str, int]


class Refused(Exception):
    """An answer is not taken in; the text is the reason."""


@dataclass(frozen=True)
class Rules:
    """What may be answered; attributes are those of ``relabelling`` in ``workload.yaml``.

    Attributes:
        target_type: Of the column of the dataset.
    """

    problem: str
    target_type: str
    labels: Sequence[str] = ()
    range: Sequence[float] | None = None


@dataclass
class Judged:
    """What became of a file's rows: every one is accepted or refused.

    Attributes:
        accepted: How many are.
        labels: Row to its label.
        refused: Rows with the reasons.
    """

    accepted: int = 0
    labels: dict[Place, Any] = field(default_factory=dict)
    refused: list[tuple[Given, str]] = field(default_factory=list)

    def reasons(self) -> dict[str, int]:
        """Reason → rows."""
        return dict(sorted(Counter(reason for _, reason in self.refused).items()))


def judge(given: Sequence[Given], asked: Mapping[Place, Sent], rules: Rules) -> Judged:
    """Decide on every row of a file.

    Args:
        given: The rows.
        asked: What was given out.
        rules: What may be answered.
    """
    judged = Judged()
    rows: defaultdict[Place, list[tuple[Given, Any]]] = defaultdict(list)
    for each in given:
        try:
            place = place_of(each.content)
            if place not in asked:
                raise Refused(NEVER_ASKED)
            label = label_of(each.content.get(LABEL), asked[place], rules)
        except Refused as refusal:
            judged.refused.append((each, str(refusal)))
            continue
        rows[place].append((each, label))
    for place, answers in rows.items():
        if len({json.dumps(label) for _, label in answers}) > 1:
            judged.refused += [(each, DIFFERENT) for each, _ in answers]
            continue
        judged.accepted += len(answers)
        judged.labels[place] = answers[0][1]
    judged.refused.sort(key=lambda each: each[0].line)
    return judged


def place_of(row: Mapping[str, Any]) -> Place:
    """Give which row it is: run, inference id and position.

    Raises:
        Refused: It does not say.
    """
    run, name, position = row.get(RUN), row.get(INFERENCE_ID), row.get(POSITION)
    if not isinstance(run, str) or not isinstance(name, str) or not run or not name:
        raise Refused(NO_ROW)
    try:
        return run, name, int(position) if position not in (None, "") else 0
    except (TypeError, ValueError):
        raise Refused(NO_ROW) from None


def label_of(value: Any, row: Sent, rules: Rules) -> Any:
    """Give the label in the type of the target.

    Raises:
        Refused: It is empty, of another type, or may not be answered.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        raise Refused(EMPTY)
    if rules.target_type == "boolean":
        if text.lower() not in _TRUTH:
            raise Refused("the label is no yes or no (allowed: true, false, 1 or 0)")
        return _TRUTH[text.lower()]
    if rules.problem == MULTICLASS:
        return _class(text, row, rules)
    return _in_range(_number(text, whole=rules.target_type in ("int", "bigint")), rules)


def _class(text: str, row: Sent, rules: Rules) -> Any:
    allowed = [str(each) for each in rules.labels or row.answered.get("probabilities", ())]
    if text not in allowed:
        raise Refused(f"the label is none of {', '.join(allowed)}")
    return _number(text, whole=True) if rules.target_type == "int" else text


def _number(text: str, *, whole: bool) -> int | float:
    try:
        found = float(text)
    except ValueError:
        raise Refused("the label is no number") from None
    if not math.isfinite(found):
        raise Refused("the label is no number")
    if not whole:
        return found
    if not found.is_integer():
        raise Refused("the label is no whole number")
    return int(found)


def _in_range(number: float, rules: Rules) -> float:
    if rules.range is not None and not rules.range[0] <= number <= rules.range[1]:
        raise Refused(f"the label is not between {rules.range[0]:g} and {rules.range[1]:g}")
    return number
