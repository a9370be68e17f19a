"""One test per kind of grant: everything works with it, and is denied without it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)
PUT_ITEM = """
import boto3

def handler(event, context):
    boto3.client("dynamodb").put_item(TableName=event["table"], Item={"id": {"S": "a"}})
    return "put"
"""
READ = """
import boto3

def handler(event, context):
    return boto3.client("s3").get_object(Bucket=event["bucket"], Key="k")["Body"].read().decode()
"""


def allowing(*actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def denying(action: str) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": "*"}


def task(resource: str, arguments: Any) -> dict[str, Any]:
    return {"Call": {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": arguments, "End": True}}


def trusting(service: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }


@pytest.fixture(scope="module")
def table(local_server: Any) -> str:
    local_server.client("dynamodb").create_table(
        TableName="granted",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return "granted"


@pytest.fixture(scope="module")
def echo(functions: Any) -> str:
    name: str = functions.create("def handler(event, context):\n    return event\n")
    return name


@pytest.fixture(scope="module")
def parameters(local_server: Any, table: str, echo: str) -> dict[str, str]:
    """What the machines below name; their expressions read it from the input."""
    local_server.client("s3").create_bucket(Bucket="granted-bucket")
    local_server.client("s3").put_object(Bucket="granted-bucket", Key="k", Body=b"{}")
    topic = local_server.client("sns").create_topic(Name="granted")["TopicArn"]
    policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish"}]}
    local_server.client("sns").set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )
    return {
        "table": table,
        "function": echo,
        "topic": topic,
        "queue": local_server.client("sqs").create_queue(QueueName="granted")["QueueUrl"],
    }


GRANTS = {
    "lambda:InvokeFunction": ("lambda:invoke", {"FunctionName": "{% $states.input.function %}"}),
    "dynamodb:PutItem": (
        "dynamodb:putItem",
        {"TableName": "{% $states.input.table %}", "Item": {"id": {"S": "a"}}},
    ),
    "dynamodb:UpdateItem": (
        "dynamodb:updateItem",
        {"TableName": "{% $states.input.table %}", "Key": {"id": {"S": "a"}}},
    ),
    "s3:GetObject": ("aws-sdk:s3:getObject", {"Bucket": "granted-bucket", "Key": "k"}),
    "s3:PutObject": ("aws-sdk:s3:putObject", {"Bucket": "granted-bucket", "Key": "new", "Body": {}}),
    "sns:Publish": ("sns:publish", {"TopicArn": "{% $states.input.topic %}", "Message": "hello"}),
    "sqs:SendMessage": ("sqs:sendMessage", {"QueueUrl": "{% $states.input.queue %}", "MessageBody": "hello"}),
    "events:PutEvents": (
        "events:putEvents",
        {"Entries": [{"Source": "own", "DetailType": "Tried", "Detail": {"a": 1}}]},
    ),
    "cloudwatch:PutMetricData": (
        "aws-sdk:cloudwatch:putMetricData",
        {"Namespace": "Tried", "MetricData": [{"MetricName": "M", "Value": 1}]},
    ),
    "cloudwatch:DescribeAlarms": ("aws-sdk:cloudwatch:describeAlarms", {}),
    "glue:GetDatabases": ("aws-sdk:glue:getDatabases", {}),
    "ssm:DescribeParameters": ("aws-sdk:ssm:describeParameters", {}),
}


@pytest.mark.parametrize("action", GRANTS)
def test_machine_with_the_grant_alone_succeeds(machines: Any, parameters: dict[str, str], action: str) -> None:
    ended = machines.run(task(*GRANTS[action]), parameters, role=machines.role(allowing(action)))
    assert ended["status"] == "SUCCEEDED", ended


@pytest.mark.parametrize("action", GRANTS)
def test_machine_without_the_grant_is_denied(machines: Any, parameters: dict[str, str], action: str) -> None:
    ended = machines.run(task(*GRANTS[action]), parameters, role=machines.role(ANYTHING, denying(action)))
    assert ended["status"] == "FAILED"
    assert "not authorized" in ended["cause"] or "Status Code: 403" in ended["cause"], ended


@pytest.mark.parametrize(
    ("action", "resource", "arguments"),
    [
        ("glue:StartJobRun", "glue:startJobRun.sync", {"JobName": "some-job"}),
        ("athena:StartQueryExecution", "athena:startQueryExecution.sync", {"QueryString": "select 1"}),
    ],
)
def test_machine_without_the_grant_starts_no_job(machines: Any, action: str, resource: str, arguments: Any) -> None:
    ended = machines.run(task(resource, arguments), role=machines.role(ANYTHING, denying(action)))
    assert ended["status"] == "FAILED"
    assert f"not authorized to perform: {action}" in ended["cause"]


def test_machine_without_start_execution_starts_none(machines: Any) -> None:
    inner = machines.create({"Done": {"Type": "Succeed"}})
    role = machines.role(ANYTHING, denying("states:StartExecution"))
    ended = machines.run(task("states:startExecution.sync:2", {"StateMachineArn": inner}), role=role)
    assert "not authorized to perform: states:StartExecution" in ended["cause"]


# -- trust


@pytest.mark.parametrize(
    "trust",
    [
        trusting("lambda.amazonaws.com", {}),
        trusting("states.amazonaws.com", {"StringEquals": {"aws:SourceAccount": "111111111111"}}),
        trusting("states.amazonaws.com", {"ArnLike": {"aws:SourceArn": "arn:aws:states:*:*:stateMachine:other"}}),
        {**trusting("states.amazonaws.com", {}), "Action": "sts:TagSession"},
    ],
    ids=["another service", "another account", "another machine", "another action"],
)
def test_a_role_that_does_not_trust_the_machine_runs_nothing(machines: Any, trust: Any) -> None:
    role = machines.server.role("states.amazonaws.com", ANYTHING, trust=trust)
    ended = machines.run({"Done": {"Type": "Succeed"}}, role=role)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Permissions")


def test_a_role_that_trusts_this_account_and_these_machines_runs(machines: Any) -> None:
    condition = {
        "StringEquals": {"aws:SourceAccount": "000000000000"},
        "ArnLike": {"aws:SourceArn": "arn:aws:states:us-east-1:000000000000:stateMachine:machine-*"},
    }
    role = machines.server.role("states.amazonaws.com", trust=trusting("states.amazonaws.com", condition))
    assert machines.run({"Done": {"Type": "Succeed"}}, role=role)["status"] == "SUCCEEDED"


def test_a_function_whose_role_does_not_trust_lambda_does_not_run(functions: Any, local_server: Any) -> None:
    role = local_server.role("glue.amazonaws.com", ANYTHING)
    name = functions.create("def handler(event, context):\n    return 1\n", role=role)
    assert "cannot be assumed by Lambda" in functions.call(name)["errorMessage"]


# -- functions and users


def test_a_function_needs_its_own_grant(functions: Any, table: str) -> None:
    event = {"table": table}
    assert functions.call(functions.create(PUT_ITEM, allowing("dynamodb:PutItem")), event) == "put"
    denied = functions.call(functions.create(PUT_ITEM, allowing("dynamodb:GetItem")), event)
    assert denied["errorType"] == "ClientError"
    assert "not authorized to perform: dynamodb:PutItem" in denied["errorMessage"]


def test_a_user_without_grants_may_do_nothing(local_server: Any) -> None:
    keys = local_server.user(denying("*"))
    for service, operation in (("s3", "list_buckets"), ("glue", "get_jobs"), ("stepfunctions", "list_state_machines")):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(local_server.client_as(service, *keys), operation)()


# -- passing roles


def pass_to_machine(server: Any, keys: tuple[str, str]) -> None:
    definition = json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    role = server.role("states.amazonaws.com")
    client = server.client_as("stepfunctions", *keys)
    client.create_state_machine(name=role.rsplit("/", 1)[-1], roleArn=role, definition=definition)


def pass_to_function(server: Any, keys: tuple[str, str]) -> None:
    role = server.role("lambda.amazonaws.com")
    server.client_as("lambda", *keys).create_function(
        FunctionName=role.rsplit("/", 1)[-1],
        Runtime="python3.13",
        Handler="a.b",
        Role=role,
        Code={"ZipFile": EMPTY_ARCHIVE},
    )


def pass_to_job(server: Any, keys: tuple[str, str]) -> None:
    role = server.role("glue.amazonaws.com")
    server.client_as("glue", *keys).create_job(
        Name=role.rsplit("/", 1)[-1], Role=role, Command={"Name": "glueetl", "ScriptLocation": "s3://b/k"}
    )


@pytest.mark.parametrize("use", [pass_to_machine, pass_to_function, pass_to_job])
def test_a_role_is_passed_only_with_the_grant(local_server: Any, use: Any) -> None:
    use(local_server, local_server.user(ANYTHING))
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        use(local_server, local_server.user(ANYTHING, denying("iam:PassRole")))


def test_a_role_is_passed_only_to_the_granted_service(local_server: Any) -> None:
    condition = {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
    passing = {**allowing("iam:PassRole"), "Condition": condition}
    keys = local_server.user(allowing("glue:*", "states:*"), passing)
    pass_to_job(local_server, keys)
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        pass_to_machine(local_server, keys)


# -- keys


@pytest.fixture(scope="module")
def encrypted(local_server: Any) -> tuple[str, str]:
    """A bucket under a key of its own, with the object ``k`` in it; and the key's ARN."""
    key = local_server.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = local_server.client("s3")
    s3.create_bucket(Bucket="encrypted-bucket")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket="encrypted-bucket", ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket="encrypted-bucket", Key="k", Body=b"content")
    return "encrypted-bucket", key


def test_reading_needs_decrypt(functions: Any, encrypted: tuple[str, str]) -> None:
    bucket, key = encrypted
    event = {"bucket": bucket}
    granted = functions.create(READ, allowing("s3:GetObject"), {**allowing("kms:Decrypt"), "Resource": key})
    assert functions.call(granted, event) == "content"
    denied = functions.call(functions.create(READ, allowing("s3:GetObject", "kms:GenerateDataKey")), event)
    assert f"not authorized to perform: kms:Decrypt on resource: {key}" in denied["errorMessage"]


def test_writing_needs_generate_data_key(local_server: Any, encrypted: tuple[str, str]) -> None:
    bucket, _key = encrypted
    writer = local_server.client_as("s3", *local_server.user(allowing("s3:*", "kms:GenerateDataKey*")))
    reader = local_server.client_as("s3", *local_server.user(allowing("s3:*", "kms:Decrypt")))
    writer.put_object(Bucket=bucket, Key="written", Body=b"x")
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        reader.put_object(Bucket=bucket, Key="not-written", Body=b"x")
    assert reader.get_object(Bucket=bucket, Key="written")["Body"].read() == b"x"


def test_copying_needs_decrypt_of_the_source(local_server: Any, encrypted: tuple[str, str], bucket: str) -> None:
    source, _key = encrypted
    client = local_server.client_as("s3", *local_server.user(allowing("s3:*")))
    with pytest.raises(ClientError, match="kms:Decrypt"):
        client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": source, "Key": "k"})


def test_a_part_of_an_upload_needs_decrypt(local_server: Any, encrypted: tuple[str, str]) -> None:
    bucket, _key = encrypted
    client = local_server.client_as("s3", *local_server.user(allowing("s3:*", "kms:GenerateDataKey")))
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    with pytest.raises(ClientError, match="kms:Decrypt"):
        client.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")


def test_a_disabled_key_reads_nothing(local_server: Any, bucket: str) -> None:
    kms, s3 = local_server.client("kms"), local_server.client("s3")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    kms.disable_key(KeyId=key)
    with pytest.raises(ClientError, match="DisabledException"):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_key_that_does_not_exist_writes_nothing(local_server: Any, bucket: str) -> None:
    with pytest.raises(ClientError, match="NotFoundException"):
        local_server.client("s3").put_object(
            Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="no-such-key"
        )


def test_the_key_of_s3_itself_needs_no_grant(local_server: Any, bucket: str) -> None:
    client = local_server.client_as("s3", *local_server.user(allowing("s3:*")))
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
