"""What logs the runs of one workload to MLflow."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import DataLake
from constructs_lib.experiment_tracking import ExperimentTracking
from constructs_lib.grants import arn, grant
from constructs_lib.machines.experiment_log import FUNCTION_SECONDS
from constructs_lib.machines.makers.tuning import FOLDER as TUNINGS
from constructs_lib.names.naming import runtime_prefix
from constructs_lib.python_function import PythonFunction

_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class ExperimentLog(Construct):
    """Defines the function that logs a run: it reads the run's record, evaluation and training log.

    Args:
        stage, workload: Whose runs.
        lake: Where they and their artefacts are.
        tracking: Where they are logged.
        alarms: Whom to tell when a run could not be logged, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.
        tunes: Whether runs may have trials, whose list is read. Default: they have none.

    Attributes:
        function: The function.
        experiment: Name of the experiment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        lake: DataLake,
        tracking: ExperimentTracking,
        alarms: Alarms,
        log_retention_days: int,
        tunes: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        prefix = runtime_prefix(stage, workload)
        self.experiment = prefix.rstrip("-")
        self.function = PythonFunction(
            self,
            "Function",
            folder="log_experiment",
            description=f"Logs runs of {workload} to MLflow",
            timeout_seconds=FUNCTION_SECONDS,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": workload,
                "RUNS_TABLE": lake.runs_table.table_name,
                "TRACKING_ARN": tracking.arn,
                "EXPERIMENT": self.experiment,
                "ARTEFACTS_URI": tracking.artefacts_uri(workload),
                "DATASETS_URI": f"s3://{lake.datasets.bucket_name}/{workload}/",
            },
        )
        tracking.grant_log(self.function, workload)
        lake.grant_table(self.function, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        lake.grant_read(self.function, "artefacts", f"{workload}/evaluations/")
        if tunes:
            lake.grant_read(self.function, "artefacts", f"{workload}/{TUNINGS}/")
        group = arn("logs", f"log-group:{_LOG_GROUP}")
        grant(self.function, ["logs:DescribeLogStreams"], group, f"{group}:*")
        grant(self.function, ["logs:GetLogEvents"], f"{group}:log-stream:{prefix}*")
