"""The way from raw objects to the endpoint, drawn as a graph in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from local.report.content import Content
from local.report.html import Cell

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _TOP = 172, 44, 46, 14, 30
_LONGEST = 23


@dataclass(frozen=True)
class Node:
    """A thing that data passed through: what it is, its name, and the digest or version that pins it."""

    key: str
    column: str
    name: str
    pin: str


@dataclass(frozen=True)
class Graph:
    """Nodes in columns, and which node was made from which."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]

    def rows(self) -> list[list[Cell]]:
        """Each node with what it was made from, for those who cannot see the picture."""
        names = {node.key: node.name for node in self.nodes}
        return [
            [node.name, node.column, node.pin, ", ".join(names[a] for a, b in self.edges if b == node.key) or "-"]
            for node in self.nodes
        ]


def build_graph(content: Content) -> Graph:
    """What the run's documents say about where its results came from."""
    nodes: list[Node] = []
    edges: list[tuple[str, str]] = []
    manifest = content.manifest
    if manifest is not None:
        _add_data(nodes, edges, manifest)
    if content.package is not None:
        sha256 = content.package.get("CustomerMetadataProperties", {}).get("model_sha256", "")
        name = "version " + str(content.package.get("ModelPackageVersion", "?"))
        nodes.append(Node("package", "model package", name, sha256[:12]))
        edges += [("dataset", "package"), ("bundle", "package")] if manifest is not None else []
    if content.endpoint is not None and content.endpoint_config is not None and content.package is not None:
        nodes.append(Node("endpoint", "endpoint", content.endpoint["EndpointName"], content.endpoint["EndpointStatus"]))
        edges.append(("package", "endpoint"))
    return Graph(tuple(nodes), tuple(edges))


def _add_data(nodes: list[Node], edges: list[tuple[str, str]], manifest: object) -> None:
    assert isinstance(manifest, dict)  # noqa: S101 - it was read from JSON
    for item in manifest["inputs"]:
        key = f"raw {item['source']} {item['key']}"
        nodes.append(Node(key, "landed", item["key"].rpartition("/")[2], item["sha256"][:12]))
        edges.append((key, f"validated {item['source']}"))
    for source in dict.fromkeys(item["source"] for item in manifest["inputs"]):
        nodes.append(Node(f"validated {source}", "validated, quarantine", source, f"version {manifest['version'][:8]}"))
        edges.append((f"validated {source}", "features"))
    nodes.append(Node("features", "curated", "features", f"version {manifest['version'][:8]}"))
    nodes.append(Node("bundle", "curated", "scripts (bundle)", manifest["bundle"][:12]))
    nodes.append(Node("dataset", "dataset", "train, validation, test", manifest["version"][:12]))
    edges += [("features", "dataset"), ("bundle", "dataset")]


def draw(graph: Graph) -> str:
    """The graph as SVG; its colours come from the page."""
    columns = _columns(graph.nodes)
    tallest = max(len(column) for column in columns.values())
    height = _TOP + tallest * (_HEIGHT + _GAP_Y)
    width = len(columns) * (_WIDTH + _GAP_X) - _GAP_X
    places = _places(columns, tallest)
    heads = "".join(
        f'<text class="head" x="{index * (_WIDTH + _GAP_X)}" y="14">{escape(name)}</text>'
        for index, name in enumerate(columns)
    )
    edges = "".join(_edge(places[a], places[b]) for a, b in graph.edges)
    nodes = "".join(_box(node, *places[node.key]) for node in graph.nodes)
    return (
        f'<svg class="lineage" viewBox="0 0 {width} {height}" style="min-width: {width * 0.62:.0f}px; '
        f'max-width: {width}px">{heads}{edges}{nodes}</svg>'
    )


def _columns(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    columns: dict[str, list[Node]] = {}
    for node in nodes:
        columns.setdefault(node.column, []).append(node)
    return columns


def _places(columns: dict[str, list[Node]], tallest: int) -> dict[str, tuple[float, float]]:
    """The upper left corner of each node; each column is centred."""
    step = _HEIGHT + _GAP_Y
    return {
        node.key: (index * (_WIDTH + _GAP_X), _TOP + (tallest - len(column)) * step / 2 + row * step)
        for index, column in enumerate(columns.values())
        for row, node in enumerate(column)
    }


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH, start[1] + _HEIGHT / 2, end[0], end[1] + _HEIGHT / 2
    bend = (x2 - x1) / 2
    return f'<path class="edge" d="M {x1} {y1} C {x1 + bend} {y1}, {x2 - bend} {y2}, {x2} {y2}"/>'


def _box(node: Node, x: float, y: float) -> str:
    name = node.name if len(node.name) <= _LONGEST else node.name[: _LONGEST - 1] + "…"
    return (
        f"<g><title>{escape(node.column)}: {escape(node.name)} {escape(node.pin)}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{x + 10}" y="{y + 18}">{escape(name)}</text>'
        f'<text class="pin" x="{x + 10}" y="{y + 35}">{escape(node.pin)}</text></g>'
    )
