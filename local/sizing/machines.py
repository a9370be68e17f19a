"""The machines of SageMaker: those of training and processing jobs, and those of the endpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from constructs_lib.names.prices import Component
from local.machine_sizes import size_of
from local.sizing.figures import MINUTE, Question, ask, largest
from local.sizing.hints import Bounds, Hint, Seen, of_machine, of_scaling
from local.sizing.things import Place, Thing, cost_of

MOST_JOBS: Final = 100
"""How many of the newest jobs are looked at."""

_OFFERED: Final[Mapping[Component, str]] = {
    "Training": "TrainingInstanceType",
    "Processing": "ProcessingInstanceType",
    "Hosting": "ProductionVariantInstanceType",
}
_GONE: Final = ("ValidationException", "ResourceNotFound")


@dataclass(frozen=True)
class _Use:
    """A kind of job: its operations, and where its description says what it runs on."""

    component: Component
    title: str
    listing: str
    describing: str
    machines: tuple[str, ...]


_USES: Final = (
    _Use("Training", "TrainingJob", "list_training_jobs", "describe_training_job", ("ResourceConfig",)),
    _Use(
        "Processing",
        "ProcessingJob",
        "list_processing_jobs",
        "describe_processing_job",
        ("ProcessingResources", "ClusterConfig"),
    ),
)


def jobs(place: Place) -> Iterator[Thing]:
    """The jobs of the last weeks, by what they are for; their machines are those of the newest of its kind."""
    for use in _USES:
        by_kind: defaultdict[str, list[str]] = defaultdict(list)
        for name in _names(place, use):
            by_kind[name.removeprefix(place.prefix).partition("-")[0]].append(name)
        for kind, names in sorted(by_kind.items()):
            yield _job(place, use, kind, names)


def _names(place: Place, use: _Use) -> list[str]:
    listed = getattr(place.client("sagemaker"), use.listing)(
        NameContains=place.prefix,
        CreationTimeAfter=place.since,
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=MOST_JOBS,
    )
    names = [str(each[f"{use.title}Name"]) for each in listed[f"{use.title}Summaries"]]
    return [name for name in names if name.startswith(place.prefix)]


def _job(place: Place, use: _Use, kind: str, names: Sequence[str]) -> Thing:
    machines = getattr(place.client("sagemaker"), use.describing)(**{f"{use.title}Name": names[0]})
    for member in use.machines:
        machines = machines[member]
    machine, count = machines.get("InstanceType", "several types"), machines.get("InstanceCount", 1)
    hosts = [{"Host": f"{name}/algo-{number + 1}"} for name in names for number in range(count)]
    seen = _seen(place, machine, f"/aws/sagemaker/{use.title}s", hosts)
    hint = of_machine(machine, count, seen, _offered(place, use.component), serves=False)
    cost = cost_of(use.component, machine, count, hint, "hour")
    return Thing("job", kind, f"{count} x {machine}", len(names), seen.processors, seen.memory, hint, cost)


def endpoint(place: Place) -> Iterator[Thing]:
    """The variants of the endpoint, and between which numbers of instances they scale."""
    name, client = place.outputs.endpoint_name, place.client("sagemaker")
    try:
        found = client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return
        raise
    config = client.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    there = found.get("ProductionVariants", [])
    counts = {each["VariantName"]: each["CurrentInstanceCount"] for each in there if "CurrentInstanceCount" in each}
    for variant in config["ProductionVariants"]:
        if "InstanceType" in variant:
            count = counts.get(variant["VariantName"], variant.get("InitialInstanceCount", 1))
            yield from _variant(place, variant["VariantName"], variant["InstanceType"], count)
        else:
            size = f"{variant['ServerlessConfig']['MemorySizeInMB']} MB"
            hint = Hint("no figure", "it is serverless, and SageMaker publishes no figures of its machines")
            yield Thing("endpoint", variant["VariantName"], size, None, None, None, hint)


def _variant(place: Place, variant: str, machine: str, count: int) -> Iterator[Thing]:
    where = {"EndpointName": place.outputs.endpoint_name, "VariantName": variant}
    seen = _seen(place, machine, "/aws/sagemaker/Endpoints", [where])
    hint = of_machine(machine, count, seen, _offered(place, "Hosting"), serves=True)
    cost = cost_of("Hosting", machine, count, hint, "month")
    yield Thing("endpoint", variant, f"{count} x {machine}", None, seen.processors, seen.memory, hint, cost)
    bounds = _bounds(place, variant)
    if bounds is not None:
        (most,) = ask(place.aws, [Question("AWS/SageMaker", "Invocations", where, "Sum", MINUTE)], place.now)
        size = f"{bounds.fewest} to {bounds.most}"
        yield Thing("scaling", variant, size, None, None, None, of_scaling(count, bounds, most))


def _bounds(place: Place, variant: str) -> Bounds | None:
    client = place.client("application-autoscaling")
    named = f"endpoint/{place.outputs.endpoint_name}/variant/{variant}"
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[named])["ScalableTargets"]
    if not targets:
        return None
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=named)["ScalingPolicies"]
    tracked = [each.get("TargetTrackingScalingPolicyConfiguration", {}) for each in policies]
    asked = [float(each["TargetValue"]) for each in tracked if _follows_requests(each)]
    return Bounds(targets[0]["MinCapacity"], targets[0]["MaxCapacity"], asked[0] if asked else None)


def _follows_requests(policy: Mapping[str, Any]) -> bool:
    predefined = policy.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    return bool(predefined == "SageMakerVariantInvocationsPerInstance")


def _seen(place: Place, machine: str, namespace: str, where: Sequence[Mapping[str, str]]) -> Seen:
    """SageMaker counts each processor up to 100, and memory as a whole."""
    names = ("CPUUtilization", "MemoryUtilization")
    found = ask(place.aws, [Question(namespace, name, each) for name in names for each in where], place.now)
    processors, memory, size = largest(found[: len(where)]), largest(found[len(where) :]), size_of(machine)
    busy = processors / 100 / size.processors if processors is not None and size is not None else None
    return Seen(busy, memory / 100 if memory is not None else None)


def _offered(place: Place, component: Component) -> Sequence[str]:
    return tuple(place.client("sagemaker").meta.service_model.shape_for(_OFFERED[component]).enum)
