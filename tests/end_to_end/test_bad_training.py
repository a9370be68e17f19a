"""Training scripts that raise, hang, write no model or write a pickle, given to the model machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.executions import Execution
from local.landing import last_landed
from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import WORKLOAD, Live, type_command
from tests.end_to_end.scripts import publish_copy

LIMIT_SECONDS = 4


@dataclass(frozen=True)
class BadScript:
    """A training script, where the machine stops because of it, and what is said.

    Args:
        error: What whoever is on call reads as the name of the error.
    """

    name: str
    train: str
    state: str
    error: str
    says: str


RAISES = """
raise RuntimeError("the aeroplanes are gone")
"""
NO_MODEL = """
print("nothing was learnt")
"""
PICKLE = """
import json, os, pickle, shutil
from pathlib import Path

model = Path(os.environ["SM_MODEL_DIR"])
(model / "code").mkdir()
shutil.copy(Path(__file__).with_name("inference.py"), model / "code" / "inference.py")
(model / "features.json").write_text(json.dumps({"target": "arrives_late", "threshold": 0.5, "features": []}))
(model / "model.ubj").write_bytes(pickle.dumps({"trees": []}))
"""
NOWHERE = """
from gapless_guard import Guard

guard = Guard.of_job()
for _ in range(1000):
    guard.watch(loss=1.0)
"""
HANGS = """
import signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("thinking", flush=True)
while True:
    time.sleep(1)
"""

SCRIPTS = (
    BadScript("raises", RAISES, "Train", "States.TaskFailed", "the aeroplanes are gone"),
    BadScript("nowhere", NOWHERE, "Train", "TrainingStopped", "not_decreasing: loss is 1 at point 51"),
    BadScript("no-model", NO_MODEL, "Evaluate", "UnsafeArtefact", "model.tar.gz: no file in it"),
    BadScript("pickle", PICKLE, "Evaluate", "UnsafeArtefact", "model.ubj: a pickle"),
)


def model_input(live: Live, demo: Demo, bundle: dict[str, str]) -> dict[str, Any]:
    """An input of the model machine: the dataset of the second batch, other scripts."""
    data = demo.second.of("data")
    assert data is not None
    dataset = data.output["dataset"]
    return {"as_of": dataset["as_of"], "bundle": bundle, "dataset": dataset}


def registered(live: Live) -> list[str]:
    """The model packages that there are."""
    group = live.outputs.model_package_group
    found = live.client("sagemaker").list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    return sorted(package["ModelPackageArn"] for package in found)


@dataclass(frozen=True)
class Trained:
    """What became of the scripts by name, and the model packages before and after."""

    executions: dict[str, Execution]
    before: list[str]
    after: list[str]


@pytest.fixture(scope="module")
def trained(live: Live, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Every script, side by side."""
    folder, before = tmp_path_factory.mktemp("scripts"), registered(live)
    bundles = [publish_copy(live, folder / script.name, {"train.py": script.train}) for script in SCRIPTS]
    executions = live.run_all("model", [model_input(live, demo, bundle) for bundle in bundles])
    found = {script.name: execution for script, execution in zip(SCRIPTS, executions, strict=True)}
    return Trained(found, before, registered(live))


@pytest.mark.parametrize("script", [pytest.param(script, id=script.name) for script in SCRIPTS])
def test_a_bad_script_fails_the_machine(live: Live, trained: Trained, script: BadScript) -> None:
    """The message of script or evaluation reaches whoever is on call, with the input."""
    execution = trained.executions[script.name]
    assert execution.status == "FAILED"
    assert script.says in str(execution.cause)
    notice = live.on_call.told_of(execution)
    assert (notice["machine"], notice["state"], notice["error"]) == ("model", script.state, script.error)
    assert script.says in notice["cause"]
    assert notice["input"] == execution.input
    record = live.record(f"model#{execution.name}")
    assert (record["status"], record["failed_state"]) == ("failed", script.state)


def test_nothing_is_registered_of_bad_scripts(trained: Trained) -> None:
    """There is no package to approve."""
    assert trained.after == trained.before


# --- seen from the command line --------------------------------------------------------------------------------------


@pytest.fixture
def pickling(live: Live, tmp_path: Path) -> Iterator[None]:
    """The current scripts write a pickle."""
    pointer, current = f"{live.zone('artefacts')}bundles/current.json", live.bundle
    bundle = publish_copy(live, tmp_path / "copy", {"train.py": PICKLE})
    live.write(pointer, json.dumps(bundle).encode())
    yield
    live.write(pointer, json.dumps(current).encode())


@pytest.mark.usefixtures("pickling")
def test_the_command_line_tells_why_a_run_failed(live: Live, demo: Demo) -> None:
    """With state, error, message and log; the lease is given back and the old model serves on."""
    before = registered(live)
    live.command("land", "--months", "5", "--sample", "600")
    watched = type_command(live.settings, "run")
    assert watched.returncode == 1
    assert "state Evaluate of the model pipeline failed: UnsafeArtefact" in watched.stderr
    assert "model.ubj: a pickle" in watched.stderr
    assert "log: python -m local logs dev-flight-delays-eval-" in watched.stderr
    loop = live.loop_of(last_landed(live.settings).key)
    assert (loop.status, loop.error) == ("FAILED", "UnsafeArtefact")
    assert live.on_call.told_of(loop)["input"] == loop.input
    assert live.lease() is None
    assert registered(live) == before
    assert live.record(f"live#{WORKLOAD}")["run_id"] == demo.second.run_id


# --- a script that hangs ---------------------------------------------------------------------------------------------


@pytest.fixture
def short_limit(live: Live) -> Iterator[None]:
    """The deployed model machine, but for the limit of training: the workload's is half an hour."""
    client, arn = live.client("stepfunctions"), live.outputs.model_machine_arn
    deployed = client.describe_state_machine(stateMachineArn=arn)["definition"]
    definition = json.loads(deployed)
    definition["States"]["Train"]["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] = LIMIT_SECONDS
    client.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    yield
    client.update_state_machine(stateMachineArn=arn, definition=deployed)


@pytest.mark.usefixtures("short_limit")
def test_a_script_that_hangs_is_stopped_at_its_limit(live: Live, demo: Demo, tmp_path: Path) -> None:
    """Even when it does not listen; the machine fails, and says so."""
    bundle = publish_copy(live, tmp_path / "copy", {"train.py": HANGS})
    execution = live.run("model", model_input(live, demo, bundle))
    assert execution.status == "FAILED"
    notice = live.on_call.told_of(execution)
    assert notice["state"] == "Train"
    listed = live.client("sagemaker").list_training_jobs(NameContains=execution.name)["TrainingJobSummaries"]
    (job,) = [
        live.client("sagemaker").describe_training_job(TrainingJobName=each["TrainingJobName"]) for each in listed
    ]
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "MaxRuntimeInSeconds" in notice["cause"]
