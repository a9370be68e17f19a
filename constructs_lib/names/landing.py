"""Folders of a workload in the landing zone, and names of what the ingestion paths remember."""

from __future__ import annotations

from dataclasses import asdict, dataclass

SCORING = "scoring"
"""Folder of a workload's part of the landing zone below which rows lie that are to be scored."""


@dataclass(frozen=True)
class LandingFolders:
    """Where files lie on their way into a batch, as prefixes of keys that end in ``/``.

    Attributes:
        incoming: ``<source>/…`` below it: files that no batch has taken yet.
        pulled: ``<source>/…`` below it: what a pull has written and not yet handed over.
        files: ``<source>/<sha256>…`` below it: files that batches name, for good.
        batches: ``<number>/_batch.json`` below it.
        failed: ``<source>/…`` below it: records that a stream could not deliver.
    """

    incoming: str
    pulled: str
    files: str
    batches: str
    failed: str

    @classmethod
    def of(cls, workload: str) -> LandingFolders:
        """Returns the folders of a workload."""
        return cls(*(f"{workload}/{name}/" for name in ("incoming", "pulled", "files", "batches", "failed")))

    def as_dict(self) -> dict[str, str]:
        """Returns the folders by name, as the functions get them."""
        return asdict(self)


def pull_item(workload: str, source: str) -> str:
    """Returns the key of the item that remembers how far a source has been pulled."""
    return f"pull#{workload}#{source}"


def batch_item(workload: str) -> str:
    """Returns the key of the item that counts the batches of a workload."""
    return f"batch#{workload}"
