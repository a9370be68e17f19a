"""What the deployment machine works with, and the errors that are its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from constructs_lib.machines.deployment.strategy import Experiment, Rollout
from constructs_lib.machines.image_scan import FINAL_ERRORS as SCAN_ERRORS
from constructs_lib.machines.image_scan import ScannedImages
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import TAMPERED, SigningParts
from constructs_lib.names.serving_modes import Scaling

FINAL_ERRORS = (
    "AlarmAlreadyOn",
    "BadGolden",
    "BadRequest",
    "BadSet",
    "ChallengerStopped",
    "EndpointBusy",
    "EndpointFailed",
    "GoldenFailed",
    "GoldenMismatch",
    "NeverServed",
    "NotApproved",
    "RollbackFailed",
    "RolloutStuck",
    "SilentRollback",
    "UnsafeArtefact",
    *SCAN_ERRORS,
    *TAMPERED,
)
"""Errors that lie in the model, in the request or in what the endpoint did with it; the old model serves on."""

MODEL_TO_BLAME = (
    "BadSet",
    "ChallengerStopped",
    "EndpointFailed",
    "GoldenFailed",
    "GoldenMismatch",
    "RollbackFailed",
    "SilentRollback",
    "UnsafeArtefact",
    *SCAN_ERRORS,
    *TAMPERED,
)
"""Errors after which the package must not stay approved: it would be the champion that no endpoint serves."""

VARIANT = "primary"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class OnDemand:
    """Says how large a serverless endpoint is.

    Args:
        memory_mb: Memory of what answers.
        max_concurrency: How many requests are answered at once.
        provisioned_concurrency: How many of them without a start. Default: none.
    """

    memory_mb: int
    max_concurrency: int
    provisioned_concurrency: int | None = None


@dataclass(frozen=True)
class Later:
    """Says how an asynchronous endpoint answers.

    Args:
        concurrent_requests: How many requests a machine works on at once.
        success_topic: ARN of the topic that is told of answers. Default: none is.
    """

    concurrent_requests: int
    success_topic: str | None = None


@dataclass(frozen=True)
class ModelSet:
    """Says how a set of models gets behind one endpoint.

    Args:
        unpack_models_arn: The function that makes an archive of each model of a version; may be a token.
        region: Where the containers find their script; may be a token.
    """

    unpack_models_arn: str
    region: str


@dataclass(frozen=True)
class Fleet:
    """Says what serves; its digest is part of the endpoint configuration's name.

    Args:
        instance_type: SageMaker's name for the machine.
        instance_count: How many.
        capture_percent: How many of 100 requests are kept with their answers.
        on_demand: What there is instead of machines. Default: machines.
        later: How requests are answered that wait. Default: none waits.
    """

    instance_type: str
    instance_count: int
    capture_percent: int
    on_demand: OnDemand | None = None
    later: Later | None = None

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any of the values."""
        return hashlib.sha256(json.dumps(_given(asdict(self)), sort_keys=True).encode()).hexdigest()[:8]


def _given(values: dict[str, object]) -> dict[str, object]:
    """What is said; a way of answering that is not asked for leaves names as they were."""
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class DeploymentParts:
    """Names what the deployment machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run, and the endpoint's containers.
        signing: The functions that sign and verify models.
        check_golden_arn: The function that asks the endpoint the golden requests.
        processing_role_arn: Role of the golden job.
        golden_jobs: Its machine; not all that serve can run jobs.
        endpoint_role_arn: Role of the endpoint's containers.
        endpoint_name: The endpoint.
        alarm_names: Alarms on the endpoint: quiet before, watched during a rollout.
        fleet: What serves.
        rollout: How a new model takes over.
        experiment: How it is compared with the old one before. Default: it is not.
        scaling: How the number of machines follows the requests. Default: it does not.
        probation_hours: How long after a rollout late labels may take it back. Default: they may not.
        scoring: How a model answers the golden requests that the golden job cannot load. Default: it loads it.
        refusals: How many golden requests that such a model refuses the endpoint is asked. Default: none.
        allow_pickle: Whether the model's archive may hold pickles. Default: it may not.
        watch_predictions_arn: The function that says how far predictions move during a rollout. Default: nobody does.
        model_set: How a set of models is unpacked and asked. Default: a version is one model.
        scanned: Whose scans of images are read before they serve. Default: images are AWS's own.
    """

    place: JobPlace
    signing: SigningParts
    check_golden_arn: str
    processing_role_arn: str
    golden_jobs: JobLimits
    endpoint_role_arn: str
    endpoint_name: str
    alarm_names: Sequence[str]
    fleet: Fleet
    rollout: Rollout
    experiment: Experiment | None = None
    scaling: Scaling | None = None
    probation_hours: int | None = None
    scoring: Scoring | None = None
    refusals: int = 0
    allow_pickle: bool = False
    scanned: ScannedImages | None = None
    watch_predictions_arn: str | None = None
    model_set: ModelSet | None = None
