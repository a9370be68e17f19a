"""The replay of a training run: its model is made again from the run's record, and compared with the recorded one.

Input of the model machine: ``{"run_id", "workload", "replay": <the run id to replay>, "tolerance"?}``; everything else
comes from the record of that run. The training job gets the recorded request: image, hyperparameters with the seed,
channels, machine; a search is asked for again, on the same splits. What only saves time or money is left out:
checkpoints, warm pools and spot. Nothing is published, judged, registered or counted.

The replay holds when the new model is the old one byte for byte, or when no prediction on the test split differs by
more than the tolerance; and when every metric is the recorded one, within the same tolerance. Figures above 1 are
compared relative to their size. Output: ``{"replayed": {"run", "identical", "difference", "tolerance", "model_sha256",
"metrics"}}``.
"""

from __future__ import annotations

from constructs_lib.asl import UNNAMED_SAGEMAKER, State, choice, go_to, jsonata, remember, succeed, task
from constructs_lib.machines.common import (
    CALL_SECONDS,
    Surroundings,
    find_object,
    get_json,
    own_failure,
    run_record,
    text,
)
from constructs_lib.machines.jobs import START_SECONDS, job_name
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.scoring import as_model
from constructs_lib.machines.spending import training_spent

FINAL_ERRORS = ("NotReplayable", "ReplayDiffers")
"""Errors that another try would meet again: the run cannot be repeated here, or another model came of it."""

WANTED = "$exists($states.input.replay)"
"""The JSONata of whether the execution is a replay."""

RECORDED_IMAGES = "($exists($original.images) and $original.images != 'none' ? $parse($original.images) : {})"
"""The JSONata of the images of the run that is replayed, name to address; empty in every other execution."""

TOLERANCE = "0.000001"
"""By how much predictions and metrics may differ unless the input says otherwise."""

_ROUNDING = "0.000000000001"
"""Records keep 15 digits of a figure, so no tolerance is smaller than this."""

_KEPT = (
    "status",
    "as_of",
    "bundle",
    "commit",
    "dataset_version",
    "training",
    "images",
    "training_job",
    "hyperparameters",
    "containers",
    "model_uri",
    "model_sha256",
    "metrics",
)
_REQUEST = ("AlgorithmSpecification", "HyperParameters", "InputDataConfig", "Environment")
SEARCH_REQUEST = ("AutoMLProblemTypeConfig", "AutoMLJobObjective")
"""What is recorded of the request of a search; its data are the splits, encoded again."""

_UNNAMED_TRAINING = ("SageMaker.AmazonSageMakerException",)
_MACHINE = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")


def remember_training(p: ModelParts) -> dict[str, State]:
    """Returns the state that keeps the request that the model was made with, as ``$training``."""
    if not p.trains:
        asked = ", ".join(f"'{name}': $states.result.{name}" for name in SEARCH_REQUEST)
        return {
            "DescribeRequest": task(
                "aws-sdk:sagemaker:describeAutoMLJobV2",
                {"AutoMLJobName": jsonata("$training_job")},
                timeout=CALL_SECONDS,
                assign={"training": jsonata(f"{{{asked}}}")},
                retry_also=UNNAMED_SAGEMAKER,
            )
        }
    members = ", ".join(f"'{name}': $states.result.{name}" for name in _REQUEST)
    machine = ", ".join(f"'{name}': $states.result.ResourceConfig.{name}" for name in _MACHINE)
    return {
        "DescribeTraining": task(
            "aws-sdk:sagemaker:describeTrainingJob",
            {"TrainingJobName": jsonata("$training_job")},
            timeout=CALL_SECONDS,
            assign={
                "training": jsonata(f"{{{members}, 'ResourceConfig': {{{machine}}}}}"),
                **training_spent(),
            },
            retry_also=UNNAMED_SAGEMAKER,
        )
    }


def original_states(s: Surroundings, p: ModelParts, *, following: str) -> dict[str, State]:
    """Returns the states that find what the original was made of and put it into the input of the states after them.

    Args:
        following: The state to go on with; it is given ``as_of``, ``bundle`` and the version of ``dataset``.
    """
    return {
        "FindOriginal": find_original(s),
        "OriginalExists": choice([("$original.status = 'none'", "NoOriginal")], default="OriginalIsWhole"),
        "OriginalIsWhole": choice(
            [("$original.training in ['none', '{}'] or $original.model_sha256 = 'none'", "NotRepeatable")],
            default="FindBundle",
        ),
        "FindBundle": find_object(s, p.place.artefacts_bucket, bundle_key(s), "bundle_exists"),
        "HasBundle": choice([("$bundle_exists", "TakeUpOriginal")], default="BundleIsGone"),
        "TakeUpOriginal": {**take_up_original(s, p), "Next": following},
        "NoOriginal": own_failure(
            "NotReplayable", f"'{s.workload} has no run ' & $string($states.input.replay) & ' of the model pipeline'"
        ),
        "NotRepeatable": own_failure(
            "NotReplayable",
            "'run ' & $states.input.replay & ' cannot be repeated: it is ' & $original.status & ' and '"
            " & ($original.model_sha256 = 'none' ? 'has no model' : 'its request was not recorded')",
        ),
        "BundleIsGone": own_failure(
            "NotReplayable",
            "'run ' & $states.input.replay & ' cannot be repeated: its bundle ' & $original.bundle & ' is gone'",
        ),
    }


def find_original(s: Surroundings) -> State:
    """Reads the record of the run to replay."""
    item = "$states.result.Item"
    kept = ", ".join(f"'{name}': [{item}.{name}.S, 'none'][0]" for name in _KEPT)
    return task(
        "dynamodb:getItem",
        {
            "TableName": s.runs_table,
            "Key": {"run": {"S": jsonata("'model#' & $string($states.input.replay)")}},
            "ConsistentRead": True,
        },
        timeout=CALL_SECONDS,
        assign={
            "original": jsonata(f"{item}.workload.S = {text(s.workload)} ? {{{kept}}} : {{'status': 'none'}}"),
            "allowed": jsonata(
                f"$max([{_ROUNDING}, $exists($states.input.tolerance) ? $states.input.tolerance : {TOLERANCE}])"
            ),
        },
    )


def bundle_key(s: Surroundings) -> str:
    """The JSONata of the key of the original's scripts."""
    return f"{text(f'{s.workload}/bundles/')} & $original.bundle & '/sourcedir.tar.gz'"


def take_up_original(s: Surroundings, p: ModelParts) -> State:
    """Hands on the input as it would be, had the original's loop started this execution."""
    bundle = (
        "{'bundle': $original.bundle, 'commit': $original.commit, "
        f"'uri': 's3://{p.place.artefacts_bucket}/' & {bundle_key(s)}}}"
    )
    made_of = f"{{'as_of': $original.as_of, 'bundle': {bundle}, 'dataset': {{'version': $original.dataset_version}}}}"
    return {"Type": "Pass", "Output": jsonata(f"$merge([$states.input, {made_of}])")}


def remaking_states(s: Surroundings, p: ModelParts, *, searching: str, following: str) -> dict[str, State]:
    """Returns the states that make the model again; the original is what the new one is evaluated beside.

    Args:
        searching: The state of the maker that a model is searched from, where no training job makes it.
        following: The state to go on with.
    """
    done = ("$model_uri != 'none'", "TakeUpModel" if p.trains else following)
    remaking: dict[str, State] = {"AlreadyRemade": choice([done], default="Remake" if p.trains else searching)}
    if p.trains:
        remaking["Remake"] = remake(s, p)
        remaking["TakeUpModel"] = go_to(following, remember({"containers": jsonata(containers())}))
    manifest = f"{text(f'{s.workload}/')} & $states.input.dataset.version & '/manifest.json'"
    return {
        "ReadDataset": get_json(s, p.datasets_bucket, manifest, {"dataset": jsonata("$parse($states.result.Body)")}),
        "TakeUpDataset": {
            "Type": "Pass",
            "Output": jsonata("$merge([$states.input, {'dataset': $dataset}])"),
            "Assign": {
                "champion_uri": jsonata("$original.model_uri"),
                "champion_containers": jsonata(as_model("$parse($original.containers)")),
                "hyperparameters": jsonata("$parse($original.hyperparameters)"),
            },
        },
        **remaking,
    }


def remake(s: Surroundings, p: ModelParts) -> State:
    """Trains by the recorded request, under the role, network and time limit that trainings have now."""
    recorded = {
        name: jsonata(f"$parse($original.training).{name}")
        for name in ("AlgorithmSpecification", "HyperParameters", "ResourceConfig")
    }
    environment = "$parse($original.training).Environment"
    return task(
        "sagemaker:createTrainingJob.sync",
        {
            "TrainingJobName": jsonata(job_name(s, "train")),
            "RoleArn": p.training_role_arn,
            **recorded,
            "InputDataConfig": jsonata(channels()),
            "Environment": jsonata(f"$exists({environment}) ? {environment} : {{}}"),
            "OutputDataConfig": {
                "S3OutputPath": f"s3://{p.place.artefacts_bucket}/{s.workload}/training/",
                "KmsKeyId": p.place.key_arn,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": p.training.seconds},
            "VpcConfig": p.place.vpc_config,
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": True,
        },
        timeout=p.training.seconds + START_SECONDS,
        assign={
            "model_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
            "training_job": jsonata("$states.result.TrainingJobName"),
            "training_image": jsonata("$parse($original.training).AlgorithmSpecification.TrainingImage"),
        },
        retry_also=_UNNAMED_TRAINING,
    )


def containers() -> str:
    """The JSONata of the recorded containers, with the new artefact in the place of the recorded one."""
    again = "$c.ModelDataUrl = $original.model_uri ? $merge([$c, {'ModelDataUrl': $model_uri}]) : $c"
    return f"[$map($parse($original.containers), function($c) {{{again}}})]"


def channels() -> str:
    """The JSONata of the recorded channels; those that read a split read where the dataset is published now.

    A dataset that was retired and made again has the same rows under another attempt.
    """
    split = "$lookup($states.input.dataset.splits, $c.ChannelName)"
    source = "$c.DataSource.S3DataSource"
    published = (
        f"$merge([$c, {{'DataSource': {{'S3DataSource': $merge([{source}, {{'S3Uri': {split}.manifest_uri}}])}}}}])"
    )
    reads_split = f"$exists({split}) and {source}.S3DataType = 'ManifestFile'"
    return f"[$map($parse($original.training).InputDataConfig, function($c) {{{reads_split} ? {published} : $c}})]"


def comparing_states(s: Surroundings, made_of: dict[str, str]) -> dict[str, State]:
    """Returns the states that compare what was made with the original, record it and end the replay.

    Args:
        made_of: What the record says of a model: attribute to JSONata.
    """
    compared = (
        "{'run': $states.input.replay, 'identical': $evaluation.model_sha256 = $original.model_sha256, "
        "'difference': $evaluation.champion.difference, 'tolerance': $allowed, "
        "'model_sha256': $evaluation.model_sha256, 'metrics': $evaluation.metrics}"
    )
    return {
        "CompareModels": remember({"replayed": jsonata(compared), "differing": jsonata(differing_metrics())}),
        "RecordReplay": run_record(
            s,
            "model",
            {
                **made_of,
                "status": f"{HOLDS} ? 'replayed' : 'differs'",
                "replay_of": "$states.input.replay",
                "replayed": "$string($replayed)",
            },
        ),
        "ReplayHolds": choice([(HOLDS, "Replayed")], default="ModelsDiffer"),
        "Replayed": succeed({"replayed": jsonata("$replayed")}),
        "ModelsDiffer": own_failure("ReplayDiffers", told_differences()),
    }


HOLDS = "(($replayed.identical or $replayed.difference <= $allowed) and $count($differing) = 0)"
"""The JSONata of whether the replay gave the same model."""


def differing_metrics() -> str:
    """The JSONata of a sentence for each recorded metric that is another one now."""
    was, now = "$lookup($recorded, $)", "$lookup($evaluation.metrics, $)"
    other = f"$exists({now}) and $abs({was} - {now}) > $allowed * $max([1, $abs({was})])"
    told = "function($n) {$n & ' was ' & $lookup($recorded, $n) & ', is ' & $lookup($evaluation.metrics, $n)}"
    return f"($recorded := $parse($original.metrics); [$map($keys($recorded)[{other}], {told})])"


def told_differences() -> str:
    """The JSONata of a sentence with the figures of what differs."""
    digests = "'digest was ' & $original.model_sha256 & ', is ' & $evaluation.model_sha256"
    largest = "'largest difference of a prediction is ' & $replayed.difference & ', allowed is ' & $allowed"
    return (
        "'run ' & $states.input.replay & ' again gave another model: ' & "
        f"$join($append([{digests}, {largest}], $differing), '; ')"
    )
