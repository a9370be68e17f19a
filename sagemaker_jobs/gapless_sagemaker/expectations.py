"""What a golden request may expect of predictions, and in what predictions differ from it.

An expectation names parts of a prediction; each part has a list with one entry per prediction, see :data:`FORMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """The form of the entries of one part of a prediction, and when a value agrees with one."""

    shown: str
    allows: Callable[[Any], bool]
    agrees: Callable[[Any, Any], bool]


def difference(expect: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]]) -> str | None:
    """Say in what predictions differ from what is expected of them; None when they agree."""
    for part, entries in expect.items():
        if len(predictions) != len(entries):
            return f"{len(predictions)} predictions; expected are {len(entries)}"
        for position, (prediction, entry) in enumerate(zip(predictions, entries)):  # noqa: B905
            value = prediction.get(part)
            if not FORMS[part].agrees(value, entry):
                return f"{part} of prediction {position} is {value!r:.200}; expected is {_said(entry)}"
    return None


def allowed(expect: Any) -> bool:
    """Say whether something is an expectation."""
    if not isinstance(expect, dict) or not expect or not expect.keys() <= FORMS.keys():
        return False
    entries = list(expect.values())
    if not all(isinstance(each, list) and each and len(each) == len(entries[0]) for each in entries):
        return False
    return all(FORMS[part].allows(entry) for part, listed in expect.items() for entry in listed)


def shown() -> str:
    """Say what expectations there are."""
    return ", ".join(f'{{"{part}": [{form.shown}, …]}}' for part, form in FORMS.items())


def _said(entry: Any) -> str:
    return f"{entry[0]} to {entry[1]}" if _are_bounds(entry) else repr(entry)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_bounds(entry: Any) -> bool:
    match entry:
        case [low, high]:
            return _is_number(low) and _is_number(high) and low <= high
        case _:
            return False


def _are_shares(entry: Any) -> bool:
    return _are_bounds(entry) and entry[0] >= 0 and entry[1] <= 1


def _are_classes(entry: Any) -> bool:
    return isinstance(entry, dict) and bool(entry) and all(map(_are_shares, entry.values()))


def _is_within(value: Any, bounds: Any) -> bool:
    return _is_number(value) and bool(bounds[0] <= value <= bounds[1])


def _are_within(value: Any, classes: Mapping[str, Any]) -> bool:
    return isinstance(value, dict) and all(_is_within(value.get(name), bounds) for name, bounds in classes.items())


def _is_same(value: Any, entry: Any) -> bool:
    return type(value) is type(entry) and bool(value == entry)


_BOUNDS = Form("[low, high]", _are_bounds, _is_within)

FORMS: Mapping[str, Form] = {
    "probability": Form("[low, high] within 0 and 1", _are_shares, _is_within),
    "probabilities": Form('{"class": [low, high] within 0 and 1}', _are_classes, _are_within),
    "label": Form("true, false, a text or a whole number", lambda entry: isinstance(entry, bool | int | str), _is_same),
    "cluster": Form("a whole number", lambda entry: _is_number(entry) and isinstance(entry, int), _is_same),
    "value": _BOUNDS,
    "distance": _BOUNDS,
    "error": _BOUNDS,
}
