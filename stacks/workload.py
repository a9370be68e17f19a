"""The pipelines of one workload: what they consist of, and who may do what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import Aws, CfnOutput, CfnResource, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.automl_search import AutoMLSearch
from constructs_lib.aws_monitors import AwsMonitors, MonitorImages, MonitorRole, preprocessor_script
from constructs_lib.batch_scoring_pipeline import BatchScoringPipeline
from constructs_lib.catalogue_table import json_table, parquet_table
from constructs_lib.data_lake import CatalogueZone, DataLake, Zone
from constructs_lib.dataset_retention import DatasetRetirement
from constructs_lib.endpoint_monitor import EndpointMonitor
from constructs_lib.experiment_judge import JUDGEMENTS, Experimented, ExperimentJudge
from constructs_lib.experiment_log import ExperimentLog
from constructs_lib.experiment_tracking import ExperimentTracking
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.feature_ingestion import FeatureIngestion
from constructs_lib.grants import grant, grant_metrics
from constructs_lib.guarded_endpoint import GuardedEndpoint, PredictionWatch
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.image_repository import ImageRepository
from constructs_lib.images import FrameworkImage, Image, RegistryImage
from constructs_lib.incidents import IncidentAlarms, findings_incident, pipelines_incident, serving_incident
from constructs_lib.ingestion import surroundings as ingestion
from constructs_lib.ingestion.paths import IngestionPaths
from constructs_lib.intake import EventIntake
from constructs_lib.labelling_jobs import LabellingJobs
from constructs_lib.landing_crawler import LandingCrawler
from constructs_lib.log_queries import LogQueries, log_queries
from constructs_lib.machine_schedule import MachineSchedule
from constructs_lib.machines.aws_monitors import AwsMonitorsParts
from constructs_lib.machines.batch_scoring import PREDICTIONS
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.machines.deployment import (
    CHALLENGER,
    VARIANT,
    DeploymentParts,
    Experiment,
    Fleet,
    Rollout,
    deployment_machine,
)
from constructs_lib.machines.deployment.modes import ANSWERS, REQUESTS
from constructs_lib.machines.deployment.parts import Later, OnDemand
from constructs_lib.machines.feature_ingestion import IngestionParts
from constructs_lib.machines.images import JOBS, pinned
from constructs_lib.machines.jobs import CHECKPOINTS_FOLDER, JobLimits, JobPlace, LustrePlace
from constructs_lib.machines.loop import LoopParts, loop_machine
from constructs_lib.machines.makers.automl import AutoMLMaker
from constructs_lib.machines.makers.parts import ModelParts, TuningParts, Watched
from constructs_lib.machines.makers.pipeline import PipelineMaker
from constructs_lib.machines.makers.steps import pipeline_definition
from constructs_lib.machines.makers.tuning import FOLDER as TUNINGS
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.monitoring import CAPTURE, OUTCOMES, MonitoringParts
from constructs_lib.machines.pins import FOLDER as PINS
from constructs_lib.machines.promotion import PromotionParts, promotion_machine
from constructs_lib.machines.score_rollback import GoingBack
from constructs_lib.machines.scoring import FOLDER as SCORING
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import MODELS
from constructs_lib.machines.warehouse import WarehouseParts, warehouse_machine
from constructs_lib.materialised_views import MaterialisedViews
from constructs_lib.model_deployment import grant_deployment
from constructs_lib.model_making import ModelMaking
from constructs_lib.model_promotion import PROMOTION_SCHEDULE, ModelPull, Origin
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_retention import ModelRetirement
from constructs_lib.model_sets import ModelSets
from constructs_lib.model_signing import ModelSigning
from constructs_lib.monitor_functions import MonitorReader, MonitorSetter
from constructs_lib.named_queries import NamedQueries
from constructs_lib.names import debugger, metrics, openapi, relabelled
from constructs_lib.names.batch_scoring_file import OUTPUT
from constructs_lib.names.bundle import pointer_key
from constructs_lib.names.governance import governed_tables, people_workgroup
from constructs_lib.names.lake_queries import lake_queries
from constructs_lib.names.landing import SCORING as SCORING_INPUTS
from constructs_lib.names.model_file import allows_pickle
from constructs_lib.names.monitoring_file import Monitoring
from constructs_lib.names.naming import INDEX, INDEX_COLUMNS, api_name, runtime_name, runtime_prefix, table_name
from constructs_lib.names.serving_file import ABTest, Shadow
from constructs_lib.names.serving_modes import Asynchronous, MultiModel, Serverless
from constructs_lib.names.tuning_file import WARM_STARTS
from constructs_lib.names.window_file import window_json
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.network import Network
from constructs_lib.no_code_features import FlowFeatures, RecipeFeatures
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import MACHINES, PipelineMachine
from constructs_lib.prediction_api import PredictionApi
from constructs_lib.prediction_watch import PredictionsWatcher
from constructs_lib.probation import Probation
from constructs_lib.python_function import PythonFunction
from constructs_lib.quality_ruleset import CatalogueRules, QualityRuleset
from constructs_lib.retrain_policy import RetrainPolicy, asking_events
from constructs_lib.row_relabelling import Endpoint, RowRelabelling
from constructs_lib.sagemaker_jobs import BatchScoring, JobCode, SageMakerJobs
from constructs_lib.serving_function import Serves, ServingFunction
from constructs_lib.spark_job import Capacity, SparkJob
from constructs_lib.text_asset import TextAsset
from constructs_lib.training_guard import TrainingGuard
from constructs_lib.training_pipeline import TrainingPipeline
from constructs_lib.workload_dashboard import WorkloadDashboard
from constructs_lib.workload_governance import WorkloadGovernance
from stacks.config import StageConfig
from stacks.stores import Stores

_STARTER_SECONDS = 60
_WAITING_SECONDS = 3600
"""For how long a request may wait for an asynchronous endpoint before somebody is told."""

_CATALOGUED: tuple[CatalogueZone, ...] = ("validated", "quarantine", "curated")
_WRITTEN: tuple[Zone, ...] = ("validated", "quarantine", "curated", "datasets")


class WorkloadStack(Stack):
    """Holds no state: everything here can be deleted and deployed again, but for the partitions of its tables.

    Attributes:
        endpoint_alarms: Names of the alarms of the endpoint.
        incident_alarms: Names of the alarms that tell of an incident.
    """

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
        images: ImageRepository | None,
        stores: Stores,
        tracking: ExperimentTracking | None,
        origin: Origin | None,
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
        self._history, self._stores, self._tracking, self._origin = history, stores, tracking, origin
        self._images = images
        self._prefix = runtime_prefix(stage.name, workload.name)
        self._folder = f"{workload.name}/"
        self._alarms = FailureAlarms(on_call, pipelines_incident(stage.name, workload.name))
        self._serving_alarms = FailureAlarms(on_call, serving_incident(stage.name, workload.name))
        self._finding_alarms = FailureAlarms(on_call, findings_incident(stage.name, workload.name))
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
        self._making = ModelMaking(
            self,
            "Making",
            workload=workload,
            jobs_image=FrameworkImage(self, "Image", image=Image.parse(workload.model.jobs_image)),
            own_images=images,
            prefix=self._prefix,
            key=lake.key,
            alarms=self._alarms,
            log_retention_days=stage.log_retention_days,
        )
        self._job_code = JobCode(self, "JobCode")
        self._contract = TextAsset(self, "Contract", text=workload.contract_json(), suffix=".json")
        self._evaluation_options = TextAsset(
            self, "EvaluationOptions", text=json.dumps(workload.evaluation_options(), sort_keys=True), suffix=".json"
        )
        self._processing = self._define_processing()
        self._scoring = self._define_scoring()
        self._governance = self._define_tables()
        self._define_queries()
        self._feature_ingestion = self._define_feature_ingestion()
        self._data = self._define_data_pipeline()
        self._define_drift_alarm()
        self._signing = ModelSigning(
            self,
            "Signing",
            workload=workload.name,
            lake=lake,
            alarms=self._alarms,
            log_retention_days=stage.log_retention_days,
        )
        self._model = self._define_model_pipeline()
        self._sets = self._define_sets()
        self._endpoint = self._define_endpoint()
        self.endpoint_alarms: Sequence[str] = self._endpoint.alarm_names
        self._api_log: str | None = None
        self._online = self._define_online_prediction()
        self._api = self._define_api()
        self._judge = self._define_experiment_judge()
        self._deployment = self._define_deployment_pipeline()
        self._batch_scoring = self._define_batch_scoring()
        self._monitor = self._define_monitor()
        self._relabelling = self._define_relabelling()
        self._policy = self._define_policy()
        self._loop = self._define_loop()
        self._starter = self._define_starter()
        self._intake = self._define_intake()
        self._define_scoring_schedule()
        self._define_retention()
        self._define_model_retention()
        self._promotion = self._define_promotion()
        self._ingestion = self._define_ingestion()
        self.incident_alarms: Sequence[str] = self._define_incidents()
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
        if workload.batch_scoring is not None:
            made["curated", PREDICTIONS] = json_table(
                self,
                "Predictions",
                database=self._lake.databases["curated"],
                name=table_name(workload.name, PREDICTIONS),
                location=f"s3://{self._lake.curated.bucket_name}/{folder}{PREDICTIONS}/",
                columns=workload.prediction_columns(),
                description=f"Scored rows of {workload.name}, what was asked beside what the model answered",
                partition_keys=("as_of", "version"),
                members={OUTPUT.lower(): OUTPUT},
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
        relabels, answers = workload.relabelling is not None, f"{folder}{relabelled.FOLDER}/{relabelled.ANSWERED}/"
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
                **({"ANSWERS_URI": f"s3://{lake.artefacts.bucket_name}/{answers}"} if relabels else {}),
            },
            memory_mb=1024 if relabels else 256,
        )
        lake.grant_read(check, "landing", folder)
        for each in (check, job) if relabels else ():
            lake.grant_read(each, "artefacts", answers)
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
                    relabels=relabels,
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
            alarms=self._finding_alarms,
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
            image=self._making.jobs_image,
            network=self._network,
            key=lake.key,
        )
        self._job_code.grant_read_object(processing)
        self._evaluation_options.grant_fetch(processing)
        lake.grant_read(processing, "datasets", folder)
        lake.grant_read(processing, "artefacts", folder)
        lake.grant_write(processing, "artefacts", f"{folder}evaluations/")
        lake.grant_write(processing, "artefacts", f"{folder}golden/")
        if not self._workload.model.evaluated_in_process:
            lake.grant_write(processing, "artefacts", f"{folder}{SCORING}/")
        self._making.grant_encode(processing, lake, self._workload.name)
        self._making.grant_pack(processing, lake, self._workload.name)
        self._grant_days(processing)
        return processing

    def _define_scoring(self) -> BatchScoring | None:
        lake, folder = self._lake, self._folder
        if self._workload.model.evaluated_in_process:
            return None
        scoring = BatchScoring(
            self,
            "Scoring",
            prefix=self._prefix,
            role_description=f"Models of {self._workload.name} that answer for their evaluation",
            image=self._making.serving_image,
            network=self._network,
            key=lake.key,
        )
        self._making.grant_serve(scoring)
        self._making.grant_read_encoded(scoring, lake, self._workload.name)
        lake.grant_read(scoring, "artefacts", f"{folder}training/")
        lake.grant_read(scoring, "artefacts", f"{folder}{MODELS}/")
        lake.grant_read(scoring, "artefacts", f"{folder}{SCORING}/")
        lake.grant_write(scoring, "artefacts", f"{folder}{SCORING}/")
        return scoring

    def _scoring_parts(self) -> Scoring | None:
        if self._scoring is None:
            return None
        limits = JobLimits(self._workload.serving.instance_type, self._workload.training.max_runtime_minutes)
        return Scoring(self._scoring.role.role_arn, limits)

    def _define_model_pipeline(self) -> PipelineMachine:
        lake, workload, folder = self._lake, self._workload, self._folder
        training = SageMakerJobs(
            self,
            "Training",
            kind="training",
            prefix=self._prefix,
            role_description=f"Training of {workload.name}",
            image=self._making.training_image,
            network=self._network,
            key=lake.key,
        )
        self._making.grant_read_encoded(training, lake, workload.name)
        self._making.grant_read_scripts(training, lake, workload.name)
        lake.grant_read(training, "datasets", folder)
        self._grant_days(training)
        lake.grant_read(training, "artefacts", f"{folder}bundles/")
        lake.grant_write(training, "artefacts", f"{folder}training/")
        if workload.training.spot is not None:
            lake.grant_read(training, "artefacts", f"{folder}{CHECKPOINTS_FOLDER}/")
            lake.grant_write(training, "artefacts", f"{folder}{CHECKPOINTS_FOLDER}/")
        self._job_code.grant_read_object(training)

        mode = workload.serving.mode
        judge = self._function(
            "JudgeModel", "judge_model", "Judges a trained model by the workload's gate", timeout_seconds=30
        )
        logger = self._define_experiment_log()
        parts = ModelParts(
            place=replace(self._job_place(), image_uri=pinned(JOBS)),
            datasets_bucket=lake.datasets.bucket_name,
            group_name=self._registry.group_name,
            judge_model_arn=judge.function_arn,
            signing=self._signing.parts,
            maker=self._making.maker,
            training_role_arn=training.role.role_arn,
            processing_role_arn=self._processing.role.role_arn,
            problem=workload.problem,
            target=workload.target,
            training=JobLimits.of_training(workload.training.compute),
            jobs=self._job_limits(),
            hyperparameters=workload.training.texts(),
            switches=workload.training.switches(),
            evaluation_options_uri=self._evaluation_options.uri,
            gate=workload.gate.judged(workload.problem),
            approval=workload.approval,
            serving_instance_type=workload.serving.instance_type,
            reads_train=bool(workload.evaluation.facets),
            lustre=self._lustre(),
            log_experiment_arn=logger.function_arn if logger is not None else None,
            trains=not isinstance(self._making.maker, AutoMLMaker),
            scoring=self._scoring_parts(),
            watched=self._define_guard(training),
            evaluated_by_maker=isinstance(self._making.maker, PipelineMaker),
            allow_pickle=allows_pickle(workload.model),
            tuning=self._tuning_parts(),
            images=self._making.looked_up,
            segments_json=mode.training_json() if isinstance(mode, MultiModel) else None,
            window=window_json(workload.training.window) if workload.training.window is not None else None,
            serving_script_uri=self._serving_script_uri(),
        )
        machine = self._machine("ModelMachine", "model", model_machine(self._surroundings, parts))
        grant_metrics(machine, metrics.NAMESPACE)
        judge.grant_invoke(machine)
        if logger is not None:
            logger.grant_invoke(machine)
        self._signing.grant_register(machine)
        self._grant_making(parts, training, machine)
        if self._lustre() is not None:
            training.grant_read_lustre()
        if self._scoring is not None:
            self._scoring.grant_run(machine)
            self._registry.grant_serve(machine)
        self._registry.grant_register(machine)
        lake.grant_write(machine, "datasets", f"{folder}{PINS}/")
        lake.grant_read(machine, "datasets", folder)
        lake.grant_list(machine, "artefacts", f"{folder}bundles/")
        lake.grant_read(machine, "artefacts", f"{folder}evaluations/")
        lake.grant_write(machine, "artefacts", f"{folder}evaluations/")
        # SageMaker looks at artefact and image with the leave of whoever registers a model.
        lake.grant_read(machine, "artefacts", f"{folder}{MODELS}/")
        self._making.grant_run(machine)
        self._making.grant_copy_scripts(machine, lake, workload.name)
        self._making.grant_read_encoded(machine, lake, workload.name)
        lake.grant_table(machine, lake.runs_table, "dynamodb:GetItem")
        lake.grant_table(machine, lake.audit_table, "dynamodb:PutItem")
        return machine

    def _serving_script_uri(self) -> str | None:
        scripts = self._making.scripts
        if scripts is None or scripts.serving_script is None:
            return None
        return scripts.serving_script.uri(self._surroundings, self._job_place())

    def _grant_making(self, parts: ModelParts, training: SageMakerJobs, machine: PipelineMachine) -> None:
        """Lets the machine start what makes a model: training jobs, a pipeline of them, or a search."""
        if isinstance(parts.maker, PipelineMaker):
            self._define_training_pipeline(parts, parts.maker, training).grant_run(machine)
        if isinstance(parts.maker, AutoMLMaker):
            search = AutoMLSearch(
                self, "Search", role=training.role, prefix=self._prefix, images=self._making.searching_images
            )
            search.grant_run(machine)
        else:
            training.grant_run(machine)
        if parts.tuning is not None:
            training.grant_tune(machine)
            self._lake.grant_write(machine, "artefacts", f"{self._folder}{TUNINGS}/")
        self._processing.grant_run(machine)

    def _tuning_parts(self) -> TuningParts | None:
        training, compared = self._workload.training, self._workload.compared_by()
        if training.tuning is None or compared is None:
            return None
        return TuningParts(
            config=training.tuning.config(compared.metric, compared.goal, training.seed),
            metric=compared.metric,
            goal=compared.goal,
            metric_definitions=compared.definitions(),
            minutes=training.tuning.budget.minutes,
            kinship=training.tuning.kinship(training.hyperparameters, compared.metric),
            warm_start=WARM_STARTS.get(training.tuning.warm_start),
            checkpoints=training.tuning.checkpoints,
            space=training.tuning.space(training.hyperparameters, compared.metric),
        )

    def _define_training_pipeline(
        self, parts: ModelParts, maker: PipelineMaker, training: SageMakerJobs
    ) -> TrainingPipeline:
        return TrainingPipeline(
            self,
            "TrainingPipeline",
            name=maker.pipeline_name,
            description=f"Trains and evaluates {self._workload.name}; its state machine starts it and judges the model",
            definition=pipeline_definition(self._surroundings, parts, maker.image_uri),
            jobs=(training, self._processing),
            alarms=self._alarms,
        )

    def _define_experiment_log(self) -> PythonFunction | None:
        if self._tracking is None:
            return None
        return ExperimentLog(
            self,
            "ExperimentLog",
            stage=self._stage.name,
            workload=self._workload.name,
            lake=self._lake,
            tracking=self._tracking,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
            tunes=self._workload.training.tuning is not None,
        ).function

    def _define_guard(self, training: SageMakerJobs) -> Watched | None:
        guard = self._workload.training.guard
        if guard is None:
            return None
        if guard.watch == "script":
            return Watched(rules_json=guard.rules_json())
        watching = TrainingGuard(
            self,
            "Guard",
            around=self._surroundings,
            guard=guard,
            most_minutes=self._workload.training.compute.most_minutes,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._stage.log_retention_days,
        )
        self._lake.grant_table(watching.machine, self._lake.runs_table, "dynamodb:UpdateItem")
        self._lake.grant_table(watching.machine, self._lake.audit_table, "dynamodb:PutItem")
        self._on_call.grant_publish(watching.machine)
        if guard.watch == "log":
            return None
        self._lake.grant_write(training, "artefacts", f"{self._folder}debugger/")
        image = RegistryImage(
            self, "DebuggerRules", registries=debugger.REGISTRIES, repository=debugger.REPOSITORY, tag=debugger.TAG
        )
        output = f"s3://{self._lake.artefacts.bucket_name}/{self._folder}debugger/"
        return Watched(debugger=debugger.members(guard, image.uri, output))

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

    def _define_model_retention(self) -> None:
        keep = self._workload.model_retention
        if keep is not None:
            ModelRetirement(
                self,
                "ModelRetirement",
                workload=self._workload.name,
                keep=keep,
                lake=self._lake,
                registry=self._registry,
                endpoint=self._endpoint,
                alarms=self._alarms,
                log_retention_days=self._stage.log_retention_days,
                has_sets=self._sets is not None,
            )

    def _define_promotion(self) -> PipelineMachine | None:
        lake, workload, stage = self._lake, self._workload, self._stage
        if self._origin is None:
            return None
        pull = ModelPull(
            self,
            "Pull",
            stage=stage.name,
            workload=workload.name,
            origin=self._origin,
            lake=lake,
            images=self._images,
            alarms=self._alarms,
            log_retention_days=stage.log_retention_days,
        )
        machine = self._machine(
            "PromotionMachine",
            "promote",
            promotion_machine(
                self._surroundings,
                PromotionParts(
                    pull_model_arn=pull.function.function_arn,
                    signing=self._signing.parts,
                    group_name=self._registry.group_name,
                    serving_instance_type=workload.serving.instance_type,
                ),
            ),
        )
        pull.function.grant_invoke(machine)
        self._signing.grant_verify(machine)
        self._registry.grant_add(machine)
        lake.grant_read(machine, "artefacts", f"{self._folder}{MODELS}/")
        self._making.grant_look(machine)
        lake.grant_table(machine, lake.audit_table, "dynamodb:PutItem")
        grant_metrics(machine, metrics.NAMESPACE)
        MachineSchedule(
            self,
            "PromotionSchedule",
            workload=workload.name,
            machine=machine,
            schedule=PROMOTION_SCHEDULE,
            does=f"takes over models of {workload.name}",
            alarms=self._alarms,
        )
        return machine

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
            image=self._making.serving_image,
            network=self._network,
            key=self._lake.key,
            alarms=self._serving_alarms,
            latency_ms=serving.latency_alarm_ms,
            new_share=serving.rollout.first_share,
            refused_share=serving.refused_alarm_share,
            waiting_seconds=_WAITING_SECONDS if serving.mode.kind == "asynchronous" else None,
            several_models=isinstance(serving.mode, MultiModel),
            challenger=CHALLENGER if isinstance(serving.rollout, ABTest | Shadow) else None,
            predictions=None
            if serving.prediction_shift is None
            else PredictionWatch(self._stage.name, self._workload.name, serving.prediction_shift),
        )
        self._making.grant_serve(endpoint)
        if self._sets is None:
            self._lake.grant_read(endpoint, "artefacts", f"{folder}{MODELS}/")
        else:
            self._sets.grant_serve(endpoint)
        if serving.captures:
            self._lake.grant_write(endpoint, "artefacts", f"{folder}capture/")
        if isinstance(serving.mode, Asynchronous):
            self._grant_later(endpoint, serving.mode)
        return endpoint

    def _define_sets(self) -> ModelSets | None:
        if not isinstance(self._workload.serving.mode, MultiModel):
            return None
        return ModelSets(
            self,
            "ModelSets",
            workload=self._workload.name,
            allow_pickle=allows_pickle(self._workload.model),
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )

    def _grant_later(self, endpoint: GuardedEndpoint, mode: Asynchronous) -> None:
        self._lake.grant_read(endpoint, "artefacts", f"{self._folder}{REQUESTS}/")
        self._lake.grant_write(endpoint, "artefacts", f"{self._folder}{ANSWERS}/")
        self._on_call.grant_publish(endpoint)
        if mode.success_topic is not None:
            grant(endpoint, ["sns:Publish"], mode.success_topic)

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
            alarms=self._serving_alarms,
        )
        self._contract.grant_read(function)
        self._endpoint.grant_invoke(function)
        for group in self._feature_groups.values():
            group.grant_read(function)
        return function

    def _define_api(self) -> PredictionApi | None:
        api = self._workload.serving.api
        if api is None:
            return None
        lake, workload, mode = self._lake, self._workload, self._workload.serving.mode
        document, captures = openapi.document(workload.described(), api), workload.serving.captured_by_api
        groups = workload.feature_groups.values()
        function = ServingFunction(
            self,
            "Serving",
            application=self._name("serve"),
            serves=Serves(
                stage=self._stage.name,
                workload=workload.name,
                endpoint=self._endpoint.name,
                contract_uri=self._contract.uri,
                group_names={name: group.name for name, group in self._feature_groups.items()},
                read_features=tuple(feature for group in groups for feature in group.features),
                key_columns=tuple(dict.fromkeys(group.row_key for group in groups)),
                bundle_uri=f"s3://{lake.artefacts.bucket_name}/{pointer_key(workload.name)}",
                latency_ms=workload.serving.latency_alarm_ms,
                capture_uri=f"s3://{lake.artefacts.bucket_name}/{self._folder}{CAPTURE}/" if captures else None,
                capture_percent=workload.serving.capture_percent,
                routing=mode.routing if isinstance(mode, MultiModel) else None,
            ),
            api=api,
            document=document,
            alarms=self._serving_alarms,
            log_key=lake.key,
            log_retention_days=self._stage.log_retention_days,
        )
        self._contract.grant_read(function)
        self._endpoint.grant_invoke(function)
        if captures:
            lake.grant_write(function, "artefacts", f"{self._folder}{CAPTURE}/")
        if api.sticky_by is not None:
            self._endpoint.grant_read_variants(function)
        for group in self._feature_groups.values():
            group.grant_read(function)
        for hook in function.hooks:
            lake.grant_read(hook, "artefacts", f"{self._folder}bundles/")
            self._endpoint.grant_read_variants(hook)
        self._document_uri, self._api_log = function.document.uri, function.log_name
        return PredictionApi(
            self,
            "Api",
            name=api_name(self._stage.name, workload.name),
            api=api,
            document=document,
            alias=function.alias,
            latency_ms=workload.serving.latency_alarm_ms,
            alarms=self._serving_alarms,
            log_key=lake.key,
            log_retention_days=self._stage.log_retention_days,
        )

    def _define_experiment_judge(self) -> ExperimentJudge | None:
        rules = self._workload.serving.judging
        if rules is None:
            return None
        lake, folder = self._lake, self._folder
        judge = ExperimentJudge(
            self,
            "ExperimentJudge",
            experimented=Experimented(
                workload=self._workload.name,
                problem=self._workload.problem,
                endpoint=self._endpoint.name,
                artefacts=lake.artefacts.bucket_name,
                folder=folder,
                audit_table=lake.audit_table.table_name,
            ),
            rules=rules,
            alarms=self._alarms,
            log_key=lake.key,
            log_retention_days=self._stage.log_retention_days,
        )
        for part in (CAPTURE, OUTCOMES):
            lake.grant_read(judge, "artefacts", f"{folder}{part}/")
        lake.grant_write(judge, "artefacts", f"{folder}{JUDGEMENTS}/")
        lake.grant_table(judge, lake.audit_table, "dynamodb:PutItem")
        return judge

    def _define_deployment_pipeline(self) -> PipelineMachine:
        lake, serving = self._lake, self._workload.serving
        check = self._function(
            "CheckGolden",
            "check_golden",
            "Compares the endpoint with its golden answers",
            timeout_seconds=120 if serving.mode.kind != "asynchronous" else 900,
        )
        watcher = self._define_predictions_watcher()
        machine = self._machine(
            "DeploymentMachine",
            "deploy",
            deployment_machine(
                self._surroundings,
                DeploymentParts(
                    place=self._job_place(),
                    signing=self._signing.parts,
                    check_golden_arn=check.function_arn,
                    processing_role_arn=self._processing.role.role_arn,
                    golden_jobs=self._job_limits(),
                    endpoint_role_arn=self._endpoint.role.role_arn,
                    endpoint_name=self._endpoint.name,
                    alarm_names=self._endpoint.alarm_names,
                    fleet=self._fleet(),
                    scaling=serving.scaling,
                    rollout=self._rollout(),
                    experiment=self._experiment(),
                    probation_hours=serving.probation_hours,
                    scoring=self._scoring_parts(),
                    refusals=self._endpoint.unnoticed_refusals,
                    allow_pickle=allows_pickle(self._workload.model),
                    scanned=self._making.scanned,
                    watch_predictions_arn=None if watcher is None else watcher.function_arn,
                    model_set=self._sets.parts if self._sets is not None else None,
                ),
            ),
        )
        grant_deployment(
            machine,
            check=check,
            workload=self._workload.name,
            signing=self._signing,
            processing=self._processing,
            scoring=self._scoring,
            endpoint=self._endpoint,
            registry=self._registry,
            lake=lake,
            namespace=metrics.NAMESPACE,
            serving=serving,
            sets=self._sets,
        )
        self._making.grant_read_scan(machine)
        if self._judge is not None:
            self._judge.grant_invoke(machine)
        if watcher is not None:
            watcher.grant_invoke(machine)
        self._define_probation(machine)
        return machine

    def _define_predictions_watcher(self) -> PredictionsWatcher | None:
        if self._workload.serving.prediction_shift is None:
            return None
        return PredictionsWatcher(
            self,
            "PredictionsWatcher",
            stage=self._stage.name,
            workload=self._workload.name,
            endpoint_name=self._endpoint.name,
            lake=self._lake,
            alarms=self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._stage.log_retention_days,
        )

    def _define_monitor(self) -> EndpointMonitor | AwsMonitors | None:
        workload = self._workload
        if workload.monitoring is None:
            return None
        text = json.dumps(workload.monitoring_options(), sort_keys=True)
        options = TextAsset(self, "MonitoringOptions", text=text, suffix=".json")
        if not workload.monitoring.is_own:
            return self._define_aws_monitors(workload.monitoring, options, hashlib.sha256(text.encode()).hexdigest())
        way = workload.monitoring.rollback_by_score
        versions = workload.monitoring.rollback_versions
        monitor = EndpointMonitor(
            self,
            "Monitor",
            around=self._surroundings,
            parts=self._monitoring_parts(
                workload.monitoring,
                options,
                in_process=workload.model.evaluated_in_process,
                going_back=GoingBack(way, self._deployment.machine_arn, versions) if way is not None else None,
            ),
            lake=self._lake,
            registry=self._registry,
            processing=self._processing,
            options=options,
            on_call=self._on_call,
            alarms=self._alarms,
            found=self._finding_alarms,
            log_retention_days=self._stage.log_retention_days,
            removing=self._define_monitor_setter() if self._stage.model_monitor else None,
        )
        if way == "perform":
            self._deployment.grant_start(monitor.machine)
        return monitor

    def _monitoring_parts(
        self, monitoring: Monitoring, options: TextAsset, *, in_process: bool, going_back: GoingBack | None = None
    ) -> MonitoringParts:
        return MonitoringParts(
            place=self._job_place(),
            datasets_bucket=self._lake.datasets.bucket_name,
            endpoint_name=self._endpoint.name,
            variant=VARIANT,
            processing_role_arn=self._processing.role.role_arn,
            limits=self._job_limits(),
            options_uri=options.uri,
            every=monitoring.every,
            remembers=monitoring.reference == "weeks",
            in_process=in_process,
            allow_pickle=allows_pickle(self._workload.model),
            going_back=going_back,
        )

    def _define_monitor_setter(self) -> MonitorSetter:
        return MonitorSetter(
            self,
            "SetMonitors",
            around=self._surroundings,
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )

    def _define_aws_monitors(self, monitoring: Monitoring, options: TextAsset, digest: str) -> AwsMonitors:
        workload, around = self._workload, self._surroundings
        images = MonitorImages(self, "MonitorImages", clarify=monitoring.backend == "clarify")
        preprocessor = TextAsset(self, "MonitorPreprocessor", text=preprocessor_script(), suffix=".py")
        role = MonitorRole(
            self,
            "MonitorRole",
            around=around,
            model_monitor=images.model_monitor,
            clarify=images.clarify,
            lake=self._lake,
            network=self._network,
            preprocessor=preprocessor,
        )
        setter = self._define_monitor_setter()
        setter.grant_make(role)
        reader = MonitorReader(
            self,
            "ReadMonitors",
            around=around,
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )
        parts = AwsMonitorsParts.of(
            workload,
            monitoring,
            making=self._monitoring_parts(monitoring, options, in_process=False),
            role_arn=role.role_arn,
            model_monitor_uri=images.model_monitor.uri,
            clarify_uri=images.clarify.uri if images.clarify is not None else "",
            preprocessor_uri=preprocessor.uri,
            options_digest=digest[:12],
            set_arn=setter.function_arn,
            read_arn=reader.function_arn,
        )
        if parts.explained is not None:
            role.grant_explain(self._prefix)
        return AwsMonitors(
            self,
            "Monitor",
            around=around,
            parts=parts,
            deployment=self._deployment,
            setter=setter,
            reader=reader,
            lake=self._lake,
            registry=self._registry,
            processing=self._processing,
            options=options,
            on_call=self._on_call,
            alarms=self._alarms,
            found=self._finding_alarms,
            log_retention_days=self._stage.log_retention_days,
        )

    def _define_relabelling(self) -> RowRelabelling | None:
        workload = self._workload
        asked = workload.relabelling
        if asked is None:
            return None
        by_spread = asked.measured_by(workload.problem) == "spread"
        jobs = asked.ground_truth
        relabelling = RowRelabelling(
            self,
            "Relabelling",
            endpoint=Endpoint(
                self._stage.name,
                workload.name,
                self._endpoint.name,
                VARIANT,
                **({"challenger": CHALLENGER} if by_spread else {}),
            ),
            options=workload.relabelling_options(),
            lake=self._lake,
            alarms=self._alarms,
            found=self._finding_alarms,
            log_retention_days=self._stage.log_retention_days,
            scheduled=jobs is None,
        )
        if jobs is not None:
            LabellingJobs(
                self,
                "LabellingJobs",
                around=self._surroundings,
                asked=jobs,
                labels=asked.answers(workload.problem),
                relabelling=relabelling,
                lake=self._lake,
                on_call=self._on_call,
                alarms=self._alarms,
                log_retention_days=self._stage.log_retention_days,
            )
        return relabelling

    def _fleet(self) -> Fleet:
        serving = self._workload.serving
        size = (serving.instance_type, serving.instance_count, serving.captured_percent)
        match serving.mode:
            case Serverless() as mode:
                return Fleet(*size, OnDemand(mode.memory_mb, mode.max_concurrency, mode.provisioned_concurrency))
            case Asynchronous() as mode:
                return Fleet(*size, later=Later(mode.concurrent_requests, mode.success_topic))
        return Fleet(*size)

    def _define_probation(self, machine: PipelineMachine) -> None:
        if self._workload.serving.probation_hours is None:
            return
        dimensions = metrics.dimensions(self._stage.name, self._workload.name)
        Probation(
            self,
            "Probation",
            name=f"{self._endpoint.name}-labels",
            quality=Metric(metrics.NAMESPACE, metrics.LABEL_QUALITY_LOST, dimensions, statistic="Maximum"),
            machine=machine,
            alarms=self._finding_alarms,
        )

    def _rollout(self) -> Rollout:
        return Rollout.of(self._workload.serving.rollout)

    def _define_batch_scoring(self) -> BatchScoringPipeline | None:
        workload = self._workload
        if workload.batch_scoring is None:
            return None
        scoring = BatchScoringPipeline(
            self,
            "BatchScoring",
            around=self._surroundings,
            asked=workload.batch_scoring,
            lake=self._lake,
            network=self._network,
            place=self._job_place(),
            making=self._making,
            processing=self._processing,
            reading=self._job_limits(),
            signing=self._signing,
            registry=self._registry,
            contract=self._contract,
            contract_digest=workload.contract_digest(),
            governance=self._governance,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )
        self._on_call.grant_publish(scoring.machine)
        return scoring

    def _experiment(self) -> Experiment | None:
        rollout = self._workload.serving.rollout
        if not isinstance(rollout, ABTest | Shadow):
            return None
        if self._judge is None:
            raise ValueError(f"rollout {rollout.strategy} of {self._workload.name} has nobody who judges it")
        return Experiment.of(rollout, self._judge.function_arn)

    # --- the loop and what starts it -----------------------------------------------------------------------------

    def _define_policy(self) -> RetrainPolicy | None:
        if self._workload.retraining is None:
            return None
        return RetrainPolicy(
            self,
            "Retraining",
            workload=self._workload.name,
            rules=self._workload.retraining,
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )

    def _define_loop(self) -> PipelineMachine:
        machine = self._machine(
            "LoopMachine",
            "loop",
            loop_machine(
                self._surroundings,
                LoopParts(
                    data_machine_arn=self._data.machine_arn,
                    model_machine_arn=self._model.machine_arn,
                    decide_retrain_arn=self._policy.function_arn if self._policy is not None else None,
                ),
            ),
        )
        if self._policy is not None:
            self._policy.grant_invoke(machine)
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
                "AUDIT_TABLE": lake.audit_table.table_name,
                "LOOP_MACHINE_ARN": self._loop.machine_arn,
                "DEPLOYMENT_MACHINE_ARN": self._deployment.machine_arn,
                "BUNDLE_POINTER": f"s3://{lake.artefacts.bucket_name}/{folder}bundles/current.json",
                **self._scoring_environment(),
                **({"DECIDE_RETRAIN_ARN": self._policy.function_arn} if self._policy is not None else {}),
            },
        )
        if self._policy is not None:
            self._policy.grant_invoke(starter)
        lake.grant_read(starter, "landing", folder)
        lake.grant_read(starter, "artefacts", f"{folder}bundles/")
        lake.grant_table(starter, lake.runs_table, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
        lake.grant_table(starter, lake.audit_table, "dynamodb:PutItem")
        self._registry.grant_describe(starter)
        self._loop.grant_start(starter)
        self._deployment.grant_start(starter)
        if self._batch_scoring is not None:
            self._batch_scoring.machine.grant_start(starter)
        return starter

    def _scoring_environment(self) -> dict[str, str]:
        if self._batch_scoring is None:
            return {}
        return {
            "SCORING_MACHINE_ARN": self._batch_scoring.machine.machine_arn,
            "SCORING_URI": f"s3://{self._lake.landing.bucket_name}/{self._folder}{SCORING_INPUTS}/",
        }

    def _define_scoring_schedule(self) -> None:
        asked = self._workload.batch_scoring
        if self._batch_scoring is not None and asked is not None and asked.schedule is not None:
            self._batch_scoring.start_at_set_times(asked.schedule, self._intake)

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
                **self._scoring_patterns(),
                "ModelDecided": {
                    "source": ["aws.sagemaker"],
                    "detail-type": ["SageMaker Model Package State Change"],
                    "detail": {
                        "ModelPackageGroupName": [self._registry.group_name],
                        "ModelApprovalStatus": ["Approved", "Rejected"],
                    },
                },
                "RerunRequested": {
                    "source": ["gapless"],
                    "detail-type": ["Re-run Requested"],
                    "detail": {"workload": [self._workload.name]},
                },
                **self._asking_patterns(),
            },
            schedules=self._asking_schedules(),
            starter=self._starter,
            starter_timeout_seconds=_STARTER_SECONDS,
            alarms=self._alarms,
        )

    def _asking_patterns(self) -> dict[str, Mapping[str, object]]:
        rules = self._workload.retraining
        if rules is None:
            return {}
        return asking_events(self._workload.name, rules, self._monitor.alarm_names if self._monitor is not None else {})

    def _asking_schedules(self) -> dict[str, str]:
        rules = self._workload.retraining
        return {"RetrainDue": rules.schedule} if rules is not None and rules.schedule is not None else {}

    def _scoring_patterns(self) -> dict[str, dict[str, object]]:
        asked = self._workload.batch_scoring
        if asked is None or not asked.on_new_data:
            return {}
        detail = {
            "bucket": {"name": [self._lake.landing.bucket_name]},
            "object": {"key": [{"wildcard": f"{self._folder}{SCORING_INPUTS}/*/_score.json"}]},
        }
        return {"RowsLanded": {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}}

    def _define_ingestion(self) -> IngestionPaths:
        around = ingestion.Surroundings(
            stage=self._stage.name,
            workload=self._workload.name,
            lake=self._lake,
            alarms=self._alarms,
            log_retention_days=self._stage.log_retention_days,
        )
        return IngestionPaths(self, "Ingestion", around=around, network=self._network, workload=self._workload)

    # --- who looks at it -----------------------------------------------------------------------------------------

    def _define_incidents(self) -> Sequence[str]:
        alarms = (self._serving_alarms, self._alarms, self._finding_alarms)
        told_by = IncidentAlarms(self, "Incidents", alarms=alarms).names
        groups = [each for each in self.node.find_all() if isinstance(each, logs.CfnLogGroup)]
        machines = [each.log_group_name for each in groups if each.log_group_name and MACHINES in each.log_group_name]
        queries = log_queries(
            functions=[each.ref for each in groups if each.log_group_name is None],
            machines=machines,
            api=self._api_log,
        )
        LogQueries(self, "LogQueries", folder=self._prefix.removesuffix("-"), queries=queries)
        if self._stage.workload_dashboards:
            WorkloadDashboard(
                self,
                "Dashboard",
                stage=self._stage.name,
                workload=self._workload.name,
                incidents=[each.incident for each in alarms if each.incident is not None],
                told_by=told_by,
                queries=queries,
                monitored=self._monitor is not None,
            )
        return told_by

    # --- what all of them share ----------------------------------------------------------------------------------

    def _name(self, part: str) -> str:
        return runtime_name(self._stage.name, self._workload.name, part)

    def _job_limits(self) -> JobLimits:
        """The machine of processing jobs, and how long an evaluation may take."""
        evaluation = self._workload.evaluation
        return JobLimits(self._workload.job_machine, evaluation.max_runtime_minutes, volume_gb=evaluation.volume_gb)

    def _job_place(self) -> JobPlace:
        return JobPlace(
            image_uri=self._making.jobs_image.uri,
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
        alarms: FailureAlarms | None = None,
        memory_mb: int = 256,
    ) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            folder=folder,
            description=description,
            timeout_seconds=timeout_seconds,
            alarms=alarms if alarms is not None else self._alarms,
            log_key=self._lake.key,
            log_retention_days=self._stage.log_retention_days,
            environment=environment,
            memory_mb=memory_mb,
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
        if self._promotion is not None:
            outputs["PromotionMachineArn"] = self._promotion.machine_arn
        if self._monitor is not None:
            outputs["MonitoringMachineArn"] = self._monitor.machine.machine_arn
        if self._relabelling is not None:
            outputs["ChoosingFunctionName"] = self._relabelling.choose.function_name
        if self._policy is not None:
            outputs["RetrainingFunctionName"] = self._policy.function_name
        if self._batch_scoring is not None:
            outputs["ScoringMachineArn"] = self._batch_scoring.machine.machine_arn
        if self._online is not None:
            outputs["OnlinePredictionFunctionName"] = self._online.function_name
        if self._judge is not None:
            outputs["ExperimentJudgeArn"] = self._judge.function_arn
        if self._api is not None:
            outputs |= {"ApiId": self._api.rest_api_id, "ApiUrl": self._api.url, "OpenApiUri": self._document_uri}
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
