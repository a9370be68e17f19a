"""A batch as the job reads it: the files that ``_batch.json`` names, and where they are."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from constructs_lib.names.batch import BatchFile, batch_folder, check_sources, read_files
from gapless_glue.contract import Contract
from gapless_glue.errors import BadBatch


@dataclass(frozen=True)
class Batch:
    """The files of a batch in canonical order: by source, then by content.

    The keys are relative to the folder, which is that of ``_batch.json`` or, by its ``above``, one further up.
    """

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
    scheme, _, path = uri.partition("://")
    bucket, _, key = path.partition("/")
    return Batch(f"{scheme}://{bucket}/{batch_folder(content, key)}", files)
