"""Names of the platform's own CloudWatch metrics; values carry processing time."""

from __future__ import annotations

NAMESPACE = "Gapless"

STAGE = "Stage"
WORKLOAD = "Workload"
DIMENSIONS = (STAGE, WORKLOAD)

# Data pipeline. Counts of rows of one run; the share is between 0 and 1; drift counts findings that alarm.
ROWS_IN = "RowsIn"
ROWS_VALIDATED = "RowsValidated"
ROWS_QUARANTINED = "RowsQuarantined"
QUARANTINED_SHARE = "QuarantinedShare"
SCHEMA_DRIFT = "SchemaDrift"
BATCH_ACCEPTED = "BatchAccepted"
CRAWL_FAILED = "CrawlFailed"

# Feature Store. Counts of records of one run.
FEATURE_RECORDS_WRITTEN = "FeatureRecordsWritten"
FEATURE_RECORDS_REFUSED = "FeatureRecordsRefused"

# Model pipeline. Counts are 1 per event; the AUC is between 0 and 1.
MODEL_AUC = "ModelAuc"
MODEL_REGISTERED = "ModelRegistered"
GATE_REJECTED = "GateRejected"

# Deployment pipeline. Counts are 1 per event.
DEPLOYMENT_SUCCEEDED = "DeploymentSucceeded"
DEPLOYMENT_FAILED = "DeploymentFailed"


def dimensions(stage: str, workload: str) -> dict[str, str]:
    """Returns the dimensions that every metric of a workload carries."""
    return {STAGE: stage, WORKLOAD: workload}
