"""Somebody drops files into the landing bucket."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from constructs_lib.ingestion.producer import ProducerRole
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake


class BucketDrop(Construct):
    """Defines the way of dropped files: a folder of the landing bucket, and who may put files there.

    A file counts from the moment that it is there; it waits in the folder until a batch takes it. Files that no batch
    can take (empty, in a folder of no source) stay where they are, and the failure queue and its alarm are those of
    what makes batches: moving its messages back looks at the folder again.

    Args:
        around: Where it is.
        source: The source of the workload.
        producers: ARNs of the roles and users that deliver, for whom a role is made. Default: none is made.
        batches: What calls the function that makes batches.

    Attributes:
        folder: Where the files go, as a prefix of keys.
        intake: The queue with its failures.
        producer_role_arn: The role that producers take, when there are any.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        source: str,
        batches: EventIntake,
        producers: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self._around = around
        self.folder = f"{around.folders.incoming}{source}/"
        self.intake = batches
        self.producer_role_arn: str | None = None
        if producers:
            role = ProducerRole(
                self, "Producers", producers=producers, description=f"Drops {source} of {around.workload}"
            )
            self.grant_drop(role)
            self.producer_role_arn = role.role.role_arn

    def grant_drop(self, grantee: iam.IGrantable) -> None:
        """Lets somebody put files into the folder; reading and deleting them are other grants."""
        self._around.lake.grant_write(grantee, "landing", self.folder)
