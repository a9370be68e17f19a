"""``python -m gate.algorithms NAME... --region REGION...``: pins algorithms that AWS ships as scripts.

Reads AWS's public list of models and the archives that it names, without credentials, and writes
``constructs_lib/names/algorithm_pins.json``: commit it. Whatever else is pinned stays. Exits 2 when something cannot
be pinned, and then writes nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

from constructs_lib.names.algorithm_pins import FILE, MODEL_IDS, Pin, Pins, Source, Task, pins
from gate.algorithms.pinning import pin
from gate.algorithms.public_list import NotPinned, PublicList


def main(arguments: Sequence[str]) -> int:
    """Pins what the arguments name and returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        addresses = _addresses(given.region, given.address)
        found = {
            name: {task: pinned(model_id, addresses, given.version) for task, model_id in MODEL_IDS[name].items()}
            for name in given.names
        }
    except NotPinned as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    write(given.file, found)
    for name, tasks in found.items():
        for task, each in tasks.items():
            print(f"{name} {task}: {each.model_id} {each.version} in {', '.join(each.regions)}")  # noqa: T201
    return 0


def pinned(model_id: str, addresses: Mapping[str, tuple[str, str]], wanted: str | None = None) -> Pin:
    """Returns the pin of a model for some regions.

    Args:
        addresses: Region to AWS's bucket and where it answers.
        wanted: Which versions are allowed. Default: all.

    Raises:
        NotPinned: There is none, or the regions have other versions or archives.
    """
    lists = {region: PublicList(address) for region, (_, address) in addresses.items()}
    specifications = {region: each.specification(model_id, wanted) for region, each in lists.items()}
    versions = {region: each.document["version"] for region, each in specifications.items()}
    if len(set(versions.values())) != 1:
        told = ", ".join(f"{version} in {region}" for region, version in versions.items())
        raise NotPinned(f"{model_id}: the newest version is {told}; choose one by --version")
    first = next(iter(specifications.values()))
    source = Source(date=datetime.datetime.now(datetime.UTC).date().isoformat(), text=first.url, sha256=first.sha256)
    buckets = {region: bucket for region, (bucket, _) in addresses.items()}
    return pin(first.document, source, buckets, lambda key: _digest(key, lists))


def write(file: Path, found: Mapping[str, Mapping[Task, Pin]]) -> None:
    """Writes the pins beside those that the file has for other algorithms."""
    known: Pins = dict(pins(file)) if file.exists() else {}
    together = {name: dict(tasks) for name, tasks in {**known, **found}.items()}
    document = {
        name: {task: each.model_dump(mode="json", exclude_none=True) for task, each in sorted(tasks.items())}
        for name, tasks in sorted(together.items())
    }
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    pins.cache_clear()


def _digest(key: str, lists: Mapping[str, PublicList]) -> str:
    digests = {region: each.sha256(key) for region, each in lists.items()}
    if len(set(digests.values())) != 1:
        told = ", ".join(f"{digest} in {region}" for region, digest in digests.items())
        raise NotPinned(f"{key}: another archive in another region: {told}")
    return next(iter(digests.values()))


def _addresses(regions: Sequence[str], address: str | None) -> dict[str, tuple[str, str]]:
    known = json.loads(
        Path(str(distribution("sagemaker-core").locate_file("sagemaker/core/jumpstart/region_config.json"))).read_text()
    )
    missing = [region for region in regions if region not in known]
    if missing:
        raise NotPinned(f"--region: AWS has no list in {', '.join(missing)} (allowed: {', '.join(sorted(known))})")
    found = {region: known[region]["content_bucket"] for region in regions}
    return {region: (bucket, address or _public(bucket, region)) for region, bucket in found.items()}


def _public(bucket: str, region: str) -> str:
    return f"https://{bucket}.s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gate.algorithms", description="pin algorithms that AWS ships as scripts"
    )
    parser.add_argument(
        "names", nargs="+", choices=sorted(MODEL_IDS), metavar="NAME", help=", ".join(sorted(MODEL_IDS))
    )
    parser.add_argument("--region", action="append", required=True, help="where it is used; may be given several times")
    parser.add_argument("--version", help="which versions are allowed: 2.1.0, 2.* or <3 (default: the newest)")
    parser.add_argument("--address", help="where the list answers (default: AWS's bucket of the region)")
    parser.add_argument("--file", type=Path, default=FILE, help="what to write (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
