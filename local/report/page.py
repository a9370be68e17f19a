"""The whole report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from html import escape
from pathlib import Path

from local.failures import Explanation
from local.report.content import Content
from local.report.data import quality
from local.report.exploration import profile
from local.report.html import Html, details, figure, paragraph, section, table
from local.report.lineage import build_graph, draw
from local.report.model import deployment, gate, model
from local.report.pipelines import pipelines

_STYLE = Path(__file__).with_name("style.css")
_PARTS = {
    "pipelines": "Pipelines",
    "quality": "Data quality",
    "profile": "Data profile",
    "model": "Model",
    "gate": "Gate",
    "lineage": "Lineage",
    "deployment": "Deployment",
}


def render_page(content: Content, failure: Explanation | None = None) -> str:
    """The report as HTML; a failure is told at the top."""
    title = f"{content.workload}: run {content.chain.run_id}"
    links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name in _PARTS.items())
    parts = [
        pipelines(content),
        quality(content),
        profile(content),
        model(content),
        gate(content),
        lineage(content),
        deployment(content),
    ]
    body = "\n".join(part.text for part in parts)
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
<h1>{escape(content.workload)}</h1>
<p>Run {escape(content.chain.run_id)} in stage {escape(content.stage)}: {escape(content.chain.outcome())}.</p>
{_cards(content).text}
{_failure(failure).text}
<nav aria-label="Parts of the report"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
<footer>Times are UTC. Everything on this page comes from the run's own records.</footer>
</body>
</html>
"""


def _cards(content: Content) -> Html:
    loop = content.chain.of("loop")
    rows_in = content.report["phases"]["validation"]["rows_in"] if content.report else None
    facts = {
        "Data as of": str(loop.input.get("as_of", "-")).partition("T")[0] if loop else "-",
        "Rows landed": f"{rows_in:,}" if rows_in is not None else "-",
        "Dataset version": (content.dataset_version or "-")[:10],
        "AUC on held-back rows": f"{content.auc:.3f}" if content.auc is not None else "-",
        "Pipelines": _pipeline_seconds(content),
        "Endpoint": content.endpoint["EndpointStatus"] if content.endpoint else "-",
    }
    cards = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return Html(f'<dl class="cards">{cards}</dl>')


def _pipeline_seconds(content: Content) -> str:
    executions = content.chain.executions
    ends = [item.ended for item in executions if item.ended is not None]
    if not ends:
        return "-"
    return f"{(max(ends) - min(item.started for item in executions)).total_seconds():.1f} s"


def _failure(failure: Explanation | None) -> Html:
    if failure is None:
        return Html("")
    return Html(
        f'<div class="failure" role="alert"><strong>This run failed.</strong><pre>{escape(failure.text())}</pre></div>'
    )


def lineage(content: Content) -> Html:
    """What was made from what, as a picture and as a table."""
    graph = build_graph(content)
    if not graph.nodes:
        return section("lineage", "Lineage", paragraph("The run has not made anything yet."))
    rows = table("Lineage", ["Thing", "Kind", "Pinned by", "Made from"], graph.rows())
    picture = figure(draw(graph), "From the landed objects on the left to the endpoint on the right")
    return section("lineage", "Lineage", picture, details("Lineage as a table", rows))
