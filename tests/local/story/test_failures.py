"""Models that cannot be evaluated: the first one ends a story, a challenger does not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from constructs_lib.names.workload_file import WorkloadFile
from gapless_sagemaker.monitoring.quality import QUALITY
from local.errors import Failure
from local.story.history import History
from local.story.judging import Judges, NotEvaluated
from local.story.models import Model
from local.story.replay import Story, Workshop
from local.story.schedule import Step
from tests.local.story.drifting import BEGIN, IMPATIENT, TRAINING, write_workload

HOURS = 1000


class Strict:
    """Judges that find fault with some models, and whose monitor always asks for another one."""

    metric, higher_is_better = "mae", False

    def __init__(self, refused: set[str]) -> None:
        self._refused = refused

    def evaluate(self, model: Model, *_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        if model.name in self._refused:
            raise NotEvaluated(f"model {model.name} cannot be evaluated: it is odd")
        return {}, {"passed": True, "rules": [{"rule": "champion", "passed": True, "reason": "there is none"}]}

    def make_baseline(self, *_: object) -> Path:
        return Path()

    def quality(self, *_: object) -> float:
        return 1.0

    def monitor(self, *_: object) -> dict[str, Any]:
        return {"families": {"quality": {"violations": 1}}, "violations": [{"check": QUALITY, "text": "mae is 9"}]}


class Makes:
    """Makes nothing, and answers all the same."""

    def __init__(self, workload: WorkloadFile) -> None:
        self.workload = workload

    def train(self, _folder: Path) -> None:
        """There is nothing to do."""

    def ask(self, _model: Model, rows: pa.Table) -> Any:
        class Answered:
            features = ("x",)
            answers = [{"value": 0.0}] * rows.num_rows

        return Answered


def story(folder: Path, *refused: str) -> Story:
    """A story of two steps."""
    write_workload(folder / "drifting", [], TRAINING + IMPATIENT)
    workload = WorkloadFile.load(folder / "drifting" / "workload.yaml")
    times = [BEGIN + dt.timedelta(hours=each) for each in range(HOURS)]
    for number in range(3):
        rows = range(600 + 200 * number)
        known = {
            "x": [float(each) for each in rows],
            "y": [0.0 for _ in rows],
            "_event_time": pa.array([times[each] for each in rows], pa.timestamp("us", "UTC")),
            "_row_id": [f"{each:04}" for each in rows],
        }
        (folder / "history" / "known" / str(number)).mkdir(parents=True)
        pq.write_table(pa.table(known), folder / "history" / "known" / str(number) / "part-0.parquet")
    ends = [BEGIN + dt.timedelta(hours=each) for each in (600, 800, 1000)]
    steps = [Step(1, "one", ends[0], ends[1]), Step(2, "two", ends[1], ends[2])]
    facts = {"rows": HOURS, "quarantined": {}, "dropped": {}}
    history = History(folder / "history", workload, steps, BEGIN, dt.timedelta(days=1), facts)
    maker = cast("Any", Makes(workload))
    return Story(history, cast("Judges", Strict(set(refused))), Workshop(history, maker, folder / "models"))


def test_a_first_model_that_cannot_be_evaluated_ends_the_story(tmp_path: Path) -> None:
    told = story(tmp_path, "m0")
    with told.workshop, pytest.raises(Failure, match="the first model m0 cannot be evaluated: it is odd"):
        told.run(lambda _progress: None)


def test_a_challenger_that_cannot_be_evaluated_has_failed_and_the_champion_serves_on(tmp_path: Path) -> None:
    told = story(tmp_path, "m1")
    with told.workshop:
        told.run(lambda _progress: None)
    document = told.document()
    (decision,) = document["gapless"]["decisions"]
    assert decision["outcome"] == "failed"
    assert document["events"][-1]["text"] == "challenger model m1 cannot be evaluated: it is odd"
    assert [step["model"] for step in document["gapless"]["steps"]] == ["m0", "m0"]
