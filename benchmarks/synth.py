"""How long ``python app.py`` takes for all stages: seconds, resources, milliseconds per resource."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
AIM = 8.0
"""Milliseconds per resource."""


def synthesise(folder: Path) -> float:
    """Synthesises into a folder and returns the seconds that it took, the start of Python and Node included."""
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "CDK_VALIDATION": "false"}
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "app.py")], check=True, env=environment)
    return time.perf_counter() - start


def count_resources(folder: Path) -> int:
    """Counts the resources of every template in an assembly."""
    return sum(len(json.loads(path.read_text())["Resources"]) for path in folder.rglob("*.template.json"))


def main() -> None:
    """Prints the times of some runs and what they come to for one resource."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        seconds = [synthesise(Path(folder) / str(run)) for run in range(runs)]
        resources = count_resources(Path(folder) / "0")
    print("seconds:", ", ".join(f"{each:.2f}" for each in seconds))  # noqa: T201
    print(f"resources: {resources}")  # noqa: T201
    for name, value in (("median", statistics.median(seconds)), ("best", min(seconds))):
        print(f"{name}: {value:.2f} s, {value / resources * 1000:.1f} ms per resource (aim: {AIM:.0f})")  # noqa: T201


if __name__ == "__main__":
    main()
