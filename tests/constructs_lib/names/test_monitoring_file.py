"""Which backend may look at what is served, and what a workload file is told when it cannot."""

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names import monitor_images
from constructs_lib.names.fairness_file import Facet
from constructs_lib.names.monitoring_file import Monitoring, check_backend
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from tests.everything.platform import FOLDER

FACETS = [{"column": "channel", "values": ["web"]}]


def parsed(monitoring: dict[str, Any], **more: Any) -> WorkloadFile:
    path = FOLDER / "workloads" / "kept_orders" / "workload.yaml"
    content = WorkloadFile.load(path).model_dump(mode="json", exclude_unset=True)
    return WorkloadFile.parse({**content, "monitoring": monitoring, **more})


def test_the_own_backend_is_the_default_and_its_jobs_are_asked_as_ever() -> None:
    assert Monitoring().is_own
    assert "backend" not in parsed({}).monitoring_options()["monitoring"]
    assert parsed({"backend": "model_monitor"}).monitoring_options()["monitoring"]["backend"] == "model_monitor"


@pytest.mark.parametrize(
    ("monitoring", "more", "told"),
    [
        (
            {"backend": "evidently"},
            {},
            "monitoring.backend: allowed: 'builtin', 'model_monitor' or 'clarify', was \"evidently\"",
        ),
        (
            {"backend": "model_monitor", "matters": {"psi": 0.3}},
            {},
            "matters: only the builtin backend has it, was given with backend: model_monitor "
            "(allowed there: every, margin, floor, bias_margin)",
        ),
        (
            {"backend": "model_monitor", "rollback_versions": 2},
            {},
            "rollback_versions: only the builtin backend has it, was given with backend: model_monitor ",
        ),
        (
            {"rollback_versions": 2},
            {},
            "rollback_versions: has an effect only with rollback_by_score (allowed there: propose, perform)",
        ),
        (
            {"rollback_by_score": "propose", "rollback_versions": 4},
            {},
            "monitoring.rollback_versions: input should be less than or equal to 3",
        ),
        (
            {"backend": "model_monitor"},
            {"gate": {"metric": "log_loss", "champion": {"required": False}}},
            "model_monitor does not measure 'log_loss', the metric of the gate (allowed: accuracy, auc, f1, ",
        ),
        (
            {"backend": "model_monitor"},
            {"serving": {"mode": "serverless"}},
            "model_monitor reads what a real-time endpoint captures; allowed here: builtin",
        ),
        ({"backend": "clarify"}, {}, "clarify has nothing to look at: there are neither evaluation.facets nor"),
        (
            {"backend": "clarify"},
            {"evaluation": {"facets": [{"column": "amount", "threshold": 9}]}},
            "clarify names the group of facet 'amount' by its threshold and the greatest value of each window",
        ),
        (
            {"backend": "clarify"},
            {"model": {"kind": "built_in", "algorithm": "xgboost"}, "evaluation": {"explanations": {}}},
            "explan",
        ),
    ],
)
def test_says_what_a_backend_cannot_do(monitoring: dict[str, Any], more: dict[str, Any], told: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        parsed(monitoring, **more)
    assert told in str(refused.value)
    assert "monitoring" in str(refused.value) or "evaluation" in str(refused.value)


def test_clarify_sees_only_what_the_endpoint_is_asked_with() -> None:
    with pytest.raises(ValueError, match=r"facet 'age' is none of the features \(allowed: amount\)"):
        check_backend(
            Monitoring(backend="clarify"),
            problem="binary_classification",
            metric="auc",
            captures=True,
            in_process=True,
            facets=[Facet(column="age", values=("old",))],
            explanations=None,
            features=["amount"],
        )


def test_clarify_looks_at_groups_and_explanations() -> None:
    asked = parsed({"backend": "clarify", "every": "hour"}, evaluation={"facets": FACETS, "explanations": {}})
    assert asked.monitoring is not None
    assert asked.monitoring.backend == "clarify"


@pytest.mark.parametrize(
    ("name", "image", "registries"),
    [
        ("model-monitor", monitor_images.MODEL_MONITOR, monitor_images.MODEL_MONITOR_REGISTRIES),
        ("clarify", monitor_images.CLARIFY, monitor_images.CLARIFY_REGISTRIES),
    ],
)
def test_images_are_where_the_sdk_says(name: str, image: tuple[str, str], registries: dict[str, str]) -> None:
    folder = distribution("sagemaker-core").locate_file("sagemaker/core/image_uri_config")
    content: dict[str, Any] = json.loads(Path(str(folder), f"{name}.json").read_text())
    (known,) = content.get("processing", content)["versions"].values()
    assert (known["repository"], known["registries"]) == (image[0], registries)


def test_a_region_needs_both_images_for_clarify() -> None:
    both = monitor_images.regions(clarify=True)
    assert "us-east-1" in both
    assert set(both) < set(monitor_images.regions(clarify=False))
