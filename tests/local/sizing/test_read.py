"""What is read of a workload: from public operations of AWS, whose clients know here only what they were given."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from local.aws import Aws
from local.machine_sizes import GIB
from local.outputs import Outputs
from local.settings import Settings
from local.sizing.figures import Question, ask, largest
from local.sizing.functions import functions
from local.sizing.machines import endpoint, jobs
from local.sizing.things import Place, Thing
from local.sizing.workers import as_share, glue_jobs

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
Metrics = dict[tuple[str, ...], list[float]]
ENDPOINT = {"EndpointName": "dev-x-live", "VariantName": "primary"}


def missing(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Describe")


@dataclass
class Clients:
    """Clients by service, and CloudWatch with some metrics: values by name and the values of dimensions."""

    metrics: Metrics = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    asked: list[list[Mapping[str, Any]]] = field(default_factory=list)
    stack: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        match service:
            case "cloudwatch":
                return SimpleNamespace(get_paginator=lambda _name: SimpleNamespace(paginate=self.paginate))
            case "cloudformation":
                return SimpleNamespace(get_paginator=lambda _name: SimpleNamespace(paginate=self.resources))
        return self.others[service]

    def resources(self, **_: Any) -> Iterator[dict[str, Any]]:
        """A page for each type."""
        for kind, found in self.stack.items():
            names = [{"LogicalResourceId": logical, "PhysicalResourceId": physical} for logical, physical in found]
            yield {"StackResourceSummaries": [{**each, "ResourceType": kind} for each in names]}

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        """One page with the first value of each metric, and one with all others."""
        queries = given["MetricDataQueries"]
        self.asked.append(queries)
        for part in (slice(0, 1), slice(1, None)):
            yield {"MetricDataResults": [{"Id": each["Id"], "Values": self.values(each)[part]} for each in queries]}

    def values(self, query: Mapping[str, Any]) -> list[float]:
        metric = query["MetricStat"]["Metric"]
        return self.metrics.get((metric["MetricName"], *(each["Value"] for each in metric["Dimensions"])), [])

    def place(self) -> Place:
        outputs = cast(Outputs, SimpleNamespace(endpoint_name="dev-x-live"))
        return Place(Settings(Path("nowhere"), "dev", "xyz"), cast(Aws, self), outputs, NOW)


def test_answers_are_the_largest_of_all_pages_in_the_order_of_the_questions() -> None:
    clients = Clients({("a", "1"): [3.0, 9.0, 4.0], ("b", "1"): [0.0]})
    questions = [Question("N", name, {"D": "1"}) for name in ("b", "none", "a")]
    assert ask(cast(Aws, clients), questions, NOW) == [0.0, None, 9.0]


def test_many_questions_are_asked_in_as_many_calls_as_it_takes() -> None:
    clients = Clients({("m", "700"): [5.0]})
    found = ask(cast(Aws, clients), [Question("N", "m", {"D": str(number)}) for number in range(701)], NOW)
    assert [len(each) for each in clients.asked] == [500, 201]
    assert (found[700], largest(found), largest([None])) == (5.0, 5.0, None)


def sagemaker(**members: Any) -> SimpleNamespace:
    offered = SimpleNamespace(enum=["ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge"])
    model = SimpleNamespace(service_model=SimpleNamespace(shape_for=lambda _name: offered))
    return SimpleNamespace(meta=model, **members)


def test_jobs_are_told_by_what_they_are_for_and_of_other_workloads_are_left_out() -> None:
    trained = ["dev-xyz-train-b-1", "dev-xyz-train-a-1", "other-dev-xyz-train-1"]
    client = sagemaker(
        list_training_jobs=lambda **_: {"TrainingJobSummaries": [{"TrainingJobName": name} for name in trained]},
        describe_training_job=lambda **given: {
            "ResourceConfig": {"InstanceType": "ml.m5.2xlarge", "InstanceCount": 2 if "b-1" in str(given) else 9}
        },
        list_processing_jobs=lambda **_: {"ProcessingJobSummaries": [{"ProcessingJobName": "dev-xyz-eval-1"}]},
        describe_processing_job=lambda **_: {
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}
        },
    )
    metrics: Metrics = {
        ("CPUUtilization", "dev-xyz-train-a-1/algo-1"): [40.0],
        ("CPUUtilization", "dev-xyz-train-b-1/algo-2"): [160.0, 80.0],
        ("MemoryUtilization", "dev-xyz-train-b-1/algo-1"): [30.0],
        ("MemoryUtilization", "other-dev-xyz-train-1/algo-1"): [99.0],
    }
    train, evaluation = jobs(Clients(metrics, {"sagemaker": client}).place())
    assert (train.name, train.size, train.times) == ("train", "2 x ml.m5.2xlarge", 2)
    assert (train.processors, train.memory) == (0.2, 0.3)
    assert (train.hint.verdict, train.hint.instead) == ("smaller", "ml.m5.xlarge")
    assert (evaluation.name, evaluation.processors, evaluation.hint.verdict) == ("eval", None, "no figure")
    assert evaluation.cost is not None and evaluation.cost.usd == 0.115


def served(variant: Mapping[str, Any]) -> SimpleNamespace:
    return sagemaker(
        describe_endpoint=lambda **_: {
            "EndpointConfigName": "c",
            "ProductionVariants": [{"VariantName": "primary", "CurrentInstanceCount": 3}],
        },
        describe_endpoint_config=lambda **_: {"ProductionVariants": [{"VariantName": "primary", **variant}]},
    )


def scaling(*targets: Mapping[str, Any]) -> SimpleNamespace:
    policy = {
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 600.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        }
    }
    return SimpleNamespace(
        describe_scalable_targets=lambda **_: {"ScalableTargets": list(targets)},
        describe_scaling_policies=lambda **_: {"ScalingPolicies": [policy]},
    )


def test_an_endpoint_costs_by_the_month_and_may_scale() -> None:
    where = tuple(ENDPOINT.values())
    metrics = {
        ("CPUUtilization", *where): [300.0],
        ("MemoryUtilization", *where): [10.0],
        ("Invocations", *where): [2500.0, 100.0],
    }
    others = {
        "sagemaker": served({"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}),
        "application-autoscaling": scaling({"MinCapacity": 1, "MaxCapacity": 4}),
    }
    instances, bounds = endpoint(Clients(metrics, others).place())
    assert (instances.size, instances.processors, instances.hint.verdict) == ("3 x ml.m5.xlarge", 0.75, "fits")
    assert instances.cost is not None and instances.cost.usd == pytest.approx(3 * 730 * 0.23)
    assert (bounds.kind, bounds.size, bounds.hint.verdict) == ("scaling", "1 to 4", "larger")


def test_an_endpoint_that_does_not_scale_has_no_bounds() -> None:
    others = {"sagemaker": served({"InstanceType": "ml.m5.xlarge"}), "application-autoscaling": scaling()}
    assert [each.kind for each in endpoint(Clients({}, others).place())] == ["endpoint"]


def test_a_serverless_endpoint_has_no_figure_and_one_that_is_not_there_is_no_thing() -> None:
    (found,) = endpoint(Clients({}, {"sagemaker": served({"ServerlessConfig": {"MemorySizeInMB": 2048}})}).place())
    assert (found.size, found.hint.verdict, found.cost) == ("2048 MB", "no figure", None)

    def gone(**_: Any) -> None:
        raise missing("ValidationException")

    assert list(endpoint(Clients({}, {"sagemaker": sagemaker(describe_endpoint=gone)}).place())) == []

    def denied(**_: Any) -> None:
        raise missing("AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        list(endpoint(Clients({}, {"sagemaker": sagemaker(describe_endpoint=denied)}).place()))


def glue(arguments: Mapping[str, str], metrics: Metrics) -> Thing:
    job = {"WorkerType": "G.2X", "NumberOfWorkers": 10, "DefaultArguments": arguments}
    runs = [{"Id": "new", "StartedOn": NOW}, {"Id": "old", "StartedOn": NOW - dt.timedelta(days=29)}]
    client = SimpleNamespace(get_job=lambda **_: {"Job": job}, get_job_runs=lambda **_: {"JobRuns": runs})
    stack = {"AWS::Glue::Job": [("Job", "dev-xyz-prepare")], "AWS::S3::Bucket": [("B", "b")]}
    (found,) = glue_jobs(Clients(metrics, {"glue": client}, stack=stack).place())
    return found


def test_a_glue_job_is_judged_by_its_workers_and_the_memory_of_its_driver() -> None:
    where = ("dev-xyz-prepare", "new", "gauge")
    metrics = {
        ("glue.driver.memory.total.used", *where, "resource_utilization"): [8.0 * GIB],
        ("glue.driver.memory.total.used", "dev-xyz-prepare", "old", "gauge", "resource_utilization"): [31.0 * GIB],
        ("glue.driver.workerUtilization", *where, "resource_utilization"): [0.1, 0.2],
        ("glue.driver.system.cpuSystemLoad", *where): [0.6],
    }
    found = glue({"--enable-auto-scaling": "true"}, metrics)
    assert (found.name, found.size, found.times) == ("prepare", "up to 10 x G.2X", 1)
    assert (found.processors, found.memory) == (0.6, 0.25)
    assert found.hint.text == "only 20% of 10 workers were at work: try workers 3"
    assert found.cost is not None and found.cost.usd == pytest.approx(10 * 2 * 0.44)


def test_of_workers_that_nobody_counted_there_is_no_figure() -> None:
    found = glue({}, {})
    assert (found.size, found.processors, found.memory, found.hint.verdict) == ("10 x G.2X", None, None, "no figure")


def test_shares_and_percentages_of_glue_are_told_apart() -> None:
    assert [as_share(value) for value in (None, 0.3, 1.0, 35.0)] == [None, 0.3, 1.0, 0.35]


def functions_with(messages: list[str] | None) -> Thing:
    def paginate(**given: Any) -> Iterator[dict[str, Any]]:
        assert given["logGroupName"] == "/own/check"
        if messages is None:
            raise missing("ResourceNotFoundException")
        yield {"events": [{"message": each} for each in messages]}

    others = {
        "lambda": SimpleNamespace(
            get_function_configuration=lambda **_: {"MemorySize": 512, "LoggingConfig": {"LogGroup": "/own/check"}}
        ),
        "logs": SimpleNamespace(get_paginator=lambda _name: SimpleNamespace(paginate=paginate)),
    }
    (found,) = functions(
        Clients({}, others, stack={"AWS::Lambda::Function": [("CheckFunction61EAF546", "dev-x-1")]}).place()
    )
    return found


def test_functions_are_judged_by_what_the_log_says_of_their_calls() -> None:
    report = "REPORT RequestId: a\tMemory Size: 512 MB\tMax Memory Used: {} MB\t"
    found = functions_with([report.format(each) for each in (100, 450, 0)] + ["REPORTED Max Memory Used: 900 MB"])
    assert (found.name, found.size, found.times) == ("CheckFunction", "512 MB", 3)
    assert found.memory == pytest.approx(450 / 512)
    assert found.hint.verdict == "larger"


def test_a_function_without_a_log_was_not_called_and_one_without_figures_is_not_judged() -> None:
    assert functions_with(None).hint.text == "it was not called"
    unknown = functions_with(["REPORT RequestId: a\tMax Memory Used: 0 MB"])
    assert (unknown.memory, unknown.hint.text) == (None, "nobody measured its calls")
