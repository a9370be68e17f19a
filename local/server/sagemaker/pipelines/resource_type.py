"""``AWS::SageMaker::Pipeline``: made and changed as its resource schema says."""

from __future__ import annotations

from typing import Any

from local.server.cloudformation import typed
from local.server.host import Host
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.service_model import input_shape
from local.server.sagemaker.store import Document


class PipelineType:
    """The type; its physical id is the pipeline's name."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def _sagemaker(self) -> Any:
        return self._host.client("sagemaker")

    def create(self, _logical_id: str, props: dict[str, Any], _stack_name: str, /) -> tuple[str, dict[str, Any]]:
        """Create a pipeline."""
        params = _shaped("CreatePipeline", props)
        answer = self._sagemaker.create_pipeline(**params)
        return params["PipelineName"], {"PipelineArn": answer["PipelineArn"]}

    def update(
        self, physical_id: str, _old_props: dict[str, Any], new_props: dict[str, Any], _stack_name: str, /
    ) -> tuple[str, dict[str, Any]]:
        """Change everything but the name."""
        if new_props["PipelineName"] != physical_id:
            raise invalid(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {physical_id} and update the stack again."
            )
        answer = self._sagemaker.update_pipeline(**_shaped("UpdatePipeline", new_props))
        return physical_id, {"PipelineArn": answer["PipelineArn"]}

    def delete(self, physical_id: str, _props: dict[str, Any], /) -> None:
        """Delete a pipeline; one that is gone already is no error."""
        try:
            self._sagemaker.delete_pipeline(PipelineName=physical_id)
        except self._sagemaker.exceptions.ResourceNotFound:
            return


def register_pipelines(host: Host) -> None:
    """Make the type known to CloudFormation."""
    made = PipelineType(host)
    host.add_resource_type("AWS::SageMaker::Pipeline", create=made.create, update=made.update, delete=made.delete)


def _shaped(operation: str, props: dict[str, Any]) -> Document:
    """The request that a template's properties stand for."""
    definition = props["PipelineDefinition"]
    if "PipelineDefinitionBody" not in definition:
        raise unsupported("PipelineDefinitionS3Location of AWS::SageMaker::Pipeline")
    shape = input_shape(operation)
    named = {name: value for name, value in props.items() if name in shape.members or operation == "CreatePipeline"}
    request: Document = typed({**named, "PipelineDefinition": definition["PipelineDefinitionBody"]}, shape)
    return request
