"""Patterns of service models are Java's; here they become Python's."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from itertools import groupby

_PROPERTY = re.compile(r"\\p\{(\w+)\}")
_QUANTIFIED_END = re.compile(r"\$\{\d+(,\d*)?\}")
_SURROGATES = r"\uD800\uDC00-\uDBFF\uDFFF"
_POSIX = {"Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z", "Digit": "0-9", "Lower": "a-z", "Print": " -~", "Upper": "A-Z"}


@cache
def compile_java(pattern: str) -> re.Pattern[str]:
    r"""Compile a Java pattern; match it with ``fullmatch``, as ``String.matches`` does.

    Unicode categories (``\p{L}``) may stand inside a character class or alone. ``\w``, ``\d`` and
    ``\s`` are ASCII, as in Java. A pair of surrogates is one character in Java, so a range between two pairs is the
    range of the supplementary planes.
    """
    text = pattern.replace(_SURROGATES, "\\U00010000-\\U0010ffff")
    text = _QUANTIFIED_END.sub("$", text)
    text = _PROPERTY.sub(_class_of, text)
    return re.compile(text, re.ASCII)


def _class_of(match: re.Match[str]) -> str:
    before = match.string[: match.start()]
    characters = _characters(match[1])
    return characters if before.rfind("[") > before.rfind("]") else f"[{characters}]"


def _characters(name: str) -> str:
    if name in _POSIX:
        return _POSIX[name]
    ranges = _category_ranges()[name]
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def _category_ranges() -> dict[str, list[tuple[int, int]]]:
    """For each major category (``L``, ``N``, …), the ranges of its code points."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    start = 0
    letters = (unicodedata.category(chr(point))[0] for point in range(sys.maxunicode + 1))
    for letter, run in groupby(letters):
        length = sum(1 for _ in run)
        ranges.setdefault(letter, []).append((start, start + length - 1))
        start += length
    return ranges
