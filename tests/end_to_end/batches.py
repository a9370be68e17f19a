"""Batches of real flights, and what can be wrong with them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from local.flights import Batch, BatchFile, Months, build_batch
from local.landing import BATCH_FILE
from tests.end_to_end.live import WORKLOAD, Live

Lines = list[bytes]


@cache
def flights_of(month: int, sample: int) -> Batch:
    """Some flights of a month of 2013, with everything that belongs to them."""
    return build_batch(WORKLOAD, Months(month, month), sample=sample)


def file_of(batch: Batch, source: str) -> BatchFile:
    """The only file of a source."""
    return next(file for file in batch.files if file.source == source)


def lines_of(batch: Batch, source: str) -> Lines:
    """The lines of a source, header first, each with its end."""
    file = file_of(batch, source)
    plain = gzip.decompress(file.content) if file.key.endswith(".gz") else file.content
    return plain.splitlines(keepends=True)


def with_file(batch: Batch, changed: BatchFile) -> Batch:
    """The batch with another file for a source."""
    return replace(batch, files=tuple(changed if file.source == changed.source else file for file in batch.files))


def with_content(batch: Batch, source: str, content: bytes) -> Batch:
    """The batch with other bytes for a source; its document tells the truth about them."""
    return with_file(batch, replace(file_of(batch, source), content=content))


def with_lines(batch: Batch, source: str, change: Callable[[Lines], Lines]) -> Batch:
    """The batch with other lines for a source, uncompressed or compressed as before."""
    content = b"".join(change(lines_of(batch, source)))
    packed = file_of(batch, source).key.endswith(".gz")
    return with_content(batch, source, gzip.compress(content, mtime=0) if packed else content)


@dataclass(frozen=True)
class Delivery:
    """Files and a ``_batch.json`` that may say something else."""

    files: tuple[BatchFile, ...]
    document: dict[str, Any]

    @classmethod
    def of(cls, batch: Batch) -> Delivery:
        """What an honest sender delivers."""
        return cls(batch.files, batch.document())

    def saying(self, source: str, **members: Any) -> Delivery:
        """The same files; ``_batch.json`` says other things about one of them."""
        files = [{**file, **(members if file["source"] == source else {})} for file in self.document["files"]]
        return replace(self, document={**self.document, "files": files})

    def without(self, source: str) -> Delivery:
        """The same ``_batch.json``; a file stays away."""
        return replace(self, files=tuple(file for file in self.files if file.source != source))

    def reversed(self) -> Delivery:
        """The same files; ``_batch.json`` lists them the other way round."""
        return replace(self, document={**self.document, "files": self.document["files"][::-1]})


def put_files(live: Live, delivery: Delivery, folder: str) -> str:
    """Put the files into a folder of the landing zone; returns the folder's URI."""
    place = f"{live.zone('landing')}{folder}/"
    for file in delivery.files:
        live.write(place + file.key, file.content)
    return place


def deliver(live: Live, delivery: Delivery, folder: str) -> str:
    """Land a delivery, which sets off the loop; returns the URI of ``_batch.json``."""
    uri = put_files(live, delivery, folder) + BATCH_FILE
    live.write(uri, json.dumps(delivery.document).encode())
    return uri


def data_input(live: Live, delivery: Delivery, folder: str, **more: Any) -> dict[str, Any]:
    """Put a delivery where it sets nothing off; returns an input of the data machine for it."""
    uri = put_files(live, delivery, folder) + ".batch.json"
    live.write(uri, json.dumps(delivery.document).encode())
    return {"batch_uri": uri, "as_of": "2014-01-01T00:00:00Z", "bundle": live.bundle, **more}
