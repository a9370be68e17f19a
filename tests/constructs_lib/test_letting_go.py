"""What is let go is marked and kept; a stack is marked as a whole."""

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template
from constructs import Construct

from constructs_lib.letting_go import let_go
from constructs_lib.names.change import LET_GO_METADATA

REASON = "its objects are in the other bucket"


def test_marks_what_is_let_go_and_has_it_kept(stack: Stack) -> None:
    let_go(s3.Bucket(stack, "Bucket", removal_policy=RemovalPolicy.DESTROY), REASON)
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Metadata": {LET_GO_METADATA: REASON}}
    Template.from_stack(stack).has_resource("AWS::S3::Bucket", kept)


def test_marks_a_stack_without_touching_what_is_in_it(stack: Stack) -> None:
    s3.CfnBucket(stack, "Bucket")
    let_go(stack, REASON)
    template = Template.from_stack(stack).to_json()
    assert template["Metadata"] == {LET_GO_METADATA: REASON}
    assert template["Resources"]["Bucket"] == {"Type": "AWS::S3::Bucket"}


def test_wants_a_reason(stack: Stack) -> None:
    with pytest.raises(ValueError, match="at least 20 characters, got: 'old'"):
        let_go(s3.CfnBucket(stack, "Bucket"), "old")


def test_refuses_what_has_no_resource(stack: Stack) -> None:
    with pytest.raises(TypeError, match="Test/Nothing has no resource that could be let go"):
        let_go(Construct(stack, "Nothing"), REASON)
