"""Where the experiments of the deployed stage are: the page of its managed MLflow."""

from __future__ import annotations

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import UserError
from local.settings import Settings

_OUTPUT = "TrackingArn"


def experiments_url(settings: Settings, aws: Aws) -> str:
    """The address of the page, which MLflow is started for.

    Raises:
        UserError: The stage does not track experiments, or is not deployed.
    """
    arn = tracking_arn(settings, aws)
    sagemaker = aws.client("sagemaker")
    if ":mlflow-app/" in arn:
        return str(sagemaker.create_presigned_mlflow_app_url(Arn=arn)["AuthorizedUrl"])
    name = arn.rpartition("/")[2]
    return str(sagemaker.create_presigned_mlflow_tracking_server_url(TrackingServerName=name)["AuthorizedUrl"])


def tracking_arn(settings: Settings, aws: Aws) -> str:
    """The ARN of the stage's managed MLflow.

    Raises:
        UserError: It has none.
    """
    stack = f"{settings.stage}-Collaboration"
    problem = f"stage {settings.stage} tracks no experiments; give it the key tracking in cdk.json and deploy it"
    try:
        (found,) = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(problem) from error
    values = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    if _OUTPUT not in values:
        raise UserError(problem)
    return str(values[_OUTPUT])
