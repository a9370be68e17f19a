"""The text of a comment. What the build wrote is shown, never rendered: nobody is mentioned, nothing becomes a link."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 30_000
"""Characters of the difference in a comment; of the three hosts Bitbucket takes the shortest, 32,768."""

_END = 10_000
"""How much of that is its end, where the judgement is."""

_MARKER = re.compile(r"\[//\]: # \(gapless pull request: ([a-z0-9-]+), build ([0-9]{1,15})\)")


def marker(pipeline: str, build: int) -> str:
    """Give the first line of a comment: a definition of a link that nobody uses, so no host shows it."""
    return f"[//]: # (gapless pull request: {pipeline}, build {build})"


def build_of(pipeline: str, text: str) -> int | None:
    """Give the build that a comment is about; None where it is none of this pipeline's comments."""
    found = _MARKER.match(text)
    return int(found[2]) if found is not None and found[1] == pipeline else None


def comment(pipeline: str, build: int, status: str, difference: str | None) -> str:
    """Lay out a comment.

    Args:
        pipeline: Name of the pipeline.
        build: Number of the build.
        status: How it ended.
        difference: What it wrote; None where it wrote nothing.
    """
    begin = f"{marker(pipeline, build)}\n\n"
    if difference is None:
        return f"{begin}Build {build} ended with {status} before it compared the templates; its log says why."
    end = "Written by the build of this pull request's own code; the whole is in its log."
    return f"{begin}What this changes in the templates (build {build}, {status}):\n\n{fenced(difference)}\n\n{end}"


def fenced(text: str) -> str:
    """Show a text as it is, in a fence that it cannot leave.

    Backticks become apostrophes, so no line can close the fence. Each line begins with a space, as a line that begins
    with a slash is a command in GitLab. Characters that are not seen, among them those that turn the direction of what
    follows, are replaced.
    """
    plain = "".join(map(_visible, text.replace("\r\n", "\n").replace("`", "'")))
    lines = "\n".join(f" {line}" for line in plain.split("\n"))
    if len(lines) > LONGEST:
        begin, end = lines[: LONGEST - _END].rstrip("\n"), lines[-_END:].lstrip("\n")
        lines = f"{begin}\n […]\n {end}"
    return f"```text\n{lines}\n```"


def _visible(character: str) -> str:
    seen = character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return character if seen else "\ufffd"
