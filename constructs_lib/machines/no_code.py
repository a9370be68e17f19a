"""The states that make features without code, between the two runs of the data job.

The first run has handed rows over at ``handover/`` in the curated zone, below its own attempt. Recipe, dataset and job
of DataBrew are made for this attempt alone and removed afterwards: they have one fixed place, which two runs would
share. A flow runs as a processing job, which has places of its own anyway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import JSON, Catch, State, attempt, choice, jsonata, remember, task
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings
from constructs_lib.machines.jobs import START_SECONDS, JobLimits, JobPlace, job_name, resources

PROCESSING = "/opt/ml/processing"
STAGE_TAG, WORKLOAD_TAG = "gapless:stage", "gapless:workload"

_QUEUE_SECONDS = 15 * MINUTE
_EXISTS = ("DataBrew.ConflictException",)
_PUBLISHED = "1.0"


@dataclass(frozen=True)
class RecipeRun:
    """Names what a recipe runs with; ARNs and the bucket may be tokens.

    Args:
        steps: The recipe.
        role_arn: What DataBrew reads and writes with.
        key_arn: Encrypts what it writes.
        bucket: The curated zone's bucket, where rows are handed over.
        primary: The source whose rows the recipe gets.
        nodes: How many nodes a run may use.
        minutes: A run's own time limit.
    """

    steps: Sequence[JSON]
    role_arn: str
    key_arn: str
    bucket: str
    primary: str
    nodes: int
    minutes: int


@dataclass(frozen=True)
class FlowRun:
    """Names what a flow runs with; URIs, ARNs and the bucket may be tokens.

    Args:
        place: Where the job runs, and with which keys; its image is another's.
        image_uri: Data Wrangler's image.
        role_arn: The job's role.
        flow_uri: The flow, ``s3://…``.
        bucket: The curated zone's bucket, where rows are handed over.
        sources: Names of the datasets that the flow reads, which are sources of the workload.
        output: The output that is taken, ``<node>.default``.
        limits: How large a machine is and how long a run may take.
    """

    place: JobPlace
    image_uri: str
    role_arn: str
    flow_uri: str
    bucket: str
    sources: Sequence[str]
    output: str
    limits: JobLimits


FeatureRun = RecipeRun | FlowRun


def make_features(s: Surroundings, run: FeatureRun, *, following: str, failed: str) -> dict[str, State]:
    """Returns the states from rows that were handed over to features, which lie at ``$returned_uri``.

    Args:
        following: The state to go on with.
        failed: Where a failure leads, kept in ``$preparation_failure``.
    """
    if isinstance(run, FlowRun):
        return {"MakeFeatures": {**run_flow(s, run, failed), "Next": following}}
    return run_recipe(s, run, following=following, failed=failed)


def handover_key(s: Surroundings) -> str:
    """The JSONata of the prefix of what this attempt handed over."""
    return f"'{s.workload}/handover/version=' & $version & '/attempt=' & $prepared_attempt & '/'"


def run_flow(s: Surroundings, p: FlowRun, failed: str) -> State:
    """Runs the flow, without network, and waits for the end."""
    place, folder = p.place, f"'s3://{p.bucket}/' & {handover_key(s)}"
    returned = f"{folder} & 'out/' & {attempt()} & '/'"
    output = json.dumps({p.output: {"content_type": "PARQUET"}}, sort_keys=True)
    return task(
        "sagemaker:createProcessingJob.sync",
        {
            "ProcessingJobName": jsonata(job_name(s, "features")),
            "RoleArn": p.role_arn,
            "AppSpecification": {
                "ImageUri": p.image_uri,
                "ContainerArguments": [f"--output-config '{output}'"],
            },
            "ProcessingInputs": [
                _input("flow", p.flow_uri),
                *(_input(name, jsonata(f"{folder} & 'in/{name}/'")) for name in p.sources),
            ],
            "ProcessingOutputConfig": {
                "KmsKeyId": place.key_arn,
                "Outputs": [
                    {
                        "OutputName": p.output,
                        "S3Output": {
                            "S3Uri": jsonata(returned),
                            "LocalPath": f"{PROCESSING}/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
            },
            "ProcessingResources": {"ClusterConfig": resources(place, p.limits)},
            "NetworkConfig": {
                "EnableNetworkIsolation": True,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": place.vpc_config,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": p.limits.seconds},
        },
        timeout=p.limits.seconds + START_SECONDS,
        assign={"returned_uri": jsonata(returned)},
        retry_also=("SageMaker.AmazonSageMakerException",),
        on_failure=failed,
        failure="preparation_failure",
    )


def _input(name: str, uri: str) -> dict[str, JSON]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{PROCESSING}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def run_recipe(s: Surroundings, p: RecipeRun, *, following: str, failed: str) -> dict[str, State]:
    """Makes recipe, dataset and job, runs the job, and removes all three, whether it succeeded or not.

    Only a published version of a recipe can be run by a job; the first one is called 1.0.
    """
    name, tags = jsonata(_name(s)), {STAGE_TAG: s.stage, WORKLOAD_TAG: s.workload}
    place: dict[str, JSON] = {"Bucket": p.bucket, "BucketOwner": s.account}
    folder = handover_key(s)
    return {
        "NameFeatures": remember(
            {"features_made": False, "returned_uri": jsonata(f"'s3://{p.bucket}/' & {folder} & 'out/'")}
        ),
        "CreateRecipe": _create(
            "createRecipe", {"Name": name, "Steps": list(p.steps), "Tags": tags}, already="PublishRecipe"
        ),
        "PublishRecipe": _step("aws-sdk:databrew:publishRecipe", {"Name": name}),
        "CreateFeaturesInput": _create(
            "createDataset",
            {
                "Name": name,
                "Format": "PARQUET",
                "Input": {"S3InputDefinition": {**place, "Key": jsonata(f"{folder} & 'in/{p.primary}/'")}},
                "Tags": tags,
            },
            already="CreateFeaturesJob",
        ),
        "CreateFeaturesJob": _create(
            "createRecipeJob",
            {
                "Name": name,
                "DatasetName": name,
                "RecipeReference": {"Name": name, "RecipeVersion": _PUBLISHED},
                "RoleArn": p.role_arn,
                "EncryptionMode": "SSE-KMS",
                "EncryptionKeyArn": p.key_arn,
                "LogSubscription": "ENABLE",
                "MaxCapacity": p.nodes,
                "MaxRetries": 0,
                "Timeout": p.minutes,
                "Outputs": [{"Format": "PARQUET", "Location": {**place, "Key": jsonata(f"{folder} & 'out/'")}}],
                "Tags": tags,
            },
            already="MakeFeatures",
        ),
        "MakeFeatures": _step(
            "databrew:startJobRun.sync",
            {"Name": name},
            timeout=p.minutes * MINUTE + _QUEUE_SECONDS,
            assign={"features_made": True},
        ),
        "RemoveFeaturesJob": _remove("deleteJob", {"Name": name}, "RemoveFeaturesInput"),
        "RemoveFeaturesInput": _remove("deleteDataset", {"Name": name}, "RemoveRecipe"),
        "RemoveRecipe": _remove(
            "batchDeleteRecipeVersion",
            {"Name": name, "RecipeVersions": [_PUBLISHED, "LATEST_WORKING"]},
            "FeaturesMade",
        ),
        "FeaturesMade": choice([("$features_made", following)], default=failed),
    }


def _name(s: Surroundings) -> str:
    """The JSONata of the name of what is made for this attempt; DataBrew takes 240 characters."""
    return f"'{s.prefix}features-' & $prepared_attempt"


def _create(call: str, arguments: Mapping[str, JSON], *, already: str) -> State:
    """Makes something of this attempt's own name: when it is there, an earlier try of the same state has made it."""
    return _step(f"aws-sdk:databrew:{call}", arguments, catch=[Catch(_EXISTS, already)])


def _step(
    resource: str,
    arguments: Mapping[str, JSON],
    *,
    timeout: int = CALL_SECONDS,
    assign: Mapping[str, JSON] | None = None,
    catch: Sequence[Catch] = (),
) -> State:
    """A task whose failure is kept, and leads to where everything is removed."""
    return task(
        resource,
        arguments,
        timeout=timeout,
        assign=assign,
        catch=catch,
        on_failure="RemoveFeaturesJob",
        failure="preparation_failure",
    )


def _remove(call: str, arguments: Mapping[str, JSON], following: str) -> State:
    """Removes something; what cannot be removed holds no data and costs nothing, so that it fails no run."""
    return task(
        f"aws-sdk:databrew:{call}", arguments, timeout=CALL_SECONDS, on_failure=following, failure="removal_failure"
    )
