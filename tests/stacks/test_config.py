from typing import Any

import pytest
from aws_cdk import RemovalPolicy

from constructs_lib.network import ExistingNetwork, OwnNetwork
from stacks.config import ConfigurationError, PlatformConfig, project_context

ZONES = ["eu-west-1a", "eu-west-1b"]


def parse(settings: Any, name: str = "dev", allow_removal: object = None) -> PlatformConfig:
    return PlatformConfig.parse({name: settings}, allow_removal)


def refusal(settings: Any, name: str = "dev") -> str:
    with pytest.raises(ConfigurationError) as refused:
        parse(settings, name)
    return str(refused.value)


def test_the_smallest_stage_names_its_zones() -> None:
    (stage,) = parse({"zones": ZONES}).stages
    assert stage.name == "dev"
    assert stage.network_plan == OwnNetwork(zones=("eu-west-1a", "eu-west-1b"))
    assert stage.account is None
    assert stage.removal_policy == RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


def test_the_project_has_three_stages_in_order_of_deployment() -> None:
    config = PlatformConfig.parse(project_context()["stages"])
    assert [stage.name for stage in config.stages] == ["dev", "staging", "prod"]


def test_takes_an_existing_network() -> None:
    network = {"vpc_id": "vpc-0123456789abcdef0", "private_subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]}
    (stage,) = parse({"zones": ZONES, "network": network}).stages
    assert stage.network_plan == ExistingNetwork(
        vpc_id="vpc-0123456789abcdef0",
        zones=("eu-west-1a", "eu-west-1b"),
        private_subnet_ids=("subnet-0a1b2c3d", "subnet-1a1b2c3d"),
    )


@pytest.mark.parametrize(
    ("removable", "allowed", "removed"),
    [(True, True, True), (True, "true", True), (True, None, False), (True, "false", False), (False, True, False)],
)
def test_data_may_go_only_when_stage_and_app_both_say_so(removable: bool, allowed: object, removed: bool) -> None:
    (stage,) = parse({"zones": ZONES, "removable": removable}, allow_removal=allowed).stages
    assert (stage.removal_policy == RemovalPolicy.DESTROY) is removed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"zone": ZONES, "zones": ZONES},
            "context stages.dev.zone: is not a known key (allowed: account, region, zones,",
        ),
        (
            {"zones": ZONES, "network": {"ip": "1"}},
            "context stages.dev.network.ip: is not a known key (allowed: vpc_id,",
        ),
        (
            {"zones": ZONES, "personas": {"boss": "x"}},
            "context stages.dev.personas.boss: is not a known key (allowed: data_engineer, data_scientist,",
        ),
        (
            {"zones": ZONES, "personas": {"auditor": "arn:aws:iam::1:role/x"}},
            "context stages.dev.personas.auditor: must match ^arn:aws",
        ),
        ({"zones": ZONES, "name": "dev"}, "context stages.dev.name: is not a known key"),
        ({}, "context stages.dev.zones: is required"),
        ([], "context stages.dev: must be a mapping, was []"),
        ({"zones": ["eu-west-1a"]}, 'context stages.dev.zones: needs at least 2, was ["eu-west-1a"]'),
        ({"zones": ["a", "b"]}, 'context stages.dev.zones.0: must match ^[a-z]{2}(-[a-z]+)+-\\d[a-z]$, was "a"'),
        (
            {"zones": ZONES, "account": 111122223333},
            "context stages.dev.account: input should be a valid string, was 111",
        ),
        ({"zones": ZONES, "account": "1"}, 'context stages.dev.account: must match ^\\d{12}$, was "1"'),
        (
            {"zones": ZONES, "removable": "yes"},
            'context stages.dev.removable: input should be a valid boolean, was "yes"',
        ),
        ({"zones": ZONES, "log_retention_days": 10}, "context stages.dev.log_retention_days: allowed: 1, 3, 5, 7, 14,"),
        (
            {"zones": ZONES, "on_call_email": "me"},
            'context stages.dev.on_call_email: must match ^[^@\\s]+@[^@\\s]+$, was "me"',
        ),
        (
            {"zones": ZONES, "region": "us-east-1"},
            "context stages.dev.zones: must lie in the stage's region us-east-1, was eu-west-1a, eu-west-1b",
        ),
        (
            {"zones": ZONES, "network": {"cidr": "10.0.0.0/8"}},
            "context stages.dev.network: network range must be between /16 and /24, got: 10.0.0.0/8",
        ),
        (
            {"zones": ZONES, "network": {"vpc_id": "vpc-0123456789abcdef0"}},
            "context stages.dev.network: vpc_id and private_subnet_ids belong together, only one of them was given",
        ),
        (
            {
                "zones": ZONES,
                "network": {"vpc_id": "vpc-0123456789abcdef0", "private_subnet_ids": ["subnet-0a1b2c3d"], "nat": True},
            },
            "context stages.dev.network: an existing VPC is given, so allowed: vpc_id, private_subnet_ids; not nat",
        ),
        (
            {
                "zones": ZONES,
                "network": {"vpc_id": "vpc-0123456789abcdef0", "private_subnet_ids": ["subnet-0a1b2c3d"]},
            },
            "got 1 subnets and 2 zones",
        ),
        ({"zones": ZONES, "warehouse": {}}, "context stages.dev.warehouse: needs at least 3 zones, was 2"),
        (
            {"zones": [*ZONES, "eu-west-1c"], "warehouse": {"base_rpu": 4}},
            "context stages.dev.warehouse: capacity must be a multiple of 8 from 8 to 512, got: 4",
        ),
        (
            {"zones": ZONES, "warehouse": {"size": 8}},
            "context stages.dev.warehouse.size: is not a known key (allowed: base_rpu, max_rpu)",
        ),
        (
            {"zones": ZONES, "lustre": {"capacity_gb": 1000}},
            "context stages.dev.lustre: capacity_gb must be 1200 or a multiple of 2400, got: 1000",
        ),
    ],
)
def test_refuses_a_stage_with_path_value_and_what_is_allowed(settings: Any, message: str) -> None:
    assert message in refusal(settings)


def test_names_every_mistake_at_once() -> None:
    assert len(refusal({"zones": ZONES, "removable": "yes", "account": "1"}).splitlines()) == 2


def test_refuses_a_stage_whose_name_cannot_start_names() -> None:
    assert refusal({"zones": ZONES}, name="Development") == (
        'context stages: a stage\'s name must match ^[a-z][a-z0-9]{1,7}$, was "Development"'
    )


@pytest.mark.parametrize("stages", [None, {}, [], "dev"])
def test_refuses_a_context_without_stages(stages: object) -> None:
    with pytest.raises(ConfigurationError, match="context stages: must map stage names to settings"):
        PlatformConfig.parse(stages)


def test_refuses_a_second_key_that_is_neither_yes_nor_no() -> None:
    with pytest.raises(ConfigurationError, match='context allow_removal: must be true or false, was "maybe"'):
        PlatformConfig.parse({"dev": {"zones": ZONES}}, "maybe")
