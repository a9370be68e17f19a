"""The scoring machine: the model that serves scores the rows of an input, and the predictions are published once.

Input: ``{"run_id", "workload", "batch_uri", "as_of"}``, and ``"again": true`` where rows are scored anew for ``as_of``.
Output: ``{"version", "manifest_uri", "model_package_arn"}``.

Predictions lie under ``<workload>/predictions/<as_of>/<version>/attempt=<id>/`` of the curated zone. Nobody reads them
before ``<version>/manifest.json``, which one conditional write publishes last, and the catalogue name them. The version
is a digest of the rows, the instant and the model, so whoever comes second finds everything done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    UNNAMED_S3,
    UNNAMED_SAGEMAKER,
    Catch,
    State,
    attempt,
    choice,
    jsonata,
    kept,
    machine,
    remember,
    succeed,
    task,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    Surroundings,
    failure_states,
    find_live,
    find_object,
    get_json,
    own_failure,
    put_metrics,
    run_record,
    text,
)
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    START_SECONDS,
    JobLimits,
    JobPlace,
    disk_key,
    input_files,
    job_name,
    processing_job,
    result_uri,
)
from constructs_lib.machines.scoring import FOLDER
from constructs_lib.machines.signing import TAMPERED, SigningParts, verify_model
from constructs_lib.names import metrics
from constructs_lib.names.batch_scoring_file import BatchScoring

ROWS = f"{FOLDER}/rows"
"""Folder of the workload's artefacts where rows lie as records of transforms, each try in a folder of its own."""

PREDICTIONS = "predictions"
"""Folder of the workload's part of the curated zone where predictions are."""

FINAL_ERRORS = ("BadBatch", "BadRows", "NotApproved", "AnswersMissing", *TAMPERED)
"""Errors that a redrive would meet again."""

_ANSWER_SECONDS = 10 * 60
_JSON = {"single_record": "application/json", "multi_record": "application/jsonlines"}


@dataclass(frozen=True)
class BatchScoringParts:
    """Names what the scoring machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run.
        signing: The functions that sign and verify models.
        check_scoring_arn: The function that checks an input.
        processing_role_arn: Role of the job that reads rows.
        reading: Its machine and time limit.
        role_arn: Role of the containers while they score.
        contract_uri: What the workload's rows are.
        curated_bucket: Where predictions go.
        database, table: The table of predictions.
        asked: What the workload file says.
    """

    place: JobPlace
    signing: SigningParts
    check_scoring_arn: str
    processing_role_arn: str
    reading: JobLimits
    role_arn: str
    contract_uri: str
    curated_bucket: str
    database: str
    table: str
    asked: BatchScoring


def batch_scoring_machine(s: Surroundings, p: BatchScoringParts) -> State:
    """Returns the definition."""
    return machine(
        f"Scores rows by the model of {s.workload} that serves",
        {
            "FindLive": find_live(s, "model_package_arn"),
            "IsLive": choice([("$model_package_arn != 'none'", "DescribePackage")], default="NoLiveModel"),
            "DescribePackage": describe_package(),
            "IsApproved": choice([("$package.status = 'Approved'", "CheckInput")], default="NotApproved"),
            "CheckInput": check_input(p),
            "FindPublished": find_object(s, p.curated_bucket, manifest_key(s), "is_published"),
            "IsPublished": choice([("$is_published", "ReadPublished")], default="VerifyModel"),
            "VerifyModel": verify_model(p.signing, jsonata("$package.containers"), jsonata("$package.properties")),
            "ReadRows": read_rows(s, p),
            "ReadSummary": read_summary(s, p),
            "NameModel": name_model(s, p),
            "CreateModel": create_model(p),
            "Transform": transform(s, p),
            "FindAnswers": find_answers(s, p),
            "IsComplete": choice([("$count($answers) = $summary.files", "Publish")], default="AnswersMissing"),
            "Publish": publish(s, p),
            "CountRows": put_metrics(s, {metrics.ROWS_SCORED: "$summary.rows"}),
            "ReadPublished": read_published(s, p),
            "DescribeTable": describe_table(p),
            "CreatePartition": create_partition(p),
            "RecordRun": record_run(s, p),
            "Done": succeed(done(s, p)),
            "ModelExists": choice([("$contains($failure.cause, 'already exist')", "Transform")], default=FAILURE_STATE),
            "PublishedMeanwhile": published_meanwhile(),
            "NoLiveModel": own_failure("NoLiveModel", "'no model serves yet; deploy one, then redrive this execution'"),
            "NotApproved": own_failure("NotApproved", "'the model package is ' & $package.status & ', not Approved'"),
            "AnswersMissing": own_failure(
                "AnswersMissing", "$count($answers) & ' of ' & $summary.files & ' files of rows were answered'"
            ),
            **failure_states(s, "scoring", final=FINAL_ERRORS, resume_at="FindLive"),
        },
        timeout=p.asked.max_runtime_minutes * 60 + 6 * HOUR,
    )


def describe_package() -> State:
    """Reads what is registered of it; an approval may have been taken back since."""
    result = "$states.result"
    properties = f"{result}.CustomerMetadataProperties"
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata("$model_package_arn")},
        timeout=CALL_SECONDS,
        assign={
            "package": {
                "status": jsonata(f"{result}.ModelApprovalStatus"),
                "model_sha256": jsonata(f"[{properties}.model_sha256, 'none'][0]"),
                "containers": jsonata(f"[{result}.InferenceSpecification.Containers]"),
                "properties": jsonata(f"$merge([{properties}])"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def check_input(p: BatchScoringParts) -> State:
    """Looks whether the input is complete, and names its predictions."""
    result = "$states.result.Payload"
    names = ("version", "as_of", "stamp", "folder_uri", "marker_sha256")
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.check_scoring_arn,
            "Payload": jsonata(
                "{'batch_uri': $states.input.batch_uri, 'as_of': $states.input.as_of, "
                "'again': $states.input.again = true, 'model_package_arn': $model_package_arn}"
            ),
        },
        timeout=10 * 60,
        assign={name: jsonata(f"{result}.{name}") for name in names},
    )


def read_rows(s: Surroundings, p: BatchScoringParts) -> State:
    """Reads the delivered rows and writes them as records; a row that the model could not be asked ends it here."""
    keep = [word for column in p.asked.keep for word in ("--keep", column)]
    return processing_job(
        s,
        p.place,
        p.reading,
        kind="rows",
        command="score_rows",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=[
            *("--files", f"{IN}/files", "--marker_sha256", jsonata("$marker_sha256")),
            *("--contract", f"{IN}/contract", "--join", p.asked.join, "--strategy", p.asked.strategy, *keep),
            *("--output", OUT, "--message", MESSAGE),
        ],
        inputs=[
            input_files("job", p.place.job_code_uri),
            input_files("contract", p.contract_uri),
            input_files("files", jsonata("$folder_uri")),
        ],
        output_prefix=ROWS,
        assign={"rows_id": jsonata(attempt())},
    )


def read_summary(s: Surroundings, p: BatchScoringParts) -> State:
    """Reads how many rows there are, and in how many files."""
    return get_json(
        s,
        p.place.artefacts_bucket,
        f"'{s.workload}/{ROWS}/' & $rows_id & '/summary.json'",
        {"summary": jsonata("$parse($states.result.Body)")},
    )


def name_model(s: Surroundings, p: BatchScoringParts) -> State:
    """Names the model after what is in it and around it: it cannot be changed once it is made."""
    around = [p.role_arn, *p.place.subnets, p.place.security_group]
    parts = ["$model_package_arn", "$package.model_sha256", *(text(each) for each in around)]
    content = f"$substring($hash($join([{', '.join(parts)}], ' '), 'SHA-256'), 0, 16)"
    return remember({"model_name": jsonata(f"'{s.prefix}batch-' & {content}")})


def create_model(p: BatchScoringParts) -> State:
    """Makes the package a model that can score, cut off from every network but its own."""
    return task(
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": jsonata("$model_name"),
            "Containers": [{"ModelPackageName": jsonata("$model_package_arn")}],
            "ExecutionRoleArn": p.role_arn,
            "EnableNetworkIsolation": True,
            "VpcConfig": p.place.vpc_config,
        },
        timeout=CALL_SECONDS,
        on_failure="ModelExists",
    )


def transform(s: Surroundings, p: BatchScoringParts) -> State:
    """Asks the model about every row; each answer stands beside what was asked."""
    asked = p.asked
    kind = _JSON[asked.strategy]
    return task(
        "sagemaker:createTransformJob.sync",
        {
            "TransformJobName": jsonata(job_name(s, "batch")),
            "ModelName": jsonata("$model_name"),
            "MaxConcurrentTransforms": asked.concurrent_requests,
            "MaxPayloadInMB": asked.max_payload_mb,
            "BatchStrategy": "SingleRecord" if asked.strategy == "single_record" else "MultiRecord",
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": _ANSWER_SECONDS, "InvocationsMaxRetries": 1},
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jsonata(rows_uri(s, p))}},
                "ContentType": kind,
                "CompressionType": "None",
                "SplitType": "Line",
            },
            "TransformOutput": {
                "S3OutputPath": jsonata(f"'s3://{p.curated_bucket}/' & {version_key(s)} & '/attempt=' & {attempt()}"),
                "Accept": kind,
                "AssembleWith": "Line",
                "KmsKeyId": p.place.key_arn,
            },
            "DataProcessing": {
                "InputFilter": "$.request",
                "JoinSource": "Input",
                "OutputFilter": "$['input','SageMakerOutput']",
            },
            "TransformResources": {
                "InstanceType": asked.instance_type,
                "InstanceCount": asked.instance_count,
                **disk_key(p.place, asked.instance_type),
            },
        },
        timeout=asked.max_runtime_minutes * 60 + START_SECONDS,
        assign={"answers_uri": jsonata("$states.result.TransformOutput.S3OutputPath & '/'")},
        retry_also=("SageMaker.AmazonSageMakerException",),
    )


def find_answers(s: Surroundings, p: BatchScoringParts) -> State:
    """Lists what was answered: a file per file of rows, of which there are at most 500."""
    return task(
        "aws-sdk:s3:listObjectsV2",
        {
            "Bucket": p.curated_bucket,
            "Prefix": jsonata(f"$substringAfter($answers_uri, 's3://{p.curated_bucket}/')"),
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        assign={
            "answers": jsonata(
                "[$states.result.Contents[$contains(Key, /[.]out$/)].{'key': Key, 'bytes': Size, 'etag': ETag}]"
            )
        },
        retry_also=UNNAMED_S3,
    )


def publish(s: Surroundings, p: BatchScoringParts) -> State:
    """Publishes the predictions by one conditional write: before it, nobody reads them; after it, they never change."""
    manifest = {
        "version": "$version",
        "workload": text(s.workload),
        "as_of": "$as_of",
        "input_uri": "$states.input.batch_uri",
        "run_id": "$states.input.run_id",
        "model_package_arn": "$model_package_arn",
        "model_sha256": "$package.model_sha256",
        "rows": "$summary.rows",
        "location": "$answers_uri",
        "files": "$answers",
    }
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": p.curated_bucket,
            "Key": jsonata(manifest_key(s)),
            "Body": jsonata("{" + ", ".join(f"'{name}': {value}" for name, value in manifest.items()) + "}"),
            "ContentType": "application/json",
            "IfNoneMatch": "*",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        catch=[Catch(["S3.S3Exception"], "PublishedMeanwhile", kept())],
    )


def published_meanwhile() -> State:
    """Somebody else published these predictions first, or our own earlier try did: theirs are as good."""
    told = "$lowercase($failure.cause)"
    return choice(
        [(f"$contains({told}, 'pre-condition') or $contains({told}, 'conflict')", "ReadPublished")],
        default=FAILURE_STATE,
    )


def read_published(s: Surroundings, p: BatchScoringParts) -> State:
    """Reads the published manifest, whoever published it."""
    return get_json(s, p.curated_bucket, manifest_key(s), {"manifest": jsonata("$parse($states.result.Body)")})


def describe_table(p: BatchScoringParts) -> State:
    """Reads how files of the table are read."""
    return task(
        "aws-sdk:glue:getTable",
        {"DatabaseName": p.database, "Name": p.table},
        timeout=CALL_SECONDS,
        assign={"storage": jsonata("$states.result.Table.StorageDescriptor")},
    )


def create_partition(p: BatchScoringParts) -> State:
    """Points the catalogue at the predictions; until now no query sees them. Whoever was first has done it."""
    return task(
        "aws-sdk:glue:createPartition",
        {
            "DatabaseName": p.database,
            "TableName": p.table,
            "PartitionInput": {
                "Values": jsonata("[$as_of, $version]"),
                "StorageDescriptor": jsonata("$merge([$storage, {'Location': $manifest.location}])"),
            },
        },
        timeout=CALL_SECONDS,
        catch=[Catch(["Glue.AlreadyExistsException"], "RecordRun")],
    )


def record_run(s: Surroundings, p: BatchScoringParts) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        "scoring",
        {
            "status": "'succeeded'",
            "as_of": "$as_of",
            "batch_uri": "$states.input.batch_uri",
            "model_package_arn": "$model_package_arn",
            "predictions_version": "$version",
            "manifest_uri": manifest_uri(s, p),
        },
    )


def done(s: Surroundings, p: BatchScoringParts) -> Mapping[str, JSON]:
    """The machine's output."""
    return {
        "version": jsonata("$version"),
        "manifest_uri": jsonata(manifest_uri(s, p)),
        "model_package_arn": jsonata("$model_package_arn"),
    }


def version_key(s: Surroundings) -> str:
    """The JSONata of the folder of the predictions."""
    return f"'{s.workload}/{PREDICTIONS}/' & $stamp & '/' & $version"


def manifest_key(s: Surroundings) -> str:
    """The JSONata of the key of the published manifest."""
    return f"{version_key(s)} & '/manifest.json'"


def manifest_uri(s: Surroundings, p: BatchScoringParts) -> str:
    """The JSONata of where the published manifest is."""
    return f"'s3://{p.curated_bucket}/' & {manifest_key(s)}"


def rows_uri(s: Surroundings, p: BatchScoringParts) -> str:
    """The JSONata of the folder of the records."""
    return f"'{result_uri(s, p.place, ROWS)}' & $rows_id & '/rows/'"
