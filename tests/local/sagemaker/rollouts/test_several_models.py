"""A deployed machine puts a set of models behind one endpoint as one version, watched and taken back as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from gapless_segments import Segments
from tests.local.conftest import start_server
from tests.local.sagemaker.rollouts.plan import Workload
from tests.local.sagemaker.rollouts.stand import Stand, deploy_stand

MODE = {"kind": "multi_model", "segment": "shop", "values": ["north", "south", "new"], "min_rows": 20}
SHOPS = Workload("shops", "canary", 0.5, 2, serving={"mode": MODE}, requests_per_second=20.0)
GOLDEN = {
    "cases": [
        {
            "name": "both",
            "request": {"instances": [{"shop": "north", "sold": 1}, {"shop": "south", "sold": 2}]},
            "expect": {"probability": [[0.1, 0.1], [0.2, 0.2]]},
        }
    ]
}
OLDER_GOLDEN = {
    "cases": [
        *GOLDEN["cases"],
        {
            "name": "neither",
            "request": {"instances": [{"shop": "east", "sold": 1}, {"shop": "new", "sold": 1}]},
            "expect": {"probability": [[0.3, 0.3], [0.0, 1.0]]},
        },
    ]
}
OWN = """
import json, os
from pathlib import Path

def model_fn(folder):
    return json.loads(Path(folder, "model.json").read_text())

def predict_fn(instances, model):
    if model["breaks"] and any(instance.get("late") for instance in instances):
        raise RuntimeError("broken on purpose")
    return [{{"probability": model["mean"], "version": {version!r} + " " + model["name"]}} for _ in instances]
"""


def files_of(
    folder: Path, version: str, breaks: str = "", values: tuple[str, ...] = ("north", "south", "new")
) -> dict[str, str | bytes]:
    """What a training has made: the models of a version, of which one may break on requests that say ``late``.

    Args:
        values: What the file named when the models were trained.
    """
    rows = pa.table(
        {
            "shop": ["north"] * 30 + ["south"] * 30 + ["east"] * 30 + ["new"] * 5,
            "sold": [0.1] * 30 + [0.2] * 30 + [0.3] * 30 + [0.9] * 5,
        }
    )

    def fit(chosen: pa.Table, place: Path) -> None:
        mean = round(sum(chosen["sold"].to_pylist()) / chosen.num_rows, 6)
        content = {"mean": mean, "name": place.name, "breaks": place.name == breaks}
        (place / "model.json").write_text(json.dumps(content))

    own = folder / "inference.py"
    own.write_text(OWN.format(version=version))
    described = {"features": [{"name": "shop", "type": "category"}, {"name": "sold", "type": "number"}]}
    segments = Segments("shop", values, "_fallback", 20)
    segments.train(rows, fit, folder / version, features=described, own=own)
    made = folder / version
    return {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand with the one workload."""
    server = start_server(tmp_path_factory.mktemp("several"), "--wait-scale", "0.02", "--alarm-scale", "0.02")
    try:
        yield deploy_stand(server, tmp_path_factory.mktemp("stand"), (SHOPS,))
    finally:
        server.stop()


def asked(stand: Stand, model: str, shop: str | None, **more: Any) -> str:
    """The version and the model that answer."""
    answer = stand.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=SHOPS.endpoint,
        ContentType="application/json",
        Body=json.dumps({"instances": [{"shop": shop, "sold": 1, **more}]}),
        TargetModel=model,
    )
    return str(json.loads(answer["Body"].read())["predictions"][0]["version"])


def test_a_set_is_deployed_by_a_canary_and_taken_back_as_a_whole(stand: Stand, tmp_path: Path) -> None:
    """The first set is older than the file: of the east it has a model, and of what is new none, not even a copy."""
    files = files_of(tmp_path, "v1", values=("north", "south", "east"))
    first = stand.deploy(SHOPS, stand.package_of(SHOPS, files, OLDER_GOLDEN))
    assert first.status == "SUCCEEDED", (first.error, first.cause)
    assert "UnpackModels" in first.states
    models = {"north": "v1 north", "south": "v1 south", "east": "v1 east"}
    assert {shop: asked(stand, f"{shop}.tar.gz", shop) for shop in models} == models
    assert {asked(stand, "_fallback.tar.gz", shop) for shop in (None, "new", "east")} == {"v1 _fallback"}
    with pytest.raises(ClientError, match="this model answers for north"):
        asked(stand, "north.tar.gz", "south")

    with stand.traffic(SHOPS) as north, stand.traffic(SHOPS) as south:
        north.model, north.request = "north.tar.gz", {"instances": [{"shop": "north", "sold": 1}]}
        south.model, south.request = "south.tar.gz", {"instances": [{"shop": "south", "sold": 1}]}
        second = stand.deploy(SHOPS, stand.package_of(SHOPS, files_of(tmp_path, "v2"), GOLDEN))
        assert second.status == "SUCCEEDED", (second.error, second.cause)
        assert (set(north.answers), set(south.answers)) == ({"v1 north", "v2 north"}, {"v1 south", "v2 south"})
        assert asked(stand, "new.tar.gz", "new") == "v2 _fallback"

        south.request = {"instances": [{"shop": "south", "sold": 1, "late": True}]}
        broken = stand.package_of(SHOPS, files_of(tmp_path, "v3", breaks="south"), GOLDEN)
        third = stand.deploy(SHOPS, broken)
        assert (third.status, third.error) == ("FAILED", "SilentRollback"), third.cause
    assert north.failed == 0
    assert set(south.failures) == {"ModelError 500"}
    assert stand.status_of(broken)[0] == "Rejected"
    models = {"north": "v2 north", "south": "v2 south", "new": "v2 _fallback"}
    assert {shop: asked(stand, f"{shop}.tar.gz", shop) for shop in models} == models
