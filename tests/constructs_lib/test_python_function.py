from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib import code_asset
from constructs_lib.alarms import Alarms, FailureAlarms, NoAlarms
from constructs_lib.python_function import PythonFunction, function_code


def any_function(stack: Stack, name: str = "Judge", **changed: Any) -> PythonFunction:
    key = kms.Key.from_key_arn(stack, f"{name}Key", "arn:aws:kms:us-east-1:000000000000:key/k")
    alarms: Alarms = NoAlarms("The caller is a state machine with an alarm of its own")
    arguments = {
        "folder": "judge_model",
        "description": "Judges",
        "timeout_seconds": 30,
        "alarms": alarms,
        "log_key": key,
        "log_retention_days": 30,
    }
    return PythonFunction(stack, name, **{**arguments, **changed})


def test_runs_the_folders_handler_on_the_newest_python(stack: Stack) -> None:
    any_function(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::Function",
        {"Handler": "judge_model.handler.handler", "Runtime": "python3.14", "Timeout": 30, "MemorySize": 256},
    )


def test_logs_to_an_encrypted_group_that_forgets(stack: Stack) -> None:
    any_function(stack)
    template = Template.from_stack(stack)
    (group,) = template.find_resources("AWS::Logs::LogGroup")
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 30, "KmsKeyId": Match.any_value()})
    template.has_resource_properties("AWS::Lambda::Function", {"LoggingConfig": {"LogGroup": {"Ref": group}}})


def test_may_write_its_own_log_and_traces_and_nothing_else(stack: Stack) -> None:
    any_function(stack)
    template = Template.from_stack(stack)
    (group,) = template.find_resources("AWS::Logs::LogGroup")
    (policy,) = template.find_resources("AWS::IAM::Policy").values()
    assert policy["Properties"]["PolicyDocument"]["Statement"] == [
        {
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": [group, "Arn"]},
        },
        {"Action": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "Effect": "Allow", "Resource": "*"},
    ]
    template.has_resource_properties("AWS::Lambda::Function", {"TracingConfig": {"Mode": "Active"}})


def test_tells_somebody_when_a_call_fails(stack: Stack) -> None:
    any_function(stack, alarms=FailureAlarms(sns.Topic(stack, "Topic")))
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Threshold": 1}
    )


def test_says_in_the_template_why_nobody_is_told(stack: Stack) -> None:
    any_function(stack)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CloudWatch::Alarm", 0)
    template.has_resource("AWS::Lambda::Function", {"Metadata": {"gapless:no-alarms": Match.any_value()}})


def test_lets_others_call_exactly_this_function(stack: Stack) -> None:
    judge, check = any_function(stack), any_function(stack, "Check", folder="check_golden")
    judge.grant_invoke(check)
    statement = {"Action": "lambda:InvokeFunction", "Effect": "Allow", "Resource": stack.resolve(judge.function_arn)}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": Match.array_with([statement])}}
    )


@pytest.mark.parametrize("seconds", [0, 901])
def test_refuses_a_timeout_that_lambda_does_not_take(stack: Stack, seconds: int) -> None:
    with pytest.raises(ValueError, match=f"must be between 1 and 900 seconds, got: {seconds}"):
        any_function(stack, timeout_seconds=seconds)


def test_refuses_a_folder_that_does_not_exist(stack: Stack) -> None:
    with pytest.raises(FileNotFoundError, match="lambda/judge_moddel"):
        any_function(stack, folder="judge_moddel")


FILES = {
    "one/handler.py": "x = 1",
    "two/handler.py": "x = 1",
    "gapless_lambda/log.py": "x = 1",
    "one/__pycache__/handler.pyc": "compiled",
}


@pytest.fixture
def hashes(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """The digests of two functions' code, in a folder of the given files; each call writes another folder."""

    def hashes(files: Mapping[str, str]) -> dict[str, str]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            path = root / "lambda" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        monkeypatch.setattr(code_asset, "asset_path", lambda *parts: root.joinpath(*parts))
        return {
            name: str(function_code(Stack(stack, f"{name}{root.name}"), name).asset_hash) for name in ("one", "two")
        }

    return hashes


def test_an_edit_deploys_one_function(hashes: Callable[..., dict[str, str]]) -> None:
    before, after = hashes(FILES), hashes({**FILES, "one/handler.py": "x = 2"})
    assert before["one"] != after["one"]
    assert before["two"] == after["two"]


def test_an_edit_of_the_shared_package_deploys_every_function(hashes: Callable[..., dict[str, str]]) -> None:
    before, after = hashes(FILES), hashes({**FILES, "gapless_lambda/log.py": "x = 2"})
    assert before["one"] != after["one"] and before["two"] != after["two"]


def test_compiled_files_are_not_deployed(hashes: Callable[..., dict[str, str]]) -> None:
    assert hashes(FILES) == hashes({**FILES, "one/__pycache__/handler.pyc": "compiled again"})
