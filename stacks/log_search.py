"""Logs that can be searched: where they are, what fills it, and whose logs go there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.log_dashboard import LogDashboard
from constructs_lib.log_search import LogSearch, LogSubscriptions, Searched, groups_of
from constructs_lib.log_store import LogStore, Nodes, SignOn
from constructs_lib.on_call import OnCallTopic
from stacks.config import ROOT, LogSearchConfig, StageConfig


class LogStoreStack(Stack):
    """Stateful: holds the domain of logs, and what it has refused.

    Attributes:
        store: The domain.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, config: LogSearchConfig, lake: DataLake
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: searched logs",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.store = LogStore(
            self,
            "Store",
            stage=stage.name,
            nodes=Nodes(config.instance_type, config.instances, config.volume_gb, config.masters),
            access_logs=lake.access_logs,
            backup_days=config.retention_days,
            log_retention_days=stage.log_retention_days,
            sign_on=_sign_on(config),
            removal_policy=stage.removal_policy,
        )
        CfnOutput(self, "DashboardsUrl", value=f"https://{self.store.endpoint}/_dashboards")
        CfnOutput(self, "RefusedBucket", value=self.store.backup.bucket_name)


class LogSearchStack(Stack):
    """Holds no state.

    Attributes:
        search: What fills the domain.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        config: LogSearchConfig,
        store: LogStore,
        workloads: Sequence[str],
        people: Mapping[str, str],
        on_call: OnCallTopic,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: log search",
            termination_protection=False,
            tags=stage.tags,
        )
        self.search = LogSearch(
            self,
            "Search",
            store=store,
            searched=Searched(
                stage=stage.name,
                workloads=workloads,
                people=people,
                own=[persona for persona in people if persona not in stage.personas.given],
                retention_days=config.retention_days,
                by_name=config.sign_on is not None,
            ),
            alarms=FailureAlarms(on_call),
            log_retention_days=stage.log_retention_days,
        )
        if stage.dashboard:
            LogDashboard(self, "Dashboard", stage=stage.name, store=store, alarms=self.search.alarms)


class WorkloadLogsStack(Stack):
    """Holds no state: says that the logs of a workload's stack go into the search."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, workload: str, logs: Stack, search: LogSearch
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Gapless: searched logs of {workload}",
            termination_protection=False,
            tags={**stage.tags, "gapless:workload": workload},
        )
        LogSubscriptions(
            self,
            "Logs",
            groups={logs.get_logical_id(group): group.ref for group in groups_of(logs)},
            stream_arn=search.streams[workload],
            writer_arn=search.writer.role_arn,
        )


def _sign_on(config: LogSearchConfig) -> SignOn | None:
    asked = config.sign_on
    if asked is None:
        return None
    return SignOn(asked.entity_id, (ROOT / asked.metadata).read_text(encoding="utf-8"), asked.roles_key)
