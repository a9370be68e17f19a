"""Athena on this machine: queries over the tables of the catalogue, with the rights of whoever asks.

ministack keeps workgroups and executions; queries run here, because the caller's rights, the registered partitions and
the workgroup's settings count.
"""

from __future__ import annotations

from local.server.athena.service import register

__all__ = ["register"]
