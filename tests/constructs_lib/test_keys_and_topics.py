from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from constructs_lib.catalogue_encryption import CatalogueEncryption
from constructs_lib.keys import EncryptionKey, SigningKey
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.on_call import OnCallTopic


def key_statements(stack: Stack) -> list[dict[str, Any]]:
    (key,) = Template.from_stack(stack).find_resources("AWS::KMS::Key").values()
    statements: list[dict[str, Any]] = key["Properties"]["KeyPolicy"]["Statement"]
    return statements


def any_topic(stack: Stack, name: str = "OnCall", email: str | None = None) -> OnCallTopic:
    key = EncryptionKey(stack, f"{name}Key", description="Alarms", publishers=["cloudwatch.amazonaws.com"])
    return OnCallTopic(stack, name, key=key, email=email)


def test_a_key_rotates_stays_and_waits_before_it_is_deleted(stack: Stack) -> None:
    EncryptionKey(stack, "Key", description="Data")
    Template.from_stack(stack).has_resource(
        "AWS::KMS::Key",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"EnableKeyRotation": True, "PendingWindowInDays": 30},
        },
    )


def test_a_key_trusts_its_own_account_only(stack: Stack) -> None:
    EncryptionKey(stack, "Key", description="Data")
    (statement,) = key_statements(stack)
    assert statement["Principal"]["AWS"]["Fn::Join"][1][-2:] == [{"Ref": "AWS::AccountId"}, ":root"]


def test_a_signing_key_signs_only_stays_and_trusts_its_own_account(stack: Stack) -> None:
    SigningKey(stack, "Key", description="Models")
    Template.from_stack(stack).has_resource(
        "AWS::KMS::Key",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "PendingWindowInDays": 30},
        },
    )
    (statement,) = key_statements(stack)
    assert statement["Principal"]["AWS"]["Fn::Join"][1][-2:] == [{"Ref": "AWS::AccountId"}, ":root"]


def test_a_service_publishes_under_a_key_for_its_own_account_only(stack: Stack) -> None:
    EncryptionKey(stack, "Key", description="Alarms", publishers=["cloudwatch.amazonaws.com"])
    _, publisher = key_statements(stack)
    assert publisher["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert publisher["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_logs_use_a_key_for_log_groups_of_the_account_only(stack: Stack) -> None:
    EncryptionKey(stack, "Key", description="Logs", logs=True)
    _, logs = key_statements(stack)
    arn = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]["Fn::Join"][1]
    assert {"Ref": "AWS::AccountId"} in arn
    assert arn[-1] == ":log-group:*"


def test_alarms_of_the_account_may_publish_and_nobody_without_tls(stack: Stack) -> None:
    any_topic(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like({"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
                        Match.object_like(
                            {
                                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                                "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                            }
                        ),
                    ]
                )
            }
        },
    )


def test_messages_are_encrypted(stack: Stack) -> None:
    any_topic(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::SNS::Topic", {"KmsMasterKeyId": {"Fn::GetAtt": [Match.string_like_regexp("OnCallKey"), "Arn"]}}
    )


def test_a_publisher_may_publish_and_encrypt_without_wildcards(stack: Stack) -> None:
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
    any_topic(stack).grant_publish(role)
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    granted = [each["Action"] for each in policy["Properties"]["PolicyDocument"]["Statement"]]
    assert sorted(granted, key=str) == [["kms:Decrypt", "kms:GenerateDataKey"], "sns:Publish"]


def test_somebody_is_subscribed_only_when_named(stack: Stack) -> None:
    any_topic(stack, "Silent")
    assert Template.from_stack(stack).find_resources("AWS::SNS::Subscription") == {}


def test_the_named_address_gets_every_message(stack: Stack) -> None:
    any_topic(stack, email="on-call@example.com")
    Template.from_stack(stack).has_resource_properties(
        "AWS::SNS::Subscription", {"Protocol": "email", "Endpoint": "on-call@example.com"}
    )


def test_readers_of_the_catalogue_need_no_key_because_glue_uses_its_own_role(stack: Stack) -> None:
    CatalogueEncryption(stack, "Encryption", key=EncryptionKey(stack, "Key", description="Catalogue"))
    Template.from_stack(stack).has_resource_properties(
        "AWS::Glue::DataCatalogEncryptionSettings",
        {
            "DataCatalogEncryptionSettings": {
                "EncryptionAtRest": {
                    "CatalogEncryptionMode": "SSE-KMS-WITH-SERVICE-ROLE",
                    "CatalogEncryptionServiceRole": Match.any_value(),
                },
                "ConnectionPasswordEncryption": {"ReturnConnectionPasswordEncrypted": True},
            }
        },
    )


def test_the_role_can_use_the_key_before_the_catalogue_is_encrypted(stack: Stack) -> None:
    CatalogueEncryption(stack, "Encryption", key=EncryptionKey(stack, "Key", description="Catalogue"))
    (settings,) = Template.from_stack(stack).find_resources("AWS::Glue::DataCatalogEncryptionSettings").values()
    assert any("DefaultPolicy" in each for each in settings["DependsOn"])


def test_a_registry_keeps_its_models(stack: Stack) -> None:
    registry = ModelRegistry(stack, "Registry", name="dev-flight-delays-models", description="Late arrivals")
    Template.from_stack(stack).has_resource(
        "AWS::SageMaker::ModelPackageGroup",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"ModelPackageGroupName": "dev-flight-delays-models"},
        },
    )
    assert registry.group_arn.startswith(f"arn:{Aws.PARTITION}:sagemaker:")
    assert registry.package_arns.endswith(":model-package/dev-flight-delays-models/*")


def test_two_of_each_live_in_one_stack(stack: Stack) -> None:
    any_topic(stack, "One")
    any_topic(stack, "Two")
    ModelRegistry(stack, "First", name="dev-first-models", description="")
    ModelRegistry(stack, "Second", name="dev-second-models", description="")
    Template.from_stack(stack)
