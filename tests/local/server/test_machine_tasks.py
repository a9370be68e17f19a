"""Tasks: error names as on AWS, retries, timeouts, jobs that are waited for, stopping and redriving."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

CATCHING = """
import boto3, json, time

class BadBatch(Exception):
    pass

def handler(event, context):
    if event.get("fail"):
        raise BadBatch("no rows")
    time.sleep(event.get("sleep", 0))
    return {"got": event}
"""
COUNTING = """
import boto3

def handler(event, context):
    table = boto3.resource("dynamodb").Table(event["table"])
    answer = table.update_item(
        Key={"id": event["id"]}, UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": 1}, ReturnValues="UPDATED_NEW",
    )
    n = int(answer["Attributes"]["n"])
    if n <= event.get("failures", 0):
        raise RuntimeError(f"attempt {n}")
    return n
"""


def task(resource: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    ending = {} if "Next" in fields else {"End": True}
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": arguments, **ending, **fields}


def invoke(function: str, payload: Any, **fields: Any) -> dict[str, Any]:
    return task(
        "lambda:invoke",
        {"FunctionName": function, "Payload": payload},
        **{"Output": "{% $states.result.Payload %}", **fields},
    )


@pytest.fixture(scope="module")
def function(functions: Any) -> str:
    name: str = functions.create(CATCHING)
    return name


@pytest.fixture(scope="module")
def table(local_server: Any) -> str:
    name = "counters"
    local_server.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture(scope="module")
def counter(functions: Any, table: str) -> str:
    allow = {"Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": "*"}
    name: str = functions.create(COUNTING, allow)
    return name


# -- error names


@pytest.mark.parametrize(
    ("resource", "arguments", "error"),
    [
        ("aws-sdk:s3:headObject", {"Bucket": "{% $states.input.bucket %}", "Key": "none"}, "S3.NoSuchKeyException"),
        ("aws-sdk:s3:getObject", {"Bucket": "no-such-bucket-here", "Key": "k"}, "S3.NoSuchBucketException"),
        ("aws-sdk:glue:getJob", {"JobName": "none"}, "Glue.EntityNotFoundException"),
        ("glue:startJobRun.sync", {"JobName": "none"}, "Glue.EntityNotFoundException"),
        ("lambda:invoke", {"FunctionName": "none"}, "Lambda.ResourceNotFoundException"),
        (
            "dynamodb:putItem",
            {"TableName": "none-such", "Item": {"id": {"S": "a"}}},
            "DynamoDB.ResourceNotFoundException",
        ),
        (
            "aws-sdk:dynamodb:putItem",
            {"TableName": "none-such", "Item": {"id": {"S": "a"}}},
            "DynamoDb.ResourceNotFoundException",
        ),
        (
            "aws-sdk:sfn:describeExecution",
            {"ExecutionArn": "arn:aws:states:us-east-1:000000000000:execution:m:e"},
            "Sfn.ExecutionDoesNotExistException",
        ),
    ],
)
def test_errors_are_named_as_on_aws(machines: Any, bucket: str, resource: str, arguments: Any, error: str) -> None:
    ended = machines.run({"Call": task(resource, arguments)}, {"bucket": bucket})
    assert ended["error"] == error, ended["cause"]


def test_an_unmodelled_error_is_the_services_own_exception(machines: Any, bucket: str) -> None:
    put = {"Bucket": bucket, "Key": "once", "Body": {"a": 1}, "IfNoneMatch": "*"}
    states = {"First": task("aws-sdk:s3:putObject", put, Next="Second"), "Second": task("aws-sdk:s3:putObject", put)}
    ended = machines.run(states)
    assert ended["error"] == "S3.S3Exception"
    assert "Status Code: 412" in ended["cause"]


def test_a_condition_that_fails_has_its_own_name(machines: Any, table: str) -> None:
    item = {"TableName": table, "Item": {"id": {"S": "conditional"}}, "ConditionExpression": "attribute_not_exists(id)"}
    states = {
        "First": task("dynamodb:putItem", item, Next="Second"),
        "Second": task("dynamodb:putItem", item),
    }
    assert machines.run(states)["error"] == "DynamoDB.ConditionalCheckFailedException"


def test_an_exception_of_a_function_keeps_its_name(machines: Any, function: str) -> None:
    catch = [{"ErrorEquals": ["BadBatch"], "Output": "{% $parse($states.errorOutput.Cause) %}", "Next": "Caught"}]
    states = {"Call": invoke(function, {"fail": True}, Catch=catch), "Caught": {"Type": "Succeed"}}
    assert machines.run(states)["output"]["errorMessage"] == "no rows"


@pytest.mark.parametrize(
    "resource",
    ["batch:submitJob.sync", "aws-sdk:glue:startJobRun.sync", "sqs:sendMessage.waitForTaskToken", "aws-sdk:nothing:do"],
)
def test_an_integration_that_does_not_exist_here_is_refused_by_name(machines: Any, resource: str) -> None:
    ended = machines.run({"Call": task(resource, {})})
    assert ended["error"] == "States.Runtime"
    assert resource.split(":")[1].split(".")[0] in ended["cause"]


def test_an_argument_that_the_api_lacks_is_refused_by_name(machines: Any) -> None:
    ended = machines.run({"Call": task("aws-sdk:s3:listBuckets", {"bucket": "lower case"})})
    assert ended["error"] == "States.Runtime"
    assert "'bucket'" in ended["cause"]


# -- arguments and results


def test_an_object_body_is_written_as_json_and_read_back(machines: Any, bucket: str) -> None:
    where = {"Bucket": bucket, "Key": "a b+ü.json"}
    states = {
        "Put": task("aws-sdk:s3:putObject", {**where, "Body": {"é": [1, None]}}, Next="Get"),
        "Get": task("aws-sdk:s3:getObject", where, Output="{% $parse($states.result.Body) %}"),
    }
    assert machines.run(states)["output"] == {"é": [1, None]}


def test_a_string_body_is_written_in_its_quotes_as_on_aws(machines: Any, local_server: Any, bucket: str) -> None:
    machines.run({"Put": task("aws-sdk:s3:putObject", {"Bucket": bucket, "Key": "k", "Body": 'say "hi"'})})
    assert local_server.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b'"say \\"hi\\""'


def test_messages_and_events_carry_json(machines: Any, local_server: Any, queue: tuple[str, str]) -> None:
    url, _arn = queue
    machines.run({"Send": task("sqs:sendMessage", {"QueueUrl": url, "MessageBody": {"a": "{% 1 + 1 %}"}})})
    received = local_server.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert json.loads(received[0]["Body"]) == {"a": 2}


def test_times_are_text_and_numbers_are_numbers(machines: Any, bucket: str) -> None:
    states = {
        "Put": task("aws-sdk:s3:putObject", {"Bucket": bucket, "Key": "k", "Body": 1}, Next="Head"),
        "Head": task("aws-sdk:s3:headObject", {"Bucket": bucket, "Key": "k"}),
    }
    head = machines.run(states)["output"]
    assert head["ContentLength"] == 1
    assert head["LastModified"].endswith("Z")


# -- retries and timeouts


def test_retries_until_it_works_and_counts_them(machines: Any, counter: str, table: str) -> None:
    payload = {"table": table, "id": "retries", "failures": 2}
    retry = [{"ErrorEquals": ["RuntimeError"], "IntervalSeconds": 1, "MaxAttempts": 3, "JitterStrategy": "FULL"}]
    output = {"attempts": "{% $states.result.Payload %}", "retries": "{% $states.context.State.RetryCount %}"}
    ended = machines.run({"Call": invoke(counter, payload, Retry=retry, Output=output)})
    assert ended["output"] == {"attempts": 3, "retries": 2}


def test_gives_up_after_its_attempts(machines: Any, counter: str, table: str) -> None:
    payload = {"table": table, "id": "gives-up", "failures": 99}
    ended = machines.run({"Call": invoke(counter, payload, Retry=[{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}])})
    assert ended["error"] == "RuntimeError"
    assert json.loads(ended["cause"])["errorMessage"] == "attempt 2"


def test_the_longest_delay_is_kept_to(machines: Any, counter: str, table: str) -> None:
    payload = {"table": table, "id": "delays", "failures": 3}
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10, "BackoffRate": 100.0, "MaxDelaySeconds": 20}]
    ended = machines.run({"Call": invoke(counter, payload, Retry=retry)})
    took = (ended["stopDate"] - ended["startDate"]).total_seconds()
    assert ended["output"] == 4
    assert 0.02 * (10 + 20 + 20) <= took < 20


def test_a_task_times_out_in_real_seconds(machines: Any, function: str) -> None:
    begun = time.monotonic()
    ended = machines.run({"Call": invoke(function, {"sleep": 15}, TimeoutSeconds=1)})
    assert ended["error"] == "States.Timeout"
    assert time.monotonic() - begun < 10


def test_task_failed_does_not_catch_a_timeout(machines: Any, function: str) -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught"}]
    states = {
        "Call": invoke(function, {"sleep": 15}, TimeoutSeconds=1, Catch=catch),
        "Caught": {"Type": "Succeed"},
    }
    assert machines.run(states)["error"] == "States.Timeout"


# -- executions inside executions


def nested(machine: str, **fields: Any) -> dict[str, Any]:
    arguments = {"StateMachineArn": machine, "Input": {"from": "outside"}}
    return task("states:startExecution.sync:2", arguments, **fields)


def test_a_nested_execution_gives_its_output_as_json(machines: Any) -> None:
    inner = machines.create({"In": {"Type": "Pass", "Output": {"got": "{% $states.input.from %}"}, "End": True}})
    ended = machines.run({"Run": nested(inner, Output="{% $states.result.Output.got %}")})
    assert ended["output"] == "outside"


def test_a_nested_failure_is_a_failed_task_with_the_description_as_cause(machines: Any) -> None:
    inner = machines.create({"In": {"Type": "Fail", "Error": "BadBatch", "Cause": "empty"}})
    ended = machines.run({"Run": nested(inner)})
    assert ended["error"] == "States.TaskFailed"
    cause = json.loads(ended["cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "BadBatch", "empty")


def running_inside(machines: Any, machine: str) -> list[str]:
    found = machines.sfn.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
    return [execution["executionArn"] for execution in found]


def wait_for(condition: Any) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("nothing happened within 90 s")


def test_stopping_an_execution_stops_the_ones_inside(machines: Any) -> None:
    inner = machines.create({"Wait": {"Type": "Wait", "Seconds": 100_000, "End": True}})
    outer = machines.start({"Run": nested(inner)})
    inside = wait_for(lambda: running_inside(machines, inner))[0]
    machines.sfn.stop_execution(executionArn=outer, error="Enough", cause="called off")
    assert machines.wait(inside)["status"] == "ABORTED"
    ended = machines.wait(outer)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "called off")


def test_a_timeout_stops_what_was_waited_for(machines: Any) -> None:
    inner = machines.create({"Wait": {"Type": "Wait", "Seconds": 100_000, "End": True}})
    ended = machines.run({"Run": nested(inner, TimeoutSeconds=1)})
    assert ended["error"] == "States.Timeout"
    assert not wait_for(lambda: running_inside(machines, inner) == [] and [True])[1:]


# -- redriving


def test_redriving_goes_on_where_it_failed(machines: Any, counter: str, table: str) -> None:
    count = {"table": table, "id": "before-redrive", "failures": 0}
    fails_once = {"table": table, "id": "redriven", "failures": 1}
    states = {
        "Before": invoke(counter, count, Assign={"before": "{% $states.result.Payload %}"}, Next="Work"),
        "Work": invoke(
            counter,
            fails_once,
            Output={
                "before": "{% $before %}",
                "redrives": "{% $states.context.Execution.RedriveCount %}",
                "attempt": "{% $states.result.Payload %}",
            },
        ),
    }
    execution = machines.start(states)
    failed = machines.wait(execution)
    assert (failed["status"], failed["redriveStatus"]) == ("FAILED", "REDRIVABLE")
    machines.sfn.redrive_execution(executionArn=execution)
    ended = machines.wait(execution)
    assert ended["output"] == {"before": 1, "redrives": 1, "attempt": 2}
    assert (ended["redriveCount"], ended["redriveStatus"]) == (1, "NOT_REDRIVABLE")
    assert "ExecutionRedriven" in [event["type"] for event in machines.history(execution)]


def test_redriving_keeps_branches_that_succeeded(machines: Any, counter: str, table: str) -> None:
    def branch(name: str, failures: int) -> dict[str, Any]:
        payload = {"table": table, "id": name, "failures": failures}
        return {"StartAt": "Count", "States": {"Count": invoke(counter, payload)}}

    gone_well = {"StartAt": "Count", "States": branch("branch-well", 0)["States"]}
    late = {
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 50, "Next": "Count"},
            **branch("branch-late", 1)["States"],
        },
    }
    execution = machines.start({"Both": {"Type": "Parallel", "Branches": [gone_well, late], "End": True}})
    assert machines.wait(execution)["status"] == "FAILED"
    machines.sfn.redrive_execution(executionArn=execution)
    assert machines.wait(execution)["output"] == [1, 2]


def test_redriving_a_fail_state_fails_again(machines: Any) -> None:
    execution = machines.start({"Fail": {"Type": "Fail", "Error": "Broken"}})
    machines.wait(execution)
    machines.sfn.redrive_execution(executionArn=execution)
    assert machines.wait(execution)["error"] == "Broken"


def test_what_succeeded_cannot_be_redriven(machines: Any) -> None:
    execution = machines.start({"Done": {"Type": "Succeed"}})
    machines.wait(execution)
    with pytest.raises(machines.sfn.exceptions.ExecutionNotRedrivable):
        machines.sfn.redrive_execution(executionArn=execution)


def test_an_aborted_execution_can_be_redriven(machines: Any) -> None:
    states = {"Wait": {"Type": "Wait", "Seconds": 100, "End": True}}
    execution = machines.start(states)
    machines.sfn.stop_execution(executionArn=execution)
    assert machines.wait(execution)["status"] == "ABORTED"
    machines.sfn.redrive_execution(executionArn=execution)
    assert machines.wait(execution)["status"] == "SUCCEEDED"


def test_what_runs_when_the_server_stops_can_be_redriven_after_its_start(
    tmp_path: Path, start_local_server: Any, machines_of: Any
) -> None:
    first = machines_of(start_local_server(tmp_path / "state"))
    states = {
        "First": {"Type": "Pass", "Assign": {"x": 1}, "Next": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 200, "Output": "{% $x %}", "End": True},
    }
    execution = first.start(states)
    wait_for(lambda: "WaitStateEntered" in [event["type"] for event in first.history(execution)])
    first.server.stop()
    second = machines_of(start_local_server(tmp_path / "state"))
    ended = second.wait(execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.ServiceRestart")
    second.sfn.redrive_execution(executionArn=execution)
    assert second.wait(execution)["output"] == 1
    names = [event["type"] for event in second.history(execution)]
    assert names.count("PassStateEntered") == 1


# -- what the outside hears


def test_begin_and_end_are_events_and_the_end_a_metric_and_a_log(
    machines: Any, local_server: Any, queue: tuple[str, str]
) -> None:
    url, arn = queue
    events, logs = local_server.client("events"), local_server.client("logs")
    named = [{"suffix": ":stateMachine:logged"}]
    pattern = {"source": ["aws.states"], "detail": {"status": ["RUNNING", "FAILED"], "stateMachineArn": named}}
    events.put_rule(Name="failed-executions", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="failed-executions", Targets=[{"Id": "queue", "Arn": arn}])
    logs.create_log_group(logGroupName="/machines/logged")
    group = "arn:aws:logs:us-east-1:000000000000:log-group:/machines/logged:*"
    machine = machines.sfn.create_state_machine(
        name="logged",
        roleArn=machines.everything(),
        definition=json.dumps(
            {"QueryLanguage": "JSONata", "StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "No"}}}
        ),
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
        },
    )["stateMachineArn"]
    execution = machines.sfn.start_execution(stateMachineArn=machine, input='{"secret": 1}')["executionArn"]
    machines.wait(execution)
    told: dict[str, Any] = {}

    def both() -> bool:
        received = local_server.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=10)
        details = [json.loads(message["Body"])["detail"] for message in received.get("Messages", [])]
        told.update({detail["status"]: detail for detail in details})
        return len(told) == 2

    wait_for(both)
    assert {detail["executionArn"] for detail in told.values()} == {execution}
    assert (told["RUNNING"]["stopDate"], told["FAILED"]["error"]) == (None, "No")
    assert told["FAILED"]["stopDate"] >= told["RUNNING"]["startDate"]
    lines = wait_for(lambda: logs.filter_log_events(logGroupName="/machines/logged")["events"])
    assert [json.loads(line["message"])["type"] for line in lines][-1] == "ExecutionFailed"
    assert not [line for line in lines if "secret" in line["message"]]
    dimensions = [{"Name": "StateMachineArn", "Value": machine}]
    metrics = local_server.client("cloudwatch").list_metrics(Namespace="AWS/States", Dimensions=dimensions)["Metrics"]
    assert "ExecutionsFailed" in {metric["MetricName"] for metric in metrics}
