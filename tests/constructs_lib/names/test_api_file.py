"""What ``serving.api`` and ``serving.experiment`` of a workload file must say, and the document that comes of it."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate

from constructs_lib.names.openapi import PATH, Checked, deployed, document
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from serve_prediction.checking import BadRequest, parse

POOL = "eu-west-1_Shop"
TOKENS = {"issuer": "https://login.example.com/shop", "audiences": ["predictions"]}
SHOP: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "returned",
    "event_time": "placed",
    "sources": {
        "orders": {
            "key": ["order"],
            "known_later": ["returned"],
            "columns": {
                "order": "bigint",
                "customer": "int",
                "placed": "timestamp",
                "amount": "double",
                "channel": "string",
                "gift": "boolean",
                "since": "date",
                "returned": "boolean",
            },
        },
        "visits": {"columns": {"person": "int", "seen_at": "timestamp", "pages": "int"}},
    },
}
GROUPS = {
    "visits_of": {
        "source": "visits",
        "key": "person",
        "joined_on": "customer",
        "event_time": "seen_at",
        "features": {"pages": "int"},
    }
}


def shop(api: dict[str, Any] | None = None, **changes: Any) -> WorkloadFile:
    content = {**copy.deepcopy(SHOP), "serving": {"api": {} if api is None else api}, **changes}
    return WorkloadFile.parse(content)


def described(api: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    workload = shop(api, **changes)
    assert workload.serving.api is not None
    return document(workload.described(), workload.serving.api)


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ({"authorizer": "oidc"}, "serving.api.authorizer: allowed: 'iam', 'cognito' or 'jwt', was \"oidc\""),
        ({"authorizer": "cognito"}, "serving.api.user_pool: is required for authorizer: cognito"),
        ({"authorizer": "jwt"}, "serving.api.tokens: is required for authorizer: jwt"),
        ({"tokens": TOKENS}, "serving.api.tokens: only for authorizer: jwt, was iam"),
        (
            {"authorizer": "jwt", "tokens": {**TOKENS, "issuer": "http://login.example.com"}},
            "serving.api.tokens.issuer: must match",
        ),
        (
            {"authorizer": "jwt", "tokens": {**TOKENS, "audiences": []}},
            "serving.api.tokens.audiences: tuple should have at least 1 item",
        ),
        (
            {"authorizer": "jwt", "tokens": {**TOKENS, "claims": {"team": []}}},
            "serving.api.tokens.claims.team: tuple should have at least 1 item",
        ),
        ({"scopes": ["a"]}, "scopes: only for authorizer: cognito or jwt, was iam"),
        ({"sticky_by": "custumer"}, "'custumer' is not a request attribute; did you mean 'customer'?"),
        ({"sticky_by": "header:X-A"}, "serving.api.sticky_by: must match"),
        ({"allowed": {"amount": [1]}}, "serving.api.allowed.amount: values of type double cannot be listed"),
        ({"allowed": {"channel": [1]}}, "serving.api.allowed.channel: must be values of type string, was 1"),
        ({"allowed": {"channel": []}}, "serving.api.allowed.channel: must name at least one value"),
        ({"allowed": {"chanel": ["a"]}}, "did you mean 'channel'?"),
        ({"rate": 0}, "serving.api.rate: input should be greater than or equal to 1, was 0"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(api: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        shop(api)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("experiment", "changes", "words"),
    [
        ({"challenger_share": 0.05}, {}, "challenger_share: must be between smallest_share (0.1) and its rest (0.9)"),
        ({}, {"problem": "regression", "target": "amount"}, "clip: is required for problem: regression"),
        ({}, {"problem": "clustering", "target": None}, "has no meaning for problem: clustering"),
        ({"level": 0.5}, {}, "serving.experiment.level: input should be less than or equal to 0.2"),
    ],
)
def test_an_experiment_that_cannot_be_judged_is_refused(
    experiment: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    content = {**copy.deepcopy(SHOP), **changes, "serving": {"experiment": experiment}}
    with pytest.raises(WorkloadFileError) as refused:
        WorkloadFile.parse({name: value for name, value in content.items() if value is not None})
    assert words in str(refused.value)


def test_an_instance_has_the_columns_that_groups_go_by_in_place_of_their_features() -> None:
    assert "pages" in shop(feature_groups=GROUPS).feature_types
    request = described(feature_groups=GROUPS)["components"]["schemas"]
    assert set(request["Instance"]["required"]) == {"customer", "amount", "channel", "gift", "since"}
    assert set(request["Request"]["properties"]) == {"instances", "as_of"}
    assert "422" in described(feature_groups=GROUPS)["paths"][PATH]["post"]["responses"]


@pytest.mark.parametrize(
    ("api", "changes"),
    [
        ({}, {}),
        ({"authorizer": "cognito", "user_pool": POOL, "scopes": ["shop/ask"]}, {}),
        ({"authorizer": "jwt", "tokens": TOKENS, "scopes": ["shop/ask"]}, {}),
        ({"sticky_by": "header:x-user", "allowed": {"channel": ["web"], "customer": [1, 2]}}, {}),
        ({}, {"feature_groups": GROUPS}),
        ({}, {"problem": "regression", "target": "amount"}),
        ({}, {"problem": "multiclass_classification", "target": "channel"}),
    ],
)
def test_the_document_is_one_of_openapi_and_its_example_is_a_request(
    api: dict[str, Any], changes: dict[str, Any]
) -> None:
    made = described(api, **changes)
    validate(made)
    operation = made["paths"][PATH]["post"]
    assert operation["security"][0].keys() <= made["components"]["securitySchemes"].keys()
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert parse(json.dumps(example), made) == example


def test_equal_workloads_have_equal_documents() -> None:
    assert json.dumps(described(), sort_keys=True) == json.dumps(described(), sort_keys=True)


@pytest.mark.parametrize("api", [{}, {"authorizer": "cognito", "user_pool": POOL}])
def test_no_method_can_be_asked_by_everybody(api: dict[str, Any]) -> None:
    made = deployed(described(api), integration_uri="arn", header=None, user_pool_arn="pool" if api else None)
    operations = [operation for path in made["paths"].values() for operation in path.values()]
    assert operations and all(operation["security"] for operation in operations)
    scheme = made["components"]["securitySchemes"]["caller"]
    assert scheme["x-amazon-apigateway-authtype"] == ("cognito_user_pools" if api else "awsSigv4")
    assert scheme.get("x-amazon-apigateway-authorizer", {}).get("providerARNs", []) == (["pool"] if api else [])


def test_callers_are_told_the_issuer_and_the_gateway_who_judges_its_tokens() -> None:
    told = described({"authorizer": "jwt", "tokens": TOKENS, "scopes": ["shop/ask"]})
    assert told["components"]["securitySchemes"]["caller"] == {
        "type": "openIdConnect",
        "openIdConnectUrl": "https://login.example.com/shop/.well-known/openid-configuration",
    }
    assert told["paths"][PATH]["post"]["security"] == [{"caller": ["shop/ask"]}]
    made = deployed(told, integration_uri="arn", header=None, checked_by=Checked("judge", 60))
    validate(made)
    scheme = made["components"]["securitySchemes"]["caller"]
    judge = scheme["x-amazon-apigateway-authorizer"]
    assert (scheme["type"], scheme["name"], scheme["in"]) == ("apiKey", "Authorization", "header")
    assert (judge["type"], judge["authorizerUri"], judge["authorizerResultTtlInSeconds"]) == ("token", "judge", 60)
    assert made["paths"][PATH]["post"]["security"] == [{"caller": []}], "scopes are the function's to judge"
    failed = made["x-amazon-apigateway-gateway-responses"]["AUTHORIZER_FAILURE"]
    assert failed["statusCode"] == "503"


@pytest.mark.parametrize(
    ("header", "asked"),
    [("Bearer a.b.c", True), ("bearer a-_.b.c", True), ("a.b.c", False), ("Bearer a.b", False), ("Basic a.b.c", False)],
)
def test_the_gateway_refuses_what_is_no_token_without_asking(header: str, asked: bool) -> None:
    told = described({"authorizer": "jwt", "tokens": TOKENS})
    made = deployed(told, integration_uri="arn", header=None, checked_by=Checked("judge", 60))
    judge = made["components"]["securitySchemes"]["caller"]["x-amazon-apigateway-authorizer"]
    assert (re.search(judge["identityValidationExpression"], header) is not None) is asked


def test_the_gateway_gets_a_schema_that_it_can_judge_and_no_examples() -> None:
    made = deployed(described({"sticky_by": "header:x-user"}), integration_uri="arn", header="x-user")
    validate(made)
    operation = made["paths"][PATH]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Envelope")
    assert "example" not in json.dumps(made)
    responses = made["x-amazon-apigateway-gateway-responses"]
    assert responses["BAD_REQUEST_PARAMETERS"]["statusCode"] == "400"
    said = json.loads(responses["BAD_REQUEST_BODY"]["responseTemplates"]["application/json"])
    assert said["field"] == "body"


def _with_whole_numbers(instance: dict[str, Any]) -> dict[str, Any]:
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in instance.items()
    }


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(["web", "shop", "2024-01-31", 1, 2, 1.0, -0.0, 2.5]),
)


@given(
    st.dictionaries(
        st.sampled_from(["customer", "amount", "channel", "gift", "other"]), VALUES, min_size=3, max_size=5
    ),
    st.booleans(),
)
def test_a_request_is_taken_exactly_if_a_validator_of_openapi_takes_it(instance: dict[str, Any], whole: bool) -> None:
    """Validators differ on whether 1.0 is a whole number; here it is one, so the validator is given 1."""
    made = described({"allowed": {"channel": ["web", "shop"]}})
    base = {"customer": 1, "amount": 1.0, "channel": None, "gift": True, "since": "2024-01-31"}
    request = {"instances": [{**base, **instance} if whole else instance]}
    schema = {**made["components"]["schemas"]["Request"], "components": made["components"]}
    taken = OAS30Validator(schema).is_valid({"instances": [_with_whole_numbers(each) for each in request["instances"]]})
    try:
        parse(json.dumps(request), made)
    except BadRequest:
        assert not taken
    else:
        assert taken
