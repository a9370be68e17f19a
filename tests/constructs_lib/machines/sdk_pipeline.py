"""What the SageMaker SDK makes of the jobs of a pipeline: the oracle of our own definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAGEMAKER_VALIDATE_ROLE": "false",
}
"""What the SDK wants before it describes a job; nothing is called."""

_QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def steps_by_name(definition: Document) -> dict[str, Document]:
    """Every step of a definition, those inside conditions included."""
    return {step["Name"]: step for step in _all(definition["Steps"])}


def definition_of(ours: Document) -> Document:
    """Build the same steps by the SDK's own classes, with their parameters and results, and let it write them down."""
    from sagemaker.core.workflow.parameters import ParameterString
    from sagemaker.mlops.workflow.pipeline import Pipeline, PipelineDefinitionConfig

    parameters = {each["Name"]: ParameterString(name=each["Name"]) for each in ours["Parameters"]}
    written = Pipeline(
        name="example",
        parameters=list(parameters.values()),
        steps=_Steps(_session(), parameters).made(ours["Steps"]),
        pipeline_experiment_config=None,
        pipeline_definition_config=PipelineDefinitionConfig(use_custom_job_prefix=True),
    )
    return json.loads(written.definition())  # type: ignore[no-any-return]


def without_defaults(theirs: Document) -> Document:
    """A definition of the SDK without what it writes down although it is the default or nothing at all."""
    document = {name: value for name, value in theirs.items() if value is not None}
    output = steps_by_name(document)["train"]["Arguments"]["OutputDataConfig"]
    assert output.pop("CompressionType") == "GZIP"
    return document


def without_training_name(ours: Document) -> Document:
    """A definition without the prefix of training jobs, which the SDK drops although it says that it would keep it."""
    document: Document = json.loads(json.dumps(ours))
    del steps_by_name(document)["train"]["Arguments"]["TrainingJobName"]
    return document


class _Steps:
    """Builds steps by the SDK."""

    def __init__(self, session: Any, parameters: Document) -> None:
        self._session = session
        self._parameters = parameters
        self._made: Document = {}

    def made(self, steps: list[Document]) -> list[Any]:
        kinds: dict[str, Callable[[Document], Any]] = {
            "Training": self._training,
            "Processing": self._processing,
            "Condition": self._condition,
        }
        for step in steps:
            self._made[step["Name"]] = kinds[step["Type"]](step)
        return [self._made[step["Name"]] for step in steps]

    def _training(self, step: Document) -> Any:
        from sagemaker.core.shapes import shapes
        from sagemaker.mlops.workflow.steps import TrainingStep
        from sagemaker.train.model_trainer import ModelTrainer

        request = step["Arguments"]
        shaped = _shaper(shapes)
        trainer = ModelTrainer(
            sagemaker_session=self._session,
            role=request["RoleArn"],
            training_image=request["AlgorithmSpecification"]["TrainingImage"],
            training_input_mode=request["AlgorithmSpecification"]["TrainingInputMode"],
            compute=_configured("Compute", request["ResourceConfig"]),
            networking=_configured(
                "Networking",
                {
                    **request["VpcConfig"],
                    "EnableNetworkIsolation": request["EnableNetworkIsolation"],
                    "EnableInterContainerTrafficEncryption": request["EnableInterContainerTrafficEncryption"],
                },
            ),
            stopping_condition=_configured("StoppingCondition", request["StoppingCondition"]),
            output_data_config=_configured("OutputDataConfig", request["OutputDataConfig"]),
            hyperparameters=request["HyperParameters"],
            environment=request["Environment"],
        )
        channels = [shaped("Channel", self._filled(each)) for each in request["InputDataConfig"]]
        arguments = trainer.train(input_data_config=channels)
        return TrainingStep(name=step["Name"], step_args=arguments, retry_policies=_retries(step))

    def _processing(self, step: Document) -> Any:
        from sagemaker.core.network import NetworkConfig
        from sagemaker.core.processing import Processor
        from sagemaker.core.shapes import shapes
        from sagemaker.mlops.workflow.steps import ProcessingStep

        request, shaped = step["Arguments"], _shaper(shapes)
        cluster, network = request["ProcessingResources"]["ClusterConfig"], request["NetworkConfig"]
        processor = Processor(
            role=request["RoleArn"],
            image_uri=request["AppSpecification"]["ImageUri"],
            entrypoint=request["AppSpecification"]["ContainerEntrypoint"],
            instance_count=cluster["InstanceCount"],
            instance_type=cluster["InstanceType"],
            volume_size_in_gb=cluster["VolumeSizeInGB"],
            volume_kms_key=cluster["VolumeKmsKeyId"],
            output_kms_key=request["ProcessingOutputConfig"]["KmsKeyId"],
            max_runtime_in_seconds=request["StoppingCondition"]["MaxRuntimeInSeconds"],
            base_job_name=request["ProcessingJobName"],
            sagemaker_session=self._session,
            network_config=NetworkConfig(
                enable_network_isolation=network["EnableNetworkIsolation"],
                encrypt_inter_container_traffic=network["EnableInterContainerTrafficEncryption"],
                security_group_ids=network["VpcConfig"]["SecurityGroupIds"],
                subnets=network["VpcConfig"]["Subnets"],
            ),
        )
        arguments = processor.run(
            inputs=[shaped("ProcessingInput", self._filled(each)) for each in request["ProcessingInputs"]],
            outputs=[
                shaped("ProcessingOutput", self._filled(each)) for each in request["ProcessingOutputConfig"]["Outputs"]
            ],
            arguments=request["AppSpecification"]["ContainerArguments"],
        )
        return ProcessingStep(name=step["Name"], step_args=arguments, retry_policies=_retries(step))

    def _condition(self, step: Document) -> Any:
        from sagemaker.core.workflow.conditions import ConditionEquals
        from sagemaker.mlops.workflow.condition_step import ConditionStep

        request = step["Arguments"]
        return ConditionStep(
            name=step["Name"],
            conditions=[
                ConditionEquals(left=self._filled(each["LeftValue"]), right=self._filled(each["RightValue"]))
                for each in request["Conditions"]
            ],
            if_steps=self.made(request["IfSteps"]),
            else_steps=self.made(request["ElseSteps"]),
        )

    def _filled(self, value: Any) -> Any:
        """A request with the SDK's own objects in the place of references."""
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() != {"Get"}:
            return {name: self._filled(each) for name, each in value.items()}
        scope, name, *members = value["Get"].split(".")
        found = self._parameters[name] if scope == "Parameters" else self._made[name].properties
        for member in members:
            found = getattr(found, member)
        return found


def _all(steps: list[Document]) -> Iterator[Document]:
    for step in steps:
        yield step
        if step["Type"] == "Condition":
            yield from _all([*step["Arguments"]["IfSteps"], *step["Arguments"]["ElseSteps"]])


def _session() -> Any:
    import boto3
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    boto = boto3.Session(region_name=ENVIRONMENT["AWS_DEFAULT_REGION"])
    return PipelineSession(boto_session=boto, default_bucket="bucket", sagemaker_config=_QUIET)


def _retries(step: Document) -> list[Any]:
    from sagemaker.mlops.workflow import retry

    def policy(each: Document) -> Any:
        more = {"interval_seconds": each["IntervalSeconds"], "backoff_rate": each["BackoffRate"]}
        more["max_attempts"] = each["MaxAttempts"]
        errors, jobs = (
            [member for member in kind if member.value in each["ExceptionType"]]
            for kind in (retry.StepExceptionTypeEnum, retry.SageMakerJobExceptionTypeEnum)
        )
        if errors:
            return retry.StepRetryPolicy(exception_types=errors, **more)
        return retry.SageMakerJobStepRetryPolicy(exception_types=jobs, **more)

    return [policy(each) for each in step["RetryPolicies"]]


def _configured(name: str, request: Document) -> Any:
    from sagemaker.train import configs

    return getattr(configs, name)(**{_snake(member): value for member, value in request.items()})


def _shaper(shapes: Any) -> Callable[[str, Document], Any]:
    def shaped(name: str, request: Document) -> Any:
        """A shape of the SDK; what is inside of it is a shape of the member's own type."""
        members = {
            _snake(member): shaped(_INSIDE[member], value) if member in _INSIDE else value
            for member, value in request.items()
        }
        return getattr(shapes, name)(**members)

    return shaped


_INSIDE = {
    "DataSource": "DataSource",
    "S3DataSource": "S3DataSource",
    "S3Input": "ProcessingS3Input",
    "S3Output": "ProcessingS3Output",
}


def _snake(member: str) -> str:
    from botocore import xform_name

    return str({"S3Input": "s3_input", "S3Output": "s3_output"}.get(member, xform_name(member)))
