"""What Glue knows, as ministack keeps and saves it: live dictionaries, changed in place."""

from __future__ import annotations

from typing import Any

from local.server import hooks

Record = dict[str, Any]

_JOB_MEMBERS = {
    "ExecutionProperty": {"MaxConcurrentRuns": 1},
    "ExecutionClass": "STANDARD",
    "JobMode": "SCRIPT",
    "JobRunQueuingEnabled": False,
    "MaintenanceWindow": "",
    "NotificationProperty": {},
}
"""Members of a job that ministack forgets, with the value of a job that does not set them."""


class Records:
    """The records of one account and region."""

    def __init__(self, account: str, region: str) -> None:
        self.account = account
        self._scope = (account, region)

    def job(self, name: str) -> Record | None:
        """A job's definition."""
        return self._get("_jobs", name)

    def runs(self, job: str) -> list[Record]:
        """The runs of a job, oldest first."""
        return self._list("_job_runs", job)

    def all_runs(self) -> list[Record]:
        """The runs of every job."""
        stored = hooks.get("services.glue:_job_runs").items_scoped(*self._scope)
        return [run for _, runs in stored for run in runs]

    def security_configuration(self, name: str) -> Record | None:
        """A security configuration."""
        return self._get("_security_configs", name)

    def crawler(self, name: str) -> Record | None:
        """A crawler."""
        return self._get("_crawlers", name)

    def all_crawlers(self) -> list[Record]:
        """Every crawler."""
        return [crawler for _, crawler in hooks.get("services.glue:_crawlers").items_scoped(*self._scope)]

    def table(self, database: str, name: str) -> Record | None:
        """A table of the catalogue."""
        return self._get("_tables", f"{database}/{name}")

    def partitions(self, database: str, table: str) -> list[Record]:
        """The partitions of a table, in the order in which they were made."""
        return self._list("_partitions", f"{database}/{table}")

    def _get(self, store: str, key: str) -> Record | None:
        record: Record | None = hooks.get(f"services.glue:{store}").get_scoped(*self._scope, key)
        return record

    def _list(self, store: str, key: str) -> list[Record]:
        records: list[Record] | None = hooks.get(f"services.glue:{store}").get_scoped(*self._scope, key)
        if records is None:
            records = []
            hooks.get(f"services.glue:{store}").set_scoped(*self._scope, key, records)
        return records


def keep_all_of_a_job(records: Records) -> None:
    """Make jobs keep the members that ministack drops, from the API and from templates alike."""
    hooks.get("services.cloudformation.provisioners:_GLUE_JOB_DEFAULTS").update(_JOB_MEMBERS)
    create = hooks.get("services.glue:_create_job")
    update = hooks.get("services.glue:_update_job")

    def create_job(data: Record) -> Any:
        answer = create(data)
        if answer[0] < 400:
            _keep(records.job(data["Name"]), {**_JOB_MEMBERS, **data})
        return answer

    def update_job(data: Record) -> Any:
        answer = update(data)
        if answer[0] < 400:
            _keep(records.job(data["JobName"]), data["JobUpdate"])
        return answer

    hooks.replace("services.glue:_create_job", create_job)
    hooks.replace("services.glue:_update_job", update_job)


def _keep(job: Record | None, given: Record) -> None:
    if job is not None:
        job.update({name: given[name] for name in _JOB_MEMBERS if name in given})
        job["Timeout"] = int(job["Timeout"])
