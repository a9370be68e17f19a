"""Drift of twelve columns: the monitor against Evidently, and how often it is wrong about rows that have not changed.

Both engines compare the same two Parquet files, reading included, in a process of their own; Evidently has a temporary
environment, made by uv. Two columns of twelve have moved, and an engine that does not find exactly these is told.
Seconds include imports, which a job pays each time. The second table counts windows in which the monitor named anything
although nothing had changed, by rows of the window; the aim is the share that its limits promise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENGINES = Path(__file__).parent / "monitoring" / "engines.py"
RIVALS = {"evidently": ("evidently==0.7.23", "pandas<3", "pyarrow")}
MOVED = ["n5", "t5"]
CHUNK = 1_000_000
MIB = 1024**2
AIM_SPEED, AIM_MEMORY = 10.0, 0.1


def make_file(path: Path, rows: int, seed: int, *, moved: bool) -> None:
    """Writes six columns of numbers and six of texts."""
    numpy = importlib.import_module("numpy")
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    random = numpy.random.default_rng(seed)
    writer = None
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        columns: dict[str, Any] = {}
        for place in range(6):
            shift = 0.5 if moved and place == 5 else 0.0
            columns[f"n{place}"] = random.gamma(2.0 + place, 1.0, count) + shift * 2
            names = numpy.array([f"{letter}{place}" for letter in "abcdefgh"])
            shares = numpy.array([8, 7, 6, 5, 4, 3, 2, 1], dtype=float)
            if moved and place == 5:
                shares = shares[::-1]
            columns[f"t{place}"] = names[random.choice(8, count, p=shares / shares.sum())]
        table = arrow.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def compare(rows: int, folder: Path, interpreters: dict[str, str]) -> None:
    """Prints a table of the engines for one number of rows."""
    before, now = folder / "before.parquet", folder / "now.parquet"
    make_file(before, rows, 1, moved=False)
    make_file(now, rows, 2, moved=True)
    found: dict[str, dict[str, Any]] = {}
    for name, interpreter in interpreters.items():
        command = [interpreter, str(ENGINES), name, str(before), str(now)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.stdout.write(f"{name} failed on {rows:,} rows: {(done.stderr or 'killed').strip().splitlines()[-1]}\n")
            continue
        found[name] = json.loads(done.stdout.strip().splitlines()[-1])
    sys.stdout.write(f"\n{rows:,} rows before and {rows:,} now, twelve columns\n\n")
    sys.stdout.write("| engine | seconds | processor s | peak MiB | moved |\n| --- | ---: | ---: | ---: | --- |\n")
    for name, one in found.items():
        right = "right" if one["moved"] == MOVED else f"differs: {', '.join(one['moved'])}"
        sys.stdout.write(
            f"| {name} | {one['seconds']:.1f} | {one['processor']:.1f} | {one['peak'] / MIB:,.0f} | {right} |\n"
        )
    if len(found) > 1:
        mine, theirs = found["ours"], found["evidently"]
        sys.stdout.write(
            f"\n{theirs['seconds'] / mine['seconds']:.1f} times as fast (aim {AIM_SPEED:.0f}), "
            f"{mine['peak'] / theirs['peak']:.2f} of the memory (aim {AIM_MEMORY})\n"
        )
    sys.stdout.flush()


def false_alarms(windows: int) -> None:
    """Prints how many windows of unchanged rows had a finding."""
    sys.path[:0] = [str(Path(__file__).parents[1] / "sagemaker_jobs")]
    numpy = importlib.import_module("numpy")
    arrow = importlib.import_module("pyarrow")
    sketch = importlib.import_module("gapless_sagemaker.monitoring.sketch")
    checks = importlib.import_module("gapless_sagemaker.monitoring.checks")
    limits = importlib.import_module("gapless_sagemaker.monitoring.limits")
    random = numpy.random.default_rng(11)
    names = numpy.array(list("abcdefgh"))

    def drawn(rows: int) -> dict[str, Any]:
        numbers = {f"n{place}": arrow.array(random.gamma(2.0 + place, 1.0, rows)) for place in range(6)}
        return {**numbers, **{f"t{place}": arrow.array(names[random.geometric(0.4, rows) % 8]) for place in range(6)}}

    asked = limits.Limits()
    eager = limits.Limits(dict.fromkeys(limits.MATTERS, 0.0), limits.ALPHA)
    sys.stdout.write(
        f"\nFalse alarms in {windows} windows, baseline of 20,000 rows, twelve columns, promised {asked.alpha:.0%}\n\n"
    )
    sys.stdout.write(
        "| rows of a window | windows with a finding | by the limits of chance alone |\n| ---: | ---: | ---: |\n"
    )
    for rows in (200, 1_000, 5_000, 20_000):
        baseline = {name: sketch.learn(column) for name, column in drawn(20_000).items()}
        named = {id(asked): 0, id(eager): 0}
        for _ in range(windows):
            now = {name: each.empty() for name, each in baseline.items()}
            for name, column in drawn(rows).items():
                now[name].add(column)
            for each in (asked, eager):
                moved, _ = checks.check_columns(
                    baseline, now, rows=rows, absent={}, extra={}, limits=each, tolerance=checks.Tolerance()
                )
                named[id(each)] += bool(moved)
        sys.stdout.write(f"| {rows:,} | {named[id(asked)] / windows:.1%} | {named[id(eager)] / windows:.1%} |\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--alone", action="store_true", help="without the rival")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        interpreters = {"ours": sys.executable}
        environments = importlib.import_module("dqdl")
        for rival, packages in () if options.alone else RIVALS.items():
            try:
                interpreters[rival] = environments.make_environment(folder / rival, packages)
            except environments.NotMeasuredError as error:
                sys.stdout.write(f"{rival} is left out: {error}\n")
        for rows in options.rows:
            compare(rows, folder, interpreters)
    if options.windows:
        false_alarms(options.windows)


if __name__ == "__main__":
    main()
