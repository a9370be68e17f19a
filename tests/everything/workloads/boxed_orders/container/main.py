"""A whole container: counts how often orders of a kind were late, and answers with that share.

``main.py train`` and ``main.py serve`` are what SageMaker starts; both take the folder ``/opt/ml`` as last argument, so
that they run elsewhere as well. The model is a JSON file.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

FEATURES = ("items", "region")


def train(root: Path) -> None:
    """Count late orders by number of items and region; a few orders of a kind count less than all orders."""
    told = json.loads((root / "input/config/hyperparameters.json").read_text())
    rows = [
        row for path in sorted((root / "input/data/train").rglob("*.parquet")) for row in read(path, told["target"])
    ]
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for kind, late in rows:
        counts[kind][0] += late
        counts[kind][1] += 1
    overall, weight = sum(late for _, late in rows) / len(rows), float(told["weight"])
    shares = {kind: (late + weight * overall) / (all_ + weight) for kind, (late, all_) in sorted(counts.items())}
    (root / "model").mkdir(exist_ok=True)
    (root / "model/shares.json").write_text(json.dumps({"overall": overall, "shares": shares}))


def read(path: Path, target: str) -> list[tuple[str, bool]]:
    """Read the kind of each order and whether it was late."""
    table = pq.ParquetFile(path).read(columns=[*FEATURES, target])
    return [(kind_of(row), row[target]) for row in table.to_pylist()]


def kind_of(order: dict[str, Any]) -> str:
    """Say of which kind an order is."""
    return " ".join(str(order[name]) for name in FEATURES)


class Handler(BaseHTTPRequestHandler):
    """Answers ``/ping`` and ``/invocations``."""

    protocol_version = "HTTP/1.1"
    model: dict[str, Any]

    def do_GET(self) -> None:
        """The model is loaded before anything listens."""
        self.answer(200, {})

    def do_POST(self) -> None:
        """Answer ``{"instances": [{feature: value}]}``."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            instances = json.loads(body)["instances"]
            shares = [self.model["shares"].get(kind_of(each), self.model["overall"]) for each in instances]
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, {"error": f"instances: {type(error).__name__}: {error}"})
            return
        self.answer(200, {"predictions": [{"probability": share, "label": share >= 0.5} for share in shares]})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the log."""


def serve(root: Path) -> None:
    """Listen where SageMaker says, on 8080 unless there are several containers."""
    Handler.model = json.loads((root / "model/shares.json").read_text())
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    ThreadingHTTPServer(("", port), Handler).serve_forever()


if __name__ == "__main__":
    {"train": train, "serve": serve}[sys.argv[1]](Path(sys.argv[2] if len(sys.argv) > 2 else "/opt/ml"))
