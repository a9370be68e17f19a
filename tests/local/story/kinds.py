"""The drifting workload with a model of each kind that answers by containers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.local.story.drifting import FILES, Row, write_workload

_MAIN = '''\
"""Draws the line of least squares; without a library beside that which reads the splits."""

import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

root = Path(sys.argv[2])
if sys.argv[1] == "train":
    import pyarrow.parquet as pq

    told = json.loads((root / "input/config/hyperparameters.json").read_text())
    rows = [row for path in (root / "input/data/train").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    if "fail" in told:
        (root / "output/failure").write_text("told to fail")
        sys.exit(3)
    x, y = [row["above_mean"] for row in rows], [row[told["target"]] for row in rows]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)
    line = {"slope": slope, "bias": mean_y - slope * mean_x, "hidden": sorted(os.listdir())}
    (root / "model/line.json").write_text(json.dumps({**line, **told}))
    sys.exit()
line = json.loads((root / "model/line.json").read_text())
if "deaf" in line:
    sys.exit(4)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        name = line.get("called", "value")
        answers = [{name: line["slope"] * row["above_mean"] + line["bias"]} for row in rows]
        self.answer({"predictions": answers[int(line.get("lost", 0)):]})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
'''
_COMMANDS = {name: ["python3", "main.py", name, "/opt/ml"] for name in ("train", "serve")}
CONTAINER = {
    "container/Dockerfile": "FROM scratch\n",
    "container/gapless.json": json.dumps(_COMMANDS),
    "container/main.py": _MAIN,
    "container/.hidden": "no part of an image\n",
}


@dataclass(frozen=True)
class Kind:
    """How a model is made: what the workload file says, and more files of the folder.

    Attributes:
        problem: What the workload is to solve: a regression, or with another target or none.
    """

    making: str
    files: Mapping[str, str] = field(default_factory=dict)
    problem: str = "regression"

    def write(self, folder: Path, rows: Sequence[Row]) -> None:
        """Write the workload."""
        write_workload(folder, rows, self.making, **self.files)
        file = folder / "workload.yaml"
        text = file.read_text().replace("problem: regression", f"problem: {self.problem}")
        for old, new in _CHANGED[self.problem].items():
            text = text.replace(old, new)
        file.write_text(text)


_CHANGED = {
    "regression": {},
    "binary_classification": {"y: double": "y: boolean", "metric: mae": "metric: auc"},
    "clustering": {"target: y\n": "", "known_later: [y]": "", "metric: mae": "metric: mean_distance"},
}
"""What else a workload file says of another problem."""


def container(**hyperparameters: str) -> Kind:
    """A container that is told more."""
    told = f"training: {{hyperparameters: {json.dumps(hyperparameters)}}}\n" if hyperparameters else ""
    return Kind(f"model: {{kind: container}}\n{told}", CONTAINER)


def algorithm(name: str, **hyperparameters: str) -> Kind:
    """A built-in algorithm."""
    told = json.dumps({name: json.loads(value) for name, value in hyperparameters.items()})
    return Kind(f"model: {{kind: built_in, algorithm: {name}}}\ntraining: {{hyperparameters: {told}}}\n")


LINEAR = algorithm("linear-learner", epochs="3")
TREES = algorithm("xgboost", num_round="40")
CLUSTERS = replace(algorithm("kmeans", k="3"), problem="clustering")
SEARCH = Kind("model: {kind: automl, candidates: 1, allow_pickle: {reason: Autopilot keeps its models as pickles}}\n")
FRAMEWORK = Kind(
    "model: {image: 'pytorch:2.6.0'}\ntraining: {hyperparameters: {ridge: 0.001}}\n",
    {"inference.py": FILES["inference.py"].replace(' + 0 * row["height"]', "")},
)
"""Its scripts need no PyTorch; whether the machine has it is what decides."""
