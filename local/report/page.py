"""The whole report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from html import escape

from local.failures import Explanation
from local.report.content import Content
from local.report.data import quality
from local.report.evaluation import headline, model
from local.report.exploration import profile
from local.report.html import Html, cards, details, figure, join, page, paragraph, section, table
from local.report.lineage import build_graph, draw
from local.report.model import deployment, gate
from local.report.pipelines import pipelines
from local.report.runs import runs
from local.report.sizing import sizes

_PARTS = {
    "pipelines": "Pipelines",
    "quality": "Data quality",
    "profile": "Data profile",
    "model": "Model",
    "gate": "Gate",
    "runs": "Training runs",
    "lineage": "Lineage",
    "deployment": "Deployment",
    "sizes": "Sizes and costs",
}


def render_page(content: Content, failure: Explanation | None = None) -> str:
    """The report as HTML; a failure is told at the top."""
    parts = [
        pipelines(content),
        quality(content),
        profile(content),
        model(content),
        gate(content),
        runs(content),
        lineage(content),
        deployment(content),
        sizes(content),
    ]
    run = f"Run {content.chain.run_id} in stage {content.stage}: {content.chain.outcome()}."
    return page(
        f"{content.workload}: run {content.chain.run_id}",
        content.workload,
        join([paragraph(run), _cards(content), _failure(failure)]),
        _PARTS,
        parts,
        "Times are UTC. Everything on this page comes from the run's own records.",
    )


def _cards(content: Content) -> Html:
    loop = content.chain.of("loop")
    rows_in = content.report["phases"]["validation"]["rows_in"] if content.report else None
    metric, value = headline(content.evaluation) if content.evaluation else ("Metric", None)
    facts = {
        "Data as of": str(loop.input.get("as_of", "-")).partition("T")[0] if loop else "-",
        "Rows landed": f"{rows_in:,}" if rows_in is not None else "-",
        "Dataset version": (content.dataset_version or "-")[:10],
        f"{metric} on held-back rows": f"{value:.3f}" if value is not None else "-",
        "Pipelines": _pipeline_seconds(content),
        "Endpoint": content.endpoint["EndpointStatus"] if content.endpoint else "-",
    }
    return cards(facts)


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
