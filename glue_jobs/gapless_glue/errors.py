"""Why a job refuses to go on. The class name starts the message that Glue and Step Functions show."""

from __future__ import annotations

from constructs_lib.names.batch import BadBatch as BadBatch


class JobError(Exception):
    """A finding that the job explains by itself; anything else, but for ``BadBatch``, is a defect of the job."""


class BadSchema(JobError):
    """A file's header line does not name the columns of the contract."""


class BadBundle(JobError):
    """The workload's bundle is damaged, or its scripts do not do what the contract says."""


class BadFeatures(JobError):
    """What a recipe or a flow gave back is not what the contract says."""


class BadParent(JobError):
    """The earlier dataset that a batch is to be added to cannot be continued."""


class BadRules(JobError):
    """``rules.dqdl`` cannot be parsed, or names a rule, source or column that is not known."""


class BadRecords(JobError):
    """A feature group's records are not what the contract says, or a thing has two of them at one time."""


class BadVersion(JobError):
    """The version that the job was started for is not the version of its inputs."""


class RowsLost(JobError):
    """The numbers of rows before and after a step do not agree."""


class TakenOver(JobError):
    """Another run goes on with the same attempt; nothing is wrong with the batch."""


class TooFewRows(JobError):
    """The rows cannot be split by time."""
