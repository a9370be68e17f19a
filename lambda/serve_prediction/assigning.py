"""Which of several variants answers a request: equal values of an attribute meet the same one, in shares by weight.

Pure. A value is hashed together with the name of the endpoint's configuration. An experiment has one configuration, so
whoever met the challenger goes on meeting it while weights change, except for those whom the change moves; and another
experiment draws anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from serve_prediction.checking import BadRequest

HEADER = "header:"
_PARTS = 2**53


def weights(endpoint: Mapping[str, Any]) -> dict[str, float]:
    """Variant → its share of the requests, as DescribeEndpoint has it; shadows are no variants."""
    found = {each["VariantName"]: float(each.get("CurrentWeight", 1.0)) for each in endpoint["ProductionVariants"]}
    return {name: weight for name, weight in sorted(found.items()) if weight > 0}


def sticky_value(sticky_by: str, instances: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> str:
    """Gives the value by which a request is assigned.

    Args:
        sticky_by: An attribute of the instances, or ``header:<name>``.
        headers: Name in lower case → value.

    Raises:
        BadRequest: The header is missing, or the instances do not have one value.
    """
    if sticky_by.startswith(HEADER):
        name = sticky_by.removeprefix(HEADER)
        if not headers.get(name):
            raise BadRequest("is missing", field=name, allowed="a value in this header")
        return headers[name]
    values = list(dict.fromkeys(json.dumps(instance[sticky_by]) for instance in instances))
    if len(values) > 1:
        raise BadRequest(
            "has several values in one request",
            field=sticky_by,
            given=values,
            allowed="instances that have the same value; ask for others in a request of their own",
        )
    return values[0]


def unit_of(value: str, salt: str) -> str:
    """Gives the name of a value in an experiment, 16 hexadecimal digits."""
    return hashlib.sha256(f"{salt}\n{value}".encode()).hexdigest()[:16]


def assign(unit: str, shares: Mapping[str, float]) -> str:
    """Gives the variant of a unit: the one in whose part of the line from 0 to 1 its digits fall.

    Args:
        unit: As ``unit_of`` gives it.
        shares: Variant → its weight above 0, in the order in which the parts lie.
    """
    point = int(unit, 16) % _PARTS / _PARTS * sum(shares.values())
    for name, weight in shares.items():
        if point < weight:
            return name
        point -= weight
    return next(reversed(list(shares)))
