"""From text to tokens, each with its place; and the one error that every refusal of a document is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

END: Final = "end of text"
TOKENS: Final = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      |(?P<text>"(?:\\.|[^"\\])*")
      |(?P<number>\d+(?:\.\d+)?(?![\w.]))
      |(?P<variable>\$[A-Za-z_]\w*)
      |(?P<word>[\w.]+)
      |(?P<sign><=|>=|!=|[=<>\[\](){},:+*/-])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class DqdlError(ValueError):
    """A document that is not DQDL, or that names something unknown.

    Attributes:
        line: Line of the place, from 1.
        column: Column of the place, from 1.
        found: What stands there.
        allowed: What might stand there instead; empty when that is no question of words.
    """

    def __init__(self, what: str, line: int, column: int, found: str, allowed: Sequence[str] = ()) -> None:
        choice = f" (allowed: {', '.join(allowed)})" if allowed else ""
        super().__init__(f"line {line}, column {column}: {what}{choice}")
        self.what = what
        self.line = line
        self.column = column
        self.found = found
        self.allowed = tuple(allowed)


@dataclass(frozen=True)
class Token:
    """A word, number, sign, quoted text or variable, and where it starts and ends in the document."""

    kind: str
    text: str
    line: int
    column: int
    start: int
    end: int

    @property
    def value(self) -> str:
        """What a quoted text says: without its quotes, with ``\\"`` and ``\\\\`` resolved."""
        return re.sub(r'\\(["\\])', r"\1", self.text[1:-1])


def tokens_of(text: str) -> Iterator[Token]:
    """Yields the tokens of a document, the last of kind ``end``.

    Raises:
        DqdlError: There is a character that begins no token, or a text that is never closed.
    """
    position, line, line_start = 0, 1, 0
    while position < len(text):
        match = TOKENS.match(text, position)
        column = position - line_start + 1
        if match is None:
            what = "a text that is never closed" if text[position] == '"' else f"unexpected {text[position]!r}"
            raise DqdlError(what, line, column, text[position])
        if match.lastgroup != "blank":
            yield Token(str(match.lastgroup), match.group(), line, column, position, match.end())
        newlines = match.group().count("\n")
        if newlines:
            line += newlines
            line_start = position + match.group().rindex("\n") + 1
        position = match.end()
    yield Token("end", END, line, position - line_start + 1, position, position)


def text_between(source: str, tokens: Sequence[Token]) -> str:
    """Returns tokens as they were written, with one space where there was room or a comment between two."""
    parts = [tokens[0].text]
    for before, token in itertools.pairwise(tokens):
        parts.append(" " if source[before.end : token.start] else "")
        parts.append(token.text)
    return "".join(parts)
