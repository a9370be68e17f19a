"""Firehose: records are buffered, turned into Parquet by a table of the catalogue, and delivered under a role.

ministack keeps the streams and takes the records; how they get into S3 is done here.
"""

from __future__ import annotations

from local.server import hooks
from local.server.firehose.deliveries import Deliveries
from local.server.host import Host


def register(host: Host) -> None:
    """Deliver what is put on streams."""
    deliveries = Deliveries(host)
    hooks.replace("services.firehose:_deliver_records_to_s3", deliveries.take)
    host.on_ready(deliveries.start)
    host.on_shutdown(deliveries.finish)
