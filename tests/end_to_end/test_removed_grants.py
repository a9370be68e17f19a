"""Every grant of every deployed role: taken away, something names it and whom it was denied; or it says why not here.

A grant is an action on a resource. ``NEEDED`` says what fails without it, ``UNSEEN`` why nothing does on this server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pytest

from tests.end_to_end.conftest import Demo
from tests.end_to_end.grants import Grant, Roles
from tests.end_to_end.live import WORKLOAD, Live, eventually
from tests.end_to_end.triggers import (
    Scene,
    Trigger,
    aborted,
    call,
    capture,
    crawl,
    crawl_anew,
    event_of_batch,
    failing,
    message,
    nested,
    part,
    poll,
    prepare,
    preparing,
    processing,
    run,
    serve,
    training,
)

LAKE_KEY, ON_CALL_KEY = "kms:lake", "kms:on-call"
NOTHING = "0" * 32


@dataclass(frozen=True)
class Needed:
    """Actions that serve one purpose, and what is denied without them.

    Args:
        role: The construct's name.
        actions: Taken away together.
        trigger: What to do then.
        on: Regular expression of the readable name of resources. Default: all that the actions are granted on.
        says: Regular expression of what is said instead of AWS's sentence, where AWS gives none.
    """

    role: str
    actions: tuple[str, ...]
    trigger: Trigger
    on: str = ""
    says: str = ""

    def covers(self, grant: Grant) -> bool:
        return (
            grant.role == self.role and grant.action in self.actions and re.search(self.on, grant.resource) is not None
        )

    def __str__(self) -> str:
        return f"{self.role}-{'+'.join(self.actions)}{'-' + self.on if self.on else ''}"


@dataclass(frozen=True)
class Unseen:
    """Grants that nothing on this server asks for, and why the roles have them all the same.

    Args:
        roles: Patterns of constructs' names.
        actions: Patterns.
        on: Regular expression of the readable name of resources. Default: any.
    """

    roles: str
    actions: str
    reason: str
    on: str = ""

    def covers(self, grant: Grant) -> bool:
        return (
            any(fnmatchcase(grant.role, pattern) for pattern in self.roles.split())
            and any(fnmatchcase(grant.action, pattern) for pattern in self.actions.split())
            and re.search(self.on, grant.resource) is not None
        )

    def __str__(self) -> str:
        return f"{self.roles}-{self.actions}{'-' + self.on if self.on else ''}"


# --- machines ---------------------------------------------------------------------------------------------------------

_PUBLISHED = run("data", lambda scene: scene.data_input)
_BATCH = {"version": NOTHING, "as_of": "2014-01-01T00:00:00Z"}
_CRAWL = part("data", "StartCrawler", {}, branch=0)
_PREPARE = part("data", "PrepareDataset", _BATCH, lambda scene: scene.data_input, branch=1)
_PUBLISH = part("data", "PublishDataset", {"version": NOTHING, "candidate": {}})
_FIGURES = {
    "rows_in": 1,
    "rows_validated": 1,
    "rows_quarantined": 0,
    "quarantined_share": 0,
    "drift": {"alarming": 0},
}

DATA = [
    Needed("DataMachine", ("lambda:InvokeFunction",), _PUBLISHED),
    Needed("DataMachine", ("s3:ListBucket",), _PUBLISHED),
    Needed("DataMachine", ("s3:GetObject",), _PUBLISHED),
    Needed("DataMachine", ("kms:Decrypt",), _PUBLISHED, on=LAKE_KEY),
    Needed("DataMachine", ("glue:GetTable",), _PUBLISHED),
    Needed("DataMachine", ("glue:CreatePartition",), _PUBLISHED),
    Needed("DataMachine", ("glue:UpdatePartition",), _PUBLISHED),
    Needed("DataMachine", ("glue:StartCrawler",), _CRAWL),
    Needed("DataMachine", ("glue:GetCrawler",), _CRAWL),
    Needed("DataMachine", ("glue:StartJobRun",), _PREPARE),
    Needed("DataMachine", ("glue:GetJobRun",), _PREPARE),
    Needed(
        "DataMachine",
        ("glue:BatchStopJobRun",),
        aborted("data", "PrepareDataset", _BATCH, preparing, lambda scene: scene.data_input, branch=1),
    ),
    Needed(
        "DataMachine",
        ("cloudwatch:PutMetricData",),
        part("data", "PublishMetrics", {"phases": {"validation": _FIGURES}}),
    ),
    Needed("DataMachine", ("s3:PutObject",), _PUBLISH),
    Needed("DataMachine", ("kms:GenerateDataKey",), _PUBLISH, on=LAKE_KEY),
    Needed("DataMachine", ("dynamodb:UpdateItem",), failing("data")),
    Needed("DataMachine", ("sns:Publish",), failing("data")),
]


def _images(scene: Scene) -> dict[str, object]:
    return {"images": json.loads(scene.model["images"])}


def _trained(scene: Scene) -> dict[str, object]:
    return {"model_uri": scene.model["model_uri"], "champion_uri": "none", **_images(scene)}


def _dataset(scene: Scene) -> dict[str, object]:
    return {"dataset": {"version": scene.model["dataset_version"]}}


def _evaluation(scene: Scene) -> dict[str, str]:
    return {"evaluation_id": scene.model["evaluation_uri"].split("/")[-2]}


_MODEL = run("model", lambda scene: scene.model_input)


def _judged(scene: Scene) -> dict[str, object]:
    return {"verdict": {"passed": True, "rules": []}, **_evaluation(scene)}


_TRAIN = part("model", "Train", _images, lambda scene: scene.model_input)
_EVALUATE = part("model", "Evaluate", _trained, lambda scene: scene.model_input)
_READ_EVALUATION = part("model", "ReadEvaluation", _evaluation)


def _passed(scene: Scene) -> dict[str, object]:
    """What is known of a model that passed the gate and was signed."""
    return {
        **{name: scene.model[name] for name in ("model_uri", "evaluation_uri", "training_job")},
        "evaluation": {name: scene.model[name] for name in ("model_sha256", "archive_sha256")},
        "containers": scene.trained_containers,
        "training_image": scene.model["image"],
        "hyperparameters": {"seed": "2013"},
        "card": {"model_overview": {}, "intended_uses": {}, "evaluation_details": [], "additional_information": {}},
        "report_uri": scene.model["evaluation_uri"],
        "verdict": {"rules": []},
        "signed": {"containers": scene.package["InferenceSpecification"]["Containers"], **scene.signature},
    }


_SIGN = part("model", "SignModel", _passed, lambda scene: scene.model_input)
_VERIFY = part("model", "VerifyModel", _passed, lambda scene: scene.model_input)

_PIN = part("model", "PinDataset", {}, lambda scene: scene.model_input)
_STILL_THERE = part("model", "FindDataset", {}, lambda scene: scene.model_input)

MODEL = [
    Needed("ModelMachine", ("ecr:BatchGetImage",), part("model", "FindImages", {"images": {}})),
    Needed("ModelMachine", ("s3:PutObject",), _PIN, on="s3:datasets"),
    Needed("ModelMachine", ("s3:PutObject",), part("model", "WriteVerdict", _judged), on="s3:artefacts"),
    Needed("ModelMachine", ("kms:GenerateDataKey",), _PIN, on=LAKE_KEY),
    Needed("ModelMachine", ("s3:ListBucket",), _STILL_THERE, on="s3:datasets"),
    Needed("ModelMachine", ("dynamodb:GetItem",), _MODEL),
    Needed("ModelMachine", ("sagemaker:ListModelPackages",), _MODEL),
    Needed("ModelMachine", ("sagemaker:DescribeModelPackage",), _MODEL),
    Needed("ModelMachine", ("sagemaker:CreateTrainingJob",), _TRAIN),
    Needed("ModelMachine", ("sagemaker:DescribeTrainingJob",), _TRAIN),
    Needed(
        "ModelMachine",
        ("sagemaker:StopTrainingJob",),
        aborted("model", "Train", _images, training, lambda scene: scene.model_input),
    ),
    Needed("ModelMachine", ("iam:PassRole",), _TRAIN, on="TrainingRole"),
    Needed("ModelMachine", ("kms:CreateGrant",), _TRAIN),
    Needed("ModelMachine", ("sagemaker:CreateProcessingJob",), _EVALUATE),
    Needed("ModelMachine", ("sagemaker:DescribeProcessingJob",), _EVALUATE),
    Needed(
        "ModelMachine",
        ("sagemaker:StopProcessingJob",),
        aborted("model", "Evaluate", _trained, processing, lambda scene: scene.model_input),
    ),
    Needed("ModelMachine", ("iam:PassRole",), _EVALUATE, on="ProcessingRole"),
    Needed("ModelMachine", ("s3:GetObject",), _READ_EVALUATION, on="s3:artefacts"),
    Needed("ModelMachine", ("s3:GetObject",), part("model", "ReadDataset", {}, _dataset), on="s3:datasets"),
    Needed(
        "ModelMachine",
        ("s3:ListBucket",),
        part("model", "FindBundle", {"original": {"bundle": NOTHING}}),
        on="s3:artefacts",
    ),
    Needed("ModelMachine", ("kms:Decrypt",), _READ_EVALUATION, on=LAKE_KEY),
    Needed(
        "ModelMachine",
        ("lambda:InvokeFunction",),
        part("model", "JudgeModel", {"evaluation": {"metrics": {}}}),
        on="JudgeModel",
    ),
    Needed("ModelMachine", ("lambda:InvokeFunction",), _SIGN, on="SigningSign"),
    Needed("ModelMachine", ("lambda:InvokeFunction",), _VERIFY, on="SigningVerify"),
    Needed(
        "ModelMachine",
        ("sagemaker:CreateModelPackage",),
        part(
            "model",
            "RegisterModel",
            _passed,
            lambda scene: scene.model_input,
        ),
    ),
    Needed("ModelMachine", ("cloudwatch:PutMetricData",), part("model", "CountRegistered", {})),
    Needed(
        "ModelMachine",
        ("sagemaker:UpdateModelPackage",),
        part("model", "ApproveModel", lambda scene: {"model_package_arn": scene.package_arn}),
    ),
    Needed(
        "ModelMachine",
        ("dynamodb:PutItem",),
        part("model", "RecordRejection", {"verdict": {"rules": []}, "evaluation": {"metrics": {}}}),
    ),
    Needed("ModelMachine", ("dynamodb:UpdateItem",), failing("model")),
    Needed("ModelMachine", ("sns:Publish",), failing("model")),
]


def _package(scene: Scene) -> dict[str, object]:
    container = {"bundle": scene.dataset["bundle"], "run_id": "none", "status": "Approved"}
    return {"package": {**container, **{name: scene.model[name] for name in ("image", "model_uri", "model_sha256")}}}


def _config(scene: Scene) -> dict[str, object]:
    return {
        "config_name": scene.config_name,
        "model_name": f"{scene.prefix}model-denied",
        "endpoint": {"status": "InService", "config": scene.config_name},
        "created": False,
        "previous": "none",
        "deadline": 0,
        "rollback": False,
        "noisy": [],
        "live": {"config": "none", "package": "none", "previous_package": "none"},
        "serving": {"count": 2, "model": "none"},
        "by": {"cause": "approval", "actor": "the approval", "reason": "none"},
    }


def _new_config(scene: Scene) -> dict[str, object]:
    return {**_config(scene), "config_name": f"{scene.prefix}conf-denied"}


def _blame(scene: Scene) -> dict[str, object]:
    return {**_package(scene), "failure": {"error": "Tried", "cause": "a grant was taken away"}}


_DEPLOY = run("deployment", lambda scene: {"model_package_arn": scene.package_arn})
_GOLDEN = part("deployment", "GoldenBefore", _package)
_CREATE_MODEL = part("deployment", "CreateModel", _config, lambda scene: {"model_package_arn": scene.package_arn})
_CREATE_CONFIG = part("deployment", "CreateEndpointConfig", _new_config)

DEPLOYMENT = [
    Needed("DeploymentMachine", ("sagemaker:DescribeModelPackage",), _DEPLOY),
    Needed("DeploymentMachine", ("lambda:InvokeFunction",), _DEPLOY, on="SigningVerify"),
    Needed("DeploymentMachine", ("cloudwatch:DescribeAlarms",), _DEPLOY),
    Needed("DeploymentMachine", ("sagemaker:CreateProcessingJob",), _GOLDEN),
    Needed("DeploymentMachine", ("sagemaker:DescribeProcessingJob",), _GOLDEN),
    Needed(
        "DeploymentMachine",
        ("sagemaker:StopProcessingJob",),
        aborted("deployment", "GoldenBefore", _package, processing, {}),
    ),
    Needed("DeploymentMachine", ("iam:PassRole",), _GOLDEN, on="ProcessingRole"),
    Needed("DeploymentMachine", ("kms:CreateGrant",), _GOLDEN),
    Needed("DeploymentMachine", ("sagemaker:CreateModel",), _CREATE_MODEL, on=":model/"),
    Needed("DeploymentMachine", ("sagemaker:CreateModel",), _CREATE_MODEL, on=":model-package/"),
    Needed("DeploymentMachine", ("iam:PassRole",), _CREATE_MODEL, on="EndpointRole"),
    Needed("DeploymentMachine", ("sagemaker:CreateEndpointConfig",), _CREATE_CONFIG),
    Needed(
        "DeploymentMachine",
        ("states:DescribeExecution",),
        part("deployment", "DescribeHolder", lambda scene: {**_config(scene), "turn": scene.deployment}),
    ),
    Needed("DeploymentMachine", ("sagemaker:DescribeEndpoint",), part("deployment", "DescribeEndpoint", _config)),
    Needed("DeploymentMachine", ("sagemaker:DescribeEndpointConfig",), part("deployment", "DescribeServing", _config)),
    Needed("DeploymentMachine", ("sagemaker:CreateEndpoint",), part("deployment", "CreateEndpoint", _config)),
    Needed("DeploymentMachine", ("sagemaker:UpdateEndpoint",), part("deployment", "UpdateEndpoint", _config)),
    Needed("DeploymentMachine", ("sagemaker:DeleteEndpoint",), part("deployment", "DeleteFailedEndpoint", _config)),
    Needed(
        "DeploymentMachine",
        ("lambda:InvokeFunction",),
        part("deployment", "GoldenAfter", lambda scene: {**_config(scene), "golden_uri": scene.golden_uri}),
        on="CheckGolden",
    ),
    Needed("DeploymentMachine", ("cloudwatch:PutMetricData",), part("deployment", "CountFailed", _package)),
    Needed(
        "DeploymentMachine",
        ("sagemaker:UpdateModelPackage",),
        part("deployment", "RejectPackage", _blame, lambda scene: {"model_package_arn": scene.package_arn}),
    ),
    Needed("DeploymentMachine", ("dynamodb:GetItem",), _DEPLOY),
    Needed(
        "DeploymentMachine",
        ("dynamodb:PutItem",),
        part("deployment", "AuditRollback", _config, lambda scene: {"model_package_arn": scene.package_arn}),
    ),
    Needed("DeploymentMachine", ("dynamodb:DeleteItem",), part("deployment", "ReleaseLease", _package)),
    Needed("DeploymentMachine", ("dynamodb:UpdateItem",), failing("deployment")),
    Needed("DeploymentMachine", ("sns:Publish",), failing("deployment")),
]


def _new_batch(scene: Scene) -> dict[str, object]:
    """A batch that is there, of another instant, so that its dataset is a new one."""
    return {**scene.data_input, "as_of": "2015-01-01T00:00:00Z"}


_LOOP = run("loop", {"batch_uri": "s3://none/none", "as_of": "none"})
_RUN_DATA = part("loop", "RunData", {}, {"batch_uri": "s3://none/none", "as_of": "none"})
_RUN_MODEL = part("loop", "RunModel", {"dataset": {}}, {"bundle": {}})

LOOP = [
    Needed("LoopMachine", ("dynamodb:PutItem",), _LOOP),
    Needed("LoopMachine", ("states:StartExecution",), _RUN_DATA, on="-data"),
    Needed("LoopMachine", ("states:DescribeExecution",), _RUN_DATA, on="-data"),
    Needed("LoopMachine", ("states:StartExecution",), _RUN_MODEL, on="-model"),
    Needed("LoopMachine", ("states:DescribeExecution",), _RUN_MODEL, on="-model"),
    Needed(
        "LoopMachine",
        ("states:StopExecution",),
        aborted("loop", "RunData", {}, nested("data"), _new_batch),
        on="-data",
    ),
    Needed(
        "LoopMachine",
        ("states:StopExecution",),
        aborted(
            "loop",
            "RunModel",
            lambda scene: {"dataset": scene.dataset},
            nested("model"),
            lambda scene: scene.model_input,
        ),
        on="-model",
    ),
    Needed("LoopMachine", ("dynamodb:DeleteItem",), part("loop", "ReleaseLease", {"outcome": {}})),
    Needed("LoopMachine", ("dynamodb:UpdateItem",), failing("loop")),
    Needed("LoopMachine", ("sns:Publish",), failing("loop")),
]

# --- functions --------------------------------------------------------------------------------------------------------

_CHECK_BATCH = call("CheckBatch", lambda scene: scene.data_input)
_CHECK_GOLDEN = call(
    "CheckGolden", lambda scene: {"endpoint_name": scene.live.outputs.endpoint_name, "golden_uri": scene.golden_uri}
)
_LANDED = call("Starter", lambda scene: event_of_batch(scene, scene.golden_uri.encode()))
_LANDED_BEFORE = call("Starter", lambda scene: event_of_batch(scene, scene.live.read(scene.data_input["batch_uri"])))
_LANDED_REALLY = call(
    "Starter",
    lambda scene: message(
        "aws.s3",
        "Object Created",
        {
            "bucket": {"name": scene.live.outputs.landing_bucket},
            "object": {"key": scene.data_input["batch_uri"].split("/", 3)[3]},
        },
    ),
)
_APPROVED, _REJECTED = (
    call(
        "Starter",
        lambda scene, status=status: message(  # type: ignore[misc]
            "aws.sagemaker",
            "SageMaker Model Package State Change",
            {"ModelApprovalStatus": status, "ModelPackageArn": scene.package_arn},
        ),
    )
    for status in ("Approved", "Rejected")
)
_AGAIN = call(
    "Starter",
    lambda scene: message("gapless", "Re-run Requested", {"workload": "flight_delays", "run_key": scene.demo.keys[0]}),
)

FUNCTIONS = [
    Needed("CheckBatch", ("s3:GetObject",), _CHECK_BATCH, on="cdk-"),
    Needed("CheckBatch", ("s3:GetObject",), _CHECK_BATCH, on="landing/"),
    Needed("CheckBatch", ("kms:Decrypt",), _CHECK_BATCH),
    Needed("Starter", ("s3:GetObject",), _LANDED_REALLY, on="landing/"),
    Needed("Starter", ("s3:GetObject",), _AGAIN, on="bundles/"),
    Needed("Starter", ("kms:Decrypt",), _LANDED_REALLY),
    Needed("Starter", ("dynamodb:PutItem",), _LANDED, on="Runs"),
    Needed("Starter", ("dynamodb:PutItem",), _REJECTED, on="Audit"),
    Needed("Starter", ("sagemaker:DescribeModelPackage",), _REJECTED),
    Needed("Starter", ("dynamodb:GetItem",), _LANDED_BEFORE),
    Needed("Starter", ("dynamodb:UpdateItem",), _AGAIN),
    Needed("Starter", ("states:StartExecution",), _LANDED, on="-loop"),
    Needed("Starter", ("states:StartExecution",), _APPROVED, on="-deploy"),
    Needed("Starter", ("sqs:ReceiveMessage",), poll),
    Needed("Starter", ("sqs:DeleteMessage",), poll),
    Needed("Starter", ("sqs:GetQueueAttributes",), poll),
]
GOLDEN = [
    Needed("CheckGolden", ("s3:GetObject",), _CHECK_GOLDEN),
    Needed("CheckGolden", ("kms:Decrypt",), _CHECK_GOLDEN),
    Needed("CheckGolden", ("sagemaker:InvokeEndpoint",), _CHECK_GOLDEN),
]

_SIGN_MODEL = call("SigningSign", lambda scene: scene.signing)
_VERIFY_MODEL = call(
    "SigningVerify",
    lambda scene: {
        "containers": scene.package["InferenceSpecification"]["Containers"],
        "properties": scene.package["CustomerMetadataProperties"],
    },
)
SIGNING = [
    Needed("SigningSign", ("s3:GetObject",), _SIGN_MODEL),
    Needed("SigningSign", ("s3:PutObject",), _SIGN_MODEL),
    Needed("SigningSign", ("kms:Sign",), _SIGN_MODEL),
    Needed("SigningSign", ("kms:Decrypt",), _SIGN_MODEL, on=LAKE_KEY),
    Needed("SigningSign", ("kms:GenerateDataKey",), _SIGN_MODEL, on=LAKE_KEY),
    Needed("SigningVerify", ("s3:GetObject",), _VERIFY_MODEL),
    Needed("SigningVerify", ("kms:Verify",), _VERIFY_MODEL),
    Needed("SigningVerify", ("kms:Decrypt",), _VERIFY_MODEL, on=LAKE_KEY),
]

# --- Glue -------------------------------------------------------------------------------------------------------------

WRITTEN = ("validated", "quarantine", "curated", "datasets")
LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")

PREPARE = [
    *(
        Needed("Prepare", ("s3:GetObject",), prepare, on=place)
        for place in (".json$", "bundles/", "landing/", "validated/.*/", "curated/.*/", "datasets/.*/")
    ),
    *(
        Needed("Prepare", ("s3:GetObject",), prepare, on=f"{suffix}$", says=f"LAUNCH ERROR .*{suffix}.*Forbidden")
        for suffix in (".py", ".zip")
    ),
    *(Needed("Prepare", ("s3:ListBucket",), prepare, on=f"s3:{zone}") for zone in WRITTEN),
    *(Needed("Prepare", ("s3:PutObject",), prepare, on=f"{zone}/.*/") for zone in WRITTEN),
    Needed("Prepare", ("s3:DeleteObject",), prepare, on="datasets/.*/"),
    Needed("Prepare", ("cloudwatch:PutMetricData",), prepare),
    Needed("Prepare", ("kms:Decrypt",), prepare),
    Needed("Prepare", ("kms:GenerateDataKey",), prepare),
    *(Needed("Prepare", (action,), prepare) for action in LOGS),
]
CRAWLER = [
    Needed("Crawler", ("s3:GetObject",), crawl),
    Needed("Crawler", ("s3:ListBucket",), crawl),
    Needed("Crawler", ("kms:Decrypt",), crawl),
    Needed("Crawler", ("glue:GetDatabase",), crawl),
    Needed("Crawler", ("glue:GetTables",), crawl),
    Needed("Crawler", ("glue:GetPartitions",), crawl),
    Needed("Crawler", ("glue:CreateTable",), crawl_anew),
    Needed("Crawler", ("glue:BatchCreatePartition",), crawl_anew),
    *(Needed("Crawler", (action,), crawl) for action in LOGS),
]

# --- SageMaker --------------------------------------------------------------------------------------------------------

IMAGE = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
INTERFACE = (
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
NETWORK = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


def _surroundings(role: str, trigger: Trigger) -> list[Needed]:
    """Image and network, which every job and endpoint needs."""
    groups = (IMAGE, ("ecr:GetAuthorizationToken",), ("ec2:CreateNetworkInterface",), INTERFACE, NETWORK)
    return [Needed(role, actions, trigger) for actions in groups]


TRAINING = [
    *_surroundings("Training", _TRAIN),
    Needed("Training", ("s3:GetObject",), _TRAIN, on="bundles/"),
    Needed("Training", ("s3:GetObject",), _TRAIN, on="datasets/"),
    Needed("Training", ("s3:GetObject",), _TRAIN, on=r"\.zip"),
    Needed("Training", ("s3:ListBucket",), _TRAIN, on="cdk-"),
    Needed("Training", ("s3:ListBucket",), _TRAIN, on="artefacts"),
    Needed("Training", ("kms:Decrypt",), _TRAIN),
    Needed("Training", ("kms:GenerateDataKey",), _TRAIN),
    Needed("Training", ("s3:PutObject",), _TRAIN),
]
PROCESSING = [
    *_surroundings("Processing", _EVALUATE),
    Needed("Processing", ("s3:GetObject",), _EVALUATE, on=r"\.zip"),
    Needed("Processing", ("s3:GetObject",), _EVALUATE, on=r"\.json"),
    Needed("Processing", ("s3:GetObject",), _EVALUATE, on="artefacts/"),
    Needed("Processing", ("s3:GetObject",), _EVALUATE, on="datasets/"),
    Needed("Processing", ("s3:ListBucket",), _EVALUATE, on="cdk-"),
    Needed("Processing", ("s3:ListBucket",), _EVALUATE, on="artefacts"),
    Needed("Processing", ("kms:Decrypt",), _EVALUATE),
    Needed("Processing", ("kms:GenerateDataKey",), _EVALUATE),
    Needed("Processing", ("s3:PutObject",), _EVALUATE, on="evaluations/"),
    Needed("Processing", ("s3:PutObject",), _GOLDEN, on="golden/"),
]
ENDPOINT = [
    *_surroundings("Endpoint", serve),
    Needed("Endpoint", ("s3:GetObject",), serve),
    Needed("Endpoint", ("kms:Decrypt",), serve),
    Needed("Endpoint", ("s3:PutObject",), capture),
    Needed("Endpoint", ("kms:GenerateDataKey",), capture),
]

# --- what is not asked for here ---------------------------------------------------------------------------------------

_JOBS = "Training Processing Endpoint"
_PARTS = "s3:AbortMultipartUpload s3:ListMultipartUploadParts"

UNSEEN = [
    # What services do by themselves here.
    Unseen("*Machine", "logs:* xray:*", "Step Functions delivers logs and traces as the role"),
    Unseen("*Machine", "events:*", "Step Functions learns of the end of jobs by a managed rule; here it asks"),
    Unseen("*Machine", "sagemaker:AddTags sagemaker:ListTags", "Step Functions tags the jobs that it waits for"),
    Unseen(
        "ModelMachine",
        "ecr:DescribeImages",
        "SageMaker looks at the image of a version that is registered; here there is none",
    ),
    Unseen(
        "Endpoint", "cloudwatch:DescribeAlarms", "SageMaker watches a rollout as the role, the server here by itself"
    ),
    Unseen(
        "DataMachine", "glue:GetJobRuns", "what Step Functions asks for to wait for a job; here it asks for the run"
    ),
    Unseen(
        "CheckBatch CheckGolden JudgeModel Signing* Starter",
        "logs:* xray:*",
        "Lambda writes the function's log and its traces as the role",
    ),
    Unseen(_JOBS, "logs:*", "SageMaker writes the container's log as the role"),
    Unseen(_JOBS, "cloudwatch:PutMetricData", "SageMaker measures the machine as the role"),
    Unseen(
        "Crawler Prepare", "logs:AssociateKmsKey", "Glue encrypts a log group that it makes; no log is encrypted here"
    ),
    # Keys.
    Unseen(
        _JOBS, "kms:Encrypt", "SageMaker asks for it where a request names a key for output; here for data keys only"
    ),
    Unseen("Prepare", "kms:Encrypt", "asked for by Glue where a security configuration encrypts what a job writes"),
    Unseen("*", "kms:DescribeKey", "asked for by SDKs and services before they use a key"),
    Unseen("*Machine", "kms:*", "a topic's messages are not encrypted here", on=ON_CALL_KEY),
    Unseen(
        "LoopMachine DeploymentMachine", "kms:Decrypt kms:GenerateDataKey", "tables are not encrypted here", on=LAKE_KEY
    ),
    Unseen("Starter", "kms:GenerateDataKey", "tables are not encrypted here", on=LAKE_KEY),
    Unseen("Crawler", "kms:GenerateDataKey", "Glue encrypts the crawler's log; no log is encrypted here"),
    # Objects.
    Unseen("*", "s3:GetBucketLocation", "SDKs ask in which region a bucket is; there is one region here"),
    Unseen("*", _PARTS, "large objects are written in parts, which is only seen when that is interrupted"),
    Unseen(
        "CheckBatch CheckGolden Signing* Starter",
        "s3:ListBucket",
        "S3 says of an absent object that it is absent, rather than forbidden, to those who may list",
    ),
    Unseen("Prepare", "s3:ListBucket", "Spark lists what it reads; here files have their full names", on="s3:landing"),
    Unseen("Prepare", "s3:ListBucket", "Glue lists what it fetches; here it has its full name", on="s3:artefacts"),
    Unseen(
        "Prepare",
        "s3:GetObject",
        "Spark looks for what it is about to write; the engine here does not",
        on="quarantine/.*/",
    ),
    Unseen(
        "Prepare",
        "s3:*",
        "Spark on AWS looks for its folders; the engine here knows none",
        on=r"\w+/\w+(_\$folder\$)?$",
    ),
    Unseen("Prepare", "s3:ListBucketMultipartUploads", "Spark looks for uploads of an earlier job that broke off"),
    *(
        Unseen(
            "Prepare",
            "s3:DeleteObject",
            "Spark deletes its temporary files; the engine here makes none",
            on=f"{zone}/.*/",
        )
        for zone in ("validated", "quarantine", "curated")
    ),
    Unseen(
        "Training Processing",
        "s3:ListBucket",
        "SageMaker may list behind a manifest, which names every object",
        on="s3:datasets",
    ),
    Unseen("Endpoint", "s3:ListBucket", "SageMaker asks it of a model's role; here the artefact is fetched by name"),
    # The catalogue.
    Unseen(
        "Crawler",
        "glue:GetTable glue:UpdateTable glue:GetPartition glue:CreatePartition glue:UpdatePartition"
        " glue:BatchGetPartition glue:BatchUpdatePartition",
        "how Glue's crawler keeps tables up to date; the one here works with fewer calls",
    ),
]

LANES: Sequence[Sequence[Needed]] = (
    [*PREPARE, *CRAWLER],
    [*DATA, *FUNCTIONS, *LOOP, *SIGNING],
    [*MODEL, *TRAINING, *PROCESSING, *DEPLOYMENT],
    [*ENDPOINT, *GOLDEN],
)
"""What must not be done at once is one after the other; the lanes go side by side."""

NEEDED = [needed for lane in LANES for needed in lane]


@pytest.fixture(scope="module")
def roles(live: Live) -> Roles:
    return Roles(live)


@pytest.fixture(scope="module")
def said(live: Live, demo: Demo, roles: Roles) -> Mapping[Needed, str | Exception]:
    """What was said without each of the grants."""
    scene = Scene(live, demo)
    assert scene.preparation

    def tried(needed: Needed) -> str | Exception:
        denial = needed.says or roles.denial(needed.role, needed.actions)
        try:
            with roles.without(needed.role, needed.actions, needed.on):
                return needed.trigger(scene, denial)
        except Exception as error:  # noqa: BLE001 - raised again in the grant's own test
            return error

    def walk(lane: Sequence[Needed]) -> list[tuple[Needed, str | Exception]]:
        return [(needed, tried(needed)) for needed in lane]

    assert roles.grants
    with ThreadPoolExecutor(max_workers=len(LANES)) as pool:
        return dict(pair for pairs in pool.map(walk, LANES) for pair in pairs)


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_a_grant_that_is_taken_away_is_missed(
    roles: Roles, said: Mapping[Needed, str | Exception], needed: Needed
) -> None:
    """By an error that names the action and the role."""
    found = said[needed]
    if isinstance(found, Exception):
        raise found
    assert re.search(needed.says or roles.denial(needed.role, needed.actions), found), found


def test_every_grant_is_seen_to_be_needed_or_listed(roles: Roles) -> None:
    """Once, not twice; and nothing is said of grants that do not exist."""
    claims: list[Needed | Unseen] = [*NEEDED, *UNSEEN]
    claimed = {grant: [str(claim) for claim in claims if claim.covers(grant)] for grant in roles.grants}
    assert [grant for grant, by in claimed.items() if not by] == []
    assert {grant: by for grant, by in claimed.items() if len(by) > 1} == {}
    assert [str(claim) for claim in claims if not any(claim.covers(grant) for grant in roles.grants)] == []


# --- policies of queues and topics ------------------------------------------------------------------------------------


@contextmanager
def locked(live: Live, queue_url: str, statement: str) -> Iterator[None]:
    """A queue without a statement of its policy."""
    sqs = live.client("sqs")
    policy = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    document = json.loads(policy)
    rest = [each for each in document["Statement"] if each["Sid"] != statement]
    assert len(rest) == len(document["Statement"]) - 1
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps({**document, "Statement": rest})})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})


def ask_for_nothing(live: Live) -> str:
    """Put an event that the rules of the intake take; returns what the server says of its delivery, if anything."""
    position = live.settings.server_log.stat().st_size
    detail = json.dumps({"workload": WORKLOAD, "run_key": "none"})
    entry = {"Source": "gapless", "DetailType": "Re-run Requested", "Detail": detail}
    live.client("events").put_events(Entries=[entry])

    return undelivered(live, position)


def undelivered(live: Live, position: int) -> str:
    """What the server logs, from a position on, of something that it may not deliver."""

    def look() -> str | None:
        said = live.settings.server_log.read_bytes()[position:].decode(errors="replace")
        return said if "did not reach" in said else None

    return eventually(look, "a word on a delivery", seconds=10)


def test_events_reach_the_intake_by_its_policy_only(live: Live) -> None:
    """And the queue of those that did not reach it by its own."""
    sqs, intake, dead = live.client("sqs"), live.outputs.intake_queue_url, live.outputs.intake_dead_letter_queue_url
    with locked(live, intake, "Rules"), locked(live, dead, "Rules"):
        said = ask_for_nothing(live)
    assert re.search(r"IntakeQueue\S+: its policy does not allow sqs:SendMessage to events.amazonaws.com", said)
    assert live.intake_is_empty()
    with locked(live, intake, "Rules"):
        ask_for_nothing(live)
    (received,) = eventually(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"), "a dead letter")
    sqs.delete_message(QueueUrl=dead, ReceiptHandle=received["ReceiptHandle"])
    assert json.loads(received["Body"])["detail"]["run_key"] == "none"
    assert live.intake_is_empty()


def test_alarms_reach_who_is_on_call_by_the_topics_policy_only(live: Live) -> None:
    """Step Functions needs a grant, CloudWatch this policy."""
    sns, cloudwatch = live.client("sns"), live.client("cloudwatch")
    topic, alarm = live.outputs.on_call_topic_arn, live.outputs.alarm_names[0]
    position = live.settings.server_log.stat().st_size
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    document = json.loads(policy)
    rest = [each for each in document["Statement"] if each["Sid"] != "Alarms"]
    assert len(rest) == len(document["Statement"]) - 1

    def put(text: str) -> None:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)

    put(json.dumps({**document, "Statement": rest}))
    try:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="tried")
        said = undelivered(live, position)
    finally:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="tried")
        put(policy)
    assert "its policy does not allow sns:Publish to cloudwatch.amazonaws.com" in said
