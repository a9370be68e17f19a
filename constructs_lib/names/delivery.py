"""What counts as a delivery: words that templates, functions and reports share. See ``docs/delivery-figures.md``."""

from __future__ import annotations

DEPLOYMENT_MACHINE = "deploy"
"""Last part of the name of a workload's deployment machine."""

ENDPOINT = "live"
"""Last part of the name of a workload's endpoint; the names of its alarms go on from there."""

ROLLBACK = "rollback"
"""The ``action`` in the input of a deployment machine that takes back what was delivered last, on purpose."""

NOT_ATTEMPTED = ("AlarmAlreadyOn", "EndpointBusy", "NotApproved")
"""Errors of the deployment machine after which nothing was tried: neither a delivery nor a failed one."""

FAILS_WITHIN_HOURS = 24
"""For how long after a delivery an alarm of what was delivered counts as the delivery's failure."""
