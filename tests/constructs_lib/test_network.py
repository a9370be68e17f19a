import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk.assertions import Match, Template

from constructs_lib.keys import EncryptionKey
from constructs_lib.network import ExistingNetwork, Network, OwnNetwork

ZONES = ("eu-west-1a", "eu-west-1b")


def any_network(stack: Stack, plan: OwnNetwork | ExistingNetwork | None = None) -> Network:
    key = EncryptionKey(stack, "Key", description="Logs", logs=True)
    return Network(stack, "Network", plan=plan if plan is not None else OwnNetwork(zones=ZONES), log_key=key)


def existing() -> ExistingNetwork:
    return ExistingNetwork(
        vpc_id="vpc-0123456789abcdef0", zones=ZONES, private_subnet_ids=("subnet-0a1b2c3d", "subnet-1a1b2c3d")
    )


def routes(template: Template) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template.find_resources("AWS::EC2::Route").values()]


def test_has_one_private_subnet_in_each_named_zone(stack: Stack) -> None:
    network = any_network(stack)
    subnets = [each["Properties"] for each in Template.from_stack(stack).find_resources("AWS::EC2::Subnet").values()]
    assert [each["AvailabilityZone"] for each in subnets] == list(ZONES)
    assert not any(each["MapPublicIpOnLaunch"] for each in subnets)
    assert len(network.subnets) == len(network.subnet_ids) == 2


def test_nothing_leads_to_the_internet_by_default(stack: Stack) -> None:
    any_network(stack)
    template = Template.from_stack(stack)
    assert routes(template) == []
    assert template.find_resources("AWS::EC2::InternetGateway") == {}
    assert template.find_resources("AWS::EC2::NatGateway") == {}


def test_reaches_buckets_and_tables_of_the_own_account_without_the_internet(stack: Stack) -> None:
    any_network(stack)
    template = Template.from_stack(stack)
    for service in ("s3", "dynamodb"):
        template.has_resource_properties(
            "AWS::EC2::VPCEndpoint",
            {
                "VpcEndpointType": "Gateway",
                "ServiceName": {"Fn::Join": ["", ["com.amazonaws.", {"Ref": "AWS::Region"}, f".{service}"]]},
                "RouteTableIds": [Match.any_value(), Match.any_value()],
                "PolicyDocument": {
                    "Statement": [{"Condition": {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}}]
                },
            },
        )


def test_jobs_let_nothing_in_and_only_https_out(stack: Stack) -> None:
    any_network(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "SecurityGroupIngress": Match.absent(),
            "SecurityGroupEgress": [Match.object_like({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443})],
        },
    )


def test_flows_are_logged_encrypted_for_a_while(stack: Stack) -> None:
    any_network(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Logs::LogGroup",
        {"RetentionInDays": 365, "KmsKeyId": {"Fn::GetAtt": [Match.string_like_regexp("Key"), "Arn"]}},
    )
    template.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": "ALL", "ResourceType": "VPC"})
    template.has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [{"Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}}]
            }
        },
    )


def test_nat_gives_each_zone_its_own_way_out(stack: Stack) -> None:
    any_network(stack, OwnNetwork(zones=ZONES, nat=True))
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::EC2::NatGateway", 2)
    nats = [each["NatGatewayId"] for each in routes(template) if "NatGatewayId" in each]
    assert len(nats) == 2
    assert nats[0] != nats[1]


def test_interface_endpoints_answer_only_inside_the_network(stack: Stack) -> None:
    any_network(stack, OwnNetwork(zones=ZONES, cidr="10.9.0.0/16", interface_endpoints=True))
    template = Template.from_stack(stack)
    found = template.find_resources("AWS::EC2::VPCEndpoint", {"Properties": {"VpcEndpointType": "Interface"}})
    services = {each["Properties"]["ServiceName"]["Fn::Join"][1][2] for each in found.values()}
    assert {".sagemaker.api", ".sagemaker.runtime", ".kms", ".logs", ".states"} <= services
    template.has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {"SecurityGroupIngress": [Match.object_like({"CidrIp": "10.9.0.0/16", "FromPort": 443, "ToPort": 443})]},
    )


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "192.168.4.0/24"])
def test_subnets_never_overlap(stack: Stack, cidr: str) -> None:
    zones = tuple(f"eu-west-1{letter}" for letter in "abcdefgh")
    any_network(stack, OwnNetwork(zones=zones, cidr=cidr, nat=True))
    found = Template.from_stack(stack).find_resources("AWS::EC2::Subnet").values()
    ranges = [IPv4Network(each["Properties"]["CidrBlock"]) for each in found]
    assert len(ranges) == 16
    assert all(each.subnet_of(IPv4Network(cidr)) for each in ranges)
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)


def test_an_existing_network_is_taken_as_it_is(stack: Stack) -> None:
    network = any_network(stack, existing())
    template = Template.from_stack(stack)
    assert set(template.find_resources("AWS::EC2::SecurityGroup"))
    assert template.find_resources("AWS::EC2::VPC") == {}
    assert template.find_resources("AWS::EC2::VPCEndpoint") == {}
    assert network.subnet_ids == ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]
    assert [each.availability_zone for each in network.subnets] == list(ZONES)


@pytest.mark.parametrize("plan", [OwnNetwork(zones=ZONES), existing()], ids=["own", "existing"])
def test_nothing_is_looked_up(app: App, plan: OwnNetwork | ExistingNetwork) -> None:
    stack = Stack(app, "Placed", env=Environment(account="111122223333", region="eu-west-1"))
    network = any_network(stack, plan)
    assert network.vpc.availability_zones == list(ZONES)
    manifest = json.loads((Path(app.synth().directory) / "manifest.json").read_text())
    assert "missing" not in manifest


def test_offers_the_same_security_group_every_time(stack: Stack) -> None:
    network = any_network(stack)
    assert network.security_group is network.security_group
    assert network.security_group.security_group_id == network.security_group_id


@pytest.mark.parametrize(
    ("zones", "cidr", "message"),
    [
        (("eu-west-1a",), "10.0.0.0/16", "two to eight different zones"),
        (("eu-west-1a", "eu-west-1a"), "10.0.0.0/16", "two to eight different zones"),
        (tuple(f"eu-west-1{letter}" for letter in "abcdefghi"), "10.0.0.0/16", "two to eight different zones"),
        (ZONES, "10.0.0.0/8", "between /16 and /24, got: 10.0.0.0/8"),
        (ZONES, "10.0.0.0/28", "between /16 and /24, got: 10.0.0.0/28"),
        (ZONES, "10.0.0.1/16", "has host bits set"),
    ],
)
def test_refuses_a_network_that_cannot_be(zones: tuple[str, ...], cidr: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OwnNetwork(zones=zones, cidr=cidr)


def test_refuses_an_existing_network_without_a_zone_for_each_subnet() -> None:
    with pytest.raises(ValueError, match="got 2 subnets and 1 zones"):
        ExistingNetwork(vpc_id="vpc-1", zones=("eu-west-1a",), private_subnet_ids=("subnet-1", "subnet-2"))


def test_two_networks_live_in_one_stack(stack: Stack) -> None:
    any_network(stack)
    key = EncryptionKey(stack, "Other", description="Logs", logs=True)
    Network(stack, "Second", plan=OwnNetwork(zones=ZONES), log_key=key)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPC", 2)
