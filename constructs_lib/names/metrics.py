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

# Model pipeline. Counts are 1 per event.
MODEL_REGISTERED = "ModelRegistered"
GATE_REJECTED = "GateRejected"
TRAINING_STOPPED = "TrainingStopped"

# Deployment pipeline. Counts are 1 per event.
DEPLOYMENT_SUCCEEDED = "DeploymentSucceeded"
DEPLOYMENT_FAILED = "DeploymentFailed"
# During a rollout: how far predictions have moved, between 0 and 1, beyond what chance explains.
PREDICTION_SHIFT = "PredictionShift"

# Batch scoring. Rows of one run.
ROWS_SCORED = "RowsScored"

PIPELINE = "Pipeline"
"""Dimension of the figures of a pipeline that delivers the platform itself."""

# Deliveries, of models and of the platform. Counts are 1 per event, durations are seconds.
DELIVERIES = "Deliveries"
DELIVERIES_FAILED = "DeliveriesFailed"
LEAD_TIME = "DeliveryLeadTime"
TIME_TO_RESTORE = "TimeToRestore"
# Labels that came later: above 0 where they say that the model in service is worse than it has to be.
LABEL_QUALITY_LOST = "LabelQualityLost"
# Relabelling. Rows of one export, and of one file of answers; an answer that is left empty is not refused.
ROWS_OUT_FOR_LABELS = "RowsOutForLabels"
LABELS_ACCEPTED = "LabelsAccepted"
LABELS_REFUSED = "LabelsRefused"
# Monitoring. Rows of one window; of each family of checks the broken ones, and the worst value.
ROWS_MONITORED = "RowsMonitored"
MONITORED = ("schema", "completeness", "drift", "predictions", "quality", "bias", "attributions")


def of_family(family: str) -> tuple[str, str]:
    """Returns the names of a family's metrics, such as ``DriftViolations`` and ``DriftWorst`` for ``drift``."""
    return f"{family.capitalize()}Violations", f"{family.capitalize()}Worst"


def of_model(metric: str) -> str:
    """Returns the name of a model's metric, such as ``ModelLogLoss`` for ``log_loss``."""
    return "Model" + "".join(part.capitalize() for part in metric.split("_"))


def dimensions(stage: str, workload: str) -> dict[str, str]:
    """Returns the dimensions that every metric of a workload carries."""
    return {STAGE: stage, WORKLOAD: workload}
