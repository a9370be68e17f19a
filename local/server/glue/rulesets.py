"""Rulesets of Data Quality: kept and shown, never run. The data job judges by the same rules itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.server import clock
from local.server.host import ServiceError

Document = dict[str, Any]

_MOST_PER_PAGE = 1000
_SHOWN = ("Name", "Description", "TargetTable", "CreatedOn", "LastModifiedOn")


class Rulesets:
    """The operations on rulesets, and one JSON file with all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rulesets: dict[str, Document] = json.loads(path.read_text()) if path.exists() else {}
        self.operations: dict[str, Callable[[Document], Document]] = {
            "CreateDataQualityRuleset": self._create,
            "UpdateDataQualityRuleset": self._update,
            "DeleteDataQualityRuleset": self._delete,
            "GetDataQualityRuleset": self._get,
            "ListDataQualityRulesets": self._list,
        }

    def _create(self, request: Document) -> Document:
        name, now = request["Name"], clock.now()
        with self._lock:
            if name in self._rulesets:
                raise ServiceError("AlreadyExistsException", f"Data quality ruleset {name} already exists")
            kept = {key: value for key, value in request.items() if key != "ClientToken"}
            self._keep({**self._rulesets, name: {**kept, "CreatedOn": now, "LastModifiedOn": now}})
        return {"Name": name}

    def _update(self, request: Document) -> Document:
        with self._lock:
            changed = {**self._find(request), **request, "LastModifiedOn": clock.now()}
            self._keep({**self._rulesets, request["Name"]: changed})
        return {key: changed[key] for key in ("Name", "Description", "Ruleset") if key in changed}

    def _delete(self, request: Document) -> Document:
        with self._lock:
            self._find(request)
            self._keep({name: each for name, each in self._rulesets.items() if name != request["Name"]})
        return {}

    def _get(self, request: Document) -> Document:
        with self._lock:
            return {key: value for key, value in self._find(request).items() if key != "Tags"}

    def _list(self, request: Document) -> Document:
        wanted, start = request.get("Filter", {}), int(request.get("NextToken", 0))
        end = start + int(request.get("MaxResults", _MOST_PER_PAGE))
        with self._lock:
            found = [each for _, each in sorted(self._rulesets.items()) if _fits(each, wanted, request.get("Tags", {}))]
        page = [{key: each[key] for key in _SHOWN if key in each} for each in found[start:end]]
        return {"Rulesets": page, **({"NextToken": str(end)} if end < len(found) else {})}

    def _find(self, request: Document) -> Document:
        if request["Name"] not in self._rulesets:
            raise ServiceError("EntityNotFoundException", f"Data quality ruleset {request['Name']} is not found")
        return self._rulesets[request["Name"]]

    def _keep(self, rulesets: dict[str, Document]) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(rulesets))
        draft.replace(self._path)
        self._rulesets = rulesets


def _fits(ruleset: Document, wanted: Document, tags: Document) -> bool:
    same = all(ruleset.get(key) == wanted[key] for key in ("Name", "Description", "TargetTable") if key in wanted)
    since = all(ruleset[f"{key[: -len('After')]}On"] > wanted[key] for key in wanted if key.endswith("After"))
    until = all(ruleset[f"{key[: -len('Before')]}On"] < wanted[key] for key in wanted if key.endswith("Before"))
    return same and since and until and tags.items() <= ruleset.get("Tags", {}).items()
