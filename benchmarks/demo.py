"""The demonstration on a fresh state: where the time goes, peak memory of everything together, serving latency."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from local.predict import golden_request, predict  # noqa: E402
from local.settings import Settings  # noqa: E402
from local.steps import platform  # noqa: E402

PIPELINE_SECONDS = 60.0
MEMORY_GIB = 6.0
P50_MS, P99_MS = 10.0, 50.0
"""What is aimed at."""


def command(state_dir: Path, *arguments: str) -> None:
    """Run a command of the local platform on a state directory."""
    subprocess.run([sys.executable, "-m", "local", "--state-dir", str(state_dir), *arguments], cwd=ROOT, check=True)


def latencies(settings: Settings, requests: int) -> list[float]:
    """Milliseconds of requests one after the other, through boto3 as an application would send them; sorted."""
    target, request = platform(settings), golden_request(settings)
    for _ in range(20):
        predict(target.aws, target.outputs, request)
    return sorted(predict(target.aws, target.outputs, request).milliseconds for _ in range(requests))


def report(measured: dict[str, Any], milliseconds: list[float]) -> None:
    """Print every figure beside what is aimed at."""
    write = sys.stdout.write
    for phase, seconds in measured["seconds"].items():
        write(f"{phase:<24}{seconds:8.1f} s\n")
    for machine, seconds in measured["pipeline_seconds"].items():
        write(f"  {machine:<22}{seconds:8.1f} s\n")
    write(f"{'whole demonstration':<24}{measured['total_seconds']:8.1f} s\n")
    write(f"{'landing to prediction':<24}{measured['landing_to_prediction_seconds']:8.1f} s (aim {PIPELINE_SECONDS})\n")
    write(f"{'peak memory':<24}{measured['peak_memory_bytes'] / 1024**3:8.2f} GiB (aim below {MEMORY_GIB})\n")
    largest = sorted(measured["memory_at_peak"].items(), key=lambda pair: -pair[1])
    for name, size in largest[:8]:
        write(f"  {name:<40.40}{size / 1024**2:8.0f} MiB\n")
    p99 = milliseconds[int(len(milliseconds) * 0.99)]
    write(f"{'prediction p50':<24}{statistics.median(milliseconds):8.2f} ms (aim below {P50_MS})\n")
    write(f"{'prediction p99':<24}{p99:8.2f} ms (aim below {P99_MS}, {len(milliseconds)} requests, one client)\n")


def main() -> None:
    """Run the demonstration, keep it, ask for predictions, take it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "state")
        try:
            command(settings.state_dir, "demo", "--keep")
            begun = time.perf_counter()
            milliseconds = latencies(settings, requests)
            seconds = time.perf_counter() - begun
            measured = json.loads((settings.cli_dir / "demo.json").read_text())
        finally:
            command(settings.state_dir, "down")
    report(measured, milliseconds)
    sys.stdout.write(f"{'requests per second':<24}{requests / seconds:8.0f}\n")


if __name__ == "__main__":
    main()
