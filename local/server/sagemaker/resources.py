"""The kinds of resource that the local SageMaker knows, and their ARNs."""

from __future__ import annotations

from dataclasses import dataclass

from local.server.host import Settings


@dataclass(frozen=True)
class Kind:
    """One kind of resource.

    Attributes:
        name: As operations spell it: ``CreateTrainingJob`` makes a ``TrainingJob``.
        arn_type: As ARNs spell it.
        lower_case_arn: Whether the ARN has the name in lower case, as AWS's older kinds do.
    """

    name: str
    arn_type: str
    lower_case_arn: bool = True

    @property
    def name_member(self) -> str:
        """The member that carries the name in requests."""
        return f"{self.name}Name"

    @property
    def arn_member(self) -> str:
        """The member that carries the ARN in answers."""
        return f"{self.name}Arn"

    @property
    def status_member(self) -> str:
        """The member that carries the status in answers."""
        return f"{self.name}Status"

    def arn(self, settings: Settings, name: str) -> str:
        """The ARN of the resource called ``name``."""
        shown = name.lower() if self.lower_case_arn else name
        return f"arn:aws:sagemaker:{settings.region}:{settings.account}:{self.arn_type}/{shown}"


TRAINING_JOB = Kind("TrainingJob", "training-job")
PROCESSING_JOB = Kind("ProcessingJob", "processing-job")
TRANSFORM_JOB = Kind("TransformJob", "transform-job")
MODEL = Kind("Model", "model")
ENDPOINT_CONFIG = Kind("EndpointConfig", "endpoint-config")
ENDPOINT = Kind("Endpoint", "endpoint")
MODEL_PACKAGE_GROUP = Kind("ModelPackageGroup", "model-package-group", lower_case_arn=False)
MODEL_PACKAGE = Kind("ModelPackage", "model-package", lower_case_arn=False)
FEATURE_GROUP = Kind("FeatureGroup", "feature-group")
PIPELINE = Kind("Pipeline", "pipeline")
AUTOML_JOB = Kind("AutoMLJob", "automl-job")
TUNING_JOB = Kind("HyperParameterTuningJob", "hyper-parameter-tuning-job")

KINDS = (
    TRAINING_JOB,
    PROCESSING_JOB,
    TRANSFORM_JOB,
    MODEL,
    ENDPOINT_CONFIG,
    ENDPOINT,
    MODEL_PACKAGE_GROUP,
    MODEL_PACKAGE,
    FEATURE_GROUP,
    PIPELINE,
    AUTOML_JOB,
    TUNING_JOB,
)
