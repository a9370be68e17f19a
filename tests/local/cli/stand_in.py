"""A small stack with the name and the outputs of the real one, for tests of commands that only need those."""

from __future__ import annotations

from typing import Any

_BUCKETS = ("Landing", "Artefacts", "Datasets", "Validated", "Quarantine", "Curated")
_MACHINES = ("Loop", "Data", "Model", "Deployment")
STACK = "dev-FlightDelaysWorkload"


def template() -> dict[str, Any]:
    """The template: buckets, queues, a table, a function and four machines that do nothing."""
    return {"Resources": _resources(), "Outputs": {key: {"Value": value} for key, value in _outputs().items()}}


def _resources() -> dict[str, Any]:
    table = {
        "AttributeDefinitions": [{"AttributeName": "run", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "run", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}}
    machine = {
        "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "DefinitionString": '{"QueryLanguage": "JSONata", "StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
    }
    function = {
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Runtime": "python3.11",
        "Handler": "index.handler",
        "Code": {"ZipFile": "def handler(event, context):\n    return event\n"},
        "LoggingConfig": {"LogGroup": "/own/check-things"},
    }
    return {
        **{f"{name}Bucket": {"Type": "AWS::S3::Bucket"} for name in _BUCKETS},
        "Intake": {"Type": "AWS::SQS::Queue"},
        "DeadLetters": {"Type": "AWS::SQS::Queue"},
        "Runs": {"Type": "AWS::DynamoDB::Table", "Properties": table},
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "CheckThings": {"Type": "AWS::Lambda::Function", "Properties": function},
        **{f"{name}Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine} for name in _MACHINES},
    }


def _outputs() -> dict[str, Any]:
    fixed = {
        "LandingPrefix": "flight_delays/",
        "BundlePrefix": "flight_delays/bundles/",
        "StarterFunctionName": "starter",
        "EndpointName": "dev-flight-delays-live",
        "VariantName": "primary",
        "ModelPackageGroup": "dev-flight-delays-models",
        "LeasesTable": "leases",
        "CuratedDatabase": "dev_curated",
        "AthenaWorkGroup": "primary",
        "OnCallTopicArn": "arn:aws:sns:us-east-1:000000000000:on-call",
        "ContractUri": "s3://nowhere/contract.json",
        "AlarmNames": "one,two",
    }
    return {
        **fixed,
        **{f"{name}Bucket": {"Ref": f"{name}Bucket"} for name in _BUCKETS},
        **{f"{name}MachineArn": {"Ref": f"{name}Machine"} for name in _MACHINES},
        "IntakeQueueUrl": {"Ref": "Intake"},
        "IntakeDeadLetterQueueUrl": {"Ref": "DeadLetters"},
        "RunsTable": {"Ref": "Runs"},
    }
