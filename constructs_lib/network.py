"""A private network: an own VPC over named zones, or an existing one given by its ids. Nothing is ever looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import Any

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.place import ACCOUNT, REGION

INTERFACE_ENDPOINTS = (
    "sagemaker.api",
    "sagemaker.runtime",
    "sts",
    "kms",
    "logs",
    "monitoring",
    "ecr.api",
    "ecr.dkr",
    "glue",
    "athena",
    "states",
    "events",
    "sqs",
    "sns",
    "secretsmanager",
)
"""Services that get an interface endpoint where they are switched on."""

_BLOCKS_PER_NETWORK_BITS = 4
_FIRST_PUBLIC_BLOCK = 8


@dataclass(frozen=True)
class OwnNetwork:
    """Asks for a new VPC with one private subnet per zone.

    Args:
        zones: Names of at least two availability zones, at most eight.
        cidr: IPv4 range of the VPC, between /16 and /24; each subnet gets a sixteenth of it.
        nat: Whether private subnets reach the internet, through one NAT gateway per zone. Default: they do not.
        interface_endpoints: Whether AWS's APIs are reached inside the VPC; each endpoint costs money in each
            zone. Default: they are not.

    Raises:
        ValueError: Too few or too many zones, a zone named twice, or a range of the wrong size.
    """

    zones: Sequence[str]
    cidr: str = "10.0.0.0/16"
    nat: bool = False
    interface_endpoints: bool = False

    def __post_init__(self) -> None:
        if not 2 <= len(self.zones) <= _FIRST_PUBLIC_BLOCK or len(set(self.zones)) != len(self.zones):
            raise ValueError(f"a network needs two to eight different zones, got: {list(self.zones)}")
        if not 16 <= IPv4Network(self.cidr).prefixlen <= 24:
            raise ValueError(f"network range must be between /16 and /24, got: {self.cidr}")


@dataclass(frozen=True)
class ExistingNetwork:
    """Names a VPC that somebody else looks after: its endpoints, routes and flow logs are theirs.

    Args:
        vpc_id: Such as ``vpc-0123456789abcdef0``.
        zones: Availability zones of the subnets, in the same order.
        private_subnet_ids: One subnet per zone, without a route from the internet.

    Raises:
        ValueError: Fewer than two subnets, or not one per zone.
    """

    vpc_id: str
    zones: Sequence[str]
    private_subnet_ids: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.private_subnet_ids) < 2 or len(self.private_subnet_ids) != len(self.zones):
            raise ValueError(
                "an existing network needs at least two private subnets and one zone for each, "
                f"got {len(self.private_subnet_ids)} subnets and {len(self.zones)} zones"
            )


class Network(Construct):
    """Defines where jobs and endpoints run: private subnets in at least two zones, and one security group.

    The security group lets nothing in and only HTTPS out, but for what its members tell each other where that is asked
    for. The gateway endpoints' addresses lie outside the VPC's range, so HTTPS is open to any address: without NAT the
    route tables lead nowhere but to the VPC and its endpoints.

    Args:
        plan: A new VPC, or an existing one.
        log_key: Encrypts the flow logs of a new VPC. Its policy must let CloudWatch Logs use it.
        log_retention_days: How long flow logs are kept, in days. Default: a year.

    Attributes:
        vpc_id: Id of the VPC.
        subnet_ids: Ids of the private subnets, in the order of the zones.
        security_group_id: Id of the security group of jobs and endpoints.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        plan: OwnNetwork | ExistingNetwork,
        log_key: kms.IKey,
        log_retention_days: int = 365,
    ) -> None:
        super().__init__(scope, construct_id)
        if isinstance(plan, ExistingNetwork):
            vpc_id, subnet_ids, route_table_ids = plan.vpc_id, list(plan.private_subnet_ids), None
        else:
            own = _OwnVpc(self, "Own", plan)
            own.log_flows(log_key, log_retention_days)
            vpc_id, subnet_ids, route_table_ids = own.vpc_id, own.subnet_ids, own.route_table_ids
        self.vpc_id: str = vpc_id
        self.subnet_ids: list[str] = subnet_ids
        self._vpc_attributes: dict[str, Any] = {
            "vpc_id": vpc_id,
            "availability_zones": list(plan.zones),
            "private_subnet_ids": subnet_ids,
            "private_subnet_route_table_ids": route_table_ids,
        }
        self.security_group_id: str = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            group_description="Jobs and endpoints: nothing in, HTTPS out",
            vpc_id=vpc_id,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp", from_port=443, to_port=443, cidr_ip="0.0.0.0/0", description="HTTPS"
                )
            ],
        ).attr_group_id

    def allow_among_jobs(self) -> None:
        """Lets machines of the security group talk to each other, as those do that train together."""
        group, why = self.security_group_id, "Machines of one training"
        ec2.CfnSecurityGroupIngress(
            self, "FromAmongJobs", group_id=group, source_security_group_id=group, ip_protocol="-1", description=why
        )
        ec2.CfnSecurityGroupEgress(
            self, "ToAmongJobs", group_id=group, destination_security_group_id=group, ip_protocol="-1", description=why
        )

    @cached_property
    def vpc(self) -> ec2.IVpc:
        """The VPC."""
        return ec2.Vpc.from_vpc_attributes(self, "Vpc", **self._vpc_attributes)

    @property
    def subnets(self) -> list[ec2.ISubnet]:
        """The private subnets, in the order of the zones."""
        return list(self.vpc.private_subnets)

    @cached_property
    def security_group(self) -> ec2.ISecurityGroup:
        """The security group of jobs and endpoints; its rules are fixed."""
        return ec2.SecurityGroup.from_security_group_id(
            self, "FixedSecurityGroup", self.security_group_id, mutable=False
        )


class _OwnVpc(Construct):
    """Defines a VPC, its private subnets, gateway endpoints, and what the plan switches on."""

    def __init__(self, scope: Construct, construct_id: str, plan: OwnNetwork) -> None:
        super().__init__(scope, construct_id)
        self._plan = plan
        self._blocks = list(IPv4Network(plan.cidr).subnets(prefixlen_diff=_BLOCKS_PER_NETWORK_BITS))
        self.vpc_id: str = ec2.CfnVPC(
            self, "Vpc", cidr_block=plan.cidr, enable_dns_hostnames=True, enable_dns_support=True
        ).ref
        self.subnet_ids: list[str] = []
        self.route_table_ids: list[str] = []
        for index, zone in enumerate(plan.zones):
            subnet_id, route_table_id = self._subnet(f"Private{index + 1}", zone, index)
            self.subnet_ids.append(subnet_id)
            self.route_table_ids.append(route_table_id)
        self._gateway_endpoint("S3Endpoint", "s3")
        self._gateway_endpoint("DynamoDbEndpoint", "dynamodb")
        if plan.nat:
            self._reach_internet()
        if plan.interface_endpoints:
            self._reach_services()

    def log_flows(self, key: kms.IKey, retention_days: int) -> None:
        """Records accepted and refused traffic in an encrypted log group."""
        group = logs.CfnLogGroup(self, "FlowLogGroup", kms_key_id=key.key_arn, retention_in_days=retention_days)
        role = iam.CfnRole(
            self,
            "FlowLogRole",
            assume_role_policy_document=_trust("vpc-flow-logs.amazonaws.com"),
            policies=[
                iam.CfnRole.PolicyProperty(
                    policy_name="WriteFlowLogs",
                    policy_document=_document(
                        _allow(["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"], group.attr_arn)
                    ),
                )
            ],
        )
        ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc_id,
            resource_type="VPC",
            traffic_type="ALL",
            log_group_name=group.ref,
            deliver_logs_permission_arn=role.attr_arn,
        )

    def _subnet(self, name: str, zone: str, block: int) -> tuple[str, str]:
        subnet_id = ec2.CfnSubnet(
            self,
            name,
            vpc_id=self.vpc_id,
            availability_zone=zone,
            cidr_block=str(self._blocks[block]),
            map_public_ip_on_launch=False,
        ).ref
        route_table_id = ec2.CfnRouteTable(self, f"{name}Routes", vpc_id=self.vpc_id).attr_route_table_id
        ec2.CfnSubnetRouteTableAssociation(
            self, f"{name}Association", subnet_id=subnet_id, route_table_id=route_table_id
        )
        return subnet_id, route_table_id

    def _gateway_endpoint(self, name: str, service: str) -> None:
        ec2.CfnVPCEndpoint(
            self,
            name,
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{REGION}.{service}",
            vpc_endpoint_type="Gateway",
            route_table_ids=self.route_table_ids,
            policy_document=_document(
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": f"{service}:*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:ResourceAccount": ACCOUNT}},
                }
            ),
        )

    def _reach_internet(self) -> None:
        gateway_id = ec2.CfnInternetGateway(self, "InternetGateway").ref
        attachment = ec2.CfnVPCGatewayAttachment(
            self, "InternetAttachment", vpc_id=self.vpc_id, internet_gateway_id=gateway_id
        )
        for index, zone in enumerate(self._plan.zones):
            name = f"Public{index + 1}"
            subnet_id, route_table_id = self._subnet(name, zone, _FIRST_PUBLIC_BLOCK + index)
            way_out = ec2.CfnRoute(
                self,
                f"{name}Internet",
                route_table_id=route_table_id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=gateway_id,
            )
            way_out.add_resource_dependency(attachment)
            address = ec2.CfnEIP(self, f"{name}Address", domain="vpc")
            address.add_resource_dependency(attachment)
            nat = ec2.CfnNatGateway(self, f"{name}Nat", subnet_id=subnet_id, allocation_id=address.attr_allocation_id)
            nat.add_resource_dependency(way_out)
            ec2.CfnRoute(
                self,
                f"Private{index + 1}Internet",
                route_table_id=self.route_table_ids[index],
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=nat.attr_nat_gateway_id,
            )

    def _reach_services(self) -> None:
        group_id = ec2.CfnSecurityGroup(
            self,
            "ServiceSecurityGroup",
            group_description="AWS services: HTTPS from inside the VPC",
            vpc_id=self.vpc_id,
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(
                    ip_protocol="tcp", from_port=443, to_port=443, cidr_ip=self._plan.cidr, description="HTTPS"
                )
            ],
        ).attr_group_id
        for service in INTERFACE_ENDPOINTS:
            name = "".join(word.capitalize() for word in service.split("."))
            ec2.CfnVPCEndpoint(
                self,
                f"{name}Endpoint",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{REGION}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.subnet_ids,
                security_group_ids=[group_id],
            )


def _document(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], resource: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _trust(service: str) -> dict[str, object]:
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    )
