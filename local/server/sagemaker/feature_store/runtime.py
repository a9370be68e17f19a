"""PutRecord, GetRecord, BatchGetRecord and DeleteRecord."""

from __future__ import annotations

import datetime as dt
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence

from local.server.clients import service_model
from local.server.host import Caller, Request, Response, ServiceError
from local.server.sagemaker.feature_store.groups import FeatureGroups
from local.server.sagemaker.feature_store.records import (
    Entry,
    expiry,
    parse_event_time,
    parse_record,
    refused,
    shown,
)
from local.server.sagemaker.feature_store.storage import Found, RecordStorage
from local.server.sagemaker.feature_store.throughput import Throughput
from local.server.sagemaker.platform import Platform
from local.server.sagemaker.resources import FEATURE_GROUP
from local.server.sagemaker.store import Document
from local.server.validation import validate

_GROUP = re.compile(r"/FeatureGroup/([^/]+)")
_BATCH = "/BatchGetRecord"
_ELSEWHERE = re.compile(r"/BatchWriteRecord|/FeatureGroup/[^/]+/(Record|ListRecords)")
_OPERATIONS = {"PUT": "PutRecord", "GET": "GetRecord", "DELETE": "DeleteRecord"}
_STORES = ("OnlineStore", "OfflineStore")
_SERVICE = "sagemaker-featurestore-runtime"


def is_of_feature_store(path: str) -> bool:
    """Whether a path is one of the Feature Store's runtime."""
    return path == _BATCH or _GROUP.fullmatch(path) is not None or _ELSEWHERE.fullmatch(path) is not None


class FeatureStoreRuntime:
    """The runtime API; it asks for permission itself, since one request may be about several groups."""

    def __init__(self, platform: Platform, groups: FeatureGroups, records: RecordStorage) -> None:
        self._platform = platform
        self._groups = groups
        self._records = records
        self._throughput = Throughput()

    def serve(self, request: Request) -> Response:
        """Serve one request.

        Raises:
            ServiceError: It is not valid, the group does not exist, or more was asked than is provisioned.
            Denied: The caller may not do it.
        """
        if request.path == _BATCH:
            return _answer(self._batch_get(_checked("BatchGetRecord", request.json()), request.caller))
        match = _GROUP.fullmatch(request.path)
        if match is None or request.method not in _OPERATIONS:
            raise ServiceError("ValidationError", f"{request.path} is not available on the local server")
        operation, name = _OPERATIONS[request.method], urllib.parse.unquote(match[1])
        group = self._allowed(operation, name, request.caller)
        params = request.json() if operation == "PutRecord" else _of_query(request.queries)
        params = _checked(operation, {**params, "FeatureGroupName": name})
        if operation == "GetRecord":
            return _answer(self._get(group, params))
        (self._put if operation == "PutRecord" else self._delete)(group, params)
        return _answer({})

    def _allowed(self, operation: str, name: str, caller: Caller) -> Document:
        arn = name if name.startswith("arn:") else self._platform.arn(FEATURE_GROUP, name)
        self._platform.host.check(caller, f"sagemaker:{operation}", arn)
        group = self._groups.group(name)
        key = group.get("OnlineStoreConfig", {}).get("SecurityConfig", {}).get("KmsKeyId")
        if key:
            self._platform.host.check(caller, "kms:Decrypt", key)
        return group

    def _put(self, group: Document, params: Document) -> None:
        entry = parse_record(group, params["Record"])
        stores = _stores(group, params)
        self._take(group)
        if "OnlineStore" in stores:
            self._records.put(group["_Store"], entry, expiry(group, params, entry.event_time))
        if "OfflineStore" in stores:
            self._records.append(group["_Store"], entry, deleted=False)

    def _delete(self, group: Document, params: Document) -> None:
        identifier, text = params["RecordIdentifierValueAsString"], params["EventTime"]
        values = {group["RecordIdentifierFeatureName"]: identifier, group["EventTimeFeatureName"]: text}
        entry = Entry(identifier, parse_event_time(group, text), values)
        stores = _stores(group, params)
        self._take(group)
        if "OnlineStore" in stores:
            if params.get("DeletionMode", "SoftDelete") == "SoftDelete":
                self._records.hide(group["_Store"], entry)
            elif not self._records.drop(group["_Store"], entry):
                raise refused(f"Validation Error: EventTime [{text}] must be later than that of the existing record")
        if "OfflineStore" in stores:
            self._records.append(group["_Store"], entry, deleted=True)

    def _take(self, group: Document) -> None:
        if not self._throughput.takes(group, "Write"):
            raise ServiceError("ThrottlingException", "Rate exceeded")

    def _get(self, group: Document, params: Document) -> Document:
        if not self._throughput.takes(group, "Read"):
            raise ServiceError("ThrottlingException", "Rate exceeded")
        found = self._find(group, params["RecordIdentifierValueAsString"])
        return {} if found is None else _found(found, group, params.get("FeatureNames"), params)

    def _batch_get(self, params: Document, caller: Caller) -> Document:
        records, errors, unprocessed = [], [], []
        for asked in params["Identifiers"]:
            name, wanted, later = asked["FeatureGroupName"], asked["RecordIdentifiersValueAsString"], []
            try:
                group = self._allowed("BatchGetRecord", name, caller)
            except ServiceError as error:
                errors += [
                    {
                        "FeatureGroupName": name,
                        "RecordIdentifierValueAsString": identifier,
                        "ErrorCode": error.code,
                        "ErrorMessage": error.message,
                    }
                    for identifier in wanted
                ]
                continue
            for identifier in wanted:
                if not self._throughput.takes(group, "Read"):
                    later.append(identifier)
                    continue
                found = self._find(group, identifier)
                if found is not None:
                    told = _found(found, group, asked.get("FeatureNames"), params)
                    records.append({"FeatureGroupName": name, "RecordIdentifierValueAsString": identifier, **told})
            if later:
                unprocessed.append({**asked, "RecordIdentifiersValueAsString": later})
        return {"Records": records, "Errors": errors, "UnprocessedIdentifiers": unprocessed}

    def _find(self, group: Document, identifier: str) -> Found | None:
        if not group.get("OnlineStoreConfig", {}).get("EnableOnlineStore"):
            raise refused(f"Validation Error: FeatureGroup [{group['FeatureGroupName']}] has no online store")
        return self._records.find(group["_Store"], identifier)


def _found(found: Found, group: Document, wanted: list[str] | None, params: Document) -> Document:
    answer: Document = {"Record": shown(found.entry, group, wanted)}
    if params.get("ExpirationTimeResponse") == "Enabled" and found.expires is not None:
        answer["ExpiresAt"] = f"{dt.datetime.fromtimestamp(found.expires, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return answer


def _stores(group: Document, params: Document) -> list[str]:
    has = {
        "OnlineStore": bool(group.get("OnlineStoreConfig", {}).get("EnableOnlineStore")),
        "OfflineStore": "OfflineStoreConfig" in group,
    }
    for store in params.get("TargetStores", ()):
        if not has[store]:
            raise refused(f"Validation Error: {store} is not enabled for FeatureGroup [{group['FeatureGroupName']}]")
    return [store for store in _STORES if has[store] and store in params.get("TargetStores", _STORES)]


def _of_query(queries: Mapping[str, Sequence[str]]) -> Document:
    """The members that a request carries in its query."""
    lists = {"FeatureName": "FeatureNames", "TargetStores": "TargetStores"}
    return {lists.get(key, key): list(values) if key in lists else values[-1] for key, values in queries.items()}


def _checked(operation: str, params: Document) -> Document:
    given = {name: value for name, value in params.items() if value is not None}
    validate(service_model(_SERVICE).operation_model(operation).input_shape, given, code="ValidationError")
    return given


def _answer(document: Document) -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps(document).encode())
