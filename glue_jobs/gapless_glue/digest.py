"""A digest of rows that depends on their values alone: not on files, order, engine or the number of machines.

Each row is hashed twice by ``xxhash64`` (equal on every Spark and on Sail), with a mark of which values are missing;
the hashes are added up modulo 2**64. The digest is the SHA-256 of column names, types, number of rows and both sums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from gapless_glue.contract import Column as ContractColumn

MODULUS = 2**64


def digest_sums(columns: Sequence[ContractColumn]) -> list[Column]:
    """Returns two aggregates, ``sum_a`` and ``sum_b``: sums over rows of two independent hashes, as decimals."""
    missing = F.concat(*[F.when(F.col(column.name).isNull(), F.lit("1")).otherwise(F.lit("0")) for column in columns])
    values = [F.col(column.name) for column in columns]
    return [
        F.sum(F.xxhash64(F.lit(salt), missing, *values).cast("decimal(20,0)")).alias(f"sum_{salt}") for salt in "ab"
    ]


def digest_text(columns: Sequence[ContractColumn], rows: int, sums: Sequence[int]) -> str:
    """Returns the digest, 64 hex digits, from what the aggregates gave."""
    schema = ",".join(f"{column.name}:{column.type}" for column in columns)
    residues = ",".join(str(int(value) % MODULUS) for value in sums)
    return hashlib.sha256(f"{schema};{rows};{residues}".encode()).hexdigest()
