"""The parts of the local SageMaker that need no server."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from local.server.host import ServiceError
from local.server.sagemaker.archive import BadArchive, pack, unpack
from local.server.sagemaker.children import Sandbox, command
from local.server.sagemaker.endpoints.rollout import Rollout
from local.server.sagemaker.images import framework_of
from local.server.sagemaker.jobs.metrics import MetricDefinition, MetricReader
from local.server.sagemaker.jobs.script_mode import BadScript, Script, command_line, decode_all
from local.server.sagemaker.s3_data import Address, DataError, _relative
from local.server.sagemaker.store import AlreadyThere, Store

# -- data


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a/b c+ä",
        "https://s3.us-east-1.amazonaws.com/bucket/a/b c+ä",
        "https://bucket.s3.us-east-1.amazonaws.com/a/b c+ä",
    ],
)
def test_reads_every_spelling_of_an_address(uri: str) -> None:
    assert Address.parse(uri) == Address("bucket", "a/b c+ä")


def test_refuses_what_is_no_address() -> None:
    with pytest.raises(DataError, match="is not an S3 address"):
        Address.parse("https://example.org/bucket/key")


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("train/", "train/a/b.csv", "a/b.csv"),
        ("train", "train/a.csv", "a.csv"),
        ("code/x.tar.gz", "code/x.tar.gz", "x.tar.gz"),
        ("data/tr", "data/train/a.csv", "train/a.csv"),
        ("", "a/b.csv", "a/b.csv"),
    ],
)
def test_names_below_a_channel_are_what_follows_the_prefix(prefix: str, key: str, name: str) -> None:
    assert _relative(prefix, key) == name


# -- archives


def test_what_is_packed_unpacks_the_same(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "code").mkdir(parents=True)
    (source / "code" / "inference.py").write_text("pass")

    pack(source, tmp_path / "model.tar.gz")
    unpack(tmp_path / "model.tar.gz", tmp_path / "again")

    assert (tmp_path / "again" / "code" / "inference.py").read_text() == "pass"


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "member", [tarfile.TarInfo("../evil"), link("inside", "../../etc")], ids=["above", "link out"]
)  # fmt: skip
def test_an_archive_cannot_lead_out_of_its_folder(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.addfile(member, io.BytesIO())

    with pytest.raises(BadArchive, match=r"cannot unpack x\.tar\.gz"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")

    assert not (tmp_path / "evil").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b broken")

    with pytest.raises(BadArchive):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")


# -- containers


def test_points_the_containers_paths_into_its_folder(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    root = tmp_path / "opt" / "ml"

    assert sandbox.re_root("/opt/ml/processing/input/job.py") == f"{root}/processing/input/job.py"
    assert sandbox.re_root('--x=/opt/ml/model:["/opt/ml"]') == f'--x={root}/model:["{root}"]'
    assert sandbox.re_root("s3://bucket/opt/ml/x /opt/mlflow") == "s3://bucket/opt/ml/x /opt/mlflow"
    with pytest.raises(ValueError, match="leads out"):
        sandbox.path("/opt/ml/../../etc/passwd")


def test_any_python_is_the_job_interpreter() -> None:
    python = Path("/venv/bin/python")

    for name in ("python", "python3", "/usr/bin/python3.10", "/miniconda3/bin/python"):
        assert command(python, [name, "x.py"]) == ["/venv/bin/python", "x.py"]
    assert command(python, ["bash", "-c", "true"]) == ["bash", "-c", "true"]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "sagemaker-xgboost"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn@sha256:ab", "sagemaker-scikit-learn"),
        ("000000000000.dkr.ecr.us-east-1.amazonaws.com/my-own:1", None),
    ],
)
def test_tells_the_framework_by_the_repository(image: str, repository: str | None) -> None:
    framework = framework_of(image)

    assert (framework.repository if framework else None) == repository


# -- script mode


def test_hyperparameters_become_arguments_as_in_the_toolkit() -> None:
    values = decode_all({"b": "1", "flag": "true", "text": "a b", "quoted": '"x"', "map": '{"k": 1}', "none": "null"})

    assert command_line(values) == [
        "-b", "1", "--flag", "True", "--map", "k=1", "--none", "", "--quoted", "x", "--text", "a b"
    ]  # fmt: skip


def test_the_platforms_hyperparameters_are_not_the_users() -> None:
    script = Script.of({"sagemaker_program": "train.py", "sagemaker_mpi_enabled": "true", "eta": "0.1"})

    assert (script.user, script.framework) == ({"eta": 0.1}, {"sagemaker_mpi_enabled": True})
    with pytest.raises(BadScript, match="must be a Python file"):
        Script.of({"sagemaker_program": "train.sh"})


# -- metrics


def test_the_last_value_of_a_metric_is_final() -> None:
    reader = MetricReader([MetricDefinition.parse({"Name": "auc", "Regex": r"auc[=:]([-\d.einfa]+)"})])

    for line in ("auc=0.5", "nothing", "auc=-", "auc=0.25 auc:0.75"):
        reader.read(line)

    assert [(each["MetricName"], each["Value"]) for each in reader.final()] == [("auc", 0.75)]


@pytest.mark.parametrize("regex", ["auc=(", "auc=.*"])
def test_a_metric_needs_a_pattern_with_a_group(regex: str) -> None:
    with pytest.raises(ServiceError, match="auc"):
        MetricDefinition.parse({"Name": "auc", "Regex": regex})


# -- guardrails


def blue_green(kind: str, **routing: Any) -> dict[str, Any]:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {
        "Type": kind, "WaitIntervalInSeconds": 60, **routing
    }}}  # fmt: skip


def rolling(percent: int) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size(percent), "WaitIntervalInSeconds": 60}}


def size(value: int, kind: str = "CAPACITY_PERCENT") -> dict[str, Any]:
    return {"Type": kind, "Value": value}


@pytest.mark.parametrize(
    ("config", "instances", "shares"),
    [
        (None, 1, (1.0,)),
        (blue_green("ALL_AT_ONCE"), 1, (1.0,)),
        (blue_green("CANARY", CanarySize=size(25)), 4, (0.25, 1.0)),
        (blue_green("CANARY", CanarySize=size(1, "INSTANCE_COUNT")), 2, (0.5, 1.0)),
        (blue_green("LINEAR", LinearStepSize=size(40)), 2, (0.4, 0.8, 1.0)),
        (blue_green("LINEAR", LinearStepSize=size(10)), 2, tuple(step / 10 for step in range(1, 11))),
    ],
)
def test_a_deployment_moves_in_steps(config: dict[str, Any] | None, instances: int, shares: tuple[float, ...]) -> None:
    assert Rollout.parse(config, instances).shares == pytest.approx(shares)


@pytest.mark.parametrize(
    ("config", "instances", "problem"),
    [
        (blue_green("CANARY"), 2, "CanarySize is required for traffic routing of type CANARY"),
        (blue_green("ALL_AT_ONCE", CanarySize=size(10)), 2, "CanarySize cannot be given"),
        (blue_green("CANARY", CanarySize=size(50)), 1, "needs at least 2 instances"),
        (blue_green("CANARY", CanarySize=size(2, "INSTANCE_COUNT")), 3, "not 2 of 3 instances"),
        (blue_green("LINEAR", LinearStepSize=size(5)), 4, "between 10 and 50 percent"),
        (rolling(60), 4, "MaximumBatchSize must be between 5 and 50 percent of the fleet, not 60 percent"),
        (rolling(50), 1, "needs at least 2 instances"),
        (
            {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}, {"AlarmName": "a"}]}},
            2,
            "names an alarm twice",
        ),
    ],
)
def test_a_deployment_keeps_to_its_limits(config: dict[str, Any], instances: int, problem: str) -> None:
    with pytest.raises(ServiceError, match=problem):
        Rollout.parse(config, instances)


def test_a_deployment_cannot_wait_longer_than_it_may_take() -> None:
    config = blue_green("CANARY", CanarySize=size(50))
    config["BlueGreenUpdatePolicy"] |= {"TerminationWaitInSeconds": 600, "MaximumExecutionTimeoutInSeconds": 650}

    with pytest.raises(ServiceError, match="MaximumExecutionTimeoutInSeconds 650 is shorter"):
        Rollout.parse(config, 2)


# -- store


def test_the_store_outlives_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.sqlite")
    store.add("Model", "m", {"Image": "i"})
    store.change("Model", "m", Image="j", Extra=None)
    store.add_tags("arn", {"a": "1", "b": "2"})
    store.remove_tags("arn", ["a"])

    again = Store(tmp_path / "x.sqlite")

    found = again.find("Model", "m")
    assert found is not None
    assert (found["Image"], "Extra" in found) == ("j", False)
    assert again.tags("arn") == {"b": "2"}
    with pytest.raises(AlreadyThere):
        again.add("Model", "m", {})
    assert again.all("Model") == [found]
