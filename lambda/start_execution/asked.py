"""Who asks for a training, and why: an alarm of the monitor, the clock, a person, or new training code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from start_execution.batches import as_of
from start_execution.record import BadEvent

ALARMS = ("quality", "drift", "bias")
"""The families of checks whose alarms may ask; an alarm's name ends in its family's."""


def asked_by_alarm(event: Mapping[str, Any]) -> dict[str, str]:
    """Give who asks when an alarm of the monitor has gone off.

    Raises:
        BadEvent: It is another alarm.
    """
    name = event["detail"]["alarmName"]
    family = name.rpartition("-")[2]
    if family not in ALARMS:
        raise BadEvent(f"alarm {name!r} asks for no training; allowed are alarms on: {', '.join(ALARMS)}")
    return _asked(event, family, name, event["detail"]["state"].get("reason", "the alarm has gone off"))


def asked_by_clock(event: Mapping[str, Any]) -> dict[str, str]:
    """Give who asks at a set time."""
    return _asked(event, "schedule", "the schedule", "it is time")


def asked_by_person(event: Mapping[str, Any]) -> dict[str, str]:
    """Give who asks by an event of their own; ``as_of`` of its detail stands for "now".

    With ``search`` hyperparameters are to be searched as well.

    Raises:
        BadEvent: It does not say who asks and why, or ``search`` is neither true nor false.
    """
    detail = event["detail"]
    for name in ("by", "reason"):
        if not isinstance(detail.get(name), str) or not detail[name].strip():
            raise BadEvent(f"{name} is {detail.get(name)!r}; allowed is a text that says {_SAYS[name]}")
    search = detail.get("search", False)
    if not isinstance(search, bool):
        raise BadEvent(f"search is {search!r}; allowed are true and false")
    asked = _asked(event, "manual", detail["by"], detail["reason"], detail)
    return {**asked, "search": "true"} if search else asked


def asked_again(event: Mapping[str, Any]) -> dict[str, str]:
    """Give who asks when an earlier run is to be started once more: new scripts, or a person."""
    if "bundle" in event["detail"]:
        return _asked(event, "new_code", "the model code", f"bundle {event['detail']['bundle']} was published")
    return _asked(event, "manual", "a person", "the run is to be started once more")


_SAYS = {"by": "who asks", "reason": "why"}


def _asked(
    event: Mapping[str, Any], trigger: str, by: str, reason: str, document: Mapping[str, Any] | None = None
) -> dict[str, str]:
    at = as_of(document, event["time"])
    return {"trigger": trigger, "as_of": at, "by": by[:200], "reason": reason[:800], "event": event["id"]}
