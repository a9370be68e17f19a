"""Windows of past weeks: what is handed on, what is compared with, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import monitor
from gapless_sagemaker.monitoring.baseline import Baseline, make_baseline
from gapless_sagemaker.monitoring.past import PastWindow, kept, read_past, reference_of
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch
from tests.sagemaker_jobs.options_folder import options_folder
from tests.sagemaker_jobs.test_monitor import FEATURES, captured, drawn, served

ROWS = 700


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return make_baseline([drawn(5_000, 1)], FEATURES)


def sketches(baseline: Baseline, tables: Iterable[pa.Table]) -> dict[str, Sketch]:
    found = {name: sketch.empty() for name, sketch in baseline.columns.items()}
    for table in tables:
        for name, sketch in found.items():
            sketch.add(table[name])
    return found


def window(baseline: Baseline, as_of: str, table: pa.Table) -> PastWindow:
    return PastWindow.of(as_of, table.num_rows, sketches(baseline, [table]), {})


def test_windows_add_up_to_what_all_their_rows_would_be(baseline: Baseline) -> None:
    tables = [drawn(ROWS, seed) for seed in (2, 3)]
    past = [window(baseline, f"2013-05-0{day}T00:00:00Z", each) for day, each in zip((1, 2), tables, strict=True)]
    found = reference_of(past, "2013-05-03T00:00:00Z", 4, baseline)
    assert found is not None
    columns, _, name = found
    assert name == "2 windows of the last 4 weeks, 1400 rows"
    together = sketches(baseline, tables)
    for feature in ("distance", "temp"):
        one, other = columns[feature], together[feature]
        assert isinstance(one, NumberSketch)
        assert isinstance(other, NumberSketch)
        np.testing.assert_array_equal(one.counts, other.counts)
        assert one.missing == other.missing
        assert one.mean == pytest.approx(other.mean)


def test_what_is_too_old_or_comes_later_is_no_reference(baseline: Baseline) -> None:
    table = drawn(1_500, 2)
    for as_of in ("2013-04-01T00:00:00Z", "2013-05-03T00:00:00Z", "2013-05-04T00:00:00Z"):
        assert reference_of([window(baseline, as_of, table)], "2013-05-03T00:00:00Z", 4, baseline) is None


def test_too_few_rows_are_no_reference(baseline: Baseline) -> None:
    past = [window(baseline, "2013-05-01T00:00:00Z", drawn(999, 2))]
    assert reference_of(past, "2013-05-03T00:00:00Z", 4, baseline) is None


def test_a_window_looked_at_again_replaces_itself_and_drops_no_later_one(baseline: Baseline) -> None:
    days = [f"2013-05-{day:02}T00:00:00Z" for day in (1, 2, 3)]
    past = [window(baseline, day, drawn(10, 2)) for day in days]
    again = window(baseline, days[1], drawn(20, 3))
    found = kept(past, again, weeks=4)
    assert [(each.as_of, each.rows) for each in found] == [(days[0], 10), (days[1], 20), (days[2], 10)]


def test_windows_that_no_later_one_needs_are_forgotten(baseline: Baseline) -> None:
    past = [window(baseline, "2013-04-01T00:00:00Z", drawn(10, 2))]
    found = kept(past, window(baseline, "2013-05-03T00:00:00Z", drawn(10, 2)), weeks=4)
    assert [each.as_of for each in found] == ["2013-05-03T00:00:00Z"]


def monitored(baseline: Baseline, tmp_path: Path, day: int, warmer: float, past: Path | None) -> dict[str, Any]:
    folder = tmp_path / f"day{day}"
    capture = captured(folder / "capture", served(drawn(1_100, day, warmer=warmer)))
    (folder / "baseline").mkdir()
    (folder / "baseline/baseline.json").write_text(
        json.dumps({**baseline.document(), "metrics": {"values": {}, "bias": None}})
    )
    wishes = {"reference": "weeks", "weeks": 2}
    options = options_folder(folder / "options", features=FEATURES, more_is_better=True, monitoring=wishes)
    arguments = ["--baseline", str(folder / "baseline"), "--capture", str(capture), "--options", str(options)]
    arguments += ["--as_of", f"2013-05-0{day}T00:00:00Z", "--output", str(folder / "output")]
    arguments += ["--message", str(folder / "message"), *(["--past", str(past)] if past is not None else [])]
    monitor.main(arguments)
    found: dict[str, Any] = json.loads((folder / "output/monitoring.json").read_text())
    return found


def test_what_has_stayed_as_it_was_last_week_is_no_drift_although_the_dataset_was_colder(
    baseline: Baseline, tmp_path: Path
) -> None:
    first = monitored(baseline, tmp_path, 2, 8.0, None)
    assert "dataset" in first["reference"]
    assert first["families"]["drift"]["violations"] == 1
    second = monitored(baseline, tmp_path, 3, 8.0, tmp_path / "day2/output")
    assert second["reference"] == "1 windows of the last 2 weeks, 1100 rows"
    assert second["families"]["drift"]["violations"] == 0
    third = monitored(baseline, tmp_path, 4, 0.0, tmp_path / "day3/output")
    assert third["reference"] == "2 windows of the last 2 weeks, 2200 rows"
    assert third["families"]["drift"]["violations"] == 1
    assert [each.rows for each in read_past(tmp_path / "day4/output")] == [1_100] * 3
