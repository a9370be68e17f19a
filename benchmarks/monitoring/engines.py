"""One engine compares two Parquet files column by column, in a process of its own; says what moved, and what it took.

The interpreter of each engine's own environment runs this file, so it imports nothing of the project but for ours.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KIB = 1024
ROWS_AT_ONCE = 262_144
Compare = Callable[[str, str], set[str]]


def ours(before: str, now: str) -> set[str]:
    """The project's monitor: both files streamed into sketches, all distances with their limits."""
    sys.path[:0] = [str(Path(__file__).parents[2] / "sagemaker_jobs")]
    parquet = importlib.import_module("pyarrow.parquet")
    sketch = importlib.import_module("gapless_sagemaker.monitoring.sketch")
    checks = importlib.import_module("gapless_sagemaker.monitoring.checks")
    limits = importlib.import_module("gapless_sagemaker.monitoring.limits")
    # What is buffered ahead stays in memory until the file ends.
    old, new = (parquet.ParquetFile(each, pre_buffer=False) for each in (before, now))
    first = next(old.iter_batches(batch_size=ROWS_AT_ONCE))
    learnt = {name: sketch.learn(first[name]) for name in first.schema.names}
    windows = []
    for file in (old, new):
        window = {name: each.empty() for name, each in learnt.items()}
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            for name, each in window.items():
                each.add(batch[name])
        windows.append(window)
    moved, _ = checks.check_columns(
        windows[0],
        windows[1],
        rows=new.metadata.num_rows,
        absent={},
        extra={},
        limits=limits.Limits(),
        tolerance=checks.Tolerance(),
    )
    return {each.column for each in moved}


def evidently(before: str, now: str) -> set[str]:
    """Evidently's preset for drifted columns, with its own choice of tests."""
    pandas = importlib.import_module("pandas")
    library = importlib.import_module("evidently")
    presets = importlib.import_module("evidently.presets")
    report = library.Report([presets.DataDriftPreset()])
    found = report.run(pandas.read_parquet(now), pandas.read_parquet(before)).dict()
    moved = set()
    for metric in found["metrics"]:
        config = metric.get("config", {})
        if "column" not in config or "threshold" not in config:
            continue
        value, threshold = float(metric["value"]), float(config["threshold"])
        by_p_value = "p_value" in str(config.get("method", ""))
        if (value < threshold) if by_p_value else (value >= threshold):
            moved.add(config["column"])
    return moved


ENGINES: dict[str, Compare] = {"ours": ours, "evidently": evidently}


def main() -> None:
    """Runs one engine and prints what it measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("before")
    parser.add_argument("now")
    options = parser.parse_args()
    begun, worked = time.perf_counter(), time.process_time()
    moved = ENGINES[options.engine](options.before, options.now)
    found: dict[str, Any] = {
        "moved": sorted(moved),
        "seconds": time.perf_counter() - begun,
        "processor": time.process_time() - worked,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
