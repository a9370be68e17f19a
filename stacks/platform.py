"""The platform: one copy per stage, and what an account needs once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from aws_cdk import App, Environment, Fn, Stage
from constructs import Construct

from constructs_lib.machines.makers.search import room_for_search
from constructs_lib.model_making import regions_of
from constructs_lib.model_promotion import Origin, Receiver
from constructs_lib.names import monitor_images
from constructs_lib.names.algorithm_pins import check_pinned
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.file_parts import unknown
from constructs_lib.names.governance import tag_values
from constructs_lib.names.monitoring_file import Backend
from constructs_lib.names.naming import api_name, pascal_case, runtime_prefix
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from constructs_lib.place import REGION
from constructs_lib.quality_ruleset import CatalogueRules, RulesError, catalogue_rules
from stacks.account import ACCOUNT_STACK, ADMINISTRATOR_OUTPUT, AccountStack
from stacks.audit import AuditStack
from stacks.collaboration import CollaborationStack
from stacks.config import ROOT, ConfigurationError, LogSearchConfig, PlatformConfig, StageConfig
from stacks.data_lake import DataLakeStack
from stacks.delivery import DeliveryStack, output_of, tested_outputs
from stacks.figures import FiguresStack
from stacks.log_search import LogSearchStack, LogStoreStack, WorkloadLogsStack
from stacks.network import NetworkStack
from stacks.operations import OperationsStack
from stacks.pipeline import define_pipeline
from stacks.pipeline_config import Deliverer, Place
from stacks.pipeline_waves import DeliveredStage
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
        receivers: Stages that take over models of this one. Default: none does.
        account_stack: Name of the account stack of the stage's account and region, which must be deployed before.
        deliverer: The pipeline that deploys it. Default: people do.

    Attributes:
        outputs: Workload to those outputs by which a deployment is tested, by the variable that the test reads.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        config: StageConfig,
        workloads: Iterable[WorkloadFile],
        rules: RulesOfWorkloads | None = None,
        receivers: tuple[Receiver, ...] = (),
        account_stack: str = ACCOUNT_STACK,
        deliverer: Deliverer | None = None,
    ) -> None:
        super().__init__(scope, config.name, env=Environment(account=config.account, region=config.region))
        workloads = tuple(workload.for_stage(config.name) for workload in workloads)
        operations = OperationsStack(self, "Operations", stage=config)
        network = NetworkStack(
            self,
            "Network",
            stage=config,
            log_key=operations.key,
            trains_together=any(workload.training.compute.instance_count > 1 for workload in workloads),
        )
        lake = DataLakeStack(
            self,
            "DataLake",
            stage=config,
            workloads=workloads,
            receivers=receivers,
            administrator=output_of(account_stack, ADMINISTRATOR_OUTPUT),
        )
        trail = (
            AuditStack(self, "Audit", stage=config, config=config.audit_trail, lake=lake.lake, people=lake.people).trail
            if config.audit_trail is not None
            else None
        )
        stores = self._define_stores(config, lake, network, workloads)
        collaboration = (
            CollaborationStack(
                self,
                "Collaboration",
                stage=config,
                lake=lake.lake,
                network=network.network,
                people=lake.people,
                workloads=[workload.name for workload in workloads],
            )
            if config.collaborates
            else None
        )
        stacks: dict[str, WorkloadStack] = {}
        for workload in workloads:
            name = pascal_case(workload.name)
            state = WorkloadStateStack(
                self, f"{name}State", stage=config, workload=workload, lake=lake.lake, receivers=receivers
            )
            stacks[workload.name] = WorkloadStack(
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
                images=state.images,
                stores=stores,
                tracking=collaboration.tracking if collaboration is not None else None,
                origin=_origin(config),
            )
        if config.log_search is not None and stacks:
            self._define_log_search(config, config.log_search, lake, operations, stacks)
        self.outputs = {name: tested_outputs(stack) for name, stack in stacks.items()}
        if deliverer is not None and stacks:
            DeliveryStack(self, "Delivery", stage=config, deliverer=deliverer, stacks=stacks, lake=lake.lake)
        if stacks:
            FiguresStack(
                self,
                "Figures",
                stage=config,
                lake=lake.lake,
                on_call=operations.on_call,
                endpoint_alarms={name: stack.endpoint_alarms for name, stack in stacks.items()},
                pipelines={} if deliverer is None else deliverer.seen_from(config.account),
                incident_alarms=[name for stack in stacks.values() for name in stack.incident_alarms],
                trail=trail,
            )

    def _define_log_search(
        self,
        config: StageConfig,
        asked: LogSearchConfig,
        lake: DataLakeStack,
        operations: OperationsStack,
        stacks: Mapping[str, WorkloadStack],
    ) -> None:
        store = LogStoreStack(self, "LogStore", stage=config, config=asked, lake=lake.lake).store
        search = LogSearchStack(
            self,
            "LogSearch",
            stage=config,
            config=asked,
            store=store,
            workloads=list(stacks),
            people=lake.people,
            on_call=operations.on_call,
        ).search
        for name, stack in stacks.items():
            WorkloadLogsStack(self, f"{pascal_case(name)}Logs", stage=config, workload=name, logs=stack, search=search)

    def _define_stores(
        self, config: StageConfig, lake: DataLakeStack, network: NetworkStack, workloads: Iterable[WorkloadFile]
    ) -> Stores:
        """Defines what else there is beside the lake.

        Raises:
            ConfigurationError: A workload uses a store that the stage does not have, or its name is too long for a
                search.
        """
        _check_stores(config, workloads)
        _check_searches(config, workloads)
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


def _origin(config: StageConfig) -> Origin | None:
    promotion = config.promotion
    if promotion is None:
        return None
    return Origin(
        stage=promotion.source,
        account=promotion.signing_key.split(":")[4],
        artefacts_bucket=promotion.artefacts_bucket,
        key_arn=promotion.key,
        signing_key_arn=promotion.signing_key,
    )


def _check_stores(config: StageConfig, workloads: Iterable[WorkloadFile]) -> None:
    for workload in workloads:
        origin = f"workloads/{workload.name}/workload.yaml"
        if workload.warehouse is not None and config.warehouse is None:
            raise ConfigurationError(f"{origin}: warehouse: stage {config.name} has none; give it the key warehouse")
        if workload.training.read_from == "lustre" and config.lustre is None:
            raise ConfigurationError(
                f"{origin}: training.read_from: stage {config.name} has no file system; give it the key lustre"
            )
        guard = workload.training.guard
        if guard is not None and guard.watch == "debugger" and not config.debugger:
            raise ConfigurationError(
                f"{origin}: training.guard.watch: AWS has closed SageMaker Debugger to new customers; if the account "
                f"of stage {config.name} may use it, give the stage debugger: true, otherwise allowed: script, log"
            )
        if workload.monitoring is not None and not workload.monitoring.is_own:
            _check_backend(config, workload, workload.monitoring.backend)


def _check_backend(config: StageConfig, workload: WorkloadFile, backend: Backend) -> None:
    origin = f"workloads/{workload.name}/workload.yaml: monitoring.backend"
    if not config.model_monitor:
        raise ConfigurationError(
            f"{origin}: AWS has closed SageMaker Model Monitor and Clarify to new customers; if the account of stage "
            f"{config.name} may use them, give the stage model_monitor: true, otherwise allowed: builtin"
        )
    regions = monitor_images.regions(clarify=backend == "clarify")
    if config.region is not None and config.region not in regions:
        raise ConfigurationError(
            f"{origin}: there is no image of {backend} in {config.region}, the region of stage {config.name} "
            f"(allowed: {', '.join(regions)}; in any region: builtin)"
        )
    if backend == "clarify" and workload.evaluation.explanations is not None and not config.reaches_services:
        raise ConfigurationError(
            f"{origin}: clarify asks the model by an endpoint that it makes, and the network of stage {config.name} "
            "reaches none of SageMaker's APIs; allowed: network.interface_endpoints or network.nat, or an existing "
            "network"
        )


def _check_searches(config: StageConfig, workloads: Iterable[WorkloadFile]) -> None:
    for workload in workloads:
        asked = "model.kind: automl" if isinstance(workload.model, AutoMLModel) else "training.tuning"
        if isinstance(workload.model, AutoMLModel) or workload.training.tuning is not None:
            try:
                room_for_search(runtime_prefix(config.name, workload.name))
            except ValueError as error:
                raise ConfigurationError(
                    f"workloads/{workload.name}/workload.yaml: {asked}: {error}; choose a shorter name"
                ) from error


def _check_stages(stages: Iterable[StageConfig], workloads: Iterable[WorkloadFile]) -> None:
    known = [stage.name for stage in stages]
    for workload in workloads:
        for name in workload.stages:
            if name not in known:
                raise ConfigurationError(
                    f"workloads/{workload.name}/workload.yaml: stages.{unknown(name, known, 'stage of cdk.json')}"
                )


def _check_images(config: StageConfig, workloads: Iterable[WorkloadFile]) -> None:
    for workload in workloads:
        _check_pins(config, workload.for_stage(config.name))
        regions = regions_of(workload.model)
        if config.region is not None and config.region not in regions:
            raise ConfigurationError(
                f"workloads/{workload.name}/workload.yaml: model: there is no image of it in {config.region}, the "
                f"region of stage {config.name} (allowed: {', '.join(sorted(regions))})"
            )


def _check_pins(config: StageConfig, workload: WorkloadFile) -> None:
    if isinstance(workload.model, BuiltInModel):
        try:
            check_pinned(
                workload.model.algorithm,
                problem=workload.problem,
                region=config.billed_in,
                hyperparameters=workload.training.hyperparameters,
                training=workload.training.compute.instance_type,
                serving=workload.serving.instance_type,
            )
        except ValueError as error:
            raise ConfigurationError(
                f"workloads/{workload.name}/workload.yaml, stage {config.name}: {error}"
            ) from error


def build_platform(
    app: App, config: PlatformConfig, workloads: Iterable[WorkloadFile], rules: RulesOfWorkloads | None = None
) -> None:
    """Defines the stages in the app, and the account stack of each account and region that any stage names.

    Args:
        app: The app.
        config: The stages, or the only one of them that is defined.
        workloads: What runs in each of them.
        rules: Workload → source → its rules for the catalogue. Default: no rulesets.

    Raises:
        ConfigurationError: A stage does not have what a workload asks for.
    """
    _pass_numbers_of_different_length()
    workloads = tuple(workloads)
    _check_names(workload.name for workload in workloads)
    _check_stages(config.stages, workloads)
    names = [workload.name for workload in workloads]
    with_api = [workload.name for workload in workloads if workload.serving.api is not None]
    pipeline = config.pipeline
    accounts = _define_accounts(app, config, names, with_api)
    stages = []
    for stage in config.synthesised:
        _check_images(stage, workloads)
        defined = PlatformStage(
            app,
            config=stage,
            workloads=workloads,
            rules=rules,
            receivers=tuple(Receiver(each.name, str(each.account)) for each in config.receivers(stage)),
            account_stack=ACCOUNT_STACK,
            deliverer=pipeline.deliverer(stage.name) if pipeline is not None else None,
        )
        stages.append(DeliveredStage(stage.name, defined, defined.outputs))
    if pipeline is not None:
        define_pipeline(app, pipeline, stages, accounts)


def _define_accounts(app: App, config: PlatformConfig, workloads: list[str], with_api: list[str]) -> dict[Place, Stage]:
    """Defines the account stack of each account and region; a pipeline deploys stages, so it gets each in one.

    All have the same name, wherever they are: another account in the configuration is no reason for another stack.
    """
    places: dict[Place, list[StageConfig]] = {}
    for stage in config.stages:
        places.setdefault((stage.account, stage.region), []).append(stage)
    accounts = {}
    for (account, region), stages in places.items():
        tags = _tags_of_an_account(stages, workloads)
        api_logs = [api_name(stage.name, workload) for stage in stages for workload in with_api]
        env = Environment(account=account, region=region)
        if config.pipeline is not None:
            accounts[account, region] = Stage(app, f"account-{account}-{region}", env=env)
            AccountStack(accounts[account, region], ACCOUNT_STACK, env=env, tags=tags, api_logs=api_logs)
        else:
            suffix = f"-{account or 'any'}-{region or 'any'}" if len(places) > 1 else ""
            AccountStack(app, f"{ACCOUNT_STACK}{suffix}", env=env, tags=tags, api_logs=api_logs)
    return accounts


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
