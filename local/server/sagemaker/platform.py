"""What every part of the local SageMaker shares: the host, the store, tags, roles and events."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local.server.host import Caller, Credentials, Denied, Host, Settings
from local.server.sagemaker.errors import invalid
from local.server.sagemaker.faults import Faults
from local.server.sagemaker.resources import Kind
from local.server.sagemaker.service_model import output_shape
from local.server.sagemaker.shaping import milliseconds, shaped
from local.server.sagemaker.store import Document, Store

log = logging.getLogger("gapless.sagemaker")

SERVICE = "sagemaker.amazonaws.com"

Operation = Callable[[Document, Caller], Document]


@dataclass(frozen=True)
class Platform:
    """The ground that jobs, endpoints and the registry stand on.

    Attributes:
        stopping: Set when the server goes down; nothing that ends from then on is a failure of its own.
    """

    host: Host
    store: Store
    stopping: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return Faults(self.settings.state_dir)

    @property
    def settings(self) -> Settings:
        """How the server runs."""
        return self.host.settings

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of a resource."""
        return kind.arn(self.settings, name)

    def assume(self, role_arn: str, session: str, source_arn: str) -> Credentials:
        """Credentials of a role that a job, a model or an endpoint acts under.

        Raises:
            Denied: The role does not exist or does not trust SageMaker.
        """
        return self.host.mint(role_arn, SERVICE, session, source_arn)

    def pass_role(self, caller: Caller, role_arn: str, source_arn: str) -> Credentials:
        """Refuse a role that the caller may not pass, or that does not trust SageMaker; returns its credentials.

        Raises:
            Denied: ``iam:PassRole`` is missing.
            ServiceError: SageMaker cannot assume the role (``ValidationException``).
        """
        self.host.pass_role(caller, role_arn, SERVICE)
        try:
            return self.assume(role_arn, "SageMaker", source_arn)
        except Denied as error:
            raise invalid(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{SERVICE}' to assume the role. {error}"
            ) from error

    def tag_new(self, caller: Caller, arn: str, params: Document) -> None:
        """Keep the tags of a creation; as on AWS that takes ``sagemaker:AddTags`` on the new resource."""
        tags = {tag["Key"]: tag["Value"] for tag in params.pop("Tags", [])}
        if tags:
            self.host.check(caller, "sagemaker:AddTags", arn)
            self.store.add_tags(arn, tags)

    def emit(self, kind: Kind, title: str, document: Document, **more: Any) -> None:
        """Tell the event bus about a new state.

        The detail is the answer of the kind's Describe operation, with times in milliseconds, plus ``more``.
        """
        arn = document[kind.arn_member]
        detail = shaped(output_shape(f"Describe{kind.name}"), document, milliseconds)
        detail |= {"Tags": self.store.tags(arn), **more}
        try:
            self.host.emit("aws.sagemaker", f"SageMaker {title} State Change", detail, [arn])
        except Exception:  # like AWS, a job does not fail because nobody could be told
            log.exception("event about %s was not delivered", arn)


def timestamp(value: float | str) -> float:
    """A time as requests give it, epoch seconds or ISO 8601, in epoch seconds."""
    if isinstance(value, str):
        moment = dt.datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    return value
