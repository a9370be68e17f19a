"""The same training and evaluation as a SageMaker pipeline, which the machine starts and follows."""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import (
    UNNAMED_SAGEMAKER,
    State,
    choice,
    go_to,
    jsonata,
    now_seconds,
    redrives,
    remember,
    task,
    wait,
)
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, own_failure
from constructs_lib.machines.jobs import START_SECONDS
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.script import trained
from constructs_lib.machines.makers.steps import EVALUATE, EVALUATE_ALONE, TRAIN, parameters
from constructs_lib.machines.spending import seconds_between, step_spent, training_spent

_POLL_SECONDS = 30
_STOP_SECONDS = 30 * MINUTE
_RUNNING = "$pipeline.status in ['Executing', 'Stopping']"
_IN_TIME = f"{now_seconds()} < $pipeline_deadline"


@dataclass(frozen=True)
class PipelineMaker:
    """Trains by the bundle's ``train.py`` and evaluates, both as steps of a pipeline.

    Args:
        image_uri: The framework image; may be a token.
        pipeline_name: The pipeline.
    """

    image_uri: str
    pipeline_name: str

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states that start a run of the pipeline, follow it to its end, and take over what it has made."""
        return {
            "NamePipelineRun": remember(
                {"pipeline_attempt": jsonata(f"$substring($states.context.Execution.Name, 0, 60) & '-' & {redrives()}")}
            ),
            "StartPipeline": self._start(s, p),
            "WaitForPipeline": wait(_POLL_SECONDS),
            "DescribePipeline": describe_run(),
            "PipelineEnded": choice(
                [
                    (f"{_RUNNING} and {_IN_TIME}", "WaitForPipeline"),
                    (f"{_RUNNING} and $not($pipeline_stopped)", "StopPipeline"),
                    (_RUNNING, "PipelineStuck"),
                ],
                default="ListPipelineSteps",
            ),
            "StopPipeline": go_to("WaitForPipeline", stop_run()),
            "PipelineStuck": own_failure("PipelineStuck", "'was told to stop and has not: ' & $pipeline_run"),
            "ListPipelineSteps": list_steps(p),
            "PipelineSucceeded": choice(
                [("$pipeline.status = 'Succeeded'", "TakeUpTraining")], default="PipelineFailed"
            ),
            "PipelineFailed": own_failure("PipelineFailed", "$pipeline_reason"),
            "TakeUpTraining": take_up_training(p, self.image_uri),
        }

    def _start(self, s: Surroundings, p: ModelParts) -> State:
        """Starts one run; asked again, SageMaker finds it by the token."""
        values = {each.name: each.value or each.expression for each in parameters(s, p, "$pipeline_attempt")}
        seconds = p.training.most_seconds + p.jobs.seconds + 2 * START_SECONDS
        return task(
            "aws-sdk:sagemaker:startPipelineExecution",
            {
                "PipelineName": self.pipeline_name,
                "ClientRequestToken": jsonata("$pad('gapless-' & $pipeline_attempt, 32, '-')"),
                "PipelineExecutionDisplayName": jsonata("'run-' & $pipeline_attempt"),
                "PipelineExecutionDescription": jsonata("'Run ' & $states.input.run_id"),
                "PipelineParameters": [{"Name": name, "Value": jsonata(value)} for name, value in values.items()],
            },
            timeout=CALL_SECONDS,
            assign={
                "pipeline_run": jsonata("$states.result.PipelineExecutionArn"),
                "pipeline_deadline": jsonata(f"{now_seconds()} + {seconds}"),
                "pipeline_stopped": False,
            },
        )


def describe_run() -> State:
    """Asks how far the run is."""
    return task(
        "aws-sdk:sagemaker:describePipelineExecution",
        {"PipelineExecutionArn": jsonata("$pipeline_run")},
        timeout=CALL_SECONDS,
        assign={
            "pipeline": {
                "status": jsonata("$states.result.PipelineExecutionStatus"),
                "reason": jsonata("[$states.result.FailureReason, $states.result.PipelineExecutionStatus][0]"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def stop_run() -> State:
    """Stops the run with its jobs, and gives it time to end: while one of its jobs writes, nothing is tried again."""
    return task(
        "aws-sdk:sagemaker:stopPipelineExecution",
        {
            "PipelineExecutionArn": jsonata("$pipeline_run"),
            "ClientRequestToken": jsonata("$pad('gapless-stop-' & $pipeline_attempt, 32, '-')"),
        },
        timeout=CALL_SECONDS,
        assign={
            "pipeline_stopped": True,
            "pipeline_deadline": jsonata(f"{now_seconds()} + {_STOP_SECONDS}"),
        },
    )


def list_steps(p: ModelParts) -> State:
    """Finds the training job, and the reason of the first step that failed."""
    steps = "$states.result.PipelineExecutionSteps"
    evaluation = f"{steps}[StepName in ['{EVALUATE}', '{EVALUATE_ALONE}'] and StepStatus = 'Succeeded']"
    took = seconds_between(f"{evaluation}.StartTime", f"{evaluation}.EndTime")
    late = "($pipeline_stopped ? 'the deadline has passed; ' : '')"
    reasons = f"{steps}[StepStatus = 'Failed' and $exists(FailureReason)].(StepName & ': ' & FailureReason)"
    return task(
        "aws-sdk:sagemaker:listPipelineExecutionSteps",
        {"PipelineExecutionArn": jsonata("$pipeline_run"), "SortOrder": "Ascending", "MaxResults": 100},
        timeout=CALL_SECONDS,
        assign={
            "training_arn": jsonata(f"[{steps}[StepName = '{TRAIN}'].Metadata.TrainingJob.Arn, 'none'][0]"),
            "spent": jsonata(step_spent("evaluation", p.jobs.instance_type, took)),
            "pipeline_reason": jsonata(f"{late} & [{reasons}, $pipeline.reason][0]"),
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def take_up_training(p: ModelParts, image_uri: str) -> State:
    """Takes over what the training step has made, and where the evaluation step has written to."""
    return task(
        "aws-sdk:sagemaker:describeTrainingJob",
        {"TrainingJobName": jsonata("$substringAfter($training_arn, 'training-job/')")},
        timeout=CALL_SECONDS,
        assign={
            **trained(image_uri, image_uri),
            "hyperparameters": dict(p.hyperparameters),
            **training_spent(),
            "evaluation_id": jsonata("$pipeline_attempt"),
        },
        retry_also=UNNAMED_SAGEMAKER,
    )
