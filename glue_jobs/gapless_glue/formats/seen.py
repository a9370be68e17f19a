"""What a reader saw of a file's columns, and whether they may be other columns than the contract's."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gapless_glue.contract import Source
from gapless_glue.errors import BadSchema

MOST_NAMES = 100
MOST_FINDINGS = 20


@dataclass
class Seen:
    """The columns of one file against those of its source; complete when the last row was read.

    Attributes:
        added: Columns that the source does not have.
        dropped: Columns of the source that the file does not have.
        order: The source's columns in the file's order, where that is not the contract's; else empty.
        kinds: Column → kinds of its values that do not fit its type, in a format with kinds of its own.
    """

    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    kinds: dict[str, set[str]] = field(default_factory=dict)

    def look_at(self, names: Sequence[str], source: Source, key: str, *, ordered: bool = True) -> None:
        """Compares a file's columns with the contract's.

        Args:
            names: The file's columns; those beyond the contract's may be cut off after ``MOST_NAMES``.
            source: What the file is.
            key: The file's key, for the message.
            ordered: Whether the order of the columns means something in this format.

        Raises:
            BadSchema: A column is given twice, none is the contract's, or the source's policy says to stop.
        """
        expected, given = source.names, set(names)
        known = set(expected)
        found = [name for name in names if name in known]
        self.added = [name for name in names if name not in known]
        self.dropped = [name for name in expected if name not in given]
        in_order = found == [name for name in expected if name in given]
        self.order = [] if in_order or not ordered else found
        findings = self._findings(names, source)
        if findings:
            told = findings[:MOST_FINDINGS] + ["…"] * (len(findings) > MOST_FINDINGS)
            raise BadSchema(f"{key}: {'; '.join(told)} (source {source.name} has: {', '.join(expected)})")

    def note_kind(self, column: str, kind: str) -> None:
        """Notes that a value of a column is of a kind that does not fit."""
        self.kinds.setdefault(column, set()).add(kind)

    def _findings(self, names: Sequence[str], source: Source) -> list[str]:
        policy = source.drift
        nothing = len(self.dropped) == len(source.names)
        stopped = policy.dropped == "stop" or nothing
        missing = [
            name for name in self.dropped if stopped or (policy.dropped == "accept" and name in source.never_null)
        ]
        extra = self.added if policy.added == "stop" or nothing else []
        renamed = {near for name in missing for near in _near(name, self.added)}
        findings = [_missing_column(name, self.added, needed=not stopped) for name in missing]
        findings += [f"unexpected column {name!r}" for name in extra if name not in renamed]
        findings += [f"column {name!r} is given twice" for name, times in sorted(Counter(names).items()) if times > 1]
        if self.order and policy.reordered == "stop":
            findings.append(f"columns are in another order: {', '.join(self.order)}")
        return findings


def _missing_column(name: str, added: Iterable[str], *, needed: bool) -> str:
    near = "".join(f", renamed to {other!r}?" for other in _near(name, added))
    return f"missing column {name!r}{near}" + (", without which no row can be accepted" if needed else "")


def _near(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), n=1)
