"""``getResolvedOptions`` with the behaviour of AWS's own.

Unknown arguments are ignored, a prefix of an option's name is taken for it, and ``--a-b`` is read back as ``a_b``, all
of which come from :mod:`argparse`. Described at
https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-crawler-pyspark-extensions-get-resolved-options.html
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

_BOOKMARKS = ("job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable")
_OWN_OPTIONS = (
    "job-bookmark-from",
    "job-bookmark-to",
    "JOB_ID",
    "JOB_RUN_ID",
    "SECURITY_CONFIGURATION",
    "encryption-type",
)
_TEMPORARY = ("TempDir", "RedshiftTempDir")


class GlueArgumentError(Exception):
    """The arguments do not hold what the script asks for."""


class GlueArgumentParser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, Any]:
    """Read the named options from a job's arguments.

    Args:
        args: The whole of ``sys.argv``; its first item is skipped.
        options: The names of the options that must be there, without dashes in front.

    Returns:
        The options by name, as text, with Glue's own beside them (``None`` where they are not given).

    Raises:
        GlueArgumentError: An option is missing or has no value.
        RuntimeError: ``options`` names one that Glue keeps for itself.
    """
    parser = GlueArgumentParser()
    parser.add_argument("--job-bookmark-option", choices=_BOOKMARKS, default="job-bookmark-disable")
    for reserved in ("job-bookmark-option", *_OWN_OPTIONS):
        if reserved in options:
            raise RuntimeError(f"Using reserved arguments --{reserved}")
    for own in (*_OWN_OPTIONS, *_TEMPORARY):
        parser.add_argument(f"--{own}", required=False)
    for option in options:
        if option not in _TEMPORARY:
            parser.add_argument(f"--{option}", required=True)
    resolved = vars(parser.parse_known_args(args[1:])[0])
    temporary = resolved["TempDir"] if resolved["TempDir"] is not None else resolved["RedshiftTempDir"]
    return {**resolved, "TempDir": temporary, "RedshiftTempDir": temporary}
