import re
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
        (
            {"zones": ZONES, "tracking": {"server": "tiny"}},
            "context stages.dev.tracking.server: input should be 'serverless', 'small', 'medium' or 'large', "
            'was "tiny"',
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


@pytest.mark.parametrize(
    ("only", "pipeline", "message"),
    [
        ("test", None, 'context stage: must be one of dev, prod, was "test"'),
        ({"dev": {}}, None, "context stage: must be one of dev, prod, was"),
        ("dev", {}, 'context stage: must be absent where a pipeline deploys, was "dev"'),
    ],
)
def test_refuses_to_synthesise_one_stage_that_is_not_there_or_not_alone(
    only: object, pipeline: object, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        PlatformConfig.parse({"dev": {"zones": ZONES}, "prod": {"zones": ZONES}}, None, pipeline, only)


# --- costs and audit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": {}}, "context stages.dev.budget.monthly_usd: is required"),
        ({"budget": {"monthly_usd": 0.0}}, "context stages.dev.budget.monthly_usd: input should be greater than 0"),
        (
            {"budget": {"monthly_eur": 1.0}},
            "context stages.dev.budget.monthly_eur: is not a known key (allowed: monthly_usd, unusual_usd)",
        ),
        ({"audit_trail": {"retention_days": 30}}, "context stages.dev.audit_trail.retention_days: input should be"),
    ],
)
def test_refuses_budgets_and_trails_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    assert message in refusal({"zones": ZONES, **settings})


# --- promotion -----------------------------------------------------------------------------------------------------

PLACES = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}


def promotion(source: str, **changed: str) -> dict[str, str]:
    key = f"arn:aws:kms:eu-west-1:{PLACES[source]}:key/1"
    return {"source": source, "artefacts_bucket": "artefacts", "key": key, "signing_key": key, **changed}


def stages(**promotions: Any) -> dict[str, Any]:
    """Three stages in three accounts, and where each takes models from."""
    return {
        name: {"zones": ZONES, "account": account, "region": "eu-west-1"}
        | ({"promotion": promotions[name]} if name in promotions else {})
        for name, account in PLACES.items()
    }


def test_models_may_go_from_stage_to_stage() -> None:
    config = PlatformConfig.parse(stages(staging=promotion("dev"), prod=promotion("staging")))
    dev, staging, prod = config.stages
    assert (config.receivers(dev), config.receivers(staging), config.receivers(prod)) == ((staging,), (prod,), ())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            stages(staging={**promotion("dev"), "source": "test"}),
            'context stages.staging.promotion.source: must be another stage (dev, prod), was "test"',
        ),
        (
            stages(staging=promotion("staging")),
            'context stages.staging.promotion.source: must be another stage (dev, prod), was "staging"',
        ),
        (
            stages(staging=promotion("prod"), prod=promotion("staging")),
            "context stages.staging.promotion: goes in a circle: staging from prod from staging",
        ),
        (
            stages(staging=promotion("dev", signing_key="arn:aws:kms:eu-west-1:999999999999:key/1")),
            "context stages.staging.promotion.signing_key: must be a key of stage dev, was",
        ),
        (
            stages(staging=promotion("dev", key="alias/lake")),
            "context stages.staging.promotion.key: must match ^arn:aws",
        ),
        (
            stages(staging={"source": "dev"}),
            "context stages.staging.promotion.artefacts_bucket: is required",
        ),
        (
            stages(staging=promotion("dev", bucket="b")),
            "context stages.staging.promotion.bucket: is not a known key (allowed: source, artefacts_bucket,",
        ),
        (
            {**stages(staging=promotion("dev")), "dev": {"zones": ZONES}},
            "context stages.staging.promotion: stage dev needs account and region for it",
        ),
        (
            {
                **stages(staging=promotion("dev")),
                "dev": {"zones": ["us-east-1a", "us-east-1b"], "account": PLACES["dev"], "region": "us-east-1"},
            },
            "context stages.staging.promotion.source: must be in the same region eu-west-1, dev is in us-east-1",
        ),
    ],
)
def test_refuses_a_promotion_that_cannot_work(changed: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PlatformConfig.parse(changed)
    assert message in str(refused.value)
