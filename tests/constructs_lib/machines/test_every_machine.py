"""What holds for all definitions: they are valid, and none of their tasks can hang or fail unnoticed."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from constructs_lib.asl import State, all_states
from constructs_lib.machines.aws_monitors import monitors_machine
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.machines.deployment import DeploymentParts, Fleet, ModelSet, Rollout, deployment_machine
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.loop import LoopParts, loop_machine
from constructs_lib.machines.makers.automl import AutoMLMaker
from constructs_lib.machines.makers.built_in import BuiltInMaker
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pinned_scripts import PinnedArchive, PinnedScripts
from constructs_lib.machines.makers.pipeline import PipelineMaker
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.no_code import FlowRun, RecipeRun
from constructs_lib.machines.promotion import PromotionParts, promotion_machine
from constructs_lib.machines.relabelling import LabellingParts, relabelling_machine
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import SigningParts
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.file_parts import AllowPickle
from constructs_lib.names.relabelling_file import GroundTruth
from stacks.toolchain import find_node
from tests.constructs_lib.machines.test_aws_monitors_machine import aws_parts
from tests.constructs_lib.machines.test_tuning_model_machine import parts_of
from tests.constructs_lib.names.test_relabelling_file import JOB

find_node()

ROOT = Path(__file__).parents[3]
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:any"
SIGNING = SigningParts(FUNCTION, FUNCTION)
ROLE = "arn:aws:iam::000000000000:role/any"
KINDS = [
    *("data", "data-recipe", "data-flow"),
    *("model", "model-by-hand", "model-that-scores", "model-pipeline", "model-automl", "model-logged", "model-tuned"),
    *("deployment", "deployment-that-scores", "deployment-of-several-models", "loop", "loop-with-policy", "promotion"),
    *("relabelling", "aws-monitors", "model-of-scripts"),
]
AUTOML = AutoMLModel(kind="automl", allow_pickle=AllowPickle(reason="Autopilot keeps its models as pickles"))
LIGHTGBM = BuiltInModel(
    kind="built_in", algorithm="lightgbm", allow_pickle=AllowPickle(reason="LightGBM's script keeps models by joblib")
)
SCRIPTS = PinnedScripts(PinnedArchive("jumpstart", "train/sourcedir.tar.gz"), PinnedArchive("jumpstart", "m.tar.gz"))
WITHOUT_LIMIT = "createTransformJob"
"""The one job that SageMaker gives no time limit: its task's end stops it."""


@pytest.fixture(params=KINDS)
def definition(request: pytest.FixtureRequest, surroundings: Surroundings, place: JobPlace) -> State:
    limits = JobLimits("ml.m5.large", 30)
    model = {
        approval: ModelParts(
            place,
            "datasets",
            "group",
            FUNCTION,
            SIGNING,
            ScriptMaker("image"),
            ROLE,
            ROLE,
            "binary_classification",
            "late",
            limits,
            limits,
            {"seed": "1"},
            "s3://assets/options.json",
            {"metric": "auc"},
            approval,
            "ml.m5.large",
        )
        for approval in ("automatic", "manual")
    }
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    data = DataParts(
        FUNCTION, "job", 60, "crawler", "s3://a/contract.json", "c0", "s3://a/b/", "glue-5.1-x", zones, zones, 0.05
    )
    recipe = RecipeRun([{"Action": {"Operation": "UPPER_CASE"}}], ROLE, "key", "curated", "flights", 5, 60)
    flow = FlowRun(place, "image", ROLE, "s3://a/a.flow", "curated", ["flights"], "n.default", limits)
    fleet, rollout = Fleet("ml.m5.large", 2, 100), Rollout("canary", 5, 0.5)
    deployment = DeploymentParts(
        place, SIGNING, FUNCTION, ROLE, limits, ROLE, "live", ["errors", "latency"], fleet, rollout
    )
    scoring = Scoring(ROLE, limits)
    several = ModelSet(FUNCTION, "us-east-1")
    labelling = LabellingParts(
        FUNCTION,
        FUNCTION,
        GroundTruth.model_validate(JOB),
        ROLE,
        "key",
        "s3://a/t.liquid",
        "s3://a/l.json",
        "s3://a/l/",
    )
    definitions = {
        "relabelling": lambda: relabelling_machine(surroundings, labelling),
        "data": lambda: data_machine(surroundings, data),
        "data-recipe": lambda: data_machine(surroundings, replace(data, features=recipe)),
        "data-flow": lambda: data_machine(surroundings, replace(data, features=flow)),
        "model": lambda: model_machine(surroundings, model["automatic"]),
        "aws-monitors": lambda: monitors_machine(surroundings, aws_parts()),
        "model-by-hand": lambda: model_machine(surroundings, model["manual"]),
        "model-automl": lambda: model_machine(
            surroundings,
            replace(model["automatic"], maker=AutoMLMaker(AUTOML, "adapters"), scoring=scoring, trains=False),
        ),
        "model-pipeline": lambda: model_machine(
            surroundings,
            replace(
                model["automatic"], maker=PipelineMaker("image", "pipeline"), evaluated_by_maker=True, trains=False
            ),
        ),
        "model-of-scripts": lambda: model_machine(
            surroundings,
            replace(
                model["automatic"],
                maker=BuiltInMaker(LIGHTGBM, "image", "adapters", "image", SCRIPTS),
                scoring=scoring,
                serving_script_uri="s3://artefacts/sourcedir.tar.gz",
            ),
        ),
        "model-logged": lambda: model_machine(surroundings, replace(model["automatic"], log_experiment_arn=FUNCTION)),
        "model-tuned": lambda: model_machine(
            surroundings, replace(model["automatic"], tuning=parts_of(warm_start="TransferLearning", space="here"))
        ),
        "model-that-scores": lambda: model_machine(surroundings, replace(model["automatic"], scoring=scoring)),
        "deployment": lambda: deployment_machine(surroundings, deployment),
        "deployment-that-scores": lambda: deployment_machine(surroundings, replace(deployment, scoring=scoring)),
        "deployment-of-several-models": lambda: deployment_machine(
            surroundings, replace(deployment, model_set=several)
        ),
        "loop": lambda: loop_machine(surroundings, LoopParts("arn:data", "arn:model")),
        "loop-with-policy": lambda: loop_machine(surroundings, LoopParts("arn:data", "arn:model", FUNCTION)),
        "promotion": lambda: promotion_machine(surroundings, PromotionParts(FUNCTION, SIGNING, "group", "ml.m5.large")),
    }
    return definitions[request.param]()


def test_is_valid_amazon_states_language(definition: State, tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(definition))
    validator = [
        os.environ["JSII_NODE"],
        str(ROOT / "node_modules" / ".bin" / "asl-validator"),
        "--json-path",
        str(path),
    ]
    done = subprocess.run(validator, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_task_has_a_timeout_a_jittered_capped_retry_and_a_catch_of_everything(definition: State) -> None:
    for name, state in all_states(definition):
        if state["Type"] == "Task":
            assert state["TimeoutSeconds"] > 0, name
            assert {retry["JitterStrategy"] for retry in state["Retry"]} == {"FULL"}, name
            assert all(retry["MaxDelaySeconds"] <= 60 and retry["MaxAttempts"] < 10 for retry in state["Retry"]), name
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name


def test_a_job_ends_by_its_own_limit_before_its_task_does(definition: State) -> None:
    for name, state in all_states(definition):
        if state.get("Resource", "").endswith("Job.sync") and WITHOUT_LIMIT not in state["Resource"]:
            assert state["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] < state["TimeoutSeconds"], name
        if state.get("Resource", "").endswith("glue:startJobRun.sync"):
            assert state["Arguments"]["Timeout"] * 60 < state["TimeoutSeconds"], name


def test_jobs_are_cut_off_from_the_network_and_encrypted(definition: State) -> None:
    for name, state in all_states(definition):
        asked = state.get("Resource", "")
        if "createTrainingJob" in asked or "createHyperParameterTuningJob" in asked:
            request = state["Arguments"].get("TrainingJobDefinition", state["Arguments"])
            assert request["EnableNetworkIsolation"] and request["EnableInterContainerTrafficEncryption"], name
            assert request["VpcConfig"]["Subnets"], name
            if name != "Remake":  # asks for the machine of a job that this held for
                assert request["ResourceConfig"]["VolumeKmsKeyId"], name
            assert request["OutputDataConfig"]["KmsKeyId"], name
        if "createProcessingJob" in state.get("Resource", ""):
            network, cluster = (state["Arguments"][part] for part in ("NetworkConfig", "ProcessingResources"))
            assert network["EnableNetworkIsolation"] and network["VpcConfig"]["SecurityGroupIds"], name
            assert cluster["ClusterConfig"]["VolumeKmsKeyId"], name
            assert state["Arguments"]["ProcessingOutputConfig"]["KmsKeyId"], name
        if "createTransformJob" in state.get("Resource", ""):
            assert state["Arguments"]["TransformResources"]["VolumeKmsKeyId"], name
            assert state["Arguments"]["TransformOutput"]["KmsKeyId"], name


def test_stays_far_below_the_size_that_step_functions_takes(definition: State) -> None:
    assert len(json.dumps(definition)) < 200_000


def test_every_failure_ends_where_it_is_recorded_and_told(definition: State) -> None:
    names = list(definition["States"])
    assert names.index("ExplainFailure") < names.index("RecordFailure") < names.index("NotifyFailure")
    assert names[-2:] == ["ResumeOrFail", "Fail"]
