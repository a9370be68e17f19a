"""Where experiments are looked at and compared: MLflow, run by SageMaker."""

from __future__ import annotations

from typing import Final, Literal, get_args

from aws_cdk import CfnResource, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.grants import ServiceRole, grant
from constructs_lib.names.naming import check_stage
from constructs_lib.sagemaker_jobs import SERVICE

TrackingServer = Literal["serverless", "small", "medium", "large"]
"""What runs MLflow: an app that costs nothing while nobody calls it, or a server that costs by the hour."""

FOLDER: Final = "_experiments/"
"""Where the artefacts of experiments are in the artefacts zone; no workload's name starts like this."""

_LOGGING: Final = (
    "sagemaker-mlflow:CreateExperiment",
    "sagemaker-mlflow:CreateRun",
    "sagemaker-mlflow:DeleteRun",
    "sagemaker-mlflow:GetExperimentByName",
    "sagemaker-mlflow:GetRun",
    "sagemaker-mlflow:LogBatch",
    "sagemaker-mlflow:LogInputs",
    "sagemaker-mlflow:SearchRuns",
    "sagemaker-mlflow:UpdateRun",
)


_LOOKING: Final = (
    "sagemaker-mlflow:AccessUI",
    "sagemaker-mlflow:SearchExperiments",
    "sagemaker-mlflow:GetMetricHistory",
)


class ExperimentTracking(Construct):
    """Defines SageMaker's managed MLflow, whose artefacts are in the lake under the lake's key.

    What MLflow keeps beside artefacts (parameters, metrics, tags) is in AWS's own store, which CloudFormation gives no
    key to. Models are registered by the model pipeline alone: MLflow's own registration stays off.

    Args:
        stage: What names start with.
        lake: Where artefacts are.
        server: What runs it.
        removal_policy: What happens when the stack goes. Default: it stays, with everything logged.

    Attributes:
        arn: What a caller names in its requests.
        role: What it reads and writes artefacts with.

    Raises:
        ValueError: There is no such server.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        lake: DataLake,
        server: TrackingServer = "serverless",
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        if server not in get_args(TrackingServer):
            raise ValueError(f"server must be one of {', '.join(get_args(TrackingServer))}, got: {server!r}")
        self._lake, self._serverless = lake, server == "serverless"
        self._name = f"{check_stage(stage)}-experiments"
        self._store = f"s3://{lake.artefacts.bucket_name}/{FOLDER.rstrip('/')}"
        self.role = ServiceRole(self, "Role", service=SERVICE, description="Artefacts of experiments")
        lake.grant_read(self.role, "artefacts", FOLDER)
        lake.grant_write(self.role, "artefacts", FOLDER)
        resource, self.arn = self._app() if self._serverless else self._server(server.capitalize())
        resource.apply_removal_policy(removal_policy)
        self.role.come_before(resource)

    def artefacts_uri(self, workload: str) -> str:
        """Returns the folder of a workload's artefacts, ``s3://…``."""
        return f"{self._store}/{workload}"

    def grant_log(self, grantee: iam.IGrantable, workload: str) -> None:
        """Lets somebody log runs, with artefacts in the workload's folder.

        Experiments are no resources of IAM: whoever may log a run may log to every experiment. An app knows one
        permission for all of its API, a server one for each call.
        """
        grant(grantee, ["sagemaker:CallMlflowAppApi"] if self._serverless else _LOGGING, self.arn)
        self._lake.grant_write(grantee, "artefacts", f"{FOLDER}{workload}/")

    @property
    def work_actions(self) -> tuple[str, ...]:
        """What it takes to log from a notebook and to look at experiments in MLflow's own page."""
        return ("sagemaker:CallMlflowAppApi",) if self._serverless else (*_LOGGING, *_LOOKING)

    def _app(self) -> tuple[CfnResource, str]:
        app = sagemaker.CfnMlflowApp(
            self,
            "App",
            name=self._name,
            artifact_store_uri=self._store,
            role_arn=self.role.role_arn,
            model_registration_mode="AutoModelRegistrationDisabled",
        )
        return app, app.attr_arn

    def _server(self, size: str) -> tuple[CfnResource, str]:
        server = sagemaker.CfnMlflowTrackingServer(
            self,
            "Server",
            tracking_server_name=self._name,
            tracking_server_size=size,
            artifact_store_uri=self._store,
            role_arn=self.role.role_arn,
            automatic_model_registration=False,
        )
        return server, server.attr_tracking_server_arn
