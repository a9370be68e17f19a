"""The platform: one copy per stage, and what an account needs once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from aws_cdk import App, Environment, Fn, Stage, Token
from constructs import Construct

from constructs_lib.names.governance import tag_values
from constructs_lib.names.naming import pascal_case
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from constructs_lib.place import REGION
from constructs_lib.quality_ruleset import CatalogueRules, RulesError, catalogue_rules
from stacks.account import ADMINISTRATOR_OUTPUT, AccountStack
from stacks.config import ROOT, ConfigurationError, PlatformConfig, StageConfig
from stacks.data_lake import DataLakeStack
from stacks.network import NetworkStack
from stacks.operations import OperationsStack
from stacks.stores import DatasetCacheStack, Stores, WarehouseStack
from stacks.workload import WorkloadStack
from stacks.workload_state import WorkloadStateStack

RulesOfWorkloads = Mapping[str, Mapping[str, CatalogueRules]]


class PlatformStage(Stage):
    """Defines one copy of the platform, with every workload in it.

    Args:
        config: What the stage is like.
        workloads: What runs in it.
        rules: Workload → source → its rules for the catalogue. Default: no rulesets.
        account_stack: Name of the account stack of the stage's account and region, which must be deployed before.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        config: StageConfig,
        workloads: Iterable[WorkloadFile],
        rules: RulesOfWorkloads | None = None,
        account_stack: str = "Account",
    ) -> None:
        super().__init__(scope, config.name, env=Environment(account=config.account, region=config.region))
        workloads = tuple(workloads)
        operations = OperationsStack(self, "Operations", stage=config)
        network = NetworkStack(self, "Network", stage=config, log_key=operations.key)
        lake = DataLakeStack(
            self,
            "DataLake",
            stage=config,
            workloads=workloads,
            administrator=_output_of(account_stack, ADMINISTRATOR_OUTPUT),
        )
        stores = self._define_stores(config, lake, network, workloads)
        for workload in workloads:
            name = pascal_case(workload.name)
            state = WorkloadStateStack(self, f"{name}State", stage=config, workload=workload, lake=lake.lake)
            WorkloadStack(
                self,
                f"{name}Workload",
                stage=config,
                workload=workload,
                lake=lake.lake,
                network=network.network,
                on_call=operations.on_call,
                model_package_group=state.registry,
                rules=(rules or {}).get(workload.name, {}),
                feature_groups=state.feature_groups,
                history=state.history,
                stores=stores,
            )

    def _define_stores(
        self, config: StageConfig, lake: DataLakeStack, network: NetworkStack, workloads: Iterable[WorkloadFile]
    ) -> Stores:
        """Defines what else there is beside the lake.

        Raises:
            ConfigurationError: A workload uses a store that the stage does not have.
        """
        _check_stores(config, workloads)
        warehouse = cache = None
        if config.warehouse is not None:
            names = [workload.name for workload in workloads]
            own = {name: arn for name, arn in lake.people.items() if name not in config.personas.given}
            warehouse = WarehouseStack(
                self,
                "Warehouse",
                stage=config,
                config=config.warehouse,
                lake=lake.lake,
                network=network.network,
                workloads=names,
                people=own,
            ).warehouse
        if config.lustre is not None:
            cache = DatasetCacheStack(
                self, "DatasetCache", stage=config, config=config.lustre, lake=lake.lake, network=network.network
            ).cache
        return Stores(warehouse=warehouse, cache=cache)


def _check_stores(config: StageConfig, workloads: Iterable[WorkloadFile]) -> None:
    for workload in workloads:
        origin = f"workloads/{workload.name}/workload.yaml"
        if workload.warehouse is not None and config.warehouse is None:
            raise ConfigurationError(f"{origin}: warehouse: stage {config.name} has none; give it the key warehouse")
        if workload.training.read_from == "lustre" and config.lustre is None:
            raise ConfigurationError(
                f"{origin}: training.read_from: stage {config.name} has no file system; give it the key lustre"
            )


def build_platform(
    app: App, config: PlatformConfig, workloads: Iterable[WorkloadFile], rules: RulesOfWorkloads | None = None
) -> None:
    """Defines every stage in the app, and the account stack of each account and region that the stages name.

    Args:
        app: The app.
        config: The stages.
        workloads: What runs in each of them.
        rules: Workload → source → its rules for the catalogue. Default: no rulesets.
    """
    _pass_numbers_of_different_length()
    workloads = tuple(workloads)
    _check_names(workload.name for workload in workloads)
    names = [workload.name for workload in workloads]
    places: dict[tuple[str | None, str | None], list[StageConfig]] = {}
    for stage in config.stages:
        places.setdefault((stage.account, stage.region), []).append(stage)
    account_stacks: dict[tuple[str | None, str | None], str] = {}
    for (account, region), stages in places.items():
        suffix = f"-{account or 'any'}-{region or 'any'}" if len(places) > 1 else ""
        tags = _tags_of_an_account(stages, names)
        env = Environment(account=account, region=region)
        account_stacks[account, region] = AccountStack(app, f"Account{suffix}", env=env, tags=tags).stack_name
    for stage in config.stages:
        account_stack = account_stacks[stage.account, stage.region]
        PlatformStage(app, config=stage, workloads=workloads, rules=rules, account_stack=account_stack)


def _check_names(names: Iterable[str]) -> None:
    """Refuses workloads of which one is named like the beginning of another: policies grant by that beginning."""
    ordered = sorted(names)
    for name in ordered:
        longer = [other for other in ordered if other.startswith(f"{name}_")]
        if longer:
            raise ConfigurationError(
                f"workloads/{longer[0]}: its name begins with the name of workload {name!r}, whose permissions cover "
                f"everything that is named {name}_…; choose another name"
            )


def _tags_of_an_account(stages: Iterable[StageConfig], workloads: Iterable[str]) -> dict[str, tuple[str, ...]]:
    try:
        return tag_values([stage.name for stage in stages], workloads)
    except ValueError as error:
        raise ConfigurationError(f"context stages: {error}") from error


def _output_of(stack: str, output: str) -> str:
    """Returns an output of a stack of the same account and region; the CDK refuses references that leave a stage."""
    reference = {"StackName": stack, "OutputName": output, "Region": REGION}
    return Token.as_string({"Fn::GetStackOutput": reference})


def _pass_numbers_of_different_length() -> None:
    """Makes the order of outputs the same in every synthesis.

    Tokens are numbered from a random start, and policies sort their resources by the tokens' text, in which 99 comes
    after 100. From 1,000 on, thousands of numbers have the same length. One call makes that many tokens.
    """
    Fn.split(",", REGION, 1_000)


def read_workloads(root: Path = ROOT) -> tuple[WorkloadFile, ...]:
    """Reads ``workloads/*/workload.yaml`` under a folder, in the order of the folders' names.

    Raises:
        ConfigurationError: A file is not valid, or its name differs from its folder's.
    """
    return tuple(_read(path) for path in sorted((root / "workloads").glob("*/workload.yaml")))


def read_rules(workloads: Iterable[WorkloadFile], root: Path = ROOT) -> dict[str, dict[str, CatalogueRules]]:
    """Reads ``workloads/<name>/rules.dqdl`` of every workload that has one: workload → source → rules.

    Raises:
        ConfigurationError: A file is not UTF-8, or holds what the data job would refuse.
    """
    found = {}
    for workload in workloads:
        path = root / "workloads" / workload.name / "rules.dqdl"
        if path.exists():
            found[workload.name] = _read_rules(path, workload)
    return found


def _read_rules(path: Path, workload: WorkloadFile) -> dict[str, CatalogueRules]:
    try:
        return catalogue_rules(path.read_text(encoding="utf-8"), workload)
    except RulesError as error:
        raise ConfigurationError(f"workloads/{workload.name}: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"workloads/{workload.name}: rules.dqdl: must be UTF-8: {error}") from error


def _read(path: Path) -> WorkloadFile:
    try:
        workload = WorkloadFile.load(path)
    except WorkloadFileError as error:
        raise ConfigurationError(f"workloads/{path.parent.name}: {error}") from error
    if workload.name != path.parent.name:
        raise ConfigurationError(
            f"workloads/{path.parent.name}/workload.yaml: name: must be the folder's name {path.parent.name!r}, "
            f"was {workload.name!r}"
        )
    return workload
