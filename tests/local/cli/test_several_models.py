"""A request from the command line names the model of its segment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.errors import UserError
from local.predict import curl_command, model_of
from stacks.config import ROOT

PLAIN = (ROOT / "workloads" / "loan_approval" / "workload.yaml").read_text(encoding="utf-8")
SEVERAL = """
name: orders
owner: shop@example.com
target: late
event_time: at
sources:
  orders:
    key: [order]
    columns: {order: string, at: timestamp, shop: string, amount: double, late: boolean}
serving: {mode: {kind: multi_model, segment: shop, values: [north, south]}}
"""


def settings_of(folder: Path, text: str) -> Any:
    (folder / "workload.yaml").write_text(text, encoding="utf-8")
    return SimpleNamespace(workload_dir=folder)


def test_a_workload_with_one_model_names_none(tmp_path: Path) -> None:
    assert model_of(settings_of(tmp_path, PLAIN), {"instances": [{"shop": "north"}]}) is None


def test_the_segment_names_the_model_and_several_are_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, SEVERAL)
    assert model_of(settings, {"instances": [{"shop": "north"}, {"shop": "north"}]}) == "north.tar.gz"
    assert model_of(settings, {"instances": [{"shop": None}]}) == "_fallback.tar.gz"
    with pytest.raises(UserError, match=r"shop has values of several models: north.tar.gz, south.tar.gz"):
        model_of(settings, {"instances": [{"shop": "north"}, {"shop": "south"}]})


def test_a_command_for_a_shell_names_it_as_well() -> None:
    server: Any = SimpleNamespace(endpoint="https://127.0.0.1:1", ca_file="ca", access_key="a", secret_key="s")
    outputs: Any = SimpleNamespace(endpoint_name="live")
    assert "'x-amzn-sagemaker-target-model: north.tar.gz'" in curl_command(server, outputs, {}, "north.tar.gz")
    assert "target-model" not in curl_command(server, outputs, {})
