"""A training that is interrupted and goes on gives the model that it would have given in one piece."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

import gapless_checkpoints

ROUNDS, SPAN = 40, 10
PARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": ["logloss", "auc"],
    "tree_method": "hist",
    "seed": 7,
    "nthread": 1,
    "subsample": 0.7,
    "colsample_bytree": 0.6,
    "max_depth": 3,
}


class Interrupted(Exception):
    pass


class Interruption(xgb.callback.TrainingCallback):
    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at = at

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if epoch == self.at:
            raise Interrupted
        return False


def matrix(seed: int) -> xgb.DMatrix:
    random = np.random.default_rng(seed)
    features = random.normal(size=(600, 6)).astype("float32")
    labels = (features[:, 0] + random.normal(size=600) > 0).astype("float32")
    return xgb.DMatrix(features, label=labels, nthread=1)


def model(
    root: Path, interrupted_after: int | None = None, depth: int = 3, environment: Mapping[str, str] | None = None
) -> bytes:
    train, validation = matrix(1), matrix(2)
    patience = xgb.callback.EarlyStopping(
        rounds=25, metric_name="auc", data_name="validation", maximize=True, save_best=True
    )
    booster = gapless_checkpoints.train(
        {**PARAMETERS, "max_depth": depth},
        train,
        num_boost_round=ROUNDS,
        evals=[(train, "train"), (validation, "validation")],
        callbacks=[patience, Interruption(interrupted_after)],
        environment={"SM_MODEL_DIR": str(root / "model"), **(environment or {})},
        span=SPAN,
    )
    return bytes(booster.save_raw("ubj"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return model(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("interruptions", [(4,), (12,), (12, 23), (10, 10)])
def test_gives_the_same_bytes_as_without_interruptions(
    tmp_path: Path, whole: bytes, interruptions: tuple[int, ...]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    for rounds in interruptions:
        with pytest.raises(Interrupted):
            model(tmp_path, rounds)
    assert model(tmp_path) == whole


def test_trials_that_share_a_folder_go_on_from_what_they_have_left_themselves(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "checkpoints").mkdir()
    one, other = ({"GAPLESS_CHECKPOINTS": "apart", "TRAINING_JOB_NAME": name} for name in ("t-001", "t-002"))
    with pytest.raises(Interrupted):
        model(tmp_path, 12, depth=1, environment=one)
    assert model(tmp_path, environment=other) == whole
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["t-001", "t-002"]
    assert model(tmp_path, depth=1, environment=one) == model(tmp_path / "alone", depth=1)


def test_goes_on_from_the_last_whole_span(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(Interrupted):
        model(tmp_path, 23)
    capsys.readouterr()
    model(tmp_path)
    assert "[20]\ttrain-logloss" in capsys.readouterr().out.splitlines()[0 + SPAN * 2]


def test_a_checkpoint_that_is_not_whole_counts_as_none(tmp_path: Path, whole: bytes) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "boosting.json").write_text('{"trees": "00')
    assert model(tmp_path) == whole
    kept = json.loads((folder / "boosting.json").read_text())
    assert len(kept["history"]["validation"]["auc"]) % SPAN == 0


def test_keeps_nothing_where_the_job_keeps_no_checkpoints(tmp_path: Path) -> None:
    model(tmp_path)
    assert list(tmp_path.iterdir()) == []
