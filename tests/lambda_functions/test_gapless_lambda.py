"""What the functions share: settings, addresses, logging."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless_lambda.log import JsonLines, get_logger
from gapless_lambda.s3 import parse_uri
from gapless_lambda.settings import BadSettings, read_settings


@dataclass(frozen=True)
class _Settings:
    stage: str
    runs_table: str


def test_reads_settings_from_variables_in_capitals() -> None:
    environment = {"STAGE": "dev", "RUNS_TABLE": "runs", "HOME": "/"}
    assert read_settings(_Settings, environment) == _Settings(stage="dev", runs_table="runs")


def test_names_every_variable_that_is_missing_or_empty() -> None:
    with pytest.raises(BadSettings, match="missing or empty: RUNS_TABLE, STAGE; _Settings needs RUNS_TABLE, STAGE"):
        read_settings(_Settings, {"STAGE": ""})


_BUCKETS = st.text(alphabet="abc-.1", min_size=3, max_size=20)


@given(bucket=_BUCKETS, key=st.text(min_size=1))
def test_takes_a_key_exactly_as_given(bucket: str, key: str) -> None:
    assert parse_uri(f"s3://{bucket}/{key}") == (bucket, key)
    assert str(parse_uri(f"s3://{bucket}/{key}")) == f"s3://{bucket}/{key}"


@pytest.mark.parametrize("uri", ["", "bucket/key", "s3://", "s3://bucket", "s3://bucket/", "s3:///key", "https://b/k"])
def test_refuses_what_is_no_address_of_an_object(uri: str) -> None:
    with pytest.raises(ValueError, match=r"allowed is s3://bucket/key"):
        parse_uri(uri)


def test_logs_one_json_object_per_line_with_all_ids(capsys: pytest.CaptureFixture[str]) -> None:
    logger = get_logger("a test of logging", run_id="abc-1")
    logger.logger.handlers[0] = logging.StreamHandler(sys.stdout)
    logger.logger.handlers[0].setFormatter(JsonLines())
    logger.info("line\nbreak %s", "Ōsaka", extra={"event_id": "e1", "odd": {1}})
    try:
        raise KeyError("gone")
    except KeyError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (
        first.items()
        >= {
            "level": "INFO",
            "message": "line\nbreak Ōsaka",
            "run_id": "abc-1",
            "event_id": "e1",
            "odd": "{1}",
        }.items()
    )
    assert second["run_id"] == "abc-1"
    assert second["traceback"].splitlines()[-1] == "KeyError: 'gone'"


def test_the_functions_need_nothing_but_boto3() -> None:
    """Nor do the names that they share with templates, nor what they have of jobs."""
    root = Path(__file__).parents[2]
    names = [path.parent.name for path in sorted((root / "lambda").glob("*/handler.py"))]
    roots = [str(root / each) for each in ("lambda", "sagemaker_jobs", "sagemaker_jobs/in_scripts", ".")]
    heavy = "'numpy', 'pyarrow', 'pydantic', 'yaml', 'pandas', 'aws_cdk'"
    code = "; ".join(
        [f"import sys; sys.path[:0] = {roots!r}"]
        + [f"import {name}.handler" for name in names]
        + [f"print(sorted(set(sys.modules) & {{{heavy}}}))"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
