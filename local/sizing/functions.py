"""The memory of the functions of a workload, as the last line of each call in their logs tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import ClientError

from local.sizing.hints import of_function
from local.sizing.things import Place, Thing

_REPORT: Final = re.compile(r"^REPORT .*Max Memory Used: (\d+) MB", re.DOTALL)
_HASH: Final = re.compile(r"[0-9A-F]{8}$")


def functions(place: Place) -> Iterator[Thing]:
    """The functions of the workload's stack."""
    for logical, name in sorted(place.resources("AWS::Lambda::Function").items()):
        found = place.client("lambda").get_function_configuration(FunctionName=name)
        group = found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}"
        used = list(memory_of_calls(place, group))
        most, size = max((each for each in used if each > 0), default=None), int(found["MemorySize"])
        share = most / size if most is not None else None
        hint = of_function(size, most, len(used))
        yield Thing("function", _HASH.sub("", logical), f"{size} MB", len(used), None, share, hint)


def memory_of_calls(place: Place, group: str) -> Iterator[int]:
    """What each call used, in MB; 0 where Lambda does not know. A function that was never called has no log."""
    since = int(place.since.timestamp() * 1000)
    pages = place.client("logs").get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=group, filterPattern="REPORT", startTime=since):
            found = (_REPORT.match(each["message"]) for each in page["events"])
            yield from (int(match[1]) for match in found if match is not None)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
