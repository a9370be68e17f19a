"""The data machine's way into the Feature Store: after a dataset is published, what is new of its records is put."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from constructs_lib.asl import State, attempt, jsonata, task
from constructs_lib.machines.common import MINUTE, Surroundings, get_json, put_metrics
from constructs_lib.names import metrics

_QUEUE_SECONDS = 15 * MINUTE


@dataclass(frozen=True)
class IngestionParts:
    """Names what records are put with; every value but the minutes may be a token.

    Args:
        job_name: The Glue job that puts records.
        job_minutes: The job's own time limit.
        contract_uri: The workload's contract, ``s3://…``.
        groups: Feature group in ``workload.yaml`` to physical name.
        datasets_bucket, quarantine_bucket: Where datasets are, and where records go that were not taken.
    """

    job_name: str
    job_minutes: int
    contract_uri: str
    groups: Mapping[str, str]
    datasets_bucket: str
    quarantine_bucket: str


def ingestion_states(s: Surroundings, p: IngestionParts) -> dict[str, State]:
    """Returns the states; afterwards ``$history`` has the partitions of the groups' histories."""
    return {
        "IngestFeatures": ingest_features(s, p),
        "ReadIngestion": read_ingestion(s, p),
        "CountFeatureRecords": count_feature_records(s),
    }


def ingest_features(s: Surroundings, p: IngestionParts) -> State:
    """Runs the job; doing so twice puts nothing twice that matters."""
    return task(
        "glue:startJobRun.sync",
        {
            "JobName": p.job_name,
            "Timeout": p.job_minutes,
            "Arguments": {
                "--version": jsonata("$version"),
                "--attempt": jsonata(attempt()),
                "--contract_uri": p.contract_uri,
                "--group_names": json.dumps(dict(p.groups), sort_keys=True),
                "--datasets_uri": f"s3://{p.datasets_bucket}/{s.workload}/",
                "--quarantine_uri": f"s3://{p.quarantine_bucket}/{s.workload}/",
            },
        },
        timeout=p.job_minutes * MINUTE + _QUEUE_SECONDS,
    )


def read_ingestion(s: Surroundings, p: IngestionParts) -> State:
    """Reads how many records were put and were not, and where the histories lie."""
    return get_json(
        s,
        p.datasets_bucket,
        f"'{s.workload}/' & $version & '/features.json'",
        {
            "ingestion": jsonata("$sift($parse($states.result.Body), function($v, $k) {$k in ['written', 'refused']})"),
            "history": jsonata("$parse($states.result.Body).partitions[]"),
        },
    )


def count_feature_records(s: Surroundings) -> State:
    """Publishes the figures; records that were not taken are kept, and an alarm tells of them."""
    return put_metrics(
        s,
        {
            metrics.FEATURE_RECORDS_WRITTEN: "$ingestion.written",
            metrics.FEATURE_RECORDS_REFUSED: "$ingestion.refused",
        },
    )
