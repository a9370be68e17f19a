"""What the machine that deploys models may do, and the function that asks the endpoint the golden requests."""

from __future__ import annotations

from constructs_lib.data_lake import DataLake
from constructs_lib.endpoint_scaling import grant_scaling
from constructs_lib.grants import grant_metrics
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.machines.deployment.modes import ANSWERS, REQUESTS
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_sets import ModelSets
from constructs_lib.model_signing import ModelSigning
from constructs_lib.names.serving_file import Serving
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.python_function import PythonFunction
from constructs_lib.sagemaker_jobs import BatchScoring, SageMakerJobs

GOLDEN = "golden"
"""Folder of asynchronous requests where the golden ones are."""

_ALWAYS_THERE = Serving()


def grant_deployment(
    machine: PipelineMachine,
    *,
    check: PythonFunction,
    workload: str,
    signing: ModelSigning,
    processing: SageMakerJobs,
    scoring: BatchScoring | None,
    endpoint: GuardedEndpoint,
    registry: ModelRegistry,
    lake: DataLake,
    namespace: str,
    serving: Serving = _ALWAYS_THERE,
    sets: ModelSets | None = None,
) -> None:
    """Lets a machine put models behind an endpoint, go back, and write down what it did; and its function compare.

    Args:
        machine: The machine, made by ``deployment_machine``.
        check: The function that asks the endpoint the golden requests.
        workload: The workload, whose folder of the artefacts the golden answers are in.
        signing: Verifies what is deployed.
        processing: Answers the golden requests before.
        scoring: Answers them where the processing job cannot, if so.
        endpoint, registry, lake: Whose models, versions and tables they are.
        namespace: Of the platform's own metrics.
        serving: How the endpoint answers and scales. Default: at once, by machines whose number stays.
        sets: Makes archives of the models of a version. Default: a version is one model.
    """
    lake.grant_read(check, "artefacts", f"{workload}/golden/")
    if serving.mode.kind == "asynchronous":
        lake.grant_write(check, "artefacts", f"{workload}/{REQUESTS}/{GOLDEN}/")
        lake.grant_read(check, "artefacts", f"{workload}/{ANSWERS}/")
    if serving.scaling is not None:
        grant_scaling(machine, endpoint.name, serving.scaling)
    if sets is not None:
        sets.grant_unpack(machine)
    endpoint.grant_invoke(check)
    grant_metrics(machine, namespace)
    check.grant_invoke(machine)
    signing.grant_verify(machine)
    processing.grant_run(machine)
    if scoring is not None:
        scoring.grant_run(machine)
    endpoint.grant_deploy(machine)
    machine.grant_describe_executions(machine)
    registry.grant_serve(machine)
    registry.grant_reject(machine)
    lake.grant_table(machine, lake.leases_table, "dynamodb:DeleteItem")
    lake.grant_table(machine, lake.runs_table, "dynamodb:GetItem")
    lake.grant_table(machine, lake.audit_table, "dynamodb:PutItem")
