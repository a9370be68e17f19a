"""Checks a landed batch before anything that costs money starts, and names the dataset that is to be made of it.

The first state of the data machine. It reads ``_batch.json``, checks its shape, its keys and its sources against the
workload's contract, looks whether every file is there with its size, and computes the version of the dataset. The
files' contents are the data job's to check, which reads every byte anyhow.

The event is ``{"batch_uri", "as_of", "bundle": {"bundle"}}``, the result ``{"version", "inputs", "as_of", "parent"}``.

Where datasets accumulate, a batch is added to its *parent*: the newest published dataset whose ``as_of`` lies before
its own. Batches come in the order of ``as_of``; one that comes too late would be in no later dataset, and is refused.
With ``"fresh": true`` in its ``_batch.json`` a batch holds everything and has no parent.

Where rows are labelled anew, the result has ``answers_uri`` as well: the newest answers, or the ones that the event
names, if any of them held at ``as_of``; otherwise ``none``. Answers that hold are part of the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from botocore.exceptions import ClientError

from constructs_lib.names.batch import (
    NO_PARENT,
    BadBatch,
    BatchFile,
    batch_folder,
    canonical_instant,
    check_sources,
    contract_digest,
    dataset_version,
    index_stamp,
    read_files,
)
from constructs_lib.names.relabelled import NO_ANSWERS, answers_digest, holding, read_answers
from gapless_lambda.batches import ABSENT, check_files, read_batch
from gapless_lambda.clients import client
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

BATCH_FILE = "_batch.json"


class Input(TypedDict):
    """One file of the batch; ``key`` is relative to the batch's folder."""

    source: str
    key: str
    sha256: str
    bytes: int


class Checked(TypedDict):
    """What the machine goes on with."""

    version: str
    inputs: list[Input]
    as_of: str
    parent: str
    answers_uri: NotRequired[str]


@dataclass(frozen=True)
class Settings:
    """The environment: where the contract is, and what names the job and engine that make the dataset."""

    contract_uri: str
    engine: str


@dataclass(frozen=True)
class ChainSettings:
    """The environment where datasets accumulate: the workload's folder of datasets, ``s3://bucket/<workload>/``."""

    datasets_uri: str


@dataclass(frozen=True)
class AnswerSettings:
    """The environment where rows are labelled anew: the folder of the answers, ``s3://bucket/…/``."""

    answers_uri: str


@dataclass(frozen=True)
class Chain:
    """What was published, as manifests: of the newest ``as_of`` before the batch's own, of the same, and of later ones.

    Several have the same ``as_of`` when a batch was run again with other code.
    """

    before: Sequence[Mapping[str, Any]] = ()
    same: Sequence[Mapping[str, Any]] = ()
    later: Sequence[str] = ()


# --- decisions -----------------------------------------------------------------------------------------------------


def decide_as_of(batch: Mapping[str, Any], given: str) -> str:
    """Gives the instant that stands for now, as ``2013-05-01T00:00:00Z``: the batch's own, else the given one.

    Raises:
        BadBatch: The instant is not ISO 8601 with an offset.
    """
    try:
        return canonical_instant(batch.get("as_of", given))
    except ValueError as error:
        raise BadBatch(str(error)) from error


def choose_parent(chain: Chain, bundle: str, engine: str) -> str:
    """Gives the version of the parent, or ``none``. Of datasets with one ``as_of``, that of our own code goes first."""
    known = [manifest for manifest in chain.before if "days_uri" in manifest]
    if not known:
        return NO_PARENT
    best = max(known, key=lambda found: (found["bundle"] == bundle, found["engine"] == engine, found["version"]))
    return str(best["version"])


def check_order(chain: Chain, files: Iterable[BatchFile], as_of: str) -> None:
    """Looks whether a batch comes in its turn, or is one that was published before.

    Raises:
        BadBatch: A dataset of the same or a later ``as_of`` was made of other files: no later one would have these.
    """
    contents = sorted((file.source, file.sha256) for file in files)
    if any(sorted((each["source"], each["sha256"]) for each in found["inputs"]) == contents for found in chain.same):
        return
    newest = [*chain.later, *(found["version"] for found in chain.same)]
    if newest:
        raise BadBatch(
            f"as_of {as_of} is not after that of dataset {newest[-1]}, and later datasets would not have these rows; "
            "datasets that accumulate take batches in the order of as_of: land it again with a later one"
        )


def is_fresh(batch: Mapping[str, Any]) -> bool:
    """Tells whether a batch says that it holds everything.

    Raises:
        BadBatch: ``fresh`` is neither true nor false.
    """
    fresh = batch.get("fresh", False)
    if not isinstance(fresh, bool):
        raise BadBatch(f"fresh must be true or false, was {fresh!r}")
    return fresh


# --- the handler ---------------------------------------------------------------------------------------------------


def read_chain(s3: Any, datasets: str, as_of: str) -> Chain:
    """Reads what was published around an instant; three manifests at most in the usual case."""
    bucket, prefix = parse_uri(f"{datasets}index/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    names = sorted(item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", []))
    stamp = index_stamp(as_of)
    before = [name for name in names if name < stamp]
    newest = [name for name in before if stamp_of(name) == stamp_of(before[-1])]
    same = [name for name in names if stamp_of(name) == stamp]

    def manifests(entries: Iterable[str]) -> list[Mapping[str, Any]]:
        uris = [read_json(s3, Address(bucket, prefix + name))["manifest_uri"] for name in entries]
        found = [read_manifest(s3, parse_uri(uri)) for uri in uris]
        return [manifest for manifest in found if manifest is not None]

    later = [name.partition("_")[2].removesuffix(".json") for name in names if stamp_of(name) > stamp]
    return Chain(manifests(newest), manifests(same), later)


def read_manifest(s3: Any, address: Address) -> Mapping[str, Any] | None:
    """Reads a published manifest; a dataset that was retired keeps its entry in the index and has none."""
    try:
        manifest: Mapping[str, Any] = read_json(s3, address)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise
        return None
    return manifest


def find_answers(s3: Any, event: Mapping[str, Any], as_of: str) -> tuple[str, str]:
    """Gives where the answers are that hold at an instant, and their digest; ``none`` and nothing where none hold."""
    uri = event.get("answers_uri", NO_ANSWERS)
    if "answers_uri" not in event:
        folder = parse_uri(read_settings(AnswerSettings).answers_uri)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=folder.key)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        uri = str(Address(folder.bucket, max(keys))) if keys else NO_ANSWERS
    if uri == NO_ANSWERS:
        return NO_ANSWERS, ""
    address = parse_uri(uri)
    content = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    digest = answers_digest(holding(read_answers(content), as_of))
    return (uri, digest) if digest else (NO_ANSWERS, "")


def stamp_of(name: str) -> str:
    """Gives the instant in the name of an entry of the index."""
    return name.partition("_")[0]


def handler(event: Mapping[str, Any], context: Any) -> Checked:  # noqa: ARG001
    """Checks the batch that the event names."""
    settings = read_settings(Settings)
    s3 = client("s3")
    contract = read_json(s3, parse_uri(settings.contract_uri))
    address = parse_uri(event["batch_uri"])
    batch = read_batch(s3, address)
    sources = list(contract["sources"])
    files = read_files(batch, workload=contract["name"], sources=sources)
    as_of = decide_as_of(batch, event["as_of"])
    accumulates = contract.get("dataset", {}).get("accumulate", False)
    chain = read_chain(s3, read_settings(ChainSettings).datasets_uri, as_of) if accumulates else Chain()
    bundle = event["bundle"]["bundle"]
    parent = NO_PARENT if is_fresh(batch) else choose_parent(chain, bundle, settings.engine)
    check_order(chain, files, as_of)
    check_sources(files, sources if parent == NO_PARENT else [contract["primary"]])
    check_files(s3, address.bucket, batch_folder(batch, address.key), files, BATCH_FILE)
    relabels = contract.get("relabelling", False)
    answers_uri, answers = find_answers(s3, event, as_of) if relabels else (NO_ANSWERS, "")
    version = dataset_version(
        files,
        window_days=contract["window_days"],
        contract_digest=contract_digest(contract),
        as_of=as_of,
        bundle=bundle,
        engine=settings.engine,
        parent=parent,
        answers=answers,
    )
    inputs = [Input(source=file.source, key=file.key, sha256=file.sha256, bytes=file.bytes) for file in files]
    checked = Checked(version=version, inputs=inputs, as_of=as_of, parent=parent)
    return {**checked, "answers_uri": answers_uri} if relabels else checked
