"""Small pieces of the report's HTML; every text is escaped, every table has a caption and header cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f6f7f9; --ink: #1b1f24; --muted: #59636e; --grid: #d5dae0;
  --first: #0b5cad; --second: #7da7cf; --less: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2228; --ink: #e6e9ed; --muted: #a3adb8;
  --grid: #3a424c; --first: #6cb2f7; --second: #3f6a94; --less: #ff9d6c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, Roboto, sans-serif; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .5rem 0; max-width: 46rem; }
footer { color: var(--muted); font-size: .85rem; padding-top: 2rem; padding-bottom: 3rem; }
code { font: .85em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .75rem 0; }
.pair { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.pair > * { flex: 1 1 20rem; min-width: 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 50%; }
caption { text-align: left; color: var(--muted); padding: .25rem 0; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0;
  border-bottom: 1px solid var(--grid); vertical-align: top; }
thead th { color: var(--muted); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--first); }
figure { margin: 1rem 0; }
figcaption { color: var(--muted); font-size: .9rem; }
svg { display: block; height: auto; font: 12px system-ui, "Segoe UI", Roboto, sans-serif; }
svg.wide { width: 100%; max-width: 48rem; min-width: 30rem; }
svg.square { width: 100%; max-width: 22rem; }
svg text { fill: var(--ink); dominant-baseline: central; }
svg .name, svg .value, svg .up { text-anchor: end; }
svg .value { font-variant-numeric: tabular-nums; }
svg .tick, svg .axis-name { fill: var(--muted); font-size: 10px; text-anchor: middle; }
svg .up { text-anchor: end; }
svg .bar { fill: var(--first); }
svg .less { fill: var(--less); }
svg .axis { stroke: var(--muted); }
svg .grid { stroke: var(--grid); stroke-width: .5; }
svg .interval { stroke: var(--ink); stroke-width: 1.2; fill: none; }
svg polyline { fill: none; stroke: var(--first); stroke-width: 1.8; }
svg polyline.diagonal { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 4 3; }
svg .dot { fill: var(--first); }
@media print { details > * { display: block; } }
"""


@dataclass(frozen=True)
class Html:
    """Text that is HTML already."""

    text: str


def join(parts: Iterable[Html]) -> Html:
    """Give pieces one after the other."""
    return Html("\n".join(part.text for part in parts))


def page(title: str, head: Html, parts: Iterable[Html], foot: str) -> str:
    """Give a whole page that refers to nothing outside of itself."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><header>{head.text}</header>\n"
        f"<main>{join(parts).text}</main>\n<footer><p>{escape(foot)}</p></footer></body></html>\n"
    )


def section(anchor: str, title: str, *parts: Html) -> Html:
    """Give a part of the page with a heading."""
    inner = join(parts).text
    heading = f'<h2 id="{anchor}-title">{escape(title)}</h2>'
    return Html(f'<section id="{anchor}" aria-labelledby="{anchor}-title">{heading}{inner}</section>')


def subheading(text: str) -> Html:
    """Give a heading within a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def paragraph(text: str) -> Html:
    """Give a paragraph."""
    return Html(f"<p>{escape(text)}</p>")


def figure(svg: str, caption: str) -> Html:
    """Give a picture with a caption."""
    return Html(f'<figure><div class="scroll">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>')


def pair(*parts: Html) -> Html:
    """Give pieces side by side where there is room."""
    return Html(f'<div class="pair">{"".join(f"<div>{part.text}</div>" for part in parts)}</div>')


def cards(values: Iterable[tuple[str, str]]) -> Html:
    """Give names with short values."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values)
    return Html(f"<dl>{shown}</dl>")


def details(summary: str, *parts: Html) -> Html:
    """Give something that opens on demand."""
    return Html(f"<details><summary>{escape(summary)}</summary>{join(parts).text}</details>")


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> Html:
    """Give a table; the first columns, as many as ``texts``, are words and the others figures."""

    def kind(place: int) -> str:
        return "" if place < texts else ' class="number"'

    head = "".join(f'<th scope="col"{kind(place)}>{escape(name)}</th>' for place, name in enumerate(header))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{kind(place)}>{escape(cell)}</td>" for place, cell in enumerate(row[1:], start=1))
        + "</tr>"
        for row in rows
    )
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
