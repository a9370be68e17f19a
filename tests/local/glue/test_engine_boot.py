"""The program that runs scripts, and the argument reader that it lends them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from local.engine.boot import submit_arguments
from local.engine.shim.awsglue.utils import GlueArgumentError, getResolvedOptions

BOOT = Path(__file__).parents[3] / "local" / "engine" / "boot.py"


def boot(folder: Path, script: str, *arguments: str, engine: str = "sail") -> tuple[int, str, str | None]:
    """Run a script; returns its status, its output and the message of its failure."""
    (folder / "script.py").write_text(script)
    failure = folder / "failure.json"
    command = [sys.executable, "-I", str(BOOT), "--engine", engine, "--failure", str(failure)]
    ended = subprocess.run(
        [*command, str(folder / "script.py"), *arguments], capture_output=True, text=True, cwd=folder
    )
    return ended.returncode, ended.stdout, json.loads(failure.read_text())["message"] if failure.exists() else None


def test_ends_although_the_engine_still_has_threads(tmp_path: Path) -> None:
    script = "from pyspark.sql import SparkSession\nprint(SparkSession.builder.getOrCreate().range(4).count())"

    status, output, message = boot(tmp_path, script)

    assert (status, message) == (0, None)
    assert "\n4\n" in output
    assert "peak memory" in output


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ("import sys; sys.exit()", 0, None),
        ("import sys; sys.exit(4)", 4, "SystemExit: 4"),
        ("import sys; sys.exit('no flights')", 1, "SystemExit: no flights"),
        ("raise ValueError('no flights')", 1, "ValueError: no flights"),
        ("def broken(:", 1, "SyntaxError: invalid syntax (script.py, line 1)"),
    ],
)
def test_ends_as_the_script_ends(tmp_path: Path, script: str, status: int, message: str | None) -> None:
    ended = boot(tmp_path, script)

    assert (ended[0], ended[2]) == (status, message)


def test_real_spark_is_refused_where_it_is_not_installed(tmp_path: Path) -> None:
    status, _, message = boot(tmp_path, "", engine="spark")

    assert status == 1
    assert message is not None
    assert message.startswith("EngineMissing: the engine spark needs the package pyspark")


def test_real_spark_finds_the_local_s3() -> None:
    arguments = shlex.split(submit_arguments("https://127.0.0.1:4700", Path("/scratch/trust.p12")))

    conf = dict(pair.split("=", 1) for pair in arguments[1:-1:2])
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "https://127.0.0.1:4700"
    assert "-Djavax.net.ssl.trustStore=/scratch/trust.p12" in conf["spark.driver.extraJavaOptions"]
    assert arguments[-1] == "pyspark-shell"


def test_resolves_what_a_script_asks_for() -> None:
    argv = ["script.py", "--JOB_NAME", "prepare", "--batch-uri", "s3://b/x", "--unknown", "1", "--as_of=2013-05-01"]

    options = getResolvedOptions(argv, ["JOB_NAME", "batch-uri", "as_of"])

    assert (options["JOB_NAME"], options["batch_uri"], options["as_of"]) == ("prepare", "s3://b/x", "2013-05-01")
    assert options["job_bookmark_option"] == "job-bookmark-disable"
    assert "unknown" not in options


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(GlueArgumentError, match="the following arguments are required: --as_of"):
        getResolvedOptions(["script.py"], ["as_of"])


def test_glues_own_arguments_cannot_be_asked_for() -> None:
    with pytest.raises(RuntimeError, match="JOB_RUN_ID"):
        getResolvedOptions(["script.py"], ["JOB_RUN_ID"])
