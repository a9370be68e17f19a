"""Models: a container image, an artefact and a role, and where a served artefact comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from local.server.host import Caller, Credentials
from local.server.own_images import OwnImages
from local.server.sagemaker import s3_data
from local.server.sagemaker.algorithms import algorithm_of
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.images import require_framework
from local.server.sagemaker.platform import Operation, Platform
from local.server.sagemaker.registry import Registry
from local.server.sagemaker.resources import MODEL
from local.server.sagemaker.store import AlreadyThere, Document

_UNSUPPORTED_OF_CONTAINER = ("MultiModelConfig", "AdditionalModelDataSources", "InferenceSpecificationName")


@dataclass(frozen=True)
class Container:
    """One container of a model, with everything that a model package adds.

    Attributes:
        model_data: The S3 address of ``model.tar.gz``, or ``None`` when the container brings its model along.
        several: Whether ``model_data`` is what the addresses of several models start with.
    """

    image: str
    model_data: str | None
    environment: dict[str, str]
    several: bool = False


class Models:
    """CreateModel, DescribeModel and DeleteModel."""

    def __init__(self, platform: Platform, registry: Registry) -> None:
        self._platform = platform
        self._registry = registry
        self._images = OwnImages(platform.settings)

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateModel": self._create,
            "DescribeModel": lambda params, _caller: self.model(params["ModelName"]),
            "DeleteModel": self._delete,
        }

    def model(self, name: str) -> Document:
        """A model by its name.

        Raises:
            ServiceError: There is none (``ValidationException``).
        """
        model = self._platform.store.find(MODEL.name, name)
        if model is None:
            raise invalid(f'Could not find model "{self._platform.arn(MODEL, name)}".')
        return model

    def _create(self, params: Document, caller: Caller) -> Document:
        name = params["ModelName"]
        arn = self._platform.arn(MODEL, name)
        definitions = _container_definitions(params)
        if "ExecutionRoleArn" not in params:
            raise invalid("ExecutionRoleArn is required")
        self._platform.pass_role(caller, params["ExecutionRoleArn"], arn)
        containers = [container for each in definitions for container in self._resolve(each, caller)]
        for container in containers:
            if not self._images.names(container.image):
                require_servable(container, self._platform.settings.job_python)
        model = {
            **params,
            "ModelArn": arn,
            "EnableNetworkIsolation": params.get("EnableNetworkIsolation", False),
            "_Containers": [vars(container) for container in containers],
        }
        for container in containers:
            if container.model_data is not None:
                self._require_access(params["ExecutionRoleArn"], arn, container)
        self._platform.tag_new(caller, arn, model)
        try:
            self._platform.store.add(MODEL.name, name, model)
        except AlreadyThere as error:
            raise invalid(f'Cannot create already existing model "{arn}".') from error
        self._platform.emit(MODEL, "Model", model)
        return model

    def _delete(self, params: Document, _caller: Caller) -> Document:
        model = self.model(params["ModelName"])
        self._platform.store.remove(MODEL.name, model["ModelName"])
        self._platform.store.remove_tags(model["ModelArn"])
        self._platform.emit(MODEL, "Model", model)
        return {}

    def _resolve(self, definition: Document, caller: Caller) -> list[Container]:
        """The container of a definition, or those of the model package that it names."""
        environment = definition.get("Environment", {})
        if "ModelPackageName" in definition:
            package = self._registry.package(definition["ModelPackageName"])
            self._platform.host.check(caller, "sagemaker:CreateModel", package["ModelPackageArn"])
            if package.get("ModelApprovalStatus", "Approved") != "Approved":
                raise invalid(
                    f"Model Package {package['ModelPackageArn']} is not approved: its approval status is "
                    f"{package['ModelApprovalStatus']}"
                )
            return [
                Container(each["Image"], _model_data(each), {**each.get("Environment", {}), **environment})
                for each in package.get("InferenceSpecification", {}).get("Containers", [])
            ]
        if "Image" not in definition:
            raise invalid("a container needs Image or ModelPackageName")
        several = definition.get("Mode") == "MultiModel"
        return [Container(definition["Image"], _model_data(definition), environment, several)]

    def _require_access(self, role_arn: str, arn: str, container: Container) -> None:
        """Look at the artefact with the model's role, as AWS does before it accepts a model."""
        credentials: Credentials = self._platform.assume(role_arn, "SageMaker", arn)
        model_data = str(container.model_data)
        try:
            s3 = self._platform.host.client("s3", credentials)
            if not container.several:
                s3_data.require_object(s3, model_data)
            elif not s3_data.holds_objects(s3, model_data):
                raise invalid(f"Could not find model data at {model_data}.")
        except ClientError as error:
            raise invalid(
                f'Could not access model data at {model_data}. Please ensure that the role "{role_arn}" exists and '
                f'that its trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                f'"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the '
                f"object is located in {self._platform.settings.region}. {error}"
            ) from error
        finally:
            self._platform.host.forget(credentials)


def require_servable(container: Container, job_python: Path) -> None:
    """See that the local server can run a container.

    Raises:
        ServiceError: It cannot (``ValidationException``).
    """
    if algorithm_of(container.image) is None:
        require_framework(container.image, job_python)


def _container_definitions(params: Document) -> list[Document]:
    """The containers of a model: one, or several that answer one after the other."""
    if "PrimaryContainer" in params and params.get("Containers"):
        raise invalid("either PrimaryContainer or Containers can be given, not both")
    primary = [params["PrimaryContainer"]] if "PrimaryContainer" in params else []
    containers: list[Document] = [*primary, *params.get("Containers", [])]
    if not containers:
        raise invalid("either PrimaryContainer or Containers is required")
    if params.get("InferenceExecutionConfig", {}).get("Mode", "Serial") != "Serial":
        raise unsupported("InferenceExecutionConfig.Mode Direct")
    for container in containers:
        if container.get("Mode") == "MultiModel":
            _check_several(containers, container)
        for member in _UNSUPPORTED_OF_CONTAINER:
            if member in container:
                raise unsupported(f"{member} of a container")
    return containers


def _check_several(containers: list[Document], container: Document) -> None:
    if "ModelPackageName" in container:
        raise invalid("a container in MultiModel mode takes Image and ModelDataUrl, not ModelPackageName")
    if not container.get("ModelDataUrl", "").startswith("s3://"):
        raise invalid("a container in MultiModel mode needs ModelDataUrl, the prefix of its models")
    if len(containers) > 1:
        raise unsupported("a container in MultiModel mode beside others")


def _model_data(definition: Document) -> str | None:
    if "ModelDataSource" not in definition:
        return definition.get("ModelDataUrl")
    source = definition["ModelDataSource"].get("S3DataSource", {})
    if (source.get("S3DataType"), source.get("CompressionType")) != ("S3Object", "Gzip"):
        raise unsupported("a ModelDataSource other than one S3Object with Gzip compression")
    return str(source["S3Uri"])
