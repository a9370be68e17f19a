"""AWS Glue on this machine: jobs that run, crawlers that crawl, and a catalogue with its partitions.

ministack keeps the records (and saves them); this package does the work behind them and checks each call on the
resources that AWS would check it on.
"""

from __future__ import annotations

from local.server.glue.service import register

__all__ = ["register"]
