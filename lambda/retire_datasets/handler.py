"""Retires datasets that nobody needs any more, and removes what runs that broke off have left behind.

Invoked once a day with the scheduler's event, whose ``time`` stands for now. A dataset is *kept* while it is among the
newest (by ``as_of``), or was entered into the index in the last days, or a training run has pinned it, or a registered
model that was not rejected was made of it. Every other one is retired:

1. its published manifest is taken away, so that nobody finds it any more;
2. pins and models are looked up once more: a run pins first and looks for the manifest afterwards, so that whoever
   comes in between is seen here, or sees that the dataset is gone;
3. its rows are marked by a tag, and the lifecycle of the bucket removes what is marked. Manifest, report and profile of
   the attempt stay;
4. what runs have made of its rows goes: encoded splits, and the requests and predictions of evaluations. Adapters stay.

A dataset that is to be kept and was retired (a pin came in between, a model was approved after all, the setting has
changed) is put back as long as its rows are there. So each call only brings the store nearer to what is wanted: it may
break off anywhere, and be made twice or at once. The same batch makes a retired dataset again, under a new attempt.

Leftovers are what attempts have written that published nothing: rows and staged files of killed workers, of refused
batches and of replays, in all zones. They go 30 days after they were written; reports stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.settings import read_settings
from retire_datasets.decide import Entry, Inventory, Policy, derived, leftovers, pinned_versions, retirable
from retire_datasets.lake import Datasets, delete, objects

REJECTED = "Rejected"
DERIVED = ("encoded", "scoring")
"""Folders of the workload's artefacts where runs keep what they have made of rows."""

log = get_logger(__name__)


class Event(TypedDict):
    """The part of a scheduled event that counts: an ISO 8601 instant with an offset."""

    time: str


class Result(TypedDict):
    """Versions that are retired and had rows, that were put back, that cannot be put back; and objects removed.

    ``derived`` counts what was made of retired datasets, ``leftovers`` what attempts have left that published nothing.
    """

    retired: list[str]
    restored: list[str]
    lost: list[str]
    derived: int
    leftovers: int


@dataclass(frozen=True)
class Done:
    """What was done with datasets.

    Attributes:
        retired: Those that are out of use and had rows until now.
        out_of_use: All that are, those of earlier nights among them.
        restored: Those that were put back.
        lost: Those that are wanted and cannot be put back.
    """

    retired: list[str]
    out_of_use: frozenset[str]
    restored: list[str]
    lost: list[str]


@dataclass(frozen=True)
class Settings:
    """The environment: buckets of the zones, what is kept, and the tag that the lifecycle goes by."""

    workload: str
    datasets_bucket: str
    validated_bucket: str
    quarantine_bucket: str
    curated_bucket: str
    artefacts_bucket: str
    model_package_group: str
    keep_newest: str
    keep_days: str
    retired_tag: str

    @property
    def policy(self) -> Policy:
        """What is kept."""
        return Policy(int(self.keep_newest), int(self.keep_days))


def versions_of_models(sagemaker: Any, group: str) -> Iterator[str]:
    """Yield the dataset versions that registered models were made of, those of rejected models left out."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for summary in (summary for page in pages for summary in page["ModelPackageSummaryList"]):
        if summary.get("ModelApprovalStatus") == REJECTED:
            continue
        package = sagemaker.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
        version = package.get("CustomerMetadataProperties", {}).get("dataset_version")
        if version is not None:
            yield version


def in_use(datasets: Datasets, settings: Settings, now: datetime) -> set[str]:
    """Give the versions that are pinned or that a model was made of, as it is at this moment."""
    models = versions_of_models(client("sagemaker"), settings.model_package_group)
    return {*pinned_versions(datasets.pins(), now), *models}


def retire(datasets: Datasets, settings: Settings, entries: list[Entry], inventory: Inventory, now: datetime) -> Done:
    """Retire what is not kept, and put back what is."""

    def unused(chosen: list[Entry]) -> list[Entry]:
        used = in_use(datasets, settings, now) if chosen else set()
        return [entry for entry in chosen if entry.version not in used]

    def rows(entry: Entry) -> Sequence[str]:
        return inventory.rows.get((entry.version, entry.attempt), ())

    chosen = unused(retirable(entries, settings.policy, now))
    for entry in chosen:
        if entry.version in inventory.published:
            datasets.withdraw(entry.version)
    retired = unused(chosen)
    found = [entry for entry in entries if entry not in chosen and entry.version in inventory.published]
    absent = [entry for entry in entries if entry not in retired and entry not in found]
    restored = [entry for entry in absent if datasets.restore(entry, rows(entry))]
    readable = [*found, *restored] if retired else []
    spared = {key for entry in readable for key in datasets.foreign_files(entry.version)}
    expiring = [entry for entry in retired if set(rows(entry)) - spared]
    for entry in expiring:
        datasets.mark(key for key in rows(entry) if key not in spared)
    lost = [entry for entry in absent if entry not in restored]
    return Done(
        retired=_versions(expiring),
        out_of_use=frozenset(_versions(retired)),
        restored=_versions(restored),
        lost=_versions(lost),
    )


def _versions(entries: Iterable[Entry]) -> list[str]:
    return [entry.version for entry in entries]


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Bring the store nearer to what is wanted."""
    settings, s3 = read_settings(Settings), client("s3")
    now = datetime.fromisoformat(event["time"])
    datasets = Datasets(s3, settings.datasets_bucket, settings.workload, settings.retired_tag)
    entries = datasets.entries()
    listed = list(datasets.objects())
    inventory = Inventory.of(listed, datasets.folder)
    done = retire(datasets, settings, entries, inventory, now)
    attempts = {(entry.version, entry.attempt) for entry in entries} | datasets.attempts(inventory.published)
    removed = delete(s3, settings.datasets_bucket, leftovers(listed, attempts, now, folder=datasets.folder))
    for bucket in (settings.validated_bucket, settings.quarantine_bucket, settings.curated_bucket):
        found = objects(s3, bucket, datasets.folder)
        removed += delete(s3, bucket, leftovers(found, attempts, now, folder=f"{datasets.folder}[^/]+/version="))
    made = (each for part in DERIVED for each in objects(s3, settings.artefacts_bucket, f"{datasets.folder}{part}/"))
    gone = delete(s3, settings.artefacts_bucket, derived(made, done.out_of_use, folder=datasets.folder))
    result = Result(retired=done.retired, restored=done.restored, lost=done.lost, derived=gone, leftovers=removed)
    log.info("datasets looked through", extra={**result, "datasets": len(entries)})
    return result
