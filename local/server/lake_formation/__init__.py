"""Lake Formation on the local server: settings, locations, LF-tags and grants are kept, and decide what the catalogue
shows and what Athena reads.

What differs from AWS is told here, in one place:

* A table is governed when its location is registered, and a database when it has tags; everything else is left to IAM,
  as if ``IAMAllowedPrincipals`` had been granted all of it.
* CloudFormation deploys as the root user, for whom nothing is refused: a missing administrator shows on AWS only.
* Changing partitions asks for ``ALTER``, and for the location when it is registered. Data filters (rows and cells),
  LF-tag expressions by name, resource links and effective permissions of a path are refused by name.
* Glue jobs read files with the S3 permissions of their role, here as there; Lake Formation's fine-grained access for
  Spark is not imitated.
"""

from __future__ import annotations

from local.server.host import Host
from local.server.lake_formation.resource_types import register_types
from local.server.lake_formation.service import LakeFormation


def register(host: Host) -> None:
    """Add the service ``lakeformation`` and its CloudFormation types."""
    service = LakeFormation(host)
    host.add_service(
        "lakeformation",
        service.handle,
        iam_namespace="lakeformation",
        resource=lambda _request: "*",
        action=service.action,
    )
    register_types(host, service)
