"""Functions: what they see, what the log keeps, and batches of messages of which some fail."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

WHO = """
import boto3

def handler(event, context):
    print("somebody asks")
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
PART_FAILS = """
import json

def handler(event, context):
    failed = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}
"""
POLLING = {
    "Effect": "Allow",
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": "*",
}


def eventually(condition: Any, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"nothing happened within {seconds} s")


def test_acts_under_its_own_role(functions: Any) -> None:
    name = functions.create(WHO)
    role = functions.client.get_function_configuration(FunctionName=name)["Role"].rsplit("/", 1)[-1]
    assert functions.call(name) == f"arn:aws:sts::000000000000:assumed-role/{role}/{name}"


def test_writes_to_the_log_group_that_it_names(functions: Any, local_server: Any) -> None:
    logs = local_server.client("logs")
    logs.create_log_group(logGroupName="/named/by-us")
    functions.call(functions.create(WHO, LoggingConfig={"LogGroup": "/named/by-us"}))
    events = eventually(lambda: logs.filter_log_events(logGroupName="/named/by-us")["events"])
    assert [event for event in events if "somebody asks" in event["message"]]


def test_reports_the_memory_of_its_own_process(functions: Any, local_server: Any) -> None:
    """Not that of the largest child of the server, nor that of another function."""
    large = "kept = bytearray(150 << 20)\ndef handler(event, context):\n    return len(kept)\n"
    small = "def handler(event, context):\n    return 1\n"
    logs, used = local_server.client("logs"), []
    for number, code in enumerate((large, small)):
        group = f"/named/memory-{number}"
        logs.create_log_group(logGroupName=group)
        functions.call(functions.create(code, LoggingConfig={"LogGroup": group}))
        (event,) = eventually(
            lambda group=group: logs.filter_log_events(logGroupName=group, filterPattern="REPORT")["events"]
        )
        used.append(int(event["message"].rpartition("Max Memory Used: ")[2].split()[0]))
    assert used[0] > 150
    assert 0 < used[1] < 100


def test_failures_count_in_the_metric_of_errors(functions: Any, local_server: Any) -> None:
    name = functions.create("def handler(event, context):\n    raise KeyError('a')\n")
    assert functions.call(name)["errorType"] == "KeyError"
    dimensions = [{"Name": "FunctionName", "Value": name}]
    cloudwatch = local_server.client("cloudwatch")
    found = eventually(
        lambda: cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="Errors", Dimensions=dimensions)["Metrics"]
    )
    assert found


def test_metrics_in_log_lines_are_published(functions: Any, local_server: Any) -> None:
    namespace = f"Test{time.time_ns()}"
    directive = {"Namespace": namespace, "Dimensions": [["Stage"]], "Metrics": [{"Name": "Latency"}, {"Name": "None"}]}
    line = {"_aws": {"CloudWatchMetrics": [directive]}, "Stage": "dev", "Latency": 2.5}
    code = f"import json\n\ndef handler(event, context):\n    print('no \"_aws\"')\n    print(json.dumps({line!r}))\n"
    functions.call(functions.create(code))
    cloudwatch = local_server.client("cloudwatch")
    (found,) = eventually(lambda: cloudwatch.list_metrics(Namespace=namespace)["Metrics"])
    assert (found["MetricName"], found["Dimensions"]) == ("Latency", [{"Name": "Stage", "Value": "dev"}])


@pytest.fixture
def queues(local_server: Any) -> tuple[str, str, str]:
    """URL and ARN of a queue, and the URL of the queue that takes what failed twice."""
    sqs = local_server.client("sqs")
    dead = sqs.create_queue(QueueName=f"dead-{time.time_ns()}")["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url = sqs.create_queue(
        QueueName=f"work-{time.time_ns()}", Attributes={"VisibilityTimeout": "1", "RedrivePolicy": redrive}
    )["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn, dead


def test_only_the_failed_messages_of_a_batch_come_again_and_end_in_the_dead_letter_queue(
    functions: Any, local_server: Any, queues: tuple[str, str, str]
) -> None:
    url, arn, dead = queues
    functions.client.create_event_source_mapping(
        EventSourceArn=arn,
        FunctionName=functions.create(PART_FAILS, POLLING),
        BatchSize=5,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    sqs = local_server.client("sqs")
    for body in ("good", "bad", "good"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    left = eventually(lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1).get("Messages"))
    assert [message["Body"] for message in left] == ["bad"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert set(counts.values()) == {"0"}


def mapping_template(function: str, queue_arn: str) -> str:
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"EventSourceArn": queue_arn, "FunctionName": function},
    }
    return json.dumps({"Resources": {"Mapping": mapping}})


def test_a_mapping_needs_a_role_that_may_poll(functions: Any, local_server: Any, queues: tuple[str, str, str]) -> None:
    cloudformation = local_server.client("cloudformation")
    function = functions.create(PART_FAILS, {**POLLING, "Action": POLLING["Action"][:2]})
    name = f"polling-{time.time_ns()}"
    cloudformation.create_stack(StackName=name, TemplateBody=mapping_template(function, queues[1]))
    with pytest.raises(Exception, match="Waiter StackCreateComplete failed"):
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    ]
    assert any("sqs:GetQueueAttributes" in reason for reason in reasons)


def test_an_unknown_function_is_said_to_be_unknown(functions: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        functions.call("no-such-function")
