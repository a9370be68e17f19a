"""A fast file system in front of the datasets: FSx for Lustre, for training that reads them again and again."""

from __future__ import annotations

from typing import Final

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_fsx as fsx
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.machines.jobs import LustrePlace

CAPACITIES_GB: Final = (1200, 2400)
"""The smallest sizes; larger ones are multiples of 2,400."""
THROUGHPUTS: Final = (125, 250, 500, 1000)
"""Megabytes per second for each terabyte of storage."""

_PORTS = ((988, 988), (1018, 1023))
_FOLDER = "/datasets"


class DatasetCache(Construct):
    """Defines a Lustre file system whose ``/datasets`` shows the datasets bucket; it costs money while it exists.

    New, changed and deleted objects appear by themselves; contents are fetched when they are first read. Nothing is
    ever written back, and nothing is lost with the file system: the bucket has it all.

    Args:
        bucket_name: The datasets bucket.
        key: Encrypts what is stored.
        vpc_id: Where it is.
        subnet_id: In this one subnet.
        client_group_id: The security group of jobs, which may reach the file system.
        capacity_gb: 1,200, 2,400 or a multiple of 2,400.
        throughput: Megabytes per second for each terabyte: 125, 250, 500 or 1,000.

    Attributes:
        place: What a training channel must know of it.

    Raises:
        ValueError: A size or throughput that FSx does not offer.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket_name: str,
        key: kms.IKey,
        vpc_id: str,
        subnet_id: str,
        client_group_id: str,
        capacity_gb: int = 1200,
        throughput: int = 125,
    ) -> None:
        super().__init__(scope, construct_id)
        check_size(capacity_gb, throughput)
        group = self._reachable_by(client_group_id, vpc_id)
        file_system = fsx.CfnFileSystem(
            self,
            "FileSystem",
            file_system_type="LUSTRE",
            file_system_type_version="2.15",
            storage_capacity=capacity_gb,
            storage_type="SSD",
            subnet_ids=[subnet_id],
            security_group_ids=[group.attr_group_id],
            kms_key_id=key.key_arn,
            lustre_configuration=fsx.CfnFileSystem.LustreConfigurationProperty(
                deployment_type="PERSISTENT_2",
                per_unit_storage_throughput=throughput,
                data_compression_type="LZ4",
                automatic_backup_retention_days=0,
            ),
        )
        fsx.CfnDataRepositoryAssociation(
            self,
            "Datasets",
            file_system_id=file_system.ref,
            file_system_path=_FOLDER,
            data_repository_path=f"s3://{bucket_name}/",
            batch_import_meta_data_on_create=True,
            s3=fsx.CfnDataRepositoryAssociation.S3Property(
                auto_import_policy=fsx.CfnDataRepositoryAssociation.AutoImportPolicyProperty(
                    events=["NEW", "CHANGED", "DELETED"]
                )
            ),
        )
        self.place = LustrePlace(
            file_system_id=file_system.ref,
            folder=Fn.join("", ["/", file_system.attr_lustre_mount_name, _FOLDER]),
            bucket_name=bucket_name,
        )

    def _reachable_by(self, client_group_id: str, vpc_id: str) -> ec2.CfnSecurityGroup:
        """Defines the group of the file servers, and lets jobs and servers talk to each other by Lustre's ports."""
        group = ec2.CfnSecurityGroup(
            self, "SecurityGroup", group_description="Lustre: file servers, and the jobs that read", vpc_id=vpc_id
        )
        for first, last in _PORTS:
            for name, other in (("Servers", group.attr_group_id), ("Jobs", client_group_id)):
                ec2.CfnSecurityGroupIngress(
                    self,
                    f"{name}{first}",
                    group_id=group.attr_group_id,
                    ip_protocol="tcp",
                    from_port=first,
                    to_port=last,
                    source_security_group_id=other,
                    description=f"Lustre from {name.lower()}",
                )
            ec2.CfnSecurityGroupEgress(
                self,
                f"JobsTo{first}",
                group_id=client_group_id,
                ip_protocol="tcp",
                from_port=first,
                to_port=last,
                destination_security_group_id=group.attr_group_id,
                description="Lustre from jobs",
            )
        return group


def check_size(capacity_gb: int, throughput: int) -> None:
    """Refuses sizes that FSx for Lustre does not offer.

    Raises:
        ValueError: The capacity is neither 1,200 nor a multiple of 2,400, or the throughput is none of the steps.
    """
    if capacity_gb not in CAPACITIES_GB and (capacity_gb <= 0 or capacity_gb % CAPACITIES_GB[-1]):
        raise ValueError(f"capacity_gb must be 1200 or a multiple of 2400, got: {capacity_gb}")
    if throughput not in THROUGHPUTS:
        raise ValueError(f"throughput must be one of {', '.join(map(str, THROUGHPUTS))}, got: {throughput}")
