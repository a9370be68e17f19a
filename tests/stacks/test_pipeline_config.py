"""What the context ``pipeline`` may say."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.config import ConfigurationError, PlatformConfig
from stacks.pipeline_config import PipelineConfig
from tests.stacks.delivered import CODECOMMIT, CONNECTION, PIPELINE, PLACES, SECRET, stages


def parse(pipeline: Any, **more: Any) -> PipelineConfig | None:
    return PlatformConfig.parse({**stages(), **more}, pipeline=pipeline).pipeline


def refusal(pipeline: Any, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        parse(pipeline, **more)
    return str(refused.value)


def test_there_is_no_pipeline_unless_one_is_asked_for() -> None:
    assert parse(None) is None


def test_the_smallest_pipeline_deploys_stage_after_stage_and_asks_before_the_last() -> None:
    config = parse({"account": "999999999999", "region": "eu-west-1", "source": CODECOMMIT})
    assert config is not None
    waves = config.waves_of(PLACES)
    assert waves == (("dev",), ("staging",), ("prod",))
    assert config.approved(waves) == {"prod"}
    assert config.deliverer("dev").trains is False


def test_waves_and_approvals_can_be_named() -> None:
    config = parse({**PIPELINE, "waves": [["dev"], ["staging", "prod"]], "approve": ["dev"]})
    assert config is not None
    waves = config.waves_of(PLACES)
    assert waves == (("dev",), ("staging", "prod"))
    assert config.approved(waves) == {"dev"}
    assert config.deliverer("dev").trains is True


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"wave": []}, "context pipeline.wave: is not a known key (allowed: name, account, region, source, waves,"),
        (
            {"waves": [["dev"], ["test"]]},
            'context pipeline.waves: there is no stage "test" (allowed: dev, staging, prod)',
        ),
        (
            {"waves": [["dev"], ["staging", "dev"], ["prod"]]},
            "context pipeline.waves: each stage is deployed once, dev is named more than once",
        ),
        (
            {"waves": [["dev"], ["prod"]]},
            "context pipeline.waves: each stage is deployed once, staging is named in no wave",
        ),
        ({"waves": [[]]}, "context pipeline.waves.0: needs at least 1, was []"),
        ({"approve": ["live"]}, 'context pipeline.approve: there is no stage "live"'),
        ({"train_in": "live"}, 'context pipeline.train_in: there is no stage "live"'),
        ({"retired": ["prod"]}, "context pipeline.retired: stage prod is not retired, it is one of the stages"),
        ({"region": "us-gov-west-1"}, "context pipeline.region: must be in the partition of the stages (aws),"),
        ({"account": "99"}, r"context pipeline.account: must match ^\d{12}$, was "),
        ({"compute": "huge"}, "context pipeline.compute: input should be 'small', 'medium' or 'large', was \"huge\""),
        ({"bake_minutes": 600}, "context pipeline.bake_minutes: input should be less than or equal to 60, was 600"),
        (
            {"source": {**CODECOMMIT, "arn": "x"}},
            "context pipeline.source.codecommit.arn: is not a known key (allowed: kind, repository, branch)",
        ),
        (
            {"source": {**CONNECTION, "arn": str(CONNECTION["arn"]).replace("999999999999", "111111111111")}},
            "context pipeline.source.arn: must be a connection of account 999999999999 in eu-west-1, was ",
        ),
        (
            {"source": {**CODECOMMIT, "comment_token": SECRET}},
            "context pipeline.source.codecommit.comment_token: is not a known key (allowed: kind, repository, branch)",
        ),
        (
            {"source": {**CONNECTION, "comment_token": "gapless/github"}},
            "context pipeline.source.connection.comment_token: must match ^arn:aws[a-z-]*:secretsmanager:",
        ),
        (
            {"source": {**CONNECTION, "comment_token": SECRET.removesuffix("-AbCdEf") + "*"}},
            "context pipeline.source.connection.comment_token: must match ^arn:aws[a-z-]*:secretsmanager:",
        ),
        (
            {"source": {**CONNECTION, "comment_token": SECRET.replace("eu-west-1", "us-east-1")}},
            "context pipeline.source.comment_token: must be a secret of account 999999999999 in eu-west-1, was ",
        ),
        ({"source": {"kind": "svn"}}, "context pipeline.source: input tag 'svn' found using 'kind' does not match"),
    ],
)
def test_refuses_what_does_not_fit(more: dict[str, Any], message: str) -> None:
    assert message in refusal({**PIPELINE, **more})


def test_refuses_what_is_no_mapping() -> None:
    assert refusal(["dev"]) == 'context pipeline: must be a mapping, was ["dev"]'


def test_refuses_a_stage_whose_place_it_does_not_know() -> None:
    here = {"zones": ["eu-west-1a", "eu-west-1b"]}
    message = "context stages.test: needs account and region, as a pipeline deploys it from 999999999999"
    assert refusal(PIPELINE, test=here) == message
