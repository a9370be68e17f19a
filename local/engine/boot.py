"""Runs one Glue script: starts the engine, runs the script as ``__main__``, and exits hard with its status.

Started by path in an isolated interpreter (``python -I boot.py …``), so that a script sees what Glue would give it,
its own modules and the installed packages, and nothing of the checkout that this file lies in.

    boot.py --engine sail --failure failure.json [--module-path PATH]… script.py [ARGUMENT]…

The exit status is the script's: 0, the code that it gave to ``sys.exit``, or 1 after an exception, which is then named
in the failure file as ``{"message": "BadBatch: no flights in the batch"}``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import runpy
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

SHIM = Path(__file__).resolve().parent / "shim"


class EngineMissing(Exception):
    """The engine that was asked for is not installed."""


def start_sail() -> object:
    """Start Sail in this process and point Spark sessions at it; it runs as long as the returned server is kept."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(port=0)
    server.start(background=True)
    address = server.listening_address
    if address is None:
        raise EngineMissing("the engine sail did not start to listen")
    os.environ["SPARK_REMOTE"] = f"sc://127.0.0.1:{address[1]}"
    return server


def start_spark() -> object:
    """Let Spark sessions start a real Spark whose S3 calls go to the local AWS; there is no server to keep.

    Raises:
        EngineMissing: The installed pyspark is the client only, or its jars cannot read S3, or there is no Java.
    """
    spec = importlib.util.find_spec("pyspark")
    jars = Path(spec.origin).parent / "jars" if spec is not None and spec.origin is not None else Path("jars")
    if not jars.is_dir():
        raise EngineMissing("the engine spark needs the package pyspark; what is installed is its client, or nothing")
    if not list(jars.glob("hadoop-aws-*.jar")):
        raise EngineMissing(f"the engine spark reads s3:// with hadoop-aws, which is not among its jars in {jars}")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_SUBMIT_ARGS"] = submit_arguments(os.environ["AWS_ENDPOINT_URL"], _trust_store())
    return None


def submit_arguments(endpoint: str, trust_store: Path) -> str:
    """The arguments for spark-submit: S3 at ``endpoint`` over TLS, with the credentials of the environment."""
    conf = {
        "spark.master": "local[*]",
        "spark.driver.extraJavaOptions": f"-Djavax.net.ssl.trustStore={trust_store}"
        " -Djavax.net.ssl.trustStorePassword=changeit",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
        ),
    }
    pairs = " ".join(f'--conf "{name}={value}"' for name, value in conf.items())
    return f"{pairs} pyspark-shell"


def _trust_store() -> Path:
    store = Path.cwd() / "trust.p12"
    command = ["keytool", "-importcert", "-noprompt", "-alias", "local", "-file", os.environ["SSL_CERT_FILE"]]
    try:
        subprocess.run(
            [*command, "-keystore", str(store), "-storetype", "PKCS12", "-storepass", "changeit"],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError as error:
        raise EngineMissing("the engine spark needs Java; no keytool is on the path") from error
    return store


ENGINES: dict[str, Callable[[], object]] = {"sail": start_sail, "spark": start_spark}


def run_script(script: Path, arguments: Sequence[str]) -> None:
    """Run a script as ``__main__`` with ``sys.argv`` as Glue gives it."""
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def message_of(error: BaseException) -> str:
    """An exception as Glue words it: the name of its type and its text."""
    return f"{type(error).__name__}: {error}"


def status_of(end: SystemExit) -> int:
    """The exit status that ``sys.exit`` asked for."""
    if end.code is None:
        return 0
    return end.code if isinstance(end.code, int) else 1


def main(argv: Sequence[str]) -> int:
    """Run the engine and the script that ``argv`` names; returns the exit status."""
    options = _parse(argv)
    started = time.monotonic()
    _extend_path(options.module_path)
    try:
        engine = ENGINES[options.engine]()
        _say(f"engine {options.engine}: up after {time.monotonic() - started:.1f} s")
        run_script(options.script, options.arguments)
        del engine
    except SystemExit as end:
        status = status_of(end)
        if status != 0:
            _tell(options.failure, message_of(end))
        return status
    except BaseException as error:  # noqa: BLE001 - whatever ends the script is its failure, and is told
        traceback.print_exception(error)
        _tell(options.failure, message_of(error))
        return 1
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        _say(f"engine {options.engine}: {time.monotonic() - started:.1f} s, peak memory {peak} MB")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="boot.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--engine", choices=sorted(ENGINES), required=True)
    parser.add_argument("--failure", type=Path, required=True, help="where to name what ended the script")
    parser.add_argument("--module-path", action="append", default=[], help="a folder or a zip with modules")
    parser.add_argument("script", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(argv)


def _extend_path(module_path: Sequence[str]) -> None:
    sys.path[:0] = module_path
    if importlib.util.find_spec("awsglue") is None:
        sys.path.append(str(SHIM))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(failure: Path, message: str) -> None:
    failure.write_text(json.dumps({"message": message}), encoding="utf-8")


if __name__ == "__main__":
    exit_status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_status)  # the engine's threads would keep the process alive
