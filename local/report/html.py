"""Small pieces of HTML: everything that is text is escaped, every table has a caption and header cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Html:
    """Text that is HTML already."""

    text: str


@dataclass(frozen=True)
class Share:
    """A part of a whole, between 0 and 1; ``None`` where there is no whole."""

    value: float | None

    @classmethod
    def of(cls, part: int | None, whole: int) -> Share:
        """The share of a part; None where there is none."""
        return cls(part / whole if whole and part is not None else None)


@dataclass(frozen=True)
class Fixed:
    """A number with a fixed number of digits after the point; ``None`` where there is none."""

    value: float | None
    digits: int = 2


Cell = Html | Share | Fixed | str | int | float | bool | None


def show(value: Cell) -> str:
    """A value as HTML: numbers with separators, a dash for nothing."""
    if isinstance(value, Html):
        return value.text
    if value is None or (isinstance(value, Share | Fixed) and value.value is None):
        return '<span class="none">&ndash;</span>'
    if isinstance(value, Share):
        return f"{value.value:.2%}"
    if isinstance(value, Fixed):
        return f"{value.value:,.{value.digits}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return escape(value)


def join(parts: Iterable[Html]) -> Html:
    """Pieces one after the other."""
    return Html("\n".join(part.text for part in parts))


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Html:
    """A table that scrolls by itself on a narrow screen; the first cell of a row names the row."""
    lines = [list(row) for row in rows]
    kinds = [' class="number"' if any(_is_number(row[index]) for row in lines) else "" for index in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    body = "".join(_row(row, kinds) for row in lines)
    if not lines:
        body = f'<tr><td colspan="{len(header)}" class="none">none</td></tr>'
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[Cell], kinds: Sequence[str]) -> str:
    cells = "".join(f"<td{kind}>{show(value)}</td>" for value, kind in zip(row[1:], kinds[1:], strict=True))
    return f'<tr><th scope="row">{show(row[0])}</th>{cells}</tr>'


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float | Share | Fixed) and not isinstance(value, bool)


def section(anchor: str, title: str, *parts: Html) -> Html:
    """A part of the page with a heading that can be linked to."""
    inner = "\n".join(part.text for part in parts)
    return Html(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h2 id="{anchor}-title">{escape(title)}</h2>\n{inner}\n</section>'
    )


def paragraph(text: str) -> Html:
    """One paragraph of plain text."""
    return Html(f"<p>{escape(text)}</p>")


def figure(svg: str, caption: str) -> Html:
    """A picture with a caption, which is also what a screen reader says."""
    label = escape(caption, quote=True)
    return Html(
        f'<figure><div class="chart" role="img" aria-label="{label}">{svg}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def details(summary: str, inner: Html) -> Html:
    """Something that opens on demand."""
    return Html(f"<details><summary>{escape(summary)}</summary>{inner.text}</details>")


def framed(title: str, page: str) -> Html:
    """A whole page within this one; it runs no script and reaches nothing outside."""
    return Html(f'<iframe title="{escape(title, quote=True)}" sandbox srcdoc="{escape(page, quote=True)}"></iframe>')


def badge(text: str, *, good: bool) -> Html:
    """A word that is good or bad, told by a sign as well as by colour."""
    sign, kind = ("✓", "good") if good else ("✗", "bad")
    return Html(f'<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {escape(text)}</span>')


def code(text: str) -> Html:
    """A name or a digest."""
    return Html(f"<code>{escape(text)}</code>")


def cards(facts: Mapping[str, str]) -> Html:
    """A few facts that are seen first."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return Html(f'<dl class="cards">{shown}</dl>')


def page(title: str, heading: str, head: Html, anchors: Mapping[str, str], parts: Iterable[Html], footer: str) -> str:
    """A whole page that needs nothing but itself.

    Args:
        title: Of the window.
        head: What stands between the heading and the links.
        anchors: Anchor of each part → its name.
    """
    links = "".join(f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name in anchors.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(heading)}</h1>
{head.text}
<nav aria-label="Parts of the report"><ul>{links}</ul></nav>
</header>
<main>
{join(parts).text}
</main>
<footer>{escape(footer)}</footer>
</body>
</html>
"""
