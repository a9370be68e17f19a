"""Algorithms that AWS ships as scripts are pinned from its public list, here one of a server of this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.algorithm_pins import Source, pins
from gate.algorithms.__main__ import main, pinned
from gate.algorithms.pinning import pin
from gate.algorithms.public_list import NotPinned
from tests.gate import jumpstart_documents as public

REGRESSION = {**public.LIGHTGBM, "model_id": "lightgbm-regression-model"}
NEWER = {
    **public.LIGHTGBM,
    "version": "2.10.0",
    "training_prepacked_script_key": "source-directory-tarballs/lightgbm/prepack/v1.1.0/sourcedir.tar.gz",
    "hosting_prepacked_artifact_key": "lightgbm-infer/prepack/infer-prepack-lightgbm-classification-model.tar.gz",
}


class Listing:
    """AWS's public list, with what lies beside it; folders stand for regions."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        listing = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = listing.files.get(self.path.lstrip("/"))
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def address(self, region: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{region}"

    def put(self, region: str, *documents: dict[str, Any]) -> None:
        self.files[f"{region}/models_manifest.json"] = json.dumps(public.manifest(*documents)).encode()
        for document in documents:
            self.files[f"{region}/{public.spec_key(document)}"] = json.dumps(document).encode()
            for name in ("training_script_key", "training_prepacked_script_key", "training_artifact_key",
                         "hosting_script_key"):  # fmt: skip
                if name in document:
                    self.files[f"{region}/{document[name]}"] = f"content of {document[name]}".encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listing() -> Iterator[Listing]:
    found = Listing()
    yield found
    found.stop()


def sha256(key: str) -> str:
    return hashlib.sha256(f"content of {key}".encode()).hexdigest()


def addresses(listing: Listing, *regions: str) -> dict[str, tuple[str, str]]:
    return {region: (f"jumpstart-cache-prod-{region}", listing.address(region)) for region in regions}


def ask(listing: Listing, file: Path, *words: str) -> int:
    given = ["--region", "eu-west-1", "--address", listing.address("eu-west-1"), "--file", str(file)]
    return main([*words, *given])


def test_pins_every_model_of_an_algorithm_with_the_digests_of_its_archives(listing: Listing, tmp_path: Path) -> None:
    listing.put("eu-west-1", public.LIGHTGBM, REGRESSION)
    assert ask(listing, tmp_path / "pins.json", "lightgbm") == 0
    found = pins(tmp_path / "pins.json")["lightgbm"]
    assert found.keys() == {"classification", "regression"}
    one = found["classification"]
    assert (one.model_id, one.version) == ("lightgbm-classification-model", "1.0.0")
    assert {each.key: each.sha256 for each in one.archives} == {
        key: sha256(key)
        for key in (
            public.LIGHTGBM["training_script_key"],
            public.LIGHTGBM["training_artifact_key"],
            public.LIGHTGBM["hosting_script_key"],
        )
    }
    assert one.training.images.tags == {"cpu": "1.9.0-cpu-py38", "gpu": "1.9.0-gpu-py38"}
    assert (one.training.images.repository, one.serving.images.repository) == ("pytorch-training", "pytorch-inference")
    place = one.regions["eu-west-1"]
    assert (place.bucket, place.training_registry) == ("jumpstart-cache-prod-eu-west-1", "763104351884")
    assert one.source.sha256 == hashlib.sha256(json.dumps(public.LIGHTGBM).encode()).hexdigest()
    assert one.settings["sagemaker_program"] == "transfer_learning.py"
    assert one.serving.environment["SAGEMAKER_PROGRAM"] == "inference.py"
    rounds = one.hyperparameters[0]
    assert (rounds.name, rounds.default, rounds.min, rounds.max) == ("num_boost_round", "5000", 1, 100000)


def test_takes_the_newest_version_that_is_allowed(listing: Listing) -> None:
    older = {**NEWER, "version": "2.9.0"}
    listing.put("eu-west-1", older, public.LIGHTGBM, NEWER)
    where = addresses(listing, "eu-west-1")
    assert pinned("lightgbm-classification-model", where).version == "2.10.0"
    assert pinned("lightgbm-classification-model", where, "2.9.*").version == "2.9.0"
    assert pinned("lightgbm-classification-model", where, "<2").version == "1.0.0"


def test_a_training_that_puts_the_script_into_the_model_needs_no_script_that_serves(listing: Listing) -> None:
    listing.put("eu-west-1", NEWER)
    found = pinned("lightgbm-classification-model", addresses(listing, "eu-west-1"))
    assert found.training.script.key == NEWER["training_prepacked_script_key"]
    assert found.serving.script is None


def test_images_come_from_the_list_itself_where_it_names_them_region_by_region(listing: Listing) -> None:
    for region in ("af-south-1", "us-east-1"):
        listing.put(region, public.AUTOGLUON)
    found = pinned("autogluon-classification-ensemble", addresses(listing, "af-south-1", "us-east-1"))
    assert found.training.images.tags == {"cpu": "0.4.3-cpu-py38", "gpu": "0.4.3-gpu-py38"}
    assert {region: place.serving_registry for region, place in found.regions.items()} == {
        "af-south-1": "626614931356",
        "us-east-1": "763104351884",
    }
    assert "ml.m5.large" not in found.training.instance_types and "ml.m5.xlarge" in found.training.instance_types


def test_what_else_is_pinned_stays(listing: Listing, tmp_path: Path) -> None:
    listing.put("eu-west-1", public.LIGHTGBM, REGRESSION, public.CATBOOST,
                {**public.CATBOOST, "model_id": "catboost-regression-model"})  # fmt: skip
    file = tmp_path / "pins.json"
    assert ask(listing, file, "lightgbm") == 0
    before = pins(file)["lightgbm"]
    assert ask(listing, file, "catboost") == 0
    assert pins(file).keys() == {"catboost", "lightgbm"} and pins(file)["lightgbm"] == before


def test_nothing_is_written_where_one_model_is_missing(
    listing: Listing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing.put("eu-west-1", public.LIGHTGBM)
    assert ask(listing, tmp_path / "pins.json", "lightgbm") == 2
    assert "lightgbm-regression-model: no version at" in capsys.readouterr().err
    assert not (tmp_path / "pins.json").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"deprecated": True}, "AWS has deprecated it; ask for another by --version"),
        ({"training_vulnerable": True, "training_vulnerabilities": ["CVE-1"]}, r"training to be vulnerable \(CVE-1\)"),
        ({"training_supported": False}, "AWS does not let it be trained"),
    ],
)
def test_refuses_what_aws_tells_not_to_use(listing: Listing, changed: dict[str, Any], message: str) -> None:
    listing.put("eu-west-1", {**public.LIGHTGBM, **changed})
    with pytest.raises(NotPinned, match=message):
        pinned("lightgbm-classification-model", addresses(listing, "eu-west-1"))


def test_refuses_regions_with_other_archives_or_other_versions(listing: Listing) -> None:
    listing.put("eu-west-1", public.LIGHTGBM)
    listing.put("us-west-2", public.LIGHTGBM)
    where = addresses(listing, "eu-west-1", "us-west-2")
    listing.files[f"us-west-2/{public.LIGHTGBM['training_artifact_key']}"] = b"something else"
    with pytest.raises(NotPinned, match="another archive in another region"):
        pinned("lightgbm-classification-model", where)
    listing.put("us-west-2", public.LIGHTGBM, NEWER)
    with pytest.raises(NotPinned, match=r"the newest version is 1\.0\.0 in eu-west-1, 2\.10\.0 in us-west-2"):
        pinned("lightgbm-classification-model", where)


def test_an_archive_that_is_not_there_is_named(listing: Listing) -> None:
    listing.put("eu-west-1", public.LIGHTGBM)
    del listing.files[f"eu-west-1/{public.LIGHTGBM['training_script_key']}"]
    with pytest.raises(NotPinned, match=r"classification/v1.0.0/sourcedir.tar.gz cannot be read: HTTP Error 404"):
        pinned("lightgbm-classification-model", addresses(listing, "eu-west-1"))


def test_refuses_a_region_without_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lightgbm", "--region", "mars-north-1", "--file", str(tmp_path / "pins.json")]) == 2
    assert "--region: AWS has no list in mars-north-1 (allowed: af-south-1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("algorithm", "document"),
    [("autogluon", public.AUTOGLUON), ("catboost", public.CATBOOST), ("lightgbm", public.LIGHTGBM)],
)
def test_what_ships_is_what_the_quoted_specifications_say(algorithm: str, document: dict[str, Any]) -> None:
    shipped = pins()[algorithm]["classification"]
    if shipped.source.text != public.QUOTED:
        pytest.skip("pinned again from the list itself")
    buckets = {region: place.bucket for region, place in shipped.regions.items()}
    source = Source(date=public.QUOTED_ON, text=public.QUOTED)
    assert pin(document, source, buckets, lambda _key: None) == shipped
