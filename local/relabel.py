"""The commands of ``python -m local relabel``: rows that people label go out, and their answers come back."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from constructs_lib.names.relabelled import FOLDER, IN, RESULTS
from local.clock import account_now
from local.errors import Failure, UserError
from local.instants import parse_instant
from local.steps import Platform, platform

app = typer.Typer(help="Rows of which the model was unsure: give them to people, take their answers in.")
console = Console(highlight=False, soft_wrap=True)

_TAKEN_SECONDS = 120.0
_POLL_SECONDS = 0.3
_ABSENT = ("404", "NoSuchKey", "NotFound")

AsOf = Annotated[str | None, typer.Option(help="What stands for now. Default: now.")]


@app.command()
def export(
    context: typer.Context,
    to: Annotated[Path, typer.Option(help="The folder that the file is copied to.")] = Path(),
    as_of: AsOf = None,
) -> None:
    """Choose rows as the schedule does, but now, and copy the file that people fill in."""
    target = platform(context.obj)
    chosen = choose(target, parse_instant(as_of) or account_now(context.obj))
    if not chosen["rows"]:
        console.print("there is nothing to label: no row of the window lacks a label and is not out already")
        return
    manifest = json.loads(_read(target, chosen["manifest_uri"]))
    path = to / f"{chosen['run']}-{manifest['file'].rpartition('/')[2]}"
    path.write_bytes(_read(target, manifest["file"]))
    console.print(f"{chosen['rows']} rows of {manifest['run']} are in {path}; fill in {manifest['label']['column']}")


@app.command(name="import")
def import_answers(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file that was filled in, CSV or JSON lines.")],
    as_of: AsOf = None,
) -> None:
    """Put a file of answers where the platform takes it in, and tell what became of its rows."""
    target = platform(context.obj)
    if not file.is_file():
        raise UserError(f"there is no file {file} (allowed: the path of a file that was exported and filled in)")
    summary = take_in(target, file, parse_instant(as_of))
    console.print(f"{summary['rows']} rows: {summary['accepted']} accepted, {summary['refused']} refused")
    for reason, rows in summary["reasons"].items():
        console.print(f"- {rows}: {reason}")


def choose(target: Platform, as_of: dt.datetime) -> dict[str, Any]:
    """Call the function that chooses rows; returns what it did.

    Raises:
        UserError: The workload does not ask for relabelling.
        Failure: The function failed.
    """
    event = json.dumps({"as_of": _utc(as_of)}).encode()
    answer = target.aws.client("lambda").invoke(FunctionName=_function(target), Payload=event)
    content: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise Failure(f"rows could not be chosen: {content.get('errorMessage', content)}")
    return content


def take_in(target: Platform, file: Path, as_of: dt.datetime | None) -> dict[str, Any]:
    """Put a file among the answers and wait until it is taken in; returns what became of its rows.

    Raises:
        UserError: The workload does not ask for relabelling.
        Failure: The file was not taken in in time.
    """
    _function(target)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    bucket, folder = target.outputs.artefacts_bucket, f"{target.settings.workload}/{FOLDER}/"
    target.aws.client("s3").put_object(
        Bucket=bucket,
        Key=f"{folder}{IN}/{digest[:16]}-{file.name}",
        Body=content,
        Metadata={"answered-at": _utc(as_of)} if as_of is not None else {},
    )
    deadline = time.monotonic() + _TAKEN_SECONDS
    while time.monotonic() < deadline:
        found = _find(target, bucket, f"{folder}{RESULTS}/{digest}.json")
        if found is not None:
            summary: dict[str, Any] = json.loads(found)
            return summary
        time.sleep(_POLL_SECONDS)
    raise Failure(
        f"{file} was not taken in within {_TAKEN_SECONDS:.0f} s; is it a file that was exported? "
        "Read the log of the function import_labels, and its dead-letter queue"
    )


def _function(target: Platform) -> str:
    name = target.outputs.choosing_function_name
    if name is None:
        raise UserError(
            f"workload {target.settings.workload} has no rows labelled (allowed: a key in workload.yaml, such as "
            "relabelling: {max_rows: 100}; then deploy)"
        )
    return name


def _find(target: Platform, bucket: str, key: str) -> bytes | None:
    try:
        return _read(target, f"s3://{bucket}/{key}")
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise


def _read(target: Platform, uri: str) -> bytes:
    place = urlsplit(uri, allow_fragments=False)
    content: bytes = target.aws.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
    return content


def _utc(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
