from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.server.sagemaker.serving.model_server import Model, Refused, functions_of, load_script

JSON = "application/json"


def model(**functions: Any) -> Model:
    module: Any = SimpleNamespace(model_fn=lambda _dir: "model", **functions)
    return Model(functions_of(module), "unused", JSON)


def test_calls_the_users_functions_in_order() -> None:
    served = model(
        input_fn=lambda body, content_type: (body, content_type),
        predict_fn=lambda data, loaded: {"data": data, "model": loaded},
        output_fn=lambda prediction, accept: (json.dumps(prediction), accept),
    )

    answer, content_type = served.answer(b'{"a": 1}', JSON, "*/*")

    assert json.loads(answer) == {"data": ['{"a": 1}', JSON], "model": "model"}
    assert content_type == JSON


def test_text_comes_as_text_and_anything_else_as_bytes() -> None:
    served = model(
        input_fn=lambda body, _type: type(body).__name__,
        predict_fn=lambda data, _model: data,
        output_fn=lambda prediction, _accept: prediction,
    )

    assert served.answer(b"1,2", "text/csv", JSON)[0] == b"str"
    assert served.answer(b"\x00", "application/x-npy", JSON)[0] == b"bytes"


def test_one_function_may_do_it_all() -> None:
    served = model(transform_fn=lambda loaded, body, content_type, accept: f"{loaded} {body} {content_type} {accept}")

    assert served.answer(b"x", "text/csv", "text/csv") == (b"model x text/csv text/csv", "text/csv")


class Teapot(Exception):
    status_code = 418


def fail(error: Exception) -> Any:
    def function(*_arguments: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("functions", "status"),
    [
        ({"input_fn": fail(ValueError("no"))}, 400),
        ({"input_fn": fail(Teapot("no"))}, 418),
        ({"input_fn": fail(KeyError("no"))}, 500),
        ({"input_fn": lambda *_: 1, "predict_fn": fail(ValueError("no"))}, 500),
        ({"input_fn": lambda *_: 1, "predict_fn": fail(Teapot("no"))}, 418),
    ],
)
def test_errors_say_whose_fault_they_are(functions: dict[str, Any], status: int) -> None:
    with pytest.raises(Refused, match="no") as caught:
        model(**functions).answer(b"{}", JSON, JSON)

    assert caught.value.status == status


def test_text_that_is_not_utf_8_is_the_clients_fault() -> None:
    with pytest.raises(Refused) as caught:
        model(predict_fn=lambda data, _model: data).answer(b"\xff", JSON, JSON)

    assert caught.value.status == 400


def test_a_script_finds_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_inference.py").write_text("WORD = 'hello'")
    (tmp_path / "inference.py").write_text("from neighbour_of_inference import WORD\ndef model_fn(d): return WORD")

    module = load_script(tmp_path, "inference.py")

    assert functions_of(module).load("") == "hello"


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"SAGEMAKER_PROGRAM inference\.py is not in the model archive"):
        load_script(tmp_path, "inference.py")


def test_without_a_script_a_plain_xgboost_model_is_served(tmp_path: Path) -> None:
    import numpy as np
    import xgboost as xgb

    booster = xgb.train({"max_depth": 2}, xgb.DMatrix(np.array([[0.0], [1.0]]), label=[0.0, 1.0]), 2)
    booster.save_model(tmp_path / "model.ubj")
    served = Model(functions_of(None), str(tmp_path), JSON)

    low, high = json.loads(served.answer(b"0\n1\n", "text/csv", JSON)[0])

    assert low < high
