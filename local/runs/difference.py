"""In what two runs differ: what they were made of, how, where, and how good the models are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local.datasets.difference import NOTHING, Change
from local.runs.read import Run

_MADE_OF = {
    "commit": "commit",
    "bundle": "bundle",
    "dataset_version": "dataset",
    "as_of": "as of",
    "image": "image",
    "seed": "seed",
    "champion": "champion",
}


def difference(before: Run, after: Run) -> dict[str, list[Change]]:
    """What differs, by section: made of, hyperparameters, machine, metrics, gate, environment, model."""
    sections = {
        "made of": (Change(title, before.text(name), after.text(name)) for name, title in _MADE_OF.items()),
        "hyperparameters": _objects(before.parsed("hyperparameters"), after.parsed("hyperparameters")),
        "machine": _objects(_machine(before), _machine(after)),
        "metrics": _objects(before.metrics, after.metrics),
        "gate": _objects(_rules(before), _rules(after)),
        "environment": _objects(_environment(before), _environment(after)),
        "model": (Change(name, before.text(name), after.text(name)) for name in ("status", "model_sha256")),
    }
    found = {
        title: [change for change in changes if change.before != change.after] for title, changes in sections.items()
    }
    return {title: changes for title, changes in found.items() if changes}


def figure(value: Any) -> str:
    """A figure as it is shown: six digits of what is no whole number."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _objects(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        told = [figure(one[name]) if name in one else NOTHING for one in (before, after)]
        yield Change(name, *told)


def _machine(run: Run) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.parsed("training").get("ResourceConfig", {})
    return found


def _rules(run: Run) -> dict[str, str]:
    return {str(rule["rule"]): f"{'passed' if rule['passed'] else 'broken'}: {rule['reason']}" for rule in run.rules}


def _environment(run: Run) -> dict[str, Any]:
    found = run.parsed("environment")
    return {**found.get("packages", {}), **{name: found[name] for name in ("python", "machine") if name in found}}
