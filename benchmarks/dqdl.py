"""Ten checks on 1 and 10 million rows: our DQDL on embedded Spark against pandera, in rows per second and peak memory.

Each engine checks the same Parquet file in a process of its own, reading included, start of the engine excluded. Both
must refuse the same rows. pandera is put into a temporary environment by uv.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RIVALS = ("pandera[pandas]==0.35.0", "pyarrow")
AIM = 5.0
"""How many times the rival's rows per second."""
CHUNK = 1_000_000
SERVERS: list[object] = []
"""A server runs as long as it is kept."""
CITIES = ("EWR", "JFK", "LGA", "BOS", "ORD")
RULES = """
Rules = [
    RowCount > 1000,
    IsComplete "id",
    IsUnique "id",
    Completeness "score" > 0.9,
    ColumnValues "amount" > 0,
    ColumnValues "delay" between -60 and 600,
    ColumnValues "city" in ["EWR", "JFK", "LGA", "BOS", "ORD"],
    ColumnValues "code" matches "[A-Z]{2}[0-9]{4}",
    ColumnLength "code" = 6,
    Mean "amount" between 400 and 600
]
"""


def make_table(path: Path, rows: int) -> None:
    """Writes a table in which one row in a thousand breaks the rule about ``delay``."""
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


def ours(path: str) -> Callable[[], int]:
    """Returns what judges the rules and gives the number of refused rows."""
    sys.path.insert(0, str(ROOT / "glue_jobs"))
    server = importlib.import_module("pysail.spark").SparkConnectServer(port=0)
    server.start(background=True)
    session = importlib.import_module("pyspark.sql").SparkSession
    spark = session.builder.remote(f"sc://localhost:{server.listening_address[1]}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.sql("select 1").collect()
    rules = importlib.import_module("gapless_glue.dqdl.parser").parse(RULES).rules[None]
    evaluate_table = importlib.import_module("gapless_glue.dqdl.evaluate").evaluate_table

    def judge() -> int:
        found = evaluate_table(spark.read.parquet(path), rules)
        failed = [verdict.rule.type for verdict in found.verdicts if verdict.outcome != "Passed"]
        if failed != ["ColumnValues"]:
            raise ValueError(f"expected one broken rule, found {failed}")
        return sum(int(verdict.refused_rows) for verdict in found.verdicts)

    SERVERS.append(server)
    return judge


def pandera(path: str) -> Callable[[], int]:
    """Returns what validates the schema and gives the number of refused rows."""
    pandas = importlib.import_module("pandas")
    library = importlib.import_module("pandera.pandas")
    check, column = library.Check, library.Column
    schema = library.DataFrameSchema(
        {
            "id": column("int64", nullable=False, unique=True),
            "amount": column(
                "float64", [check.gt(0), check(lambda found: 400 < found.mean() < 600)], nullable=True
            ),
            "score": column("float64", check(lambda found: found.notna().mean() > 0.9, ignore_na=False), nullable=True),
            "delay": column(
                "int64", check.in_range(-60, 600, include_min=False, include_max=False), nullable=True
            ),
            "city": column(checks=check.isin(CITIES), nullable=True),
            "code": column(checks=[check.str_matches("^[A-Z]{2}[0-9]{4}$"), check.str_length(6, 6)], nullable=True),
        },
        checks=check(lambda table: len(table) > 1000),
    )  # fmt: skip

    def judge() -> int:
        try:
            schema.validate(pandas.read_parquet(path), lazy=True)
        except library.errors.SchemaErrors as error:
            return len(error.failure_cases)
        return 0

    return judge


ENGINES: dict[str, Callable[[str], Callable[[], int]]] = {"ours": ours, "pandera": pandera}


def child(engine: str, path: str, runs: int) -> None:
    """Prints what one engine needed, as JSON."""
    judge = ENGINES[engine](path)
    seconds, refused = [], 0
    for _ in range(runs):
        start = time.perf_counter()
        refused = judge()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"seconds": statistics.median(seconds), "peak": peak, "refused": refused}) + "\n")
    sys.stdout.flush()


def measured(interpreter: str, engine: str, path: Path, runs: int) -> dict[str, Any]:
    """Runs one engine in a process of its own."""
    command = [interpreter, __file__, "--child", engine, str(path), "--runs", str(runs)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def make_environment(folder: Path) -> str:
    """Makes an environment with the rivals; returns its interpreter."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    interpreter = str(folder / "bin" / "python")
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", interpreter, *RIVALS], check=True)
    return interpreter


def compare(rows: int, interpreter: str, folder: Path, runs: int) -> None:
    """Prints the figures of both engines for one table."""
    path = folder / f"{rows}.parquet"
    make_table(path, rows)
    found = {
        "ours": measured(sys.executable, "ours", path, runs),
        "pandera": measured(interpreter, "pandera", path, runs),
    }
    path.unlink()
    sys.stdout.write(f"{rows:,} rows, ten checks, median of {runs}\n")
    for engine, one in found.items():
        speed = rows / one["seconds"]
        sys.stdout.write(
            f"  {engine:<10}{one['seconds']:8.2f} s {speed:14,.0f} rows/s {one['peak'] / 1024**2:10,.0f} MiB at most\n"
        )
    if len({one["refused"] for one in found.values()}) > 1:
        raise ValueError(f"the engines refuse different rows: {found}")
    speed = found["pandera"]["seconds"] / found["ours"]["seconds"]
    memory = found["pandera"]["peak"] / found["ours"]["peak"]
    sys.stdout.write(f"  {speed:.1f} times as fast (aim {AIM:.0f}), {memory:.1f} times less memory\n")


def main() -> None:
    """Compares the engines for every number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        engine, path = options.child
        child(engine, path, options.runs)
        return
    with tempfile.TemporaryDirectory() as name:
        interpreter = make_environment(Path(name) / "rivals")
        for rows in options.rows:
            compare(rows, interpreter, Path(name), options.runs)


if __name__ == "__main__":
    main()
