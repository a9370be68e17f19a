"""A batch as the job reads it: the files that ``_batch.json`` names, and where they are."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from constructs_lib.names.batch import BatchFile, check_sources, read_files
from gapless_glue.contract import Contract
from gapless_glue.errors import BadBatch


@dataclass(frozen=True)
class Batch:
    """The files of a batch in canonical order: by source, then by content."""

    folder_uri: str
    files: tuple[BatchFile, ...]

    def of(self, source: str) -> list[BatchFile]:
        """Returns the files of one source, in canonical order."""
        return [file for file in self.files if file.source == source]


def parse_batch(text: bytes, uri: str, contract: Contract, *, needed: Collection[str]) -> Batch:
    """Reads the content of ``_batch.json``.

    Args:
        needed: The sources that it must hold files of.

    Raises:
        BadBatch: It is not JSON, or no batch of the workload.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadBatch(f"_batch.json is not JSON: {error}") from error
    files = read_files(content, workload=contract.name, sources=contract.sources)
    check_sources(files, needed)
    return Batch(uri.rsplit("/", 1)[0] + "/", files)
