"""Deletes registered models that nobody needs any more, and archives that no registered model names.

Invoked once a day with the scheduler's event, whose ``time`` stands for now. A model package is *kept* while

- it serves: the endpoint's configuration names it, or the one that it is being updated to, or the record ``live#``;
- it served before: the last good configuration, to which a failed deployment goes back, names it;
- it waits for approval, or somebody has pinned it by the property ``pinned``;
- it is among the newest that are approved, or was changed in the last days.

Every other package is looked up once more and deleted. After that, objects below ``models/``, ``training/``,
``scoring/`` and, where there are sets of models, ``segments/`` go that no package and no serving model names and that
are older than 30 days; signed statements stay for good. Where it cannot be found out what serves, nothing is deleted.
Each call only brings the store nearer to what is wanted: it may break off anywhere, and be made twice or at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from constructs_lib.names.segments import SETS
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri
from gapless_lambda.settings import read_settings
from retire_models.decide import PINNED, Package, Policy, Stored, leftovers, retirable

_FOLDERS = ("models", "training", "scoring")
_AT_ONCE = 1000
_SEVERAL = "MultiModel"

log = get_logger(__name__)


class LostPackage(Exception):
    """A package that serves is not in the registry, so that its archive cannot be told from leftovers."""


class Event(TypedDict):
    """The part of a scheduled event that counts: an ISO 8601 instant with an offset."""

    time: str


class Result(TypedDict):
    """ARNs of packages that were deleted, and how many objects were."""

    retired: list[str]
    leftovers: int


@dataclass(frozen=True)
class Settings:
    """The environment: where things are, and what is kept."""

    workload: str
    artefacts_bucket: str
    runs_table: str
    model_package_group: str
    endpoint_name: str
    keep_newest: str
    keep_days: str

    @property
    def policy(self) -> Policy:
        """What is kept."""
        return Policy(int(self.keep_newest), int(self.keep_days))

    @property
    def folder(self) -> str:
        """The workload's folder of artefacts."""
        return f"s3://{self.artefacts_bucket}/{self.workload}/"


@dataclass(frozen=True)
class Serving:
    """Packages and archives behind the endpoint, and behind what it would go back to."""

    packages: frozenset[str]
    artefacts: frozenset[str]


# --- packages --------------------------------------------------------------------------------------------------------


def packages_of(sagemaker: Any, group: str) -> Iterator[Package]:
    """Yield every package of a group."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for summary in (summary for page in pages for summary in page["ModelPackageSummaryList"]):
        yield describe(sagemaker, summary["ModelPackageArn"])


def describe(sagemaker: Any, arn: str) -> Package:
    """Look a package up."""
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    return Package(
        arn=arn,
        version=found["ModelPackageVersion"],
        status=found["ModelApprovalStatus"],
        changed=found.get("LastModifiedTime", found["CreationTime"]),
        pinned=PINNED in found.get("CustomerMetadataProperties", {}),
        artefacts=_artefacts(found.get("InferenceSpecification", {}).get("Containers", [])),
    )


def _artefacts(containers: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(
        _set_of(each["ModelDataUrl"]) if each.get("Mode") == _SEVERAL else each["ModelDataUrl"]
        for each in containers
        if "ModelDataUrl" in each
    )


def _set_of(prefix: str) -> str:
    """The folder of a set of models, their script included: what lies in it stays as a whole."""
    return prefix.removesuffix("models/")


# --- what serves -----------------------------------------------------------------------------------------------------


def serving(sagemaker: Any, record: Mapping[str, str], endpoint_name: str) -> Serving:
    """Find out what serves, and what would serve again.

    Args:
        record: What the platform wrote down of the endpoint; empty before the first deployment.
    """
    configs = {record[name] for name in ("config", "previous_config") if name in record}
    configs |= configs_of_endpoint(sagemaker, endpoint_name)
    containers = [each for config in sorted(configs) for each in containers_of(sagemaker, config)]
    packages = {each["ModelPackageName"] for each in containers if "ModelPackageName" in each}
    recorded = {record["model_package_arn"]} if "model_package_arn" in record else set()
    if any(each.get("Mode") == _SEVERAL for each in containers):  # such a container does not name its package
        recorded |= {record.get("previous_package_arn", "none")} - {"none"}
    return Serving(frozenset(packages | recorded), _artefacts(containers))


def configs_of_endpoint(sagemaker: Any, endpoint_name: str) -> set[str]:
    """Name the endpoint's configuration, and the one that it is being updated to; none while there is no endpoint."""
    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint_name)
    except ClientError as error:
        if not _is_missing(error):
            raise
        return set()
    pending = found.get("PendingDeploymentSummary", {})
    names = (found.get("EndpointConfigName"), pending.get("EndpointConfigName"))
    return {name for name in names if name is not None}


def containers_of(sagemaker: Any, config_name: str) -> list[dict[str, Any]]:
    """Give the containers of every model of an endpoint configuration; none when somebody has deleted it."""
    try:
        config = sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
        models = [sagemaker.describe_model(ModelName=each["ModelName"]) for each in variants]
    except ClientError as error:
        if not _is_missing(error):
            raise
        return []
    return [
        container
        for model in models
        for container in (
            *model.get("Containers", []),
            *([model["PrimaryContainer"]] if "PrimaryContainer" in model else []),
        )
    ]


def _is_missing(error: ClientError) -> bool:
    return "Could not find" in str(error)


def live_record(dynamodb: Any, settings: Settings) -> dict[str, str]:
    """Read what the platform wrote down of the endpoint; empty before the first deployment."""
    key = {"run": {"S": f"live#{settings.workload}"}}
    found = dynamodb.get_item(TableName=settings.runs_table, Key=key, ConsistentRead=True)
    return {name: value["S"] for name, value in found.get("Item", {}).items() if "S" in value}


# --- objects ---------------------------------------------------------------------------------------------------------


def objects(s3: Any, settings: Settings) -> Iterator[Stored]:
    """Yield what lies in the folders that are cleaned up."""
    pages = s3.get_paginator("list_objects_v2")
    for folder in (*_FOLDERS, *([SETS] if os.environ.get("HAS_SETS") else [])):
        prefix = f"{settings.workload}/{folder}/"
        for page in pages.paginate(Bucket=settings.artefacts_bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield Stored(str(Address(settings.artefacts_bucket, item["Key"])), item["LastModified"])


def delete(s3: Any, bucket: str, uris: list[str]) -> int:
    """Delete objects, a thousand at a time; give how many.

    Raises:
        RuntimeError: Some were not deleted; the first is named.
    """
    for start in range(0, len(uris), _AT_ONCE):
        keys = [{"Key": parse_uri(uri).key} for uri in uris[start : start + _AT_ONCE]]
        failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors", [])
        if failed:
            raise RuntimeError(f"{len(failed)} objects were not deleted, the first of them: {failed[0]}")
    return len(uris)


# --- the handler -----------------------------------------------------------------------------------------------------


def retire(sagemaker: Any, dynamodb: Any, settings: Settings, now: datetime) -> tuple[list[str], set[str]]:
    """Delete packages; give the ARNs of those, and the URIs of the archives that somebody needs still.

    Raises:
        LostPackage: A package that serves was deleted by somebody else.
    """
    packages = list(packages_of(sagemaker, settings.model_package_group))
    in_use = serving(sagemaker, live_record(dynamodb, settings), settings.endpoint_name)
    retired = []
    for chosen in retirable(packages, in_use.packages, settings.policy, now):
        if describe(sagemaker, chosen.arn) == chosen:
            sagemaker.delete_model_package(ModelPackageName=chosen.arn)
            retired.append(chosen.arn)
    lost = sorted(in_use.packages - {each.arn for each in packages})
    if lost:
        raise LostPackage(f"not in the registry, but behind the endpoint: {', '.join(lost)}; no archive was deleted")
    kept = [each.artefacts for each in packages if each.arn not in retired]
    return retired, set(in_use.artefacts).union(*kept)


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Bring registry and store nearer to what is wanted."""
    settings, s3 = read_settings(Settings), client("s3")
    now = datetime.fromisoformat(event["time"])
    listed = list(objects(s3, settings))
    retired, named = retire(client("sagemaker"), client("dynamodb"), settings, now)
    gone = leftovers(listed, named, f"{settings.folder}models/", now)
    result = Result(retired=retired, leftovers=delete(s3, settings.artefacts_bucket, gone))
    log.info("models looked through", extra={**result})
    return result
