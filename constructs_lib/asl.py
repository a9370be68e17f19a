"""Amazon States Language with JSONata, as plain dictionaries.

One convention keeps every flow simple: **each state hands on the input it was given**. What a task learns goes into a
variable (``assign``), never into the data that flows, so ``$states.input`` is the execution's input in every state of
a flow, the handlers of failures included.

A task cannot be made without a timeout. It always retries transient errors, with jitter and a cap, and always has a
catch that keeps error, cause, state and input in a variable. A flow is refused when a state leads nowhere, cannot be
reached or cannot end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JSON = Any
State = dict[str, Any]

UNNAMED_ECR = "Ecr.EcrException"
UNNAMED_S3 = ("S3.S3Exception",)
UNNAMED_SFN = ("Sfn.SfnException",)
UNNAMED_SAGEMAKER = ("SageMaker.SageMakerException",)
"""What an SDK calls an error without a name of its own, throttling among them; reading may be tried again after it.

A denial of ECR has no other name either."""

FAILURE_STATE = "ExplainFailure"
"""Where a task goes by default when it has failed for good."""

_TRANSIENT: Mapping[str, tuple[str, ...]] = {
    "applicationautoscaling": (
        "ApplicationAutoScaling.ApplicationAutoScalingException",
        "ApplicationAutoScaling.ConcurrentUpdateException",
        "ApplicationAutoScaling.InternalServiceException",
    ),
    "cloudwatch": ("CloudWatch.CloudWatchException", "CloudWatch.InternalServiceException"),
    "codebuild": ("CodeBuild.AccountLimitExceededException", "CodeBuild.AWSCodeBuildException"),
    "databrew": ("DataBrew.DataBrewException", "DataBrew.ServiceQuotaExceededException"),
    "dynamodb": (
        "DynamoDB.InternalServerErrorException",
        "DynamoDB.ProvisionedThroughputExceededException",
        "DynamoDB.RequestLimitExceededException",
        "DynamoDB.ThrottlingException",
    ),
    "ecr": ("Ecr.EcrException", "Ecr.ServerException"),
    "glue": (
        "Glue.ConcurrentModificationException",
        "Glue.ConcurrentRunsExceededException",
        "Glue.InternalServiceException",
        "Glue.OperationTimeoutException",
        "Glue.ResourceNumberLimitExceededException",
        "Glue.ThrottlingException",
    ),
    "lambda": (
        "Lambda.AWSLambdaException",
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.TooManyRequestsException",
    ),
    "redshiftdata": (
        "RedshiftData.ActiveStatementsExceededException",
        "RedshiftData.ActiveSessionsExceededException",
        "RedshiftData.InternalServerException",
    ),
    "s3": (),
    "sagemaker": ("SageMaker.ConflictException", "SageMaker.ResourceLimitExceededException"),
    "sfn": (),
    "sns": ("SNS.InternalErrorException", "SNS.KMSThrottlingException", "SNS.ThrottledException"),
    "states": ("StepFunctions.ExecutionLimitExceededException", "StepFunctions.ThrottlingException"),
}
_PREFIXES = {
    "applicationautoscaling": "ApplicationAutoScaling",
    "cloudwatch": "CloudWatch",
    "codebuild": "CodeBuild",
    "databrew": "DataBrew",
    "dynamodb": "DynamoDB",
    "ecr": "Ecr",
    "glue": "Glue",
    "lambda": "Lambda",
    "redshiftdata": "RedshiftData",
    "s3": "S3",
    "sagemaker": "SageMaker",
    "sfn": "Sfn",
    "sns": "SNS",
    "states": "StepFunctions",
}


class BadFlow(ValueError):
    """A flow has a state that leads to nowhere, that nothing leads to, or that cannot end."""


@dataclass(frozen=True)
class Catch:
    """Says where a task goes on after certain errors.

    Args:
        errors: Names of errors as Step Functions gives them.
        next: The state to go to.
        assign: Variables to set. Default: none.
    """

    errors: Sequence[str]
    next: str
    assign: Mapping[str, JSON] | None = None


def jsonata(expression: str) -> str:
    """Marks a text as a JSONata expression. An object or a list may hold marked expressions as they are."""
    return "{% " + expression + " %}"


def expression(value: JSON) -> str:
    """The JSONata of a JSON value that may hold marked expressions: for lists and objects that are put together."""
    text = inner(value)
    if text is not None:
        return f"({text})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {expression(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(expression(each) for each in value) + "]"
    return json.dumps(value)


def inner(value: JSON) -> str | None:
    """The JSONata of a value that is marked as an expression, otherwise nothing."""
    is_marked = isinstance(value, str) and value.startswith("{% ") and value.endswith(" %}")
    return value[3:-3] if is_marked else None


def redrives() -> str:
    """The JSONata of how often the execution was redriven, a number."""
    return _count("$states.context.Execution.RedriveCount")


def retries() -> str:
    """The JSONata of how often the state was retried since it was entered, a number."""
    return _count("$states.context.State.RetryCount")


def attempt(room: int = 80) -> str:
    """The JSONata of an id that no other try of this machine has: execution name, redrives and retries.

    Args:
        room: Characters that the id may have; a longer execution name loses its end. Names that Gapless gives are
            at most 23 characters long.
    """
    return f"$substring($states.context.Execution.Name, 0, {room - 4}) & '-' & {redrives()} & '-' & {retries()}"


def now_seconds() -> str:
    """The JSONata of the moment at which the state was entered, in whole epoch seconds."""
    return "$floor($toMillis($states.context.State.EnteredTime) / 1000)"


def task(
    resource: str,
    arguments: Mapping[str, JSON],
    *,
    timeout: int,
    assign: Mapping[str, JSON] | None = None,
    catch: Sequence[Catch] = (),
    on_failure: str = FAILURE_STATE,
    failure: str = "failure",
    retry_also: Sequence[str] = (),
) -> State:
    """Calls a service and waits for the answer, or with ``.sync`` for the end of what was started.

    Args:
        resource: The integration after ``arn:aws:states:::``, such as ``glue:startJobRun.sync``.
        arguments: What the integration takes.
        timeout: Seconds after which the task has failed. A job's own limit must be shorter.
        assign: Variables to set from ``$states.result``. Default: none.
        catch: Errors that lead elsewhere than to ``on_failure``. Default: none.
        on_failure: Where every other error leads.
        failure: The variable that keeps error, cause, state and input. Variables of a branch must have other
            names than those around it.
        retry_also: Errors to retry beside the service's transient ones. Default: none.

    Raises:
        ValueError: The timeout is not positive, or the service is not known here.
    """
    if timeout <= 0:
        raise ValueError(f"timeout must be a positive number of seconds, got: {timeout}")
    state: State = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": dict(arguments)}
    if assign:
        state["Assign"] = dict(assign)
    return {
        **state,
        "Output": jsonata("$states.input"),
        "TimeoutSeconds": timeout,
        "Retry": [_retry([*_transient(resource), *retry_also])],
        "Catch": [*(_catch(each) for each in catch), _catch(Catch(["States.ALL"], on_failure, kept(failure)))],
    }


def kept(variable: str = "failure") -> dict[str, JSON]:
    """What a catch assigns: a variable with error, cause, state, input and the redrives until now."""
    return {
        variable: {
            "error": jsonata("$states.errorOutput.Error"),
            "cause": jsonata("$exists($states.errorOutput.Cause) ? $states.errorOutput.Cause : ''"),
            "state": jsonata("$states.context.State.Name"),
            "input": jsonata("$states.input"),
            "redrives": jsonata(redrives()),
        }
    }


def remember(assign: Mapping[str, JSON]) -> State:
    """Sets variables and hands its input on."""
    return {"Type": "Pass", "Assign": dict(assign)}


def wait(seconds: int) -> State:
    """Waits and hands its input on."""
    return {"Type": "Wait", "Seconds": seconds}


def choice(rules: Sequence[tuple[str, str]], *, default: str) -> State:
    """Goes to the state of the first JSONata condition that holds, otherwise to the default.

    Args:
        rules: Pairs of a condition and the state to go to.
        default: Where to go when no condition holds.
    """
    return {
        "Type": "Choice",
        "Choices": [{"Condition": jsonata(condition), "Next": target} for condition, target in rules],
        "Default": default,
    }


def parallel(
    *branches: Mapping[str, State],
    assign: Mapping[str, JSON] | None = None,
    on_failure: str = FAILURE_STATE,
) -> State:
    """Runs branches side by side; ``$states.result`` is the list of their outputs.

    Args:
        branches: Flows that start with their first state.
        assign: Variables to set from the branches' outputs. Default: none.
        on_failure: Where the first failure of a branch leads; the other branches are stopped.
    """
    state: State = {"Type": "Parallel", "Branches": [_flow(branch) for branch in branches]}
    if assign:
        state["Assign"] = dict(assign)
    return {
        **state,
        "Output": jsonata("$states.input"),
        "Catch": [_catch(Catch(["States.ALL"], on_failure, kept()))],
    }


def for_each(
    items: str,
    states: Mapping[str, State],
    *,
    at_once: int,
    assign: Mapping[str, JSON] | None = None,
    on_failure: str = FAILURE_STATE,
) -> State:
    """Runs a flow for each item of a list; inside, ``$states.input`` is the item.

    Args:
        items: The JSONata of the list.
        states: The flow of one item.
        at_once: How many items are worked on at a time.
        assign: Variables to set from ``$states.result``, the list of the flows' outputs. Default: none.
        on_failure: Where the failure of an item leads.
    """
    state: State = {
        "Type": "Map",
        "Items": jsonata(items),
        "MaxConcurrency": at_once,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **_flow(states)},
    }
    if assign:
        state["Assign"] = dict(assign)
    return {
        **state,
        "Output": jsonata("$states.input"),
        "Catch": [_catch(Catch(["States.ALL"], on_failure, kept()))],
    }


def succeed(output: Mapping[str, JSON] | str | None = None) -> State:
    """Ends a flow well, with this output. Default: its input."""
    return {"Type": "Succeed"} if output is None else {"Type": "Succeed", "Output": output}


def fail(error: str, cause: str) -> State:
    """Ends a flow with an error; both texts may be JSONata expressions."""
    return {"Type": "Fail", "Error": error, "Cause": cause}


def raise_again(failure: str) -> State:
    """Ends a branch with the error that a catch kept, so that whoever started the branch sees it."""
    return fail(jsonata(f"${failure}.error"), jsonata(f"${failure}.cause"))


def go_to(target: str, state: State) -> State:
    """Lets a state lead elsewhere than to the one below it."""
    return {**state, "Next": target}


def machine(comment: str, states: Mapping[str, State], *, timeout: int) -> State:
    """Builds a definition: it starts with the first state, and each state leads to the one below it unless it says
    otherwise.

    Args:
        comment: What the machine does, in a sentence.
        states: Name to state, in order.
        timeout: Seconds after which an execution is ended.

    Raises:
        BadFlow: A state leads to nowhere, cannot be reached, or is the last without being an end.
    """
    return {"Comment": comment, "QueryLanguage": "JSONata", "TimeoutSeconds": timeout, **_flow(states)}


def targets(state: State) -> Iterator[str]:
    """Yields the names of the states that a state may lead to."""
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for rule in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield rule["Next"]


def all_states(definition: State) -> Iterator[tuple[str, State]]:
    """Yields the states of a definition, those of branches and maps included."""
    for name, state in definition["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else ())):
            yield from all_states(inner)


def _flow(states: Mapping[str, State]) -> State:
    if not states:
        raise BadFlow("a flow needs at least one state")
    names = list(states)
    linked = {
        name: _linked(name, state, names[index + 1] if index + 1 < len(names) else None)
        for index, (name, state) in enumerate(states.items())
    }
    _check(linked, names[0])
    return {"StartAt": names[0], "States": linked}


def _linked(name: str, state: State, following: str | None) -> State:
    if state["Type"] in ("Choice", "Succeed", "Fail") or "Next" in state:
        return dict(state)
    if following is None:
        raise BadFlow(f"state {name!r} is the last one, but is no end and leads nowhere")
    return {**state, "Next": following}


def _check(states: Mapping[str, State], first: str) -> None:
    for name, state in states.items():
        for target in targets(state):
            if target not in states:
                raise BadFlow(f"state {name!r} leads to {target!r}, which is none of: {', '.join(states)}")
    reached, open_names = {first}, [first]
    while open_names:
        for target in targets(states[open_names.pop()]):
            if target not in reached:
                reached.add(target)
                open_names.append(target)
    lost = [name for name in states if name not in reached]
    if lost:
        raise BadFlow(f"nothing leads to: {', '.join(lost)}")


def _catch(catch: Catch) -> State:
    state: State = {"ErrorEquals": list(catch.errors), "Output": jsonata("$states.input"), "Next": catch.next}
    return {**state, "Assign": dict(catch.assign)} if catch.assign else state


def _retry(errors: Sequence[str]) -> State:
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxAttempts": 5,
        "MaxDelaySeconds": 60,
        "JitterStrategy": "FULL",
    }


def _transient(resource: str) -> list[str]:
    service = resource.removeprefix("aws-sdk:").partition(":")[0]
    if service not in _TRANSIENT:
        raise ValueError(f"service of {resource!r} must be one of {', '.join(_TRANSIENT)}")
    return [*_TRANSIENT[service], f"{_PREFIXES[service]}.SdkClientException"]


def _count(path: str) -> str:
    return f"($exists({path}) ? {path} : 0)"
