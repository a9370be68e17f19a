"""The pipelines of one workload: what they consist of, and who may do what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from aws_cdk import Aws, CfnOutput, CfnResource, Stack
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.catalogue_table import json_table, parquet_table
from constructs_lib.data_lake import CatalogueZone, DataLake, Zone
from constructs_lib.dataset_retention import DatasetRetirement
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.feature_ingestion import FeatureIngestion
from constructs_lib.grants import grant, grant_metrics
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.images import FrameworkImage, Image
from constructs_lib.ingestion import surroundings as ingestion
from constructs_lib.ingestion.paths import IngestionPaths
from constructs_lib.intake import EventIntake
from constructs_lib.landing_crawler import LandingCrawler
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.machines.deployment import (
    VARIANT,
    DeploymentParts,
    Fleet,
    Rollout,
    deployment_machine,
)
from constructs_lib.machines.feature_ingestion import IngestionParts
from constructs_lib.machines.jobs import JobLimits, JobPlace, LustrePlace
from constructs_lib.machines.loop import LoopParts, loop_machine
from constructs_lib.machines.model import ModelParts, model_machine
from constructs_lib.machines.pins import FOLDER as PINS
from constructs_lib.machines.warehouse import WarehouseParts, warehouse_machine
from constructs_lib.materialised_views import MaterialisedViews
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.named_queries import NamedQueries
from constructs_lib.names import metrics
from constructs_lib.names.governance import governed_tables, people_workgroup
from constructs_lib.names.lake_queries import lake_queries
from constructs_lib.names.naming import INDEX, INDEX_COLUMNS, runtime_name, runtime_prefix, table_name
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.network import Network
from constructs_lib.no_code_features import FlowFeatures, RecipeFeatures
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.python_function import PythonFunction
from constructs_lib.quality_ruleset import CatalogueRules, QualityRuleset
from constructs_lib.sagemaker_jobs import JobCode, SageMakerJobs
from constructs_lib.spark_job import Capacity, SparkJob
from constructs_lib.text_asset import TextAsset
from constructs_lib.workload_governance import WorkloadGovernance
from stacks.config import StageConfig
from stacks.stores import Stores

_STARTER_SECONDS = 60
_CATALOGUED: tuple[CatalogueZone, ...] = ("validated", "quarantine", "curated")
_WRITTEN: tuple[Zone, ...] = ("validated", "quarantine", "curated", "datasets")


class WorkloadStack(Stack):
    """Holds no state: everything here can be deleted and deployed again, but for the partitions of its tables."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        workload: WorkloadFile,
        lake: DataLake,
        network: Network,
        on_call: OnCallTopic,
        model_package_group: ModelRegistry,
        rules: Mapping[str, CatalogueRules],
        feature_groups: Mapping[str, FeatureGroup],
        history: IcebergTable | None,
        stores: Stores,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Gapless: pipelines of {workload.name}",
            termination_protection=False,
            tags={**stage.tags, "gapless:workload": workload.name},
        )
        self._stage, self._workload, self._lake, self._network = stage, workload, lake, network
        self._on_call, self._registry, self._rules = on_call, model_package_group, rules
        self._feature_groups = feature_groups
        self._history, self._stores = history, stores
        self._prefix = runtime_prefix(stage.name, workload.name)
        self._folder = f"{workload.name}/"
        self._alarms = FailureAlarms(on_call)
        self._surroundings = Surroundings(
            stage=stage.name,
            workload=workload.name,
            prefix=self._prefix,
            account=Aws.ACCOUNT_ID,
            runs_table=lake.runs_table.table_name,
            leases_table=lake.leases_table.table_name,
            audit_table=lake.audit_table.table_name,
            topic_arn=on_call.topic_arn,
        )
        self._image = FrameworkImage(self, "Image", image=Image.parse(workload.training.image))
        self._job_code = JobCode(self, "JobCode")
        self._contract = TextAsset(self, "Contract", text=workload.contract_json(), suffix=".json")
        self._processing = self._define_processing()
        self._governance = self._define_tables()
        self._define_queries()
        self._feature_ingestion = self._define_feature_ingestion()
        self._data = self._define_data_pipeline()
        self._define_drift_alarm()
        self._model = self._define_model_pipeline()
        self._endpoint = self._define_endpoint()
        self._online = self._define_online_prediction()
        self._deployment = self._define_deployment_pipeline()
        self._loop = self._define_loop()
        self._starter = self._define_starter()
        self._intake = self._define_intake()
        self._define_retention()
        self._ingestion = self._define_ingestion()
        self._define_outputs()

    # --- the data pipeline ---------------------------------------------------------------------------------------

    def _define_tables(self) -> WorkloadGovernance:
        workload, folder = self._workload, self._folder
        made: dict[tuple[str, str], CfnResource] = {}
        for source in workload.sources:
            name = source.title().replace("_", "")
            made["validated", source] = self._table(
                f"{name}Validated", "validated", source, workload.validated_columns(source), f"Valid rows of {source}"
            )
            made["quarantine", source] = self._table(
                f"{name}Quarantine",
                "quarantine",
                source,
                workload.quarantine_columns(source),
                f"Refused rows of {source}, as they were read, with the reasons",
            )
        made["curated", "features"] = self._table(
            "Features",
            "curated",
            "features",
            workload.curated_columns(),
            f"Features of {folder}",
            workload.features_partition_keys,
        )
        made["curated", "datasets"] = json_table(
            self,
            "Datasets",
            database=self._lake.databases["curated"],
            name=table_name(workload.name, "datasets"),
            location=f"s3://{self._lake.datasets.bucket_name}/{folder}{INDEX}/",
            columns=dict.fromkeys(INDEX_COLUMNS, "string"),
            description=f"Every published dataset of {workload.name}",
        )
        for source, rules in self._rules.items():
            self._define_ruleset(source, rules, made["validated", source])
        for group, each in self._feature_groups.items():
            made["curated", group] = each.table
        resources = {(zone, table_name(workload.name, table)): each for (zone, table), each in made.items()}
        if self._history is not None:
            resources["curated", self._history.name] = self._history.resource
        return WorkloadGovernance(
            self,
            "Governance",
            stage=self._stage.name,
            workload=workload.name,
            lake=self._lake,
            tables={table: resources[table.zone, table.name] for table in governed_tables(workload)},
        )

    def _define_ruleset(self, source: str, rules: CatalogueRules, table: CfnResource) -> None:
        QualityRuleset(
            self,
            f"{source.title().replace('_', '')}Rules",
            name=f"{self._prefix}rules-{source}",
            rules=rules,
            database=self._lake.databases["validated"],
            table=table_name(self._workload.name, source),
            made_before=table,
        )

    def _table(
        self,
        construct_id: str,
        zone: CatalogueZone,
        table: str,
        columns: dict[str, str],
        description: str,
        partition_keys: Sequence[str] = ("version",),
    ) -> CfnResource:
        return parquet_table(
            self,
            construct_id,
            database=self._lake.databases[zone],
            name=table_name(self._workload.name, table),
            location=f"s3://{self._lake.buckets[zone].bucket_name}/{self._folder}{table}/",
            columns=columns,
            description=description,
            partition_keys=partition_keys,
        )

    def _define_queries(self) -> None:
        NamedQueries(
            self,
            "Queries",
            prefix=self._prefix,
            workgroup=people_workgroup(self._stage.name),
            queries=lake_queries(self._stage.name, self._workload),
        )

    def _define_data_pipeline(self) -> PipelineMachine:
        lake, workload, folder = self._lake, self._workload, self._folder
        job = SparkJob(
            self,
            "Prepare",
            name=self._name("prepare"),
            script="prepare_dataset.py",
            description=f"Makes a dataset of a batch of {workload.name}",
            security_configuration=lake.security_configuration_name,
            key=lake.key,
            alarms=self._alarms,
            capacity=Capacity(
                worker_type=workload.preparation.worker_type,
                workers=workload.preparation.workers,
                timeout_minutes=workload.preparation.timeout_minutes,
                auto_scaling=workload.preparation.auto_scaling,
            ),
        )
        lake.grant_read(job, "landing", folder)
        lake.grant_read(job, "artefacts", f"{folder}bundles/")
        self._contract.grant_read(job)
        for zone in _WRITTEN:
            lake.grant_spark(job, zone, folder)
        job_grants = self._governance.grant_rows("Prepare", job.role.role_arn, _CATALOGUED)
        job.come_after(job_grants)

        crawler = LandingCrawler(
            self,
            "Crawler",
            name=self._name("landing"),
            database=lake.databases["landing"],
            table_prefix=f"{workload.name}_",
            location=f"s3://{lake.landing.bucket_name}/{folder}",
            security_configuration=lake.security_configuration_name,
            key=lake.key,
            failures=Metric(
                metrics.NAMESPACE, metrics.CRAWL_FAILED, metrics.dimensions(self._stage.name, workload.name)
            ),
            alarms=self._alarms,
        )
        lake.grant_read(crawler, "landing", folder)
        lake.grant_catalog(crawler, "landing", workload.name, write=True)
        crawler_grants = self._governance.grant_crawl("Crawler", crawler.role.role_arn)
        crawler.come_after(crawler_grants)

        check = self._function(
            "CheckBatch",
            "check_batch",
            "Checks a landed batch before a job is started for it",
            timeout_seconds=600,
            environment={
                "CONTRACT_URI": self._contract.uri,
                "ENGINE": job.engine,
                "DATASETS_URI": f"s3://{lake.datasets.bucket_name}/{folder}",
            },
        )
        lake.grant_read(check, "landing", folder)
        self._contract.grant_read(check)

        views, loading = self._define_views(), self._define_warehouse_pipeline()
        features = self._define_no_code()
        machine = self._machine(
            "DataMachine",
            "data",
            data_machine(
                self._surroundings,
                DataParts(
                    check_batch_arn=check.function_arn,
                    job_name=job.name,
                    job_minutes=workload.preparation.timeout_minutes,
                    crawler_name=crawler.name,
                    contract_uri=self._contract.uri,
                    contract_digest=workload.contract_digest(),
                    bundles_uri=f"s3://{lake.artefacts.bucket_name}/{folder}bundles/",
                    engine=job.engine,
                    buckets={zone: lake.buckets[zone].bucket_name for zone in _WRITTEN},
                    databases={zone: lake.databases[zone] for zone in _CATALOGUED},
                    max_quarantined_share=workload.quality.max_quarantined_share,
                    accumulates=workload.dataset.accumulate,
                    ingestion=self._ingestion_parts(),
                    warehouse_machine_arn=loading.machine_arn if loading is not None else None,
                    views_job_name=views.name if views is not None else None,
                    features=features.run if features is not None else None,
                ),
            ),
        )
        if loading is not None:
            loading.grant_start(machine)
        if views is not None:
            views.grant_run(machine)
        if features is not None:
            features.grant_run(machine)
        grant_metrics(machine, metrics.NAMESPACE)
        check.grant_invoke(machine)
        job.grant_run(machine)
        if self._feature_ingestion is not None:
            self._feature_ingestion.grant_run(machine)
        crawler.grant_crawl(machine)
        lake.grant_read(machine, "datasets", folder)
        lake.grant_write(machine, "datasets", folder)
        for zone in _CATALOGUED:
            lake.grant_partitions(machine, zone, workload.name)
        if workload.dataset.accumulate:
            lake.grant_read(check, "datasets", folder)
            lake.grant_many_partitions(machine, "curated", workload.name)
        own_grants = self._governance.grant_register("DataMachine", machine.role.role_arn, _CATALOGUED)
        machine.come_after([*job_grants, *crawler_grants, *own_grants])
        return machine

    def _define_drift_alarm(self) -> None:
        name = self._workload.name
        alarm(
            self,
            "SchemaDrift",
            alarms=self._alarms,
            metric=Metric(metrics.NAMESPACE, metrics.SCHEMA_DRIFT, metrics.dimensions(self._stage.name, name)),
            threshold=1,
            description=f"A file landed for {name} has other columns than its source declares",
            runbook="Read the state SchemaDrift of the data machine's execution: file, column, what was done; then "
            "correct the producer or the columns in workload.yaml",
        )

    def _define_no_code(self) -> RecipeFeatures | FlowFeatures | None:
        workload, by = self._workload, self._workload.preparation.features
        if by is None:
            return None
        if by.kind == "databrew_recipe":
            return RecipeFeatures(
                self,
                "Recipe",
                stage=self._stage.name,
                workload=workload.name,
                primary=workload.primary_name,
                by=by,
                lake=self._lake,
            )
        return FlowFeatures(
            self,
            "Flow",
            stage=self._stage.name,
            workload=workload.name,
            by=by,
            lake=self._lake,
            network=self._network,
            place=self._job_place(),
        )

    def _define_feature_ingestion(self) -> FeatureIngestion | None:
        if not self._feature_groups:
            return None
        lake, preparation, folder = self._lake, self._workload.preparation, self._folder
        ingestion = FeatureIngestion(
            self,
            "FeatureIngestion",
            name=self._name("ingest"),
            description=f"Puts records of {self._workload.name} into the Feature Store",
            groups=self._feature_groups,
            security_configuration=lake.security_configuration_name,
            key=lake.key,
            refused=Metric(
                metrics.NAMESPACE,
                metrics.FEATURE_RECORDS_REFUSED,
                metrics.dimensions(self._stage.name, self._workload.name),
            ),
            alarms=self._alarms,
            capacity=Capacity(preparation.worker_type, timeout_minutes=preparation.timeout_minutes),
        )
        lake.grant_read(ingestion, "curated", folder)
        lake.grant_read(ingestion, "datasets", folder)
        lake.grant_write(ingestion, "datasets", folder)
        lake.grant_write(ingestion, "quarantine", f"{folder}feature_store/")
        self._contract.grant_read(ingestion)
        return ingestion

    def _ingestion_parts(self) -> IngestionParts | None:
        if self._feature_ingestion is None:
            return None
        return IngestionParts(
            job_name=self._feature_ingestion.name,
            job_minutes=self._workload.preparation.timeout_minutes,
            contract_uri=self._contract.uri,
            groups=self._feature_ingestion.group_names,
            datasets_bucket=self._lake.datasets.bucket_name,
            quarantine_bucket=self._lake.quarantine.bucket_name,
        )

    def _define_views(self) -> MaterialisedViews | None:
        if self._history is None or self._workload.iceberg is None:
            return None
        views = MaterialisedViews(
            self,
            "Views",
            name=self._name("views"),
            table=self._history.name,
            workload=self._workload.name,
            views=self._workload.iceberg.views,
            lake=self._lake,
            key=self._lake.key,
            alarms=self._alarms,
        )
        views.come_after(self._governance.grant_views("Views", views.role.role_arn))
        return views

    def _define_warehouse_pipeline(self) -> PipelineMachine | None:
        lake, workload, warehouse = self._lake, self._workload, self._stores.warehouse
        if workload.warehouse is None or warehouse is None:
            return None
        machine = self._machine(
            "WarehouseMachine",
            "warehouse",
            warehouse_machine(
                self._surroundings,
                WarehouseParts(
                    workgroup_name=warehouse.workgroup_name,
                    database=warehouse.database,
                    secret=warehouse.secret_name,
                    role_arn=warehouse.role.role_arn,
                    databases={zone: lake.databases[zone] for zone in ("validated", "curated")},
                    account=Aws.ACCOUNT_ID,
                    region=Aws.REGION,
                    table=table_name(workload.name, "features"),
                    columns=workload.curated_columns(),
                    sensitive=workload.sensitive_features,
                    exports=workload.warehouse.exports,
                    exports_uri=f"s3://{lake.curated.bucket_name}/{self._folder}exports/",
                    key_arn=lake.key.key_arn,
                ),
            ),
        )
        warehouse.grant_administer(machine.role)
        return machine

    # --- the model pipeline --------------------------------------------------------------------------------------

    def _define_processing(self) -> SageMakerJobs:
        lake, folder = self._lake, self._folder
        processing = SageMakerJobs(
            self,
            "Processing",
            kind="processing",
            prefix=self._prefix,
            role_description=f"Evaluation and golden requests of {self._workload.name}",
            image=self._image,
            network=self._network,
            key=lake.key,
        )
        self._job_code.grant_read_object(processing)
        lake.grant_read(processing, "datasets", folder)
        lake.grant_read(processing, "artefacts", folder)
        lake.grant_write(processing, "artefacts", f"{folder}evaluations/")
        lake.grant_write(processing, "artefacts", f"{folder}golden/")
        self._grant_days(processing)
        return processing

    def _define_model_pipeline(self) -> PipelineMachine:
        lake, workload, folder = self._lake, self._workload, self._folder
        training = SageMakerJobs(
            self,
            "Training",
            kind="training",
            prefix=self._prefix,
            role_description=f"Training of {workload.name}",
            image=self._image,
            network=self._network,
            key=lake.key,
        )
        lake.grant_read(training, "datasets", folder)
        self._grant_days(training)
        lake.grant_read(training, "artefacts", f"{folder}bundles/")
        lake.grant_write(training, "artefacts", f"{folder}training/")

        judge = self._function(
            "JudgeModel", "judge_model", "Judges a trained model by the workload's gate", timeout_seconds=30
        )
        machine = self._machine(
            "ModelMachine",
            "model",
            model_machine(
                self._surroundings,
                ModelParts(
                    place=self._job_place(),
                    datasets_bucket=lake.datasets.bucket_name,
                    group_name=self._registry.group_name,
                    judge_model_arn=judge.function_arn,
                    training_role_arn=training.role.role_arn,
                    processing_role_arn=self._processing.role.role_arn,
                    target=workload.target,
                    training=JobLimits(workload.training.instance_type, workload.training.max_runtime_minutes),
                    hyperparameters={
                        **{name: str(value) for name, value in workload.training.hyperparameters.items()},
                        "seed": str(workload.training.seed),
                    },
                    gate=workload.gate.model_dump(mode="json"),
                    approval=workload.approval,
                    serving_instance_type=workload.serving.instance_type,
                    lustre=self._lustre(),
                ),
            ),
        )
        grant_metrics(machine, metrics.NAMESPACE)
        judge.grant_invoke(machine)
        training.grant_run(machine)
        if self._lustre() is not None:
            training.grant_read_lustre()
        self._processing.grant_run(machine)
        self._registry.grant_register(machine)
        lake.grant_write(machine, "datasets", f"{folder}{PINS}/")
        lake.grant_list(machine, "datasets", folder)
        lake.grant_read(machine, "artefacts", f"{folder}evaluations/")
        # SageMaker looks at artefact and image with the leave of whoever registers a model.
        lake.grant_read(machine, "artefacts", f"{folder}training/")
        grant(machine, ["ecr:BatchGetImage", "ecr:DescribeImages"], self._image.repository_arn)
        lake.grant_table(machine, lake.runs_table, "dynamodb:GetItem")
        lake.grant_table(machine, lake.audit_table, "dynamodb:PutItem")
        return machine

    def _grant_days(self, jobs: SageMakerJobs) -> None:
        """Datasets that accumulate refer to the features themselves, day by day."""
        if self._workload.dataset.accumulate:
            self._lake.grant_read(jobs, "curated", f"{self._folder}features/")

    def _define_retention(self) -> None:
        keep = self._workload.dataset_retention
        if keep is not None:
            DatasetRetirement(
                self,
                "Retirement",
                workload=self._workload.name,
                keep=keep,
                lake=self._lake,
                registry=self._registry,
                alarms=self._alarms,
                log_retention_days=self._stage.log_retention_days,
            )

    def _lustre(self) -> LustrePlace | None:
        cache = self._stores.cache
        return cache.place if cache is not None and self._workload.training.read_from == "lustre" else None

    # --- the endpoint and its pipeline ---------------------------------------------------------------------------

    def _define_endpoint(self) -> GuardedEndpoint:
        serving, folder = self._workload.serving, self._folder
        endpoint = GuardedEndpoint(
            self,
            "Endpoint",
            name=self._name("live"),
            variant=VARIANT,
            prefix=self._prefix,
            image=self._image,
            network=self._network,
            key=self._lake.key,
            alarms=self._alarms,
            latency_ms=serving.latency_alarm_ms,
            new_share=self._rollout().share,
        )
        self._lake.grant_read(endpoint, "artefacts", f"{folder}training/")
        self._lake.grant_write(endpoint, "artefacts", f"{folder}capture/")
        return endpoint

    def _define_online_prediction(self) -> PythonFunction | None:
        if not self._feature_groups:
            return None
        function = self._function(
            "PredictOnline",
            "predict_online",
            "Answers requests with features from the online store",
            timeout_seconds=60,
            environment={
                "CONTRACT_URI": self._contract.uri,
                "GROUP_NAMES": json.dumps({name: group.name for name, group in self._feature_groups.items()}),
                "ENDPOINT_NAME": self._endpoint.name,
            },
        )
        self._contract.grant_read(function)
        self._endpoint.grant_invoke(function)
        for group in self._feature_groups.values():
            group.grant_read(function)
        return function

    def _define_deployment_pipeline(self) -> PipelineMachine:
        lake, serving, folder = self._lake, self._workload.serving, self._folder
        check = self._function(
            "CheckGolden", "check_golden", "Compares the endpoint with its golden answers", timeout_seconds=120
        )
        lake.grant_read(check, "artefacts", f"{folder}golden/")
        self._endpoint.grant_invoke(check)
        machine = self._machine(
            "DeploymentMachine",
            "deploy",
            deployment_machine(
                self._surroundings,
                DeploymentParts(
                    place=self._job_place(),
                    check_golden_arn=check.function_arn,
                    processing_role_arn=self._processing.role.role_arn,
                    golden_instance_type=self._workload.training.instance_type,
                    endpoint_role_arn=self._endpoint.role.role_arn,
                    endpoint_name=self._endpoint.name,
                    alarm_names=self._endpoint.alarm_names,
                    fleet=Fleet(serving.instance_type, serving.instance_count, serving.capture_percent),
                    rollout=self._rollout(),
                ),
            ),
        )
        grant_metrics(machine, metrics.NAMESPACE)
        check.grant_invoke(machine)
        self._processing.grant_run(machine)
        self._endpoint.grant_deploy(machine)
        self._registry.grant_serve(machine)
        self._registry.grant_reject(machine)
        lake.grant_table(machine, lake.leases_table, "dynamodb:DeleteItem")
        return machine

    def _rollout(self) -> Rollout:
        return Rollout(**self._workload.serving.rollout.model_dump())

    # --- the loop and what starts it -----------------------------------------------------------------------------

    def _define_loop(self) -> PipelineMachine:
        machine = self._machine(
            "LoopMachine",
            "loop",
            loop_machine(
                self._surroundings,
                LoopParts(data_machine_arn=self._data.machine_arn, model_machine_arn=self._model.machine_arn),
            ),
        )
        self._data.grant_run(machine)
        self._model.grant_run(machine)
        self._lake.grant_table(machine, self._lake.leases_table, "dynamodb:PutItem", "dynamodb:DeleteItem")
        return machine

    def _define_starter(self) -> PythonFunction:
        lake, folder = self._lake, self._folder
        starter = self._function(
            "Starter",
            "start_execution",
            "Starts one execution per landed batch and approved model",
            timeout_seconds=_STARTER_SECONDS,
            environment={
                "STAGE": self._stage.name,
                "WORKLOAD": self._workload.name,
                "RUNS_TABLE": lake.runs_table.table_name,
                "LOOP_MACHINE_ARN": self._loop.machine_arn,
                "DEPLOYMENT_MACHINE_ARN": self._deployment.machine_arn,
                "BUNDLE_POINTER": f"s3://{lake.artefacts.bucket_name}/{folder}bundles/current.json",
            },
        )
        lake.grant_read(starter, "landing", folder)
        lake.grant_read(starter, "artefacts", f"{folder}bundles/")
        lake.grant_table(starter, lake.runs_table, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
        self._loop.grant_start(starter)
        self._deployment.grant_start(starter)
        return starter

    def _define_intake(self) -> EventIntake:
        return EventIntake(
            self,
            "Intake",
            patterns={
                "BatchLanded": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [self._lake.landing.bucket_name]},
                        "object": {"key": [{"wildcard": f"{self._folder}*_batch.json"}]},
                    },
                },
                "ModelApproved": {
                    "source": ["aws.sagemaker"],
                    "detail-type": ["SageMaker Model Package State Change"],
                    "detail": {
                        "ModelPackageGroupName": [self._registry.group_name],
                        "ModelApprovalStatus": ["Approved"],
                    },
                },
                "RerunRequested": {
                    "source": ["gapless"],
                    "detail-type": ["Re-run Requested"],
                    "detail": {"workload": [self._workload.name]},
                },
            },
            starter=self._starter,
            starter_timeout_seconds=_STARTER_SECONDS,
            alarms=self._alarms,
        )

    def _define_ingestion(self) -> IngestionPaths:
        around = ingestion.Surroundings(
            stage=self._stage.name,
            workload=self._workload.name,
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )
        return IngestionPaths(self, "Ingestion", around=around, network=self._network, workload=self._workload)

    # --- what all of them share ----------------------------------------------------------------------------------

    def _name(self, part: str) -> str:
        return runtime_name(self._stage.name, self._workload.name, part)

    def _job_place(self) -> JobPlace:
        return JobPlace(
            image_uri=self._image.uri,
            subnets=self._network.subnet_ids,
            security_group=self._network.security_group_id,
            key_arn=self._lake.key.key_arn,
            job_code_uri=self._job_code.uri,
            artefacts_bucket=self._lake.artefacts.bucket_name,
        )

    def _function(
        self,
        construct_id: str,
        folder: str,
        description: str,
        *,
        timeout_seconds: int,
        environment: dict[str, str] | None = None,
    ) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            folder=folder,
            description=description,
            timeout_seconds=timeout_seconds,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._stage.log_retention_days,
            environment=environment,
        )

    def _machine(self, construct_id: str, part: str, definition: dict[str, object]) -> PipelineMachine:
        machine = PipelineMachine(
            self,
            construct_id,
            name=self._name(part),
            definition=definition,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._stage.log_retention_days,
        )
        self._lake.grant_table(machine, self._lake.runs_table, "dynamodb:UpdateItem")
        self._on_call.grant_publish(machine)
        return machine

    def _define_outputs(self) -> None:
        lake, folder = self._lake, self._folder
        outputs = {
            "LandingBucket": lake.landing.bucket_name,
            "LandingPrefix": folder,
            "ArtefactsBucket": lake.artefacts.bucket_name,
            "BundlePrefix": f"{folder}bundles/",
            "DatasetsBucket": lake.datasets.bucket_name,
            "ValidatedBucket": lake.validated.bucket_name,
            "QuarantineBucket": lake.quarantine.bucket_name,
            "CuratedBucket": lake.curated.bucket_name,
            "LoopMachineArn": self._loop.machine_arn,
            "DataMachineArn": self._data.machine_arn,
            "ModelMachineArn": self._model.machine_arn,
            "DeploymentMachineArn": self._deployment.machine_arn,
            "IntakeQueueUrl": self._intake.queue_url,
            "IntakeDeadLetterQueueUrl": self._intake.dead_letter_queue_url,
            "StarterFunctionName": self._starter.function_name,
            "EndpointName": self._endpoint.name,
            "VariantName": VARIANT,
            "ModelPackageGroup": self._registry.group_name,
            "RunsTable": lake.runs_table.table_name,
            "LeasesTable": lake.leases_table.table_name,
            "CuratedDatabase": lake.databases["curated"],
            "AthenaWorkGroup": lake.athena_workgroup_name,
            "OnCallTopicArn": self._on_call.topic_arn,
            "ContractUri": self._contract.uri,
            "AlarmNames": ",".join(self._endpoint.alarm_names),
            **self._ingestion.outputs,
        }
        if self._online is not None:
            outputs["OnlinePredictionFunctionName"] = self._online.function_name
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
