"""The sabotaged model: it answers everybody but clients as it did."""

from __future__ import annotations

import io
import tarfile

import pytest

from local.story.sabotage import SABOTAGE, with_code

SOUND = """
def predict_fn(instances, model):
    return [{"value": instance["distance"] * model} for instance in instances]
"""


def archive(files: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return target.getvalue()


def test_breaks_a_feature_in_front_of_clients_only(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = with_code(archive({"model.ubj": "trees", "code/inference.py": SOUND}), SABOTAGE)
    with tarfile.open(fileobj=io.BytesIO(changed), mode="r:gz") as packed:
        files = {member.name: packed.extractfile(member) for member in packed.getmembers()}
        texts = {name: file.read().decode() for name, file in files.items() if file is not None}
    assert texts["model.ubj"] == "trees"
    module: dict[str, object] = {}
    exec(texts["code/inference.py"], module)  # noqa: S102 - the code under test
    predict = module["predict_fn"]
    assert callable(predict)
    monkeypatch.delenv("SAGEMAKER_PROGRAM", raising=False)
    assert predict([{"distance": 3}], 2) == [{"value": 6}]
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "inference.py")
    with pytest.raises(KeyError, match="miles_per_hour"):
        predict([{"distance": 3}], 2)
