from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from constructs_lib.grants import ServiceRole, grant, grant_metrics, grant_pass_role


def any_role(stack: Stack, name: str = "Role") -> ServiceRole:
    return ServiceRole(stack, name, service="glue.amazonaws.com", description="A job")


def test_a_service_takes_the_role_on_behalf_of_this_account_only(stack: Stack) -> None:
    any_role(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [
                    {
                        "Action": "sts:AssumeRole",
                        "Effect": "Allow",
                        "Principal": {"Service": "glue.amazonaws.com"},
                        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                    }
                ],
                "Version": "2012-10-17",
            }
        },
    )


def test_a_role_is_passed_to_one_service_only(stack: Stack) -> None:
    passed = any_role(stack, "Passed")
    grant_pass_role(any_role(stack), passed, "sagemaker.amazonaws.com")
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": [
                    {
                        "Action": "iam:PassRole",
                        "Effect": "Allow",
                        "Resource": stack.resolve(passed.role_arn),
                        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
                    }
                ],
                "Version": "2012-10-17",
            }
        },
    )


def test_metrics_are_limited_to_a_namespace(stack: Stack) -> None:
    grant_metrics(any_role(stack), "Gapless")
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"StringLike": {"cloudwatch:namespace": ["Gapless"]}}


def test_what_uses_a_role_waits_for_its_permissions(stack: Stack) -> None:
    role = any_role(stack)
    grant(role, ["s3:GetObject"], "arn:aws:s3:::bucket/key")
    user = iam.CfnInstanceProfile(stack, "User", roles=[role.role_name])
    role.come_before(user)
    (profile,) = Template.from_stack(stack).find_resources("AWS::IAM::InstanceProfile").values()
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    assert profile["DependsOn"] == [policy]
