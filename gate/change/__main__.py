"""``python -m gate.change``: what the working tree would change, and a refusal where data would be lost.

Exits 2 if anything is refused, or if there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gate.assembly import templates
from gate.change.cli_diff import cli_differences
from gate.change.compare import compare
from gate.change.report import differences, told
from gate.change.revisions import (
    RevisionError,
    base_of,
    cdk_json,
    interpreter,
    removable_stages,
    synthesise,
    unpack,
)
from gate.change.specification import DATABASE, specification
from stacks.toolchain import find_node

CHECKOUT = Path(__file__).parent.parent.parent


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(prog="python -m gate.change", description=__doc__.splitlines()[0])
    found.add_argument("--base", default="origin/main", help="the revision to compare with (default: origin/main)")
    found.add_argument("--before", type=Path, help="an assembly to compare with, in place of a revision")
    found.add_argument("--after", type=Path, help="an assembly in place of the working tree's; needs --before")
    found.add_argument("--allow-removal", action="store_true", help="the second key to data of removable stages")
    found.add_argument("--brief", action="store_true", help="leave out what cdk diff says")
    return found


def main(arguments: Sequence[str] | None = None, checkout: Path = CHECKOUT) -> int:
    """Compares, prints and returns the exit code."""
    options = parser().parse_args(arguments)
    find_node()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _compare(options, checkout, Path(folder))
    except RevisionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


def _compare(options: argparse.Namespace, checkout: Path, folder: Path) -> int:
    if not DATABASE.is_file():
        raise RevisionError(f"the CDK CLI has not been installed ({DATABASE} is missing); `make diff` installs it")
    if options.after is not None and options.before is None:
        raise RevisionError("--after is compared with --before, which is not given")
    new_context = old_context = cdk_json(checkout)
    files, base_python = folder / "base", Path(sys.executable)
    if options.before is None:
        base = base_of(checkout, options.base)
        unpack(checkout, base, files)
        print(f"base: {options.base} at {base.commit[:12]}", file=sys.stderr)  # noqa: T201
        base_python, old_context = interpreter(checkout, files, folder / "venv"), cdk_json(files)
    with ThreadPoolExecutor(max_workers=2) as both:
        old = both.submit(_made, options.before, base_python, files, folder / "before", options.allow_removal)
        new = both.submit(_made, options.after, Path(sys.executable), checkout, folder / "after", options.allow_removal)
        old_assembly, new_assembly = old.result(), new.result()
    before, after = templates(old_assembly), templates(new_assembly)
    found = differences(before, after)
    for difference in found:
        print(difference)  # noqa: T201
    if not options.brief:
        for stacks, text in cli_differences(found, before, new_assembly):
            print(f"\n{stacks}\n{text}")  # noqa: T201
    expendable = removable_stages(old_context, new_context) if options.allow_removal else frozenset[str]()
    changes = compare(before, after, specification(), expendable)
    for line in told(changes):
        print(line)  # noqa: T201
    refused = sum(change.allowed is None for change in changes)
    print(f"{len(found)} of {len(after)} stacks change, {refused} changes refused", file=sys.stderr)  # noqa: T201
    return 2 if refused else 0


def _made(given: Path | None, python: Path, checkout: Path, folder: Path, allow_removal: bool) -> Path:
    """Returns the assembly that is given, or makes one."""
    if given is None:
        return synthesise(python, checkout, folder, allow_removal)
    if not (given / "manifest.json").is_file():
        raise RevisionError(f"{given} holds no assembly: there is no manifest.json in it")
    return given


if __name__ == "__main__":
    sys.exit(main())
