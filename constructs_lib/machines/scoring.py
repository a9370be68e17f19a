"""Scoring by batch transform: how models are asked whose containers nothing else can load.

The requests lie in a folder, one file per request, numbered; a transform answers each in a file of the same name with
``.out`` behind it. So which answer belongs to which request is told by names, and by no order in which anything was
worked on. ``sagemaker_jobs/gapless_sagemaker/predictions.py`` writes the one and reads the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from constructs_lib.asl import (
    JSON,
    State,
    attempt,
    choice,
    expression,
    for_each,
    go_to,
    jsonata,
    raise_again,
    redrives,
    remember,
    succeed,
    task,
)
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, room_for_attempt
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    START_SECONDS,
    JobLimits,
    JobPlace,
    disk_key,
    folder_of_dataset,
    input_files,
    processing_job,
    result_uri,
)
from constructs_lib.machines.spending import processing_spent, transform_spent, with_transforms

FOLDER = "scoring"
"""Folder of the workload's artefacts where requests and answers lie, each try in a folder of its own.

What is made of a dataset lies in a folder of its version, so that it can go when the dataset is retired.
"""

REQUESTS, GOLDEN_REQUESTS, PREDICTIONS = (f"{FOLDER}/{name}" for name in ("requests", "golden", "predictions"))

CANDIDATE, CHAMPION, GOLDEN = "score", "champ", "gold"
"""What the names of models and jobs say of whom they are for; short, since names have little room."""

_CONTAINER_MEMBERS = ("ContainerHostname", "Environment", "Image", "ModelDataSource", "ModelDataUrl")
_ANSWER_SECONDS = 10 * MINUTE
_MOST_MEGABYTES = 6
_REQUEST_MINUTES = 60
_FAILURE = "score_failure"


@dataclass(frozen=True)
class Scoring:
    """Says who scores, on what and for how long; the role may be a token.

    A transform job has no time limit of its own: Step Functions stops it when its task has waited for too long.

    Args:
        role_arn: Role of the containers while they score.
        limits: Machine and time limit of a transform.
    """

    role_arn: str
    limits: JobLimits


def scoring_states(
    s: Surroundings,
    place: JobPlace,
    scoring: Scoring,
    *,
    processing_role_arn: str,
    jobs: JobLimits,
    target: str | None,
) -> dict[str, State]:
    """Returns the states that have ``$containers`` and ``$champion_containers`` answer the test split, side by side.

    Afterwards ``$predictions_uri`` and ``$champion_predictions_uri`` (``none`` without a champion) are set.

    Args:
        processing_role_arn, jobs: Role and machine of the job that writes the requests.
        target: The column that is not asked. None: there is no such column.
    """
    version = jsonata("$states.input.dataset.version & '/'")
    candidate = {"kind": CANDIDATE, "folder": version, "containers": jsonata(as_model("$containers"))}
    champion = {"kind": CHAMPION, "folder": version, "containers": jsonata("$champion_containers")}
    return {
        "WriteRequests": write_requests(s, place, processing_role_arn, jobs, target),
        "ScoreModels": answer_requests(
            s,
            place,
            scoring,
            f"$champion_uri = 'none' ? {expression([candidate])} : {expression([candidate, champion])}",
            assign={
                "predictions_uri": jsonata("$states.result[0].uri"),
                "champion_predictions_uri": jsonata("$count($states.result) > 1 ? $states.result[1].uri : 'none'"),
                "spent": jsonata(with_transforms("$states.result.spent")),
            },
        ),
    }


def as_model(containers: str) -> str:
    """The JSONata of a model package's containers as ``CreateModel`` takes them.

    Args:
        containers: The JSONata of ``InferenceSpecification.Containers``.
    """
    members = ", ".join(f"'{member}'" for member in _CONTAINER_MEMBERS)
    return f"[{containers}.$sift(function($value, $member) {{$member in [{members}]}})]"


def write_requests(s: Surroundings, place: JobPlace, role_arn: str, jobs: JobLimits, target: str | None) -> State:
    """Writes the rows of the test split as requests; ``$requests_uri`` is their folder."""
    asked_for = ["--target", target] if target is not None else []
    return processing_job(
        s,
        place,
        replace(jobs, minutes=_REQUEST_MINUTES),
        kind="ask",
        command="requests",
        role_arn=role_arn,
        image_uri=place.image_uri,
        arguments=["--test", f"{IN}/test", *asked_for, "--output", OUT, "--message", MESSAGE],
        inputs=[
            input_files("job", place.job_code_uri),
            input_files("test", jsonata("$states.input.dataset.splits.test.manifest_uri"), manifest=True),
        ],
        output_prefix=REQUESTS,
        output_folder=folder_of_dataset(),
        assign={
            "requests_uri": jsonata(f"'{result_uri(s, place, REQUESTS)}' & {folder_of_dataset()} & '/'"),
            **processing_spent("requests"),
        },
    )


def answer_requests(
    s: Surroundings, place: JobPlace, scoring: Scoring, models: str, *, assign: dict[str, JSON]
) -> State:
    """Has models answer the requests in ``$requests_uri``, side by side; the models are deleted afterwards.

    Args:
        models: The JSONata of a list of ``{"kind", "folder", "containers"}``: part of the names, where the answers lie
            (empty, or a folder that ends in ``/``), and ``Containers`` of a model.
        assign: Variables to set; ``$states.result`` has a ``{"uri", "spent"}`` per model: the folder of its answers,
            and what they took.
    """
    return for_each(
        models,
        {
            "NameScored": remember({"scored_model": jsonata(_model_name(s))}),
            "CreateScored": create_model(place, scoring),
            "Score": go_to("DeleteScored", score(s, place, scoring)),
            "ScoredExists": choice(
                [(f"$contains(${_FAILURE}.cause, 'already exist')", "Score")], default="ScoringFailed"
            ),
            "DeleteScored": delete_model("ScoringFailed", _FAILURE),
            "Scored": succeed({"uri": jsonata("$scored_uri"), "spent": jsonata("$scored_spent")}),
            "DropScored": go_to("ScoringFailed", delete_model("ScoringFailed", "drop_failure")),
            "ScoringFailed": raise_again(_FAILURE),
        },
        at_once=2,
        assign=assign,
    )


def create_model(place: JobPlace, scoring: Scoring) -> State:
    """Makes the containers a model for the time of the scoring, cut off from every network but its own."""
    return task(
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": jsonata("$scored_model"),
            "Containers": jsonata("$states.input.containers"),
            "ExecutionRoleArn": scoring.role_arn,
            "EnableNetworkIsolation": True,
            "VpcConfig": place.vpc_config,
        },
        timeout=CALL_SECONDS,
        on_failure="ScoredExists",
        failure=_FAILURE,
    )


def score(s: Surroundings, place: JobPlace, scoring: Scoring) -> State:
    """Asks the model every request; a request that it refuses fails the job."""
    limits = scoring.limits
    return task(
        "sagemaker:createTransformJob.sync",
        {
            "TransformJobName": jsonata(_job_name(s)),
            "ModelName": jsonata("$scored_model"),
            "MaxConcurrentTransforms": 1,
            "MaxPayloadInMB": _MOST_MEGABYTES,
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": _ANSWER_SECONDS, "InvocationsMaxRetries": 1},
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jsonata("$requests_uri")}},
                "ContentType": "application/json",
                "CompressionType": "None",
                "SplitType": "None",
            },
            "TransformOutput": {
                "S3OutputPath": jsonata(
                    f"'{result_uri(s, place, PREDICTIONS)}' & $states.input.folder & {_id_of_try()}"
                ),
                "Accept": "application/json",
                "AssembleWith": "None",
                "KmsKeyId": place.key_arn,
            },
            "TransformResources": {
                "InstanceType": limits.instance_type,
                "InstanceCount": 1,
                **disk_key(place, limits.instance_type),
            },
        },
        timeout=limits.seconds + START_SECONDS,
        assign={
            "scored_uri": jsonata("$states.result.TransformOutput.S3OutputPath & '/'"),
            "scored_spent": jsonata(transform_spent()),
        },
        retry_also=("SageMaker.AmazonSageMakerException",),
        on_failure="DropScored",
        failure=_FAILURE,
    )


def delete_model(on_failure: str, failure: str) -> State:
    """Deletes the model again, whether it has scored or not."""
    return task(
        "aws-sdk:sagemaker:deleteModel",
        {"ModelName": jsonata("$scored_model")},
        timeout=CALL_SECONDS,
        on_failure=on_failure,
        failure=failure,
    )


def _model_name(s: Surroundings) -> str:
    """The JSONata of a name that only tries with the same containers share: retries of a state keep it."""
    room = room_for_attempt(s.prefix, CANDIDATE)
    name = f"$substring($states.context.Execution.Name, 0, {room - 4})"
    return f"'{s.prefix}' & $states.input.kind & '-' & {name} & '-' & {redrives()}"


def _job_name(s: Surroundings) -> str:
    return f"'{s.prefix}' & {_id_of_try(room_for_attempt(s.prefix, CANDIDATE))}"


def _id_of_try(room: int = 80) -> str:
    return f"$states.input.kind & '-' & {attempt(room)}"
