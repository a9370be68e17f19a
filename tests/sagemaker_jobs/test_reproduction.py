"""How far predictions differ, whatever problem they are of."""

from __future__ import annotations

from typing import Any

import pytest

from gapless_sagemaker.reproduction import environment, largest_difference


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ({"probability": 0.4, "label": False}, {"probability": 0.5, "label": True}, 0.1),
        ({"probabilities": {"a": 0.2, "b": 0.8}, "label": "b"}, {"probabilities": {"a": 0.25, "b": 0.75}}, 0.05),
        ({"probabilities": {"a": 1.0}}, {"probabilities": {"b": 1.0}}, 1.0),
        ({"value": 110.0}, {"value": 100.0}, 0.1),
        ({"value": 0.2}, {"value": 0.1}, 0.1),
        ({"cluster": 2, "distance": 1.0}, {"cluster": 1, "distance": 1.0}, 1.0),
        ({"projection": [1.0, 2.0], "error": 0.5}, {"projection": [1.0, 2.5], "error": 0.5}, 0.2),
        ({"projection": [1.0]}, {"projection": [1.0, 2.5]}, 1.0),
        ({"value": 3.0}, {"value": 3.0}, 0.0),
    ],
)
def test_the_largest_difference_of_figures_counts(
    one: dict[str, Any], other: dict[str, Any], difference: float
) -> None:
    assert largest_difference([one, one], [one, other]) == pytest.approx(difference)


def test_predictions_of_other_rows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        largest_difference([{"value": 1.0}], [])


def test_the_environment_is_the_same_when_it_is_asked_again() -> None:
    assert environment() == environment()
