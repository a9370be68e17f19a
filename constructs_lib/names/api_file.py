"""``serving.api`` of ``workload.yaml``: a REST API in front of the endpoint, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import ColumnName, ColumnType, Part, shown, unknown

HEADER: Final = "header:"
"""What ``sticky_by`` starts with where it names a header and not an attribute."""

MOST_BYTES: Final = 6_000_000
"""Lambda takes no larger event."""

_STICKY: Final = r"^(header:[a-z][a-z0-9-]{0,62}|[a-z][a-z0-9_]{0,62})$"
_POOL: Final = r"^[a-z0-9-]+_[0-9a-zA-Z]+$"
_ISSUER: Final = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?$"
_Text = Annotated[str, Field(min_length=1, max_length=256)]
_LISTED: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "int": (int,), "bigint": (int,)}
"""Types of which values can be listed, and what they are in YAML."""


class Tokens(Part):
    """Which tokens of an OpenID provider count.

    Attributes:
        issuer: Who gives them, exactly as they say it themselves (``iss``); its configuration names its keys.
        audiences: For whom they are; one of these must be in a token (``aud``).
        claims: Claim → values, of which a token must have one. Default: no claim is asked for.
        cache_seconds: How long the gateway remembers that a token was let through or refused; so long it may outlive
            its expiry.
    """

    issuer: Annotated[str, Field(pattern=_ISSUER, max_length=512)]
    audiences: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=20)]
    claims: dict[_Text, Annotated[tuple[_Text, ...], Field(min_length=1, max_length=20)]] = Field(
        default={}, max_length=10
    )
    cache_seconds: Annotated[int, Field(ge=0, le=300)] = 60


class Api(Part):
    """A REST API whose only method asks the endpoint for predictions.

    Attributes:
        authorizer: Who may ask: ``iam``, whoever may ``execute-api:Invoke``; ``cognito``, whoever has a token of a
            Cognito user pool; ``jwt``, whoever has one of another OpenID provider. There is no method without an
            authorizer.
        user_pool: Id of the user pool, for ``cognito``; it is one of the account and region of the stage.
        tokens: Which tokens count, for ``jwt``.
        scopes: OAuth scopes, one of which a token must have, for ``cognito`` and ``jwt``. Default: identity tokens
            count as well.
        rate: Requests per second that are let through over time.
        burst: Requests that are let through at once.
        most_instances: Instances that one request may have.
        waf: Whether AWS WAF inspects requests; costs while idle.
        waf_rate: Requests of one address within five minutes above which the WAF blocks it.
        sticky_by: What decides which of several variants answers: an attribute of the request's instances, or
            ``header:<name>``. Equal values always meet the same variant. Default: each request is drawn by itself.
        allowed: Attribute → the values that it may have, beside null. Default: any value of the attribute's type.
        shift_minutes: How long a new version of the function gets a tenth of the requests before it gets all.
    """

    authorizer: Literal["iam", "cognito", "jwt"] = "iam"
    user_pool: Annotated[str, Field(pattern=_POOL)] | None = None
    tokens: Tokens | None = None
    scopes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    rate: Annotated[int, Field(ge=1, le=10_000)] = 50
    burst: Annotated[int, Field(ge=1, le=5_000)] = 100
    most_instances: Annotated[int, Field(ge=1, le=1_000)] = 100
    waf: bool = False
    waf_rate: Annotated[int, Field(ge=10, le=2_000_000_000)] = 2_000
    sticky_by: Annotated[str, Field(pattern=_STICKY)] | None = None
    allowed: dict[ColumnName, tuple[str | int, ...]] = Field(default={})
    shift_minutes: Literal[5, 10, 15, 30] = 5

    @model_validator(mode="after")
    def _says_whose_tokens_count(self) -> Self:
        for key, kind in (("user_pool", "cognito"), ("tokens", "jwt")):
            given = getattr(self, key) is not None
            if given and self.authorizer != kind:
                raise ValueError(f"{key}: only for authorizer: {kind}, was {self.authorizer}")
            if not given and self.authorizer == kind:
                raise ValueError(f"{key}: is required for authorizer: {kind}")
        if self.authorizer == "iam" and self.scopes:
            raise ValueError("scopes: only for authorizer: cognito or jwt, was iam")
        return self

    @property
    def sticky_header(self) -> str | None:
        """The header that decides which variant answers."""
        sticky = self.sticky_by
        return sticky.removeprefix(HEADER) if sticky is not None and sticky.startswith(HEADER) else None


def check_api(api: Api, attributes: Mapping[str, ColumnType]) -> None:
    """Checks an API against the attributes that a request's instances have, name → type.

    Raises:
        ValueError: It names an attribute that is not there, or values that are not of the attribute's type; the
            message starts with the path of the key.
    """
    sticky = api.sticky_by
    if sticky is not None and api.sticky_header is None and sticky not in attributes:
        raise ValueError(f"serving.api.sticky_by: {unknown(sticky, attributes, 'request attribute')}")
    for name, values in api.allowed.items():
        path = f"serving.api.allowed.{name}"
        if name not in attributes:
            raise ValueError(f"{path}: {unknown(name, attributes, 'request attribute')}")
        kind = attributes[name]
        if kind not in _LISTED:
            raise ValueError(f"{path}: values of type {kind} cannot be listed (allowed: {', '.join(_LISTED)})")
        if not values:
            raise ValueError(f"{path}: must name at least one value")
        wrong = [value for value in values if not _is(value, _LISTED[kind])]
        if wrong:
            raise ValueError(f"{path}: must be values of type {kind}, was {shown(wrong[0])}")


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def attributes_of(
    features: Mapping[str, ColumnType], groups: Mapping[str, Any], columns: Mapping[str, ColumnType]
) -> dict[str, ColumnType]:
    """Gives what an instance of a request has: the features that no group has, and the columns that groups go by.

    Args:
        features: The columns a model sees, name → type.
        groups: The feature groups of the workload.
        columns: The columns of the primary source after ``derive``.
    """
    read = {feature for group in groups.values() for feature in group.features}
    own = {name: kind for name, kind in features.items() if name not in read}
    return {**own, **{group.row_key: columns[group.row_key] for group in groups.values()}}
