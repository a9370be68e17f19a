"""Takes requests apart: which operation, allowed on what, valid, and how its answer looks."""

from __future__ import annotations

from collections.abc import Mapping

from local.server.host import Host, Request, Response, ServiceError
from local.server.sagemaker.automl.jobs import AutoMLJobs
from local.server.sagemaker.endpoints.configs import EndpointConfigs
from local.server.sagemaker.endpoints.control import Endpoints
from local.server.sagemaker.endpoints.runtime import Runtime, action_of, endpoint_of
from local.server.sagemaker.feature_store.groups import FeatureGroups
from local.server.sagemaker.feature_store.offline import OfflineStore
from local.server.sagemaker.feature_store.runtime import FeatureStoreRuntime, is_of_feature_store
from local.server.sagemaker.feature_store.storage import RecordStorage
from local.server.sagemaker.jobs.processing import ProcessingJobs
from local.server.sagemaker.jobs.runner import Jobs
from local.server.sagemaker.jobs.training import TrainingJobs
from local.server.sagemaker.jobs.transform import TransformJobs
from local.server.sagemaker.listing import list_operations
from local.server.sagemaker.mlflow.kinds import is_of_mlflow, named_in
from local.server.sagemaker.mlflow.tracking import Tracking
from local.server.sagemaker.models import Models
from local.server.sagemaker.pipelines.control import Pipelines
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.registry import Registry
from local.server.sagemaker.resources import ENDPOINT, KINDS, MODEL_PACKAGE, PIPELINE
from local.server.sagemaker.service_model import input_shape, output_shape
from local.server.sagemaker.shaping import shaped
from local.server.sagemaker.store import Document, Store
from local.server.sagemaker.tags import Tags
from local.server.sagemaker.tuning.jobs import TuningJobs
from local.server.validation import validate


class SageMaker:
    """The local SageMaker: control plane and runtime."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.store = Store(host.settings.state_dir / "sagemaker.sqlite")
        self._platform = Platform(host, self.store)
        self.registry = Registry(self._platform)
        models = Models(self._platform, self.registry)
        configs = EndpointConfigs(self._platform, models)
        self._endpoints = Endpoints(self._platform, configs, models)
        self._runtime = Runtime(self._platform, self._endpoints)
        records = RecordStorage(host.settings.state_dir / "feature_store.sqlite")
        feature_groups = FeatureGroups(self._platform, records)
        self._feature_store = FeatureStoreRuntime(self._platform, feature_groups, records)
        self._offline_store = OfflineStore(self._platform, records)
        training = TrainingJobs(self._platform)
        self._jobs: tuple[Jobs, ...] = (
            training,
            ProcessingJobs(self._platform),
            TransformJobs(self._platform, models),
            AutoMLJobs(self._platform),
            TuningJobs(self._platform, training),
        )
        self._pipelines = Pipelines(self._platform)
        tags = Tags(self._platform)
        self.tracking = Tracking(self._platform)
        parts = (
            self.registry,
            models,
            configs,
            self._endpoints,
            feature_groups,
            self._pipelines,
            tags,
            self.tracking,
            *self._jobs,
        )
        self.operations: Mapping[str, Operation] = {
            **list_operations(self._platform),
            **{name: operation for part in parts for name, operation in part.operations().items()},
        }

    def handle(self, request: Request) -> Response:
        """Serve one request, whose permission has been checked."""
        if endpoint_of(request.path) is not None:
            return self._runtime.invoke(request)
        if is_of_feature_store(request.path):
            return self._feature_store.serve(request)
        if is_of_mlflow(request.path):
            return self.tracking.serve(request)
        name = request.operation
        if name not in self.operations:
            raise ServiceError("UnknownOperationException", f"{name or 'this'} is not available on the local server")
        params = _without_nulls(request.json())
        validate(input_shape(name), params)
        self._platform.faults.check_rate(name)
        answer = self.operations[name](params, request.caller)
        return Response.of_json(shaped(output_shape(name), answer))

    def action(self, request: Request) -> str | None:
        """The name of the IAM action that a request needs; the Feature Store's runtime asks for itself."""
        if is_of_feature_store(request.path):
            return None
        if is_of_mlflow(request.path):
            return self.tracking.action(request)
        return action_of(request.path) if endpoint_of(request.path) is not None else request.operation

    def resource(self, request: Request) -> str:
        """The ARN that a request needs the permission on."""
        endpoint = endpoint_of(request.path)
        if endpoint is not None:
            return self._platform.arn(ENDPOINT, endpoint)
        if is_of_mlflow(request.path):
            return named_in(request.headers) or "*"
        return self._resource_of(request.operation, request.json())

    def conditions(self, request: Request) -> Document:
        """The condition keys of a request; of SageMaker's own ones, the approval status of a model package."""
        if request.operation not in ("CreateModelPackage", "UpdateModelPackage"):
            return {}
        status = request.json().get("ModelApprovalStatus")
        return {"sagemaker:ModelApprovalStatus": str(status)} if status is not None else {}

    def recover(self) -> None:
        """After the start: say what was lost with the last process, and bring endpoints back."""
        for jobs in self._jobs:
            jobs.recover()
        self._pipelines.recover()
        self._endpoints.recover()
        self._runtime.start()
        self._offline_store.start()

    def close(self) -> None:
        """Before the end: write what is only in memory, and end what serves."""
        self._platform.stopping.set()
        self._endpoints.close()
        self._runtime.close()
        self._offline_store.close()
        self.tracking.close()

    def _resource_of(self, operation: str, params: Document) -> str:
        for member in ("ResourceArn", "ModelPackageArn", "PipelineExecutionArn"):
            if member in params:
                return str(params[member])
        mlflow = self.tracking.resource(operation, params)
        if mlflow is not None:
            return mlflow
        named = operation.removesuffix("V2").removesuffix("Policy")
        kind = next((kind for kind in KINDS if named.endswith(kind.name)), None)
        if operation == "ListModelPackages":  # the one list that IAM allows by resource
            kind = MODEL_PACKAGE
        if operation.startswith("UpdateEndpointWeights"):
            kind = ENDPOINT
        if operation == "StartPipelineExecution":
            kind = PIPELINE
        if operation == "ListCandidatesForAutoMLJob":  # of the kinds of lists that IAM knows no resource for
            kind = None
        if kind is None:
            return "*"
        name = str(params.get(kind.name_member, "*"))
        if kind is MODEL_PACKAGE and kind.name_member not in params:
            name = f"{str(params.get('ModelPackageGroupName', '*')).rpartition('/')[2]}/*"
        return name if name.startswith("arn:") else self._platform.arn(kind, name)


def _without_nulls(params: Document) -> Document:
    return {name: value for name, value in params.items() if value is not None}
