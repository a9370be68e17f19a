"""The benchmark of the rules starts the evaluator as a program of its own, outside of the tests' path."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.dqdl import make_broken_table

ENGINES = Path(__file__).parents[2] / "benchmarks" / "data_quality" / "engines.py"


def test_the_benchmark_judges_a_table_that_breaks_every_check(tmp_path: Path) -> None:
    table = tmp_path / "broken.parquet"
    make_broken_table(table)
    done = subprocess.run(
        [sys.executable, str(ENGINES), "ours", str(table), "--runs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    verdicts = json.loads(done.stdout.strip().splitlines()[-1])["verdicts"]
    assert len(verdicts) == 10
    assert all(broken is False or (broken is not True and broken > 0) for broken in verdicts.values()), verdicts
