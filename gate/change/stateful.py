"""What holds something that a template cannot bring back, and how it gets out of the way of a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOLDS: Mapping[str, str] = {
    "AWS::CodeCommit::Repository": "a git repository with its history",
    "AWS::Cognito::UserPool": "people's accounts; passwords cannot be exported",
    "AWS::DynamoDB::GlobalTable": "items",
    "AWS::DynamoDB::Table": "items",
    "AWS::ECR::Repository": "images that models are pinned to by digest",
    "AWS::EFS::FileSystem": "files",
    "AWS::FSx::FileSystem": "files",
    "AWS::Glue::Catalog": "databases",
    "AWS::Glue::DataCatalogEncryptionSettings": "how the catalogue of the whole account is encrypted",
    "AWS::Glue::Database": "tables, partitions and the grants on them",
    "AWS::Glue::SecurityConfiguration": "the key that jobs encrypt what they write with",
    "AWS::Glue::Table": "partitions, versions and the grants on them",
    "AWS::KMS::Key": "the only way to read what it has encrypted",
    "AWS::KMS::ReplicaKey": "the only way to read what it has encrypted",
    "AWS::Kinesis::Stream": "records that nobody has read yet",
    "AWS::LakeFormation::DataLakeSettings": "who administers the lake of the whole account",
    "AWS::LakeFormation::Resource": "the location that grants on tables stand on",
    "AWS::LakeFormation::Tag": "the tag that grants on tables stand on",
    "AWS::OpenSearchService::Domain": "indices, dashboards and who may see them",
    "AWS::RDS::DBCluster": "databases",
    "AWS::RDS::DBInstance": "databases",
    "AWS::RedshiftServerless::Namespace": "databases",
    "AWS::S3::Bucket": "objects",
    "AWS::S3Tables::TableBucket": "tables",
    "AWS::SageMaker::Domain": "people's profiles, spaces and files",
    "AWS::SageMaker::FeatureGroup": "features, online and offline",
    "AWS::SageMaker::MlflowApp": "experiments",
    "AWS::SageMaker::MlflowTrackingServer": "experiments",
    "AWS::SageMaker::ModelPackageGroup": "models, their approvals and their lineage",
    "AWS::SageMaker::Space": "files of the people who work in it",
    "AWS::SageMaker::UserProfile": "files of one person",
    "AWS::SecretsManager::Secret": "a secret that may be known nowhere else",
}
"""Resource types that hold something, each with what it is."""

KEPT_BY_HABIT = ("AWS::ApiGateway::Deployment", "AWS::Lambda::LayerVersion", "AWS::Lambda::Version")
"""Types that constructs of the CDK retain although nothing is lost with them: they are made anew from code."""

RETAINING = ("Retain", "RetainExceptOnCreate")
_STRENGTH = {"Delete": 0, "Snapshot": 1, "RetainExceptOnCreate": 2, "Retain": 2}
_SNAPSHOT_BY_DEFAULT = ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance")

_COPIES: Mapping[str, str] = {
    "AWS::S3::Bucket": "copy the objects (`aws s3 sync`, or S3 Batch Operations where versions matter)",
    "AWS::DynamoDB::Table": "export the items to S3 at a point in time and import them, or restore a backup under the "
    "new name",
    "AWS::KMS::Key": "leave the old key enabled as long as anything is encrypted with it, and encrypt that anew with "
    "the new one",
    "AWS::Glue::Database": "make the tables and grants anew and load the partitions (`MSCK REPAIR TABLE`)",
    "AWS::Glue::Table": "load the partitions anew (`MSCK REPAIR TABLE`; an Iceberg table: register its metadata)",
    "AWS::SageMaker::FeatureGroup": "give the new group another name and ingest the history from the offline store of "
    "the old one",
    "AWS::SageMaker::ModelPackageGroup": "register and approve the models that are still needed in the new group",
    "AWS::SageMaker::Domain": "copy people's files out of the old domain's file system",
    "AWS::ECR::Repository": "copy the images by digest",
}


def holds(resource: Mapping[str, Any]) -> str | None:
    """Returns what a resource holds, or nothing where it can be made anew from its template.

    What says that it outlives its stack holds something, whatever its type.
    """
    resource_type = resource["Type"]
    if resource_type in HOLDS:
        return HOLDS[resource_type]
    retained = max(strength(resource, attribute) for attribute in ("DeletionPolicy", "UpdateReplacePolicy"))
    if retained and resource_type not in KEPT_BY_HABIT:
        return "something that is meant to outlive its stack"
    return None


def strength(resource: Mapping[str, Any], attribute: str) -> int:
    """Ranks what becomes of a resource: 0 it goes, 1 a snapshot stays, 2 it stays.

    Args:
        resource: As in a template.
        attribute: ``DeletionPolicy`` or ``UpdateReplacePolicy``.
    """
    by_default = "Snapshot" if resource["Type"] in _SNAPSHOT_BY_DEFAULT and attribute == "DeletionPolicy" else "Delete"
    return _STRENGTH.get(str(resource.get(attribute, by_default)), 0)


def way_to_copy(resource_type: str) -> str:
    """Says how what the old thing holds gets into a new one, as an imperative."""
    return _COPIES.get(resource_type, "bring over what is still needed")
