"""List operations: filters, order and pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from local.server.host import Caller
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.platform import Operation, Platform, timestamp
from local.server.sagemaker.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    FEATURE_GROUP,
    MODEL,
    MODEL_PACKAGE,
    MODEL_PACKAGE_GROUP,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    Kind,
)
from local.server.sagemaker.store import Document

_DEFAULT_PAGE = 10
_FILTERS_ELSEWHERE = {"NextToken", "MaxResults", "SortBy", "SortOrder"}
_TIME_FILTERS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "CreationTimeAfter": ("CreationTime", lambda moment, limit: moment > limit),
    "CreationTimeBefore": ("CreationTime", lambda moment, limit: moment < limit),
    "LastModifiedTimeAfter": ("LastModifiedTime", lambda moment, limit: moment > limit),
    "LastModifiedTimeBefore": ("LastModifiedTime", lambda moment, limit: moment < limit),
}


@dataclass(frozen=True)
class Listing:
    """How one kind is listed: the member of the answer, and the order when none is asked for."""

    kind: Kind
    member: str
    order: str


LISTINGS = (
    Listing(TRAINING_JOB, "TrainingJobSummaries", "Ascending"),
    Listing(PROCESSING_JOB, "ProcessingJobSummaries", "Ascending"),
    Listing(TRANSFORM_JOB, "TransformJobSummaries", "Descending"),
    Listing(TUNING_JOB, "HyperParameterTuningJobSummaries", "Ascending"),
    Listing(MODEL, "Models", "Descending"),
    Listing(ENDPOINT_CONFIG, "EndpointConfigs", "Descending"),
    Listing(ENDPOINT, "Endpoints", "Descending"),
    Listing(MODEL_PACKAGE_GROUP, "ModelPackageGroupSummaryList", "Ascending"),
    Listing(MODEL_PACKAGE, "ModelPackageSummaryList", "Ascending"),
    Listing(FEATURE_GROUP, "FeatureGroupSummaries", "Ascending"),
)


def list_operations(platform: Platform) -> dict[str, Operation]:
    """The List operation of every kind."""
    return {f"List{listing.kind.name}s": _operation(platform, listing) for listing in LISTINGS}


def _operation(platform: Platform, listing: Listing) -> Operation:
    def list_all(params: Document, _caller: Caller) -> Document:
        found = [document for document in platform.store.all(listing.kind.name) if _matches(listing, params, document)]
        key = _sort_key(listing, params.get("SortBy", "CreationTime"))
        found.sort(key=key, reverse=params.get("SortOrder", listing.order) == "Descending")
        return page(listing.member, found, params)

    return list_all


def _matches(listing: Listing, params: Document, document: Document) -> bool:
    return all(
        _passes(listing, name, wanted, document) for name, wanted in params.items() if name not in _FILTERS_ELSEWHERE
    )


def _passes(listing: Listing, name: str, wanted: Any, document: Document) -> bool:
    kind = listing.kind
    if name in _TIME_FILTERS:
        member, compare = _TIME_FILTERS[name]
        return compare(document[member], timestamp(wanted))
    if name == "NameContains":
        return wanted.lower() in _name(kind, document).lower()
    if name in ("StatusEquals", f"{kind.status_member}Equals"):
        return bool(document.get(kind.status_member) == wanted)
    if name == "ModelApprovalStatus":
        return bool(document.get(name) == wanted)
    if name == "ModelPackageGroupName":
        return bool(document.get(name) == wanted.rpartition("/")[2])
    if name == "ModelPackageType":
        return _is_of_type(wanted, document)
    if name == "CrossAccountFilterOption":
        return bool(wanted == "SameAccount")
    raise invalid(f"the local server cannot filter a list of {kind.name} by {name}")


def _is_of_type(wanted: str, document: Document) -> bool:
    versioned = "ModelPackageVersion" in document
    return {"Both": True, "Versioned": versioned, "Unversioned": not versioned}[wanted]


def _name(kind: Kind, document: Document) -> str:
    return str(document.get(kind.name_member) or document.get("ModelPackageGroupName", ""))


def _sort_key(listing: Listing, sort_by: str) -> Callable[[Document], Any]:
    kind = listing.kind
    if sort_by == "Name":
        return lambda document: (_name(kind, document), document["CreationTime"])
    if sort_by == "Status":
        return lambda document: (document.get(kind.status_member, ""), document["CreationTime"])
    return lambda document: document["CreationTime"]


def page(member: str, found: Iterable[Document], params: Document) -> Document:
    """The part of a list that a request asks for, with the token of the next one where there is one."""
    rows = list(found)
    start = _read_token(params["NextToken"]) if "NextToken" in params else 0
    end = start + params.get("MaxResults", _DEFAULT_PAGE)
    answer: Document = {member: rows[start:end]}
    if end < len(rows):
        answer["NextToken"] = _write_token(end)
    return answer


def _write_token(start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"start": start}).encode()).decode()


def _read_token(token: str) -> int:
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise invalid("Invalid pagination token") from error
