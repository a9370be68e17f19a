"""AddTags, ListTags and DeleteTags."""

from __future__ import annotations

from local.server.host import Caller
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.resources import KINDS
from local.server.sagemaker.store import Document

_MOST_TAGS = 50


class Tags:
    """The tags of every kind of resource."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {"AddTags": self._add, "ListTags": self._list, "DeleteTags": self._delete}

    def _add(self, params: Document, _caller: Caller) -> Document:
        arn = self._existing(params["ResourceArn"])
        tags = {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        if len(self._platform.store.tags(arn) | tags) > _MOST_TAGS:
            raise invalid(f"{arn} would have more than {_MOST_TAGS} tags")
        self._platform.store.add_tags(arn, tags)
        return {"Tags": self._tags(arn)}

    def _list(self, params: Document, _caller: Caller) -> Document:
        return {"Tags": self._tags(self._existing(params["ResourceArn"]))}

    def _delete(self, params: Document, _caller: Caller) -> Document:
        self._platform.store.remove_tags(self._existing(params["ResourceArn"]), params["TagKeys"])
        return {}

    def _tags(self, arn: str) -> list[Document]:
        return [{"Key": key, "Value": value} for key, value in self._platform.store.tags(arn).items()]

    def _existing(self, arn: str) -> str:
        for kind in KINDS:
            for document in self._platform.store.all(kind.name):
                if document[kind.arn_member] == arn:
                    return arn
        raise invalid(f"Could not find resource {arn}")
