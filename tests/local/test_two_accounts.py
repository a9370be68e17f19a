"""A model goes from one account to another: two local servers with the policies that the platform synthesises.

The source has its lake and its registry, the receiver its lake and the role that pulls. The function runs under that
role; both servers enforce IAM, each for what is its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

import pull_model.handler as pulling
import verify_model.handler as verifying
from gapless_lambda.verification import ArtefactTampered
from tests.local.two_accounts import (
    ARCHIVE,
    DEV,
    PROPERTIES,
    REGION,
    ROLE,
    STAGING,
    TAKEN_BY_ROOT,
    WORKLOAD,
    Account,
    Document,
    acting,
    approved_model,
)


@dataclass(frozen=True)
class Accounts:
    """Source and receiver, and the model that the source has approved."""

    dev: Account
    staging: Account
    package_arn: str

    def pull(self, role: str = ROLE) -> Document:
        """Take the model over, under a role of the receiver."""
        return dict(self._call(role, {"source_arn": self.package_arn}))

    def find(self) -> str:
        return str(self._call(ROLE, {})["source_arn"])

    def _call(self, role: str, event: Document) -> Any:
        sts = self.staging.server.client("sts")
        taken = sts.assume_role(RoleArn=f"arn:aws:iam::{STAGING}:role/{role}", RoleSessionName="rehearsal")[
            "Credentials"
        ]
        keys = {
            "access_key_id": taken["AccessKeyId"],
            "secret_access_key": taken["SecretAccessKey"],
            "session_token": taken["SessionToken"],
        }
        settings = {
            "RUNS_TABLE": self.staging.runs_table,
            "MODELS_URI": f"{self.staging.folder}models/",
            "BUNDLES_URI": f"{self.staging.folder}bundles/",
            "SIGNING_KEY_ARN": self.staging.output("SigningKeyArn"),
            "SOURCE_GROUP": f"arn:aws:sagemaker:{REGION}:{DEV}:model-package-group/dev-flight-delays-models",
            "SOURCE_MODELS_URI": f"{self.dev.folder}models/",
            "SOURCE_BUNDLES_URI": f"{self.dev.folder}bundles/",
            "SOURCE_SIGNING_KEY_ARN": self.dev.output("SigningKeyArn"),
            "IMAGES": "none",
            "SOURCE_IMAGES": "none",
        }
        with acting(self.staging.server, keys, **settings):
            return pulling.handler(event, None)


@pytest.fixture(scope="module")
def taken(accounts: tuple[Account, Account]) -> Accounts:
    dev, staging = accounts
    return Accounts(dev, staging, approved_model(dev))


def test_the_receiver_takes_over_what_the_source_has_approved_and_encrypts_it_anew(taken: Accounts) -> None:
    assert taken.find() == taken.package_arn
    pulled = taken.pull()
    (container,) = pulled["containers"]
    found = taken.staging.object_at(container["ModelDataUrl"])
    assert found["Body"].read() == ARCHIVE
    assert found["SSEKMSKeyId"] == taken.staging.output("KeyArn")
    assert f"{WORKLOAD}/bundles/{PROPERTIES['bundle']}/sourcedir.tar.gz" in taken.staging.listing()
    package: Any = {name: pulled[name] for name in ("containers", "properties")}
    own = {
        "MODELS_URI": f"{taken.staging.folder}models/",
        "SIGNING_KEY_ARN": taken.staging.output("SigningKeyArn"),
    }
    with acting(taken.staging.server, taken.staging.server.document["credentials"], **own):
        assert verifying.handler(package, None)


def test_another_role_of_the_receivers_account_is_not_let_in(taken: Accounts) -> None:
    """Although its own policies allow all that the right one's do."""
    iam = taken.staging.server.client("iam")
    (policy,) = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    document = iam.get_role_policy(RoleName=ROLE, PolicyName=policy)["PolicyDocument"]
    iam.create_role(
        RoleName="impostor",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TAKEN_BY_ROOT]}),
    )
    iam.put_role_policy(RoleName="impostor", PolicyName="same", PolicyDocument=json.dumps(document))
    with pytest.raises(ClientError, match=r"impostor.* is not authorized to perform: sagemaker:DescribeModelPackage"):
        taken.pull("impostor")


@contextmanager
def bucket_closed(dev: Account) -> Iterator[None]:
    s3, bucket = dev.server.client("s3"), dev.output("ArtefactsBucket")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.put_bucket_policy(Bucket=bucket, Policy=without_others(policy))
    yield
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


@contextmanager
def key_closed(dev: Account, output: str) -> Iterator[None]:
    kms, key = dev.server.client("kms"), dev.output(output)
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=without_others(policy))
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


@contextmanager
def group_closed(dev: Account) -> Iterator[None]:
    client, group = dev.server.client("sagemaker"), {"ModelPackageGroupName": "dev-flight-delays-models"}
    policy = client.get_model_package_group_policy(**group)["ResourcePolicy"]
    client.delete_model_package_group_policy(**group)
    yield
    client.put_model_package_group_policy(**group, ResourcePolicy=policy)


def without_others(policy: str) -> str:
    """A policy without the statements that let another account in."""
    document = json.loads(policy)
    rest = [each for each in document["Statement"] if "aws:PrincipalArn" not in json.dumps(each)]
    assert len(rest) < len(document["Statement"])
    return json.dumps({**document, "Statement": rest})


@pytest.mark.parametrize(
    ("closed", "action"),
    [
        (bucket_closed, "s3:GetObject"),
        (lambda dev: key_closed(dev, "KeyArn"), "kms:Decrypt"),
        (lambda dev: key_closed(dev, "SigningKeyArn"), "kms:Verify"),
        (group_closed, "sagemaker:DescribeModelPackage"),
    ],
    ids=["bucket", "key", "signing key", "group"],
)
def test_nothing_comes_over_that_the_source_does_not_give(taken: Accounts, closed: Any, action: str) -> None:
    with closed(taken.dev), pytest.raises(ClientError, match=f"not authorized to perform: {action}"):
        taken.pull()


def test_what_was_tampered_with_at_the_source_does_not_come_over(taken: Accounts) -> None:
    package = taken.dev.server.client("sagemaker").describe_model_package(ModelPackageName=taken.package_arn)
    (container,) = package["InferenceSpecification"]["Containers"]
    key = container["ModelDataUrl"].partition(f"/{WORKLOAD}/")[2]
    taken.dev.put(key, b"tampered with")
    try:
        with pytest.raises(ArtefactTampered, match="has the SHA-256"):
            taken.pull()
    finally:
        taken.dev.put(key, ARCHIVE)


def test_a_server_without_neighbours_knows_no_other_account(taken: Accounts) -> None:
    client = taken.dev.server.client("s3")
    with pytest.raises(ClientError, match=r"NoSuchBucket|404|does not exist"):
        client.get_object(Bucket=taken.staging.output("ArtefactsBucket"), Key="any")
