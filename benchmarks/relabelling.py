"""How fast rows for people are chosen from captured lines, and answers read: ``--rows 100000``, no S3, one core."""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "lambda")]

from choose_rows.candidates import Wanted, Window  # noqa: E402
from constructs_lib.names.relabelled import Answer, holding, read_answers, written  # noqa: E402

COLUMNS = 12
SERVED = datetime(2026, 3, 1, tzinfo=UTC)


def lines(rows: int) -> Iterator[str]:
    """Captured requests of one row each."""
    draw = random.Random(1)  # noqa: S311 - data for a measurement
    for number in range(rows):
        asked = {f"feature_{place}": draw.random() for place in range(COLUMNS)}
        probability = draw.random()
        sides = {"instances": [asked]}, {"predictions": [{"probability": probability, "label": probability > 0.5}]}
        given, said = ({"data": json.dumps(side), "encoding": "JSON"} for side in sides)
        about = {"inferenceId": f"id-{number}", "inferenceTime": "2026-03-01T08:00:00Z"}
        yield json.dumps({"captureData": {"endpointInput": given, "endpointOutput": said}, "eventMetadata": about})


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    captured = list(lines(rows))
    window = Window(SERVED, SERVED + timedelta(days=1))
    labelled = {f"id-{number}" for number in range(0, rows, 2)}
    wanted = Wanted("margin", "binary_classification", 200, labelled, set(), set())
    began = time.process_time()
    chosen = wanted.choose(window.rows_of(captured, Counter()), {}, "any")
    sys.stdout.write(
        f"chose {len(chosen)} of {rows} rows: {rows / (time.process_time() - began):,.0f} rows per second\n"
    )
    asked = {f"feature_{place}": place / 7 for place in range(COLUMNS)}
    at = "2026-03-01T08:00:00Z"
    content = written(Answer(f"id-{number}", 0, at, asked, True, at, "any") for number in range(rows))
    began = time.process_time()
    held = holding(read_answers(content), at)
    sys.stdout.write(
        f"read {len(held)} answers of {len(content) / 1e6:.0f} MB in {time.process_time() - began:.1f} s\n"
    )
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB, lines in memory included\n")


if __name__ == "__main__":
    main()
