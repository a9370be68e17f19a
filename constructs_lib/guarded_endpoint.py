"""What guards an endpoint, and exists before it: fixed names, alarms on them, and the role of its containers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, MetricMath, alarm
from constructs_lib.grants import arn, grant, grant_pass_role
from constructs_lib.images import Pullable
from constructs_lib.names import metrics
from constructs_lib.network import Network
from constructs_lib.sagemaker_jobs import SERVICE, SageMakerRole, grant_service_use

PREDICTIONS = "predictions"
"""End of the name of the alarm on predictions."""

TOLERATED_ERROR_SHARE = 0.02
LEAST_REQUESTS = 20
"""Requests in a minute below which what clients do wrong, or one slip, says nothing about the model."""

LEAST_LOADED_SHARE = 0.5
"""Share of the requests that find their model loaded below which an endpoint of several models is too small."""

_PERIOD_SECONDS = 60
_LOADING_PERIODS = 15


@dataclass(frozen=True)
class Tolerated:
    """What one variant is forgiven; arguments as for ``GuardedEndpoint``."""

    latency_ms: int
    refused_share: float
    new_share: float

    @property
    def percentile(self) -> str:
        """The statistic that is the new fleet's 99th percentile, were all others faster."""
        return f"p{100 - self.new_share:g}"

    @property
    def share_refused(self) -> float:
        """The share of refused requests that sets the alarm off."""
        return self.refused_share * self.new_share

    @property
    def unnoticed_refusals(self) -> int:
        """How many refusals in a minute set no alarm off, whatever else is asked; one is as a client's slip."""
        return max(1, math.ceil(LEAST_REQUESTS * self.share_refused) - 1)


def watch_variant(
    scope: Construct, infix: str, endpoint: str, variant: str, alarms: FailureAlarms, tolerated: Tolerated
) -> list[str]:
    """Defines the alarms on one variant of an endpoint; returns their names.

    Args:
        infix: Tells the alarms of one variant from those of the other, in ids and, in lower case, in names.
    """
    start = f"{endpoint}-{infix.lower()}-" if infix else f"{endpoint}-"
    who = f"Endpoint {endpoint}" + (f", variant {variant}," if infix else "")
    taken_back = "a rollout that goes on is taken back by itself"
    metric = _metrics_of(endpoint, variant)
    requests = metric("Invocations", "Sum")
    refused = metric("Invocation4XXErrors", "Sum")
    watched: list[tuple[str, Metric | MetricMath, float, int, str, str]] = [
        (
            "Errors",
            metric("Invocation5XXErrors", "Average"),
            TOLERATED_ERROR_SHARE * tolerated.new_share,
            1,
            f"{who} fails to answer",
            f"Read the endpoint's log; {taken_back}",
        ),
        (
            "Latency",
            metric("ModelLatency", tolerated.percentile),
            tolerated.latency_ms * 1000,
            2,
            f"{who} answers slowly: {tolerated.percentile} of the model's latency, in microseconds",
            f"Compare invocations per instance with last week's; {taken_back}",
        ),
        (
            "Refused",
            MetricMath(
                f"IF(requests >= {LEAST_REQUESTS}, refused / requests, 0)", {"requests": requests, "refused": refused}
            ),
            tolerated.share_refused,
            1,
            f"{who} refuses requests: share of answers with 4xx",
            f"See whether clients changed or the model expects something else; {taken_back}",
        ),
        (
            "ModelErrors",
            MetricMath(
                f"IF(requests >= {LEAST_REQUESTS}, (failed - refused) / requests, 0)",
                {"requests": requests, "refused": refused, "failed": metric("InvocationModelErrors", "Sum")},
            ),
            TOLERATED_ERROR_SHARE * tolerated.new_share,
            1,
            f"{who}: the model breaks off, runs out of time or answers with an error of its own",
            f"Read the endpoint's log; {taken_back}",
        ),
    ]
    names = []
    for what, of, threshold, periods, description, runbook in watched:
        names.append(f"{start}{_SUFFIXES[what]}")
        alarm(
            scope,
            f"{infix}{what}",
            alarms=alarms,
            name=names[-1],
            metric=of,
            threshold=threshold,
            evaluation_periods=periods,
            description=description,
            runbook=runbook,
        )
    return names


def watch_queue(
    scope: Construct, endpoint: str, variant: str, alarms: FailureAlarms, waiting_seconds: int
) -> list[str]:
    """Defines the alarms on an asynchronous endpoint; returns the names of those that say something of the model.

    That requests wait says nothing of it, so that alarm takes no rollout back.
    """
    failures = _metrics_of(endpoint, variant)("InvocationFailures", "Sum")
    oldest = Metric(
        "AWS/SageMaker", "ApproximateAgeOfOldestRequest", {"EndpointName": endpoint}, "Maximum", _PERIOD_SECONDS
    )
    name = f"{endpoint}-failures"
    alarm(
        scope,
        "Failures",
        alarms=alarms,
        name=name,
        metric=failures,
        threshold=1,
        description=f"Endpoint {endpoint} could not answer a request",
        runbook="Read the notice of the failure and what lies where it says; a rollout that goes on is taken back",
    )
    alarm(
        scope,
        "Waiting",
        alarms=alarms,
        metric=oldest,
        threshold=waiting_seconds,
        evaluation_periods=2,
        description=f"A request has waited for endpoint {endpoint} for more than {waiting_seconds} seconds",
        runbook="Is the endpoint at the bound of its scaling, or without a machine although requests wait",
    )
    return [name]


def watch_loading(scope: Construct, endpoint: str, variant: str, alarms: FailureAlarms) -> None:
    """Defines the alarm on an endpoint whose models do not all fit into its memory, so that they come and go.

    It takes no rollout back: a new fleet has loaded nothing yet, so that there the share of requests that find their
    model loaded is low at first. For the same reason there is no alarm on how long a request waits for its model
    (``ModelLoadingWaitTime``, a part of what the first request to each model takes), and how many models are loaded
    (``LoadedModelCount``) says nothing without how many are asked for; both are there to look up.
    """
    metric = _metrics_of(endpoint, variant)
    share = MetricMath(
        f"IF(requests >= {LEAST_REQUESTS}, hits, 1)",
        {"requests": metric("Invocations", "Sum"), "hits": metric("ModelCacheHit", "Average")},
    )
    alarm(
        scope,
        "Loading",
        alarms=alarms,
        metric=share,
        threshold=LEAST_LOADED_SHARE,
        comparison="LessThanThreshold",
        evaluation_periods=_LOADING_PERIODS,
        description=f"Endpoint {endpoint} loads models again and again: share of requests whose model was loaded",
        runbook="Compare LoadedModelCount with the number of models; take machines with more memory, or more of them",
    )


@dataclass(frozen=True)
class PredictionWatch:
    """Says whose predictions are compared during a rollout.

    Args:
        stage, workload: Dimensions of the metric ``PredictionShift``.
        tolerated: How far a new model's predictions may lie from the old one's, between 0 and 1.
    """

    stage: str
    workload: str
    tolerated: float


def watch_predictions(
    scope: Construct, endpoint: str, alarms: FailureAlarms, watched: PredictionWatch, new_share: float
) -> list[str]:
    """Defines the alarm on predictions that move during a rollout; returns its name.

    The distance of a mixture is that of the new model times its share, and so is the limit.
    """
    name = f"{endpoint}-{PREDICTIONS}"
    dimensions = metrics.dimensions(watched.stage, watched.workload)
    alarm(
        scope,
        "Predictions",
        alarms=alarms,
        name=name,
        metric=Metric(metrics.NAMESPACE, metrics.PREDICTION_SHIFT, dimensions, "Maximum", _PERIOD_SECONDS),
        threshold=watched.tolerated * new_share,
        description=f"Endpoint {endpoint} predicts otherwise than before the rollout that goes on",
        runbook="Compare what was captured before and since; the rollout is taken back by itself. Where it is meant, "
        "raise serving.prediction_shift for the deployment",
    )
    return [name]


_SUFFIXES = {"Errors": "errors", "Latency": "latency", "Refused": "refused", "ModelErrors": "model-errors"}


def _metrics_of(endpoint: str, variant: str) -> Callable[[str, str], Metric]:
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    return lambda name, statistic: Metric("AWS/SageMaker", name, dimensions, statistic, _PERIOD_SECONDS)


@jsii.implements(iam.IGrantable)
class GuardedEndpoint(Construct):
    """Defines everything about a served model but the endpoint, which a state machine creates and replaces.

    The alarms watch the endpoint by its name and the names of its variants, whichever model is behind them. During a
    rollout the metrics of a variant mix both fleets; so the alarms go off when the new fleet's share of the traffic
    alone breaks what is tolerated, were all the rest without fault: shares of failures are multiplied by the new
    fleet's share, and the percentile of the latency is as much nearer to the slowest request.

    Args:
        name: Name of the endpoint.
        variant: Name of the variant that serves.
        prefix: What the names of models and endpoint configurations start with.
        image: What serves.
        network: Where it runs.
        key: Encrypts its disks and what it captures.
        alarms: Whom to tell; a rollout without alarms could not be taken back.
        latency_ms: Milliseconds that the slowest hundredth of the requests may take inside the model.
        new_share: Share of the traffic that a new model gets first, above 0 and at most 1.
        refused_share: Share of the requests that a model may refuse as the client's fault (4xx), above 0, at most 1.
        waiting_seconds: For how long a request may wait, where an endpoint answers later. Default: it answers at once.
        predictions: Whose predictions are compared during a rollout. Default: they are not.
        several_models: Whether it serves a set of models that come and go. Default: one.
        challenger: Name of the variant of a model that serves beside the other; its metrics are its own. Default:
            there is none.

    Attributes:
        name: Name of the endpoint.
        role: Role of the containers.
        alarm_names: Names of the alarms.
        unnoticed_refusals: How many requests it may refuse in a minute without an alarm.

    Raises:
        ValueError: A share is out of range.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        variant: str,
        prefix: str,
        image: Pullable,
        network: Network,
        key: kms.IKey,
        alarms: FailureAlarms,
        latency_ms: int,
        new_share: float,
        refused_share: float = 0.25,
        challenger: str | None = None,
        waiting_seconds: int | None = None,
        predictions: PredictionWatch | None = None,
        several_models: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        if not 0 < new_share <= 1:
            raise ValueError(f"share of the new model must be above 0 and at most 1, got: {new_share}")
        if not 0 < refused_share <= 1:
            raise ValueError(f"share of refused requests must be above 0 and at most 1, got: {refused_share}")
        self.name, self._prefix, self._key = name, prefix, key
        self._invoke = "sagemaker:InvokeEndpoint" if waiting_seconds is None else "sagemaker:InvokeEndpointAsync"
        self.role = SageMakerRole(
            self,
            "Role",
            description=f"Containers of endpoint {name}",
            image=image,
            network=network,
            key=key,
            logs=f"Endpoints/{name}",
        )
        tolerated = Tolerated(latency_ms, refused_share, new_share)
        self.alarm_names: Sequence[str] = (
            watch_variant(self, "", name, variant, alarms, tolerated)
            if waiting_seconds is None
            else watch_queue(self, name, variant, alarms, waiting_seconds)
        )
        self.unnoticed_refusals = tolerated.unnoticed_refusals if waiting_seconds is None else 0
        if predictions is not None:
            shifted = watch_predictions(self, name, alarms, predictions, new_share)
            self.alarm_names = [*self.alarm_names, *shifted]
        if several_models:
            watch_loading(self, name, variant, alarms)
        if challenger is not None:
            own = Tolerated(latency_ms, refused_share, 1.0)
            more = watch_variant(self, "Challenger", name, challenger, alarms, own)
            self.alarm_names = [*self.alarm_names, *more]
        # During a rollout SageMaker watches the alarms with the role of the containers, not with the caller's.
        grant(
            self.role, ["cloudwatch:DescribeAlarms"], *(arn("cloudwatch", f"alarm:{each}") for each in self.alarm_names)
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The containers' role, so that grants can be given to the endpoint."""
        return self.role

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Lets somebody ask for predictions."""
        grant(grantee, [self._invoke], arn("sagemaker", f"endpoint/{self.name}"))

    def grant_read_variants(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find out whether the endpoint serves, which variants it has, and their weights."""
        grant(grantee, ["sagemaker:DescribeEndpoint"], arn("sagemaker", f"endpoint/{self.name}"))

    def grant_describe(self, grantee: iam.IGrantable) -> None:
        """Lets somebody find out which models serve, and which are kept in endpoint configurations."""
        grant(grantee, ["sagemaker:DescribeEndpoint"], arn("sagemaker", f"endpoint/{self.name}"))
        grant(grantee, ["sagemaker:DescribeEndpointConfig"], arn("sagemaker", f"endpoint-config/{self._prefix}*"))
        grant(grantee, ["sagemaker:DescribeModel"], arn("sagemaker", f"model/{self._prefix}*"))

    def grant_deploy(self, grantee: iam.IGrantable) -> None:
        """Lets somebody put models behind the endpoint, watched by the alarms."""
        grant(
            grantee,
            ["sagemaker:CreateModel", "sagemaker:AddTags"],
            arn("sagemaker", f"model/{self._prefix}*"),
        )
        configs = arn("sagemaker", f"endpoint-config/{self._prefix}*")
        grant(
            grantee,
            [
                "sagemaker:CreateEndpoint",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:UpdateEndpoint",
            ],
            arn("sagemaker", f"endpoint/{self.name}"),
            configs,
        )
        grant(grantee, ["cloudwatch:DescribeAlarms"], arn("cloudwatch", "alarm:*"))
        grant_pass_role(grantee, self.role, SERVICE)
        grant_service_use(grantee, self._key)
