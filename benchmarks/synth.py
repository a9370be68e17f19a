"""How long ``python app.py`` takes for all stages, and for one: seconds, resources, milliseconds per resource."""

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


STAGE = "dev"


def synthesise(folder: Path, stage: str | None) -> float:
    """Synthesises into a folder and returns the seconds that it took, the start of Python and Node included."""
    context = json.dumps({} if stage is None else {"stage": stage})
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "CDK_VALIDATION": "false", "CDK_CONTEXT_JSON": context}
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "app.py")], check=True, env=environment)
    return time.perf_counter() - start


def count_resources(folder: Path) -> int:
    """Counts the resources of every template in an assembly."""
    return sum(len(json.loads(path.read_text())["Resources"]) for path in folder.rglob("*.template.json"))


def measure(stage: str | None, runs: int) -> None:
    """Prints the times of some runs, and what they come to for one resource of all stages."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [synthesise(Path(folder) / str(run), stage) for run in range(runs)]
        resources = count_resources(Path(folder) / "0")
    print("all stages" if stage is None else f"stage {stage}, as the local AWS has it")  # noqa: T201
    print("seconds:", ", ".join(f"{each:.2f}" for each in seconds))  # noqa: T201
    print(f"resources: {resources}")  # noqa: T201
    for name, value in (("median", statistics.median(seconds)), ("best", min(seconds))):
        each = f", {value / resources * 1000:.1f} ms per resource (aim: {AIM:.0f})" if stage is None else ""
        print(f"{name}: {value:.2f} s{each}")  # noqa: T201


def main() -> None:
    """Measures all stages and one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for stage in (None, STAGE):
        measure(stage, runs)


if __name__ == "__main__":
    main()
