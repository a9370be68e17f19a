"""An app of somebody else, who installed the wheel: stacks that hold each construct twice.

Runs in an environment without this checkout; prints, as JSON, how often each construct was made and where the package
lies.
"""

import importlib
import inspect
import json
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as codepipeline_actions
from aws_cdk import aws_logs as logs
from constructs import Construct

import constructs_lib
from constructs_lib import asl
from constructs_lib.alarms import FailureAlarms, Incident, Metric, NoAlarms, alarm
from constructs_lib.api_logs import ApiLogs
from constructs_lib.artefact_bucket import ArtefactBucket
from constructs_lib.audit_export import AuditExport
from constructs_lib.audit_queries import AuditQueries
from constructs_lib.audit_trail import AuditTrail
from constructs_lib.automl_search import AutoMLSearch
from constructs_lib.aws_monitors import AwsMonitors, MonitorImages, MonitorRole, preprocessor_script
from constructs_lib.batch_scoring_pipeline import BatchScoringPipeline
from constructs_lib.buckets import AccessLogBucket, ZoneBucket
from constructs_lib.catalogue_encryption import CatalogueEncryption
from constructs_lib.cost_watch import CostWatch
from constructs_lib.data_lake import DataLake
from constructs_lib.dataset_cache import DatasetCache
from constructs_lib.dataset_retention import DatasetRetirement
from constructs_lib.delivery_figures import DeliveryFigures
from constructs_lib.endpoint_monitor import EndpointMonitor
from constructs_lib.experiment_judge import Experimented, ExperimentJudge
from constructs_lib.experiment_log import ExperimentLog
from constructs_lib.experiment_tracking import ExperimentTracking
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.feature_ingestion import FeatureIngestion
from constructs_lib.grants import ServiceRole
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.image_build import ImageBuild
from constructs_lib.image_repository import ImageRepository
from constructs_lib.images import FrameworkImage, Image, RegistryImage
from constructs_lib.incidents import IncidentAlarms
from constructs_lib.intake import EventIntake
from constructs_lib.keys import EncryptionKey, SigningKey
from constructs_lib.labelling_jobs import LabellingJobs
from constructs_lib.lake_governance import LakeGovernance
from constructs_lib.lake_locations import LakeLocations
from constructs_lib.lake_settings import LakeSettings
from constructs_lib.landing_crawler import LandingCrawler
from constructs_lib.log_dashboard import LogDashboard
from constructs_lib.log_queries import LogQueries, log_queries
from constructs_lib.log_search import LogSearch, LogSubscriptions, Searched
from constructs_lib.log_store import LogStore, Nodes, SignOn
from constructs_lib.machine_schedule import MachineSchedule, MachineTrigger
from constructs_lib.machines.aws_monitors import AwsMonitorsParts
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.monitoring import MonitoringParts
from constructs_lib.materialised_views import MaterialisedViews
from constructs_lib.model_code_pipeline import ModelCodeBuilds, ModelCodePipeline
from constructs_lib.model_making import ModelMaking
from constructs_lib.model_promotion import ModelPull, Origin
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_retention import ModelRetirement
from constructs_lib.model_sets import ModelSets
from constructs_lib.model_signing import ModelSigning
from constructs_lib.monitor_functions import MonitorReader, MonitorSetter
from constructs_lib.named_queries import NamedQueries
from constructs_lib.names import openapi
from constructs_lib.names.api_file import Api, Tokens
from constructs_lib.names.batch_scoring_file import BatchScoring as ScoredBatches
from constructs_lib.names.experiment_file import Experiment
from constructs_lib.names.features_file import FOLDER, NoCode
from constructs_lib.names.guard_file import Guard
from constructs_lib.names.lake_queries import LakeQuery
from constructs_lib.names.relabelling_file import GroundTruth
from constructs_lib.names.retention_file import DatasetRetention, ModelRetention
from constructs_lib.names.retraining_file import Retraining
from constructs_lib.names.workload_file import WorkloadFile
from constructs_lib.network import Network, OwnNetwork
from constructs_lib.no_code_features import FlowFeatures, RecipeFeatures
from constructs_lib.on_call import OnCallTopic
from constructs_lib.personas import Personas
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.platform_dashboard import PipelineDashboard, PlatformDashboard
from constructs_lib.prediction_api import PredictionApi
from constructs_lib.prediction_watch import PredictionsWatcher
from constructs_lib.probation import Probation
from constructs_lib.pull_request_comments import PullRequestComments
from constructs_lib.python_function import PythonFunction
from constructs_lib.quality_ruleset import CatalogueRules, QualityRuleset
from constructs_lib.repository_build import RepositoryBuild
from constructs_lib.repository_events import BuildOnEvent
from constructs_lib.retrain_policy import RetrainPolicy
from constructs_lib.row_relabelling import Endpoint, RowRelabelling
from constructs_lib.sagemaker_jobs import BatchScoring, JobCode, SageMakerJobs, SageMakerRole
from constructs_lib.serving_function import Serves, ServingFunction
from constructs_lib.shifted_alias import Limits, ShiftedAlias
from constructs_lib.spark_job import SparkJob
from constructs_lib.studio import Studio
from constructs_lib.tables import RecordTable
from constructs_lib.text_asset import TextAsset
from constructs_lib.token_authorizer import TokenAuthorizer
from constructs_lib.training_guard import TrainingGuard
from constructs_lib.training_pipeline import TrainingPipeline
from constructs_lib.warehouse import Warehouse
from constructs_lib.web_firewall import WebFirewall
from constructs_lib.workload_dashboard import WorkloadDashboard
from constructs_lib.workload_governance import WorkloadGovernance

app = App(outdir=sys.argv[1])
stack = Stack(app, "Foreign")
key = EncryptionKey(stack, "SharedKey", description="Shared", publishers=["cloudwatch.amazonaws.com"], logs=True)
network = Network(stack, "SharedNetwork", plan=OwnNetwork(zones=("eu-west-1a", "eu-west-1b")), log_key=key)
alarms = FailureAlarms(topic=OnCallTopic(stack, "SharedTopic", key=key))
image = FrameworkImage(stack, "SharedImage", image=Image("xgboost", "3.2-0"))
access_logs = AccessLogBucket(stack, "SharedAccessLogs", retention_days=30)
ADMINISTRATOR = "arn:aws:iam::111122223333:role/deploys"
shared_lake = DataLake(stack, "SharedLake", stage="shared")
shared_tracking = ExperimentTracking(stack, "SharedTracking", stage="shared", lake=shared_lake)
silence = NoAlarms(reason="nobody is on call for an example")


def function(scope: Construct, number: int) -> PythonFunction:
    return PythonFunction(
        scope,
        f"Function{number}",
        folder="judge_model",
        description="Judges",
        timeout_seconds=10,
        alarms=alarms,
        log_key=key,
        log_retention_days=30,
    )


def endpoint(scope: Construct, number: int) -> GuardedEndpoint:
    return GuardedEndpoint(
        scope,
        f"Endpoint{number}",
        name=f"live-{number}",
        variant="primary",
        prefix=f"example-{number}-",
        image=image,
        network=network,
        key=key,
        alarms=alarms,
        latency_ms=100,
        new_share=0.5,
    )


def crawler(scope: Construct, number: int) -> LandingCrawler:
    return LandingCrawler(
        scope,
        f"Crawler{number}",
        name=f"crawler-{number}",
        database="landing",
        table_prefix="example_",
        location="s3://bucket/example/",
        security_configuration="lake",
        key=key,
        failures=Metric("Example", "CrawlFailed"),
        alarms=silence,
    )


def machine(scope: Construct, number: int) -> PipelineMachine:
    return PipelineMachine(
        scope,
        f"Machine{number}",
        name=f"machine-{number}",
        definition=asl.machine("Example", {"Done": {"Type": "Succeed"}}, timeout=60),
        alarms=alarms,
        log_key=key,
        log_retention_days=30,
    )


def spark_job(scope: Construct, number: int) -> SparkJob:
    return SparkJob(
        scope,
        f"Job{number}",
        name=f"job-{number}",
        script="prepare_dataset.py",
        description="Prepares",
        security_configuration="lake",
        key=key,
        alarms=alarms,
    )


def intake(scope: Construct, number: int) -> EventIntake:
    return EventIntake(
        scope,
        f"Intake{number}",
        patterns={"Landed": {"source": ["aws.s3"]}},
        starter=function(scope, number + 100),
        starter_timeout_seconds=10,
        alarms=alarms,
    )


def sagemaker_jobs(scope: Construct, number: int) -> SageMakerJobs:
    return SageMakerJobs(
        scope,
        f"Jobs{number}",
        kind="training",
        prefix=f"example-{number}-",
        role_description="Trains",
        image=image,
        network=network,
        key=key,
    )


def sagemaker_role(scope: Construct, number: int) -> SageMakerRole:
    return SageMakerRole(
        scope,
        f"SageMakerRole{number}",
        description="Runs",
        image=image,
        network=network,
        key=key,
        logs="TrainingJobs",
    )


def governance(scope: Construct, number: int) -> LakeGovernance:
    stage = f"ruled{number}"
    lake = DataLake(scope, f"GovernedLake{number}", stage=stage, administrator=ADMINISTRATOR)
    return LakeGovernance(
        scope, f"Governance{number}", stage=stage, lake=lake, administrator=ADMINISTRATOR, workloads=["example"]
    )


def no_code(name: str, content: object, **settings: str) -> NoCode:
    with tempfile.TemporaryDirectory() as folder:
        kind = "databrew_recipe" if name == "recipe.json" else "data_wrangler_flow"
        Path(folder, name).write_text(json.dumps(content))
        return NoCode.model_validate({kind: name, **settings}, context={FOLDER: folder})


def recipe(scope: Construct, number: int) -> RecipeFeatures:
    by = no_code("recipe.json", [{"Action": {"Operation": "UPPER_CASE", "Parameters": {"sourceColumn": "a"}}}])
    return RecipeFeatures(
        scope, f"Recipe{number}", stage=f"shop{number}", workload="example", primary="orders", by=by, lake=shared_lake
    )


def flow(scope: Construct, number: int) -> FlowFeatures:
    nodes = [{"node_id": "n1", "type": "TRANSFORM"}]
    return FlowFeatures(
        scope,
        f"Flow{number}",
        stage=f"shop{number}",
        workload="example",
        by=no_code("example.flow", {"nodes": nodes}, output_node="n1"),
        lake=shared_lake,
        network=network,
        place=JobPlace("image", ["subnet-1"], "sg-1", "key", "s3://assets/jobs.zip", "artefacts"),
    )


def retirement(scope: Construct, number: int) -> DatasetRetirement:
    return DatasetRetirement(
        scope,
        f"Retirement{number}",
        workload="example",
        keep=DatasetRetention(),
        lake=shared_lake,
        registry=ModelRegistry(scope, f"RetirementRegistry{number}", name=f"kept-{number}", description=""),
        alarms=alarms,
        log_retention_days=30,
    )


def image_build(scope: Construct, number: int) -> ImageBuild:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text("FROM scratch")
        return ImageBuild(
            scope,
            f"ImageBuild{number}",
            name=f"image-{number}",
            folder=Path(folder),
            tag="0123",
            repository=ImageRepository(scope, f"BuiltImages{number}", name=f"built-{number}", key=key),
            machine="small",
            minutes=30,
            key=key,
            alarms=silence,
            log_retention_days=30,
        )


def repository_build(scope: Construct, number: int) -> RepositoryBuild:
    return RepositoryBuild(
        scope,
        f"RepositoryBuild{number}",
        name=f"build-{number}",
        description="Builds",
        source={"type": "CODECOMMIT", "location": "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/models"},
        commands=["make test"],
        compute="small",
        minutes=30,
        log=logs.CfnLogGroup(scope, f"BuildLog{number}"),
        key=key,
        alarms=alarms,
    )


def build_on_event(scope: Construct, number: int) -> BuildOnEvent:
    return BuildOnEvent(
        scope,
        f"BuildOnEvent{number}",
        pattern={"source": ["aws.codecommit"]},
        project=repository_build(scope, number + 100).project,
        paths={"commit": "$.detail.commitId"},
        request={"sourceVersion": "<commit>"},
        not_done="Nothing was built",
        alarms=alarms,
    )


def pull_request_comments(scope: Construct, number: int) -> PullRequestComments:
    return PullRequestComments(
        scope,
        f"PullRequestComments{number}",
        pipeline=f"shop{number}",
        build=repository_build(scope, number + 200),
        provider="github",
        repository="example/models",
        token_secret_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-comments-AbCdEf",
        bucket=ArtefactBucket(scope, f"Differences{number}", key=key),
        key=key,
        alarms=alarms,
        log_retention_days=30,
    )


def model_code_pipeline(scope: Construct, number: int) -> ModelCodePipeline:
    checkout = codepipeline.Artifact("Checkout")
    roles = [
        ServiceRole(scope, f"{each}{number}", service="codebuild.amazonaws.com", description="Builds")
        for each in ("ModelTests", "ModelPublisher")
    ]
    return ModelCodePipeline(
        scope,
        f"ModelCode{number}",
        name=f"model-code-{number}",
        workload="example",
        source=codepipeline_actions.CodeStarConnectionsSourceAction(
            action_name="Source",
            output=checkout,
            owner="example",
            repo="models",
            connection_arn="arn:aws:codeconnections:eu-west-1:111122223333:connection/0123",
            code_build_clone_output=True,
            trigger_on_push=False,
        ),
        checkout=checkout,
        branch="main",
        builds=ModelCodeBuilds(
            bucket=ArtefactBucket(scope, f"CodeArtefacts{number}", key=key),
            key=key,
            log=logs.LogGroup.from_log_group_name(scope, f"CodeLog{number}", "builds"),
            compute="small",
            test_role=roles[0],
            publish_role=roles[1],
            alarms=alarms,
        ),
        test=["make workload"],
        publish=["true"],
        variables={},
    )


def training_guard(scope: Construct, number: int) -> TrainingGuard:
    around = Surroundings(f"shop{number}", "example", f"shop{number}-example-", "1", "runs", "leases", "audit", "topic")
    logs: dict[str, Any] = {"alarms": alarms, "log_key": key, "log_retention_days": 30}
    return TrainingGuard(scope, f"Guard{number}", around=around, guard=Guard(watch="log"), most_minutes=60, **logs)


def endpoint_monitor(scope: Construct, number: int) -> EndpointMonitor:
    stage = f"seen{number}"
    return EndpointMonitor(
        scope,
        f"Monitor{number}",
        around=Surroundings(stage, "example", f"{stage}-example-", "1", "runs", "leases", "audit", "topic"),
        parts=MonitoringParts(
            place=JobPlace("image", ["subnet-1"], "sg-1", "key", "s3://assets/jobs.zip", "artefacts"),
            datasets_bucket="datasets",
            endpoint_name=f"{stage}-example-live",
            variant="primary",
            processing_role_arn="role",
            limits=JobLimits("ml.m5.large", 60),
            options_uri="s3://assets/options.json",
            every="day",
            in_process=True,
        ),
        lake=shared_lake,
        registry=ModelRegistry(scope, f"MonitorRegistry{number}", name=f"seen-{number}", description=""),
        processing=sagemaker_jobs(scope, number + 200),
        options=TextAsset(scope, f"MonitorOptions{number}", text="{}", suffix=".json"),
        on_call=OnCallTopic(scope, f"MonitorOnCall{number}", key=key),
        alarms=alarms,
        found=alarms,
        log_retention_days=30,
    )


def seen(number: int) -> Surroundings:
    stage = f"aws{number}"
    return Surroundings(stage, "example", f"{stage}-example-", "1", "runs", "leases", "audit", "topic")


def monitor_setter(scope: Construct, number: int) -> MonitorSetter:
    return MonitorSetter(
        scope, f"SetMonitors{number}", around=seen(number), lake=shared_lake, alarms=alarms, log_retention_days=30
    )


def monitor_reader(scope: Construct, number: int) -> MonitorReader:
    return MonitorReader(
        scope, f"ReadMonitors{number}", around=seen(number), lake=shared_lake, alarms=alarms, log_retention_days=30
    )


def monitor_role(scope: Construct, number: int) -> MonitorRole:
    return MonitorRole(
        scope,
        f"MonitorRole{number}",
        around=seen(number),
        model_monitor=image,
        clarify=None,
        lake=shared_lake,
        network=network,
        preprocessor=TextAsset(scope, f"MonitorScript{number}", text=preprocessor_script(), suffix=".py"),
    )


def aws_monitors(scope: Construct, number: int) -> AwsMonitors:
    around = seen(number)
    return AwsMonitors(
        scope,
        f"AwsMonitors{number}",
        around=around,
        parts=AwsMonitorsParts(
            making=MonitoringParts(
                place=JobPlace("image", ["subnet-1"], "sg-1", "key", "s3://assets/jobs.zip", "artefacts"),
                datasets_bucket="datasets",
                endpoint_name=f"{around.prefix}live",
                variant="primary",
                processing_role_arn="role",
                limits=JobLimits("ml.m5.large", 60),
                options_uri="s3://assets/options.json",
                every="day",
                in_process=False,
            ),
            role_arn="role",
            model_monitor_uri="image",
            clarify_uri="",
            preprocessor_uri="s3://assets/columns.py",
            options_digest="0",
            problem="regression",
            features=("a",),
            target="b",
            set_arn="set",
            read_arn="read",
        ),
        deployment=machine(scope, number + 400),
        setter=monitor_setter(scope, number + 400),
        reader=monitor_reader(scope, number + 400),
        lake=shared_lake,
        registry=ModelRegistry(scope, f"AwsMonitorsRegistry{number}", name=f"aws-{number}", description=""),
        processing=sagemaker_jobs(scope, number + 400),
        options=TextAsset(scope, f"AwsMonitorsOptions{number}", text="{}", suffix=".json"),
        on_call=OnCallTopic(scope, f"AwsMonitorsOnCall{number}", key=key),
        alarms=alarms,
        found=alarms,
        log_retention_days=30,
    )


def row_relabelling(scope: Construct, number: int) -> RowRelabelling:
    return RowRelabelling(
        scope,
        f"Relabelling{number}",
        endpoint=Endpoint(f"asked{number}", "example", f"asked{number}-example-live", "primary"),
        options={},
        lake=shared_lake,
        alarms=alarms,
        found=alarms,
        log_retention_days=30,
    )


def labelling_jobs(scope: Construct, number: int) -> LabellingJobs:
    stage, account = f"asked{number}", "us-east-1:111122223333"
    return LabellingJobs(
        scope,
        f"Labelling{number}",
        around=Surroundings(stage, "example", f"{stage}-example-", "1", "runs", "leases", "audit", "topic"),
        asked=GroundTruth(
            work_team=f"arn:aws:sagemaker:{account}:workteam/private-crowd/team",
            prepares=f"arn:aws:lambda:{account}:function:prepares",
            consolidates=f"arn:aws:lambda:{account}:function:consolidates",
        ),
        labels=("true", "false"),
        relabelling=row_relabelling(scope, number + 100),
        lake=shared_lake,
        on_call=OnCallTopic(scope, f"LabellingOnCall{number}", key=key),
        alarms=alarms,
        log_retention_days=30,
    )


def model_retirement(scope: Construct, number: int) -> ModelRetirement:
    return ModelRetirement(
        scope,
        f"ModelRetirement{number}",
        workload="example",
        keep=ModelRetention(),
        lake=shared_lake,
        registry=ModelRegistry(scope, f"ModelRetirementRegistry{number}", name=f"retired-{number}", description=""),
        endpoint=endpoint(scope, number + 100),
        alarms=alarms,
        log_retention_days=30,
    )


def warehouse(scope: Construct, number: int) -> Warehouse:
    return Warehouse(
        scope,
        f"Warehouse{number}",
        stage=f"shop{number}",
        lake=shared_lake,
        workloads=["example"],
        key=key,
        vpc_id=network.vpc_id,
        subnet_ids=["subnet-1", "subnet-2", "subnet-3"],
    )


def dataset_cache(scope: Construct, number: int) -> DatasetCache:
    return DatasetCache(
        scope,
        f"Cache{number}",
        bucket_name="datasets",
        key=key,
        vpc_id=network.vpc_id,
        subnet_id=network.subnet_ids[0],
        client_group_id=network.security_group_id,
    )


def iceberg_table(scope: Construct, number: int) -> IcebergTable:
    return IcebergTable(
        scope,
        f"History{number}",
        database="curated",
        name=f"history_{number}",
        location="s3://bucket/example",
        columns={"amount": "double"},
    )


def views(scope: Construct, number: int) -> MaterialisedViews:
    return MaterialisedViews(
        scope,
        f"Views{number}",
        name=f"views-{number}",
        table=f"history_{number}",
        workload="example",
        views={},
        lake=shared_lake,
        key=key,
        alarms=alarms,
    )


def feature_group(scope: Construct, number: int) -> FeatureGroup:
    return FeatureGroup(
        scope,
        f"Features{number}",
        name=f"features-{number}",
        key="airport",
        event_time="observed_at",
        definitions={"airport": "String", "observed_at": "String", "wind": "Fractional"},
        lake=shared_lake,
        prefix=f"example/features{number}/",
        table=f"features_{number}",
        columns={"airport": "string", "observed_at": "string", "wind": "double"},
    )


def feature_ingestion(scope: Construct, number: int) -> FeatureIngestion:
    return FeatureIngestion(
        scope,
        f"Ingestion{number}",
        name=f"ingestion-{number}",
        description="Puts records",
        groups={"airports": feature_group(scope, number + 100)},
        security_configuration="lake",
        key=key,
        refused=Metric("Example", "Refused"),
        alarms=alarms,
    )


_STACKS = 6
"""So many, because a stack has room for 500 resources."""


def making(scope: Construct, number: int) -> ModelMaking:
    columns = {"id": "string", "at": "timestamp", "size": "double", "wanted": "double"}
    content = {
        "name": "things",
        "owner": "us@example.com",
        "problem": "regression",
        "target": "wanted",
        "event_time": "at",
        "sources": {"things": {"key": ["id"], "columns": columns}},
        "model": {"kind": "built_in", "algorithm": "linear-learner"},
    }
    return ModelMaking(
        scope,
        f"Making{number}",
        workload=WorkloadFile.parse(content),
        jobs_image=image,
        prefix=f"example-{number}-",
        key=key,
        alarms=alarms,
        log_retention_days=30,
    )


API = Api(rate=10, burst=20)
DOCUMENT = openapi.document(openapi.Described("example", "Example", "regression", {"size": "double"}, False), API)
logged: dict[str, Any] = {"alarms": alarms, "log_key": key, "log_retention_days": 30}


def shifted_alias(scope: Construct, number: int) -> ShiftedAlias:
    return ShiftedAlias(
        scope,
        f"Alias{number}",
        function=function(scope, number + 300),
        content=["any"],
        application=f"example-{number}-alias",
        minutes=5,
        limits=Limits(errors=3, p99_ms=1000),
        alarms=alarms,
    )


def serving_function(scope: Construct, number: int) -> ServingFunction:
    return ServingFunction(
        scope,
        f"Serving{number}",
        application=f"example-{number}-serve",
        serves=Serves(
            stage=f"shop{number}",
            workload="example",
            endpoint=f"live-{number}",
            contract_uri="s3://assets/contract.json",
            group_names={},
            read_features=(),
            key_columns=(),
            bundle_uri="s3://artefacts/example/bundles/current.json",
            latency_ms=100,
        ),
        api=API,
        document=DOCUMENT,
        **logged,
    )


def prediction_api(scope: Construct, number: int) -> PredictionApi:
    return PredictionApi(
        scope,
        f"Api{number}",
        name=f"example-{number}-api",
        api=API,
        document=DOCUMENT,
        alias=shifted_alias(scope, number + 400),
        latency_ms=100,
        **logged,
    )


def experiment_judge(scope: Construct, number: int) -> ExperimentJudge:
    judged = Experimented("example", "regression", f"live-{number}", "artefacts", "example/", "audit")
    return ExperimentJudge(scope, f"Judge{number}", experimented=judged, rules=Experiment(), **logged)


def incident(scope: Construct, number: int) -> FailureAlarms:
    told = Incident(f"shop{number}-{scope.node.id}", "Something is wrong.", "high", "docs/alarms.md")
    return replace(alarms, incident=told)


def incident_alarms(scope: Construct, number: int) -> IncidentAlarms:
    together = incident(scope, number)
    for other in (1, 2):
        alarm(
            scope,
            f"Together{number}{other}",
            alarms=together,
            metric=Metric("AWS/Lambda", "Errors", {"FunctionName": f"example-{other}"}),
            threshold=1,
            description="It fails",
            runbook="Look",
        )
    return IncidentAlarms(scope, f"Incidents{number}", alarms=[together])


def cost_watch(scope: Construct, number: int) -> CostWatch:
    budget: dict[str, Any] = {"monthly_usd": 100, "unusual_usd": 10, "topic": alarms.topic}
    return CostWatch(scope, f"Costs{number}", name=f"shop{number}", tag="shop", value=str(number), **budget)


def token_authorizer(scope: Construct, number: int) -> TokenAuthorizer:
    return TokenAuthorizer(
        scope,
        f"Tokens{number}",
        name=f"shop{number}",
        tokens=Tokens(issuer="https://issuer.example.com", audiences=("shop",)),
        scopes=[],
        log_key=key,
        log_retention_days=30,
    )


def batch_scoring(scope: Construct, number: int) -> BatchScoringPipeline:
    stage = f"scored{number}"
    return BatchScoringPipeline(
        scope,
        f"Scores{number}",
        around=Surroundings(stage, "example", f"{stage}-example-", "1", "runs", "leases", "audit", "topic"),
        asked=ScoredBatches(),
        lake=shared_lake,
        network=network,
        place=JobPlace("image", ["subnet-1"], "sg-1", "key", "s3://assets/jobs.zip", "artefacts"),
        making=making(scope, number + 500),
        processing=sagemaker_jobs(scope, number + 500),
        reading=JobLimits("ml.m5.large", 60),
        signing=ModelSigning(
            scope, f"ScoresSigning{number}", workload="example", lake=shared_lake, alarms=alarms, log_retention_days=30
        ),
        registry=ModelRegistry(scope, f"ScoresRegistry{number}", name=f"scored-{number}", description=""),
        contract=TextAsset(scope, f"ScoresContract{number}", text="{}", suffix=".json"),
        contract_digest="0" * 64,
        governance=WorkloadGovernance(
            scope, f"ScoresTables{number}", stage=stage, workload="example", lake=shared_lake, tables={}
        ),
        alarms=alarms,
        log_retention_days=30,
    )


def audit_trail(scope: Construct, number: int) -> AuditTrail:
    return AuditTrail(
        scope,
        f"Audit{number}",
        name=f"shop{number}",
        watched=shared_lake.buckets,
        access_logs=access_logs,
        retention_days=365,
    )


def audit_queries(scope: Construct, number: int) -> AuditQueries:
    trail = audit_trail(scope, number + 100)
    made = AuditQueries(scope, f"AuditQueries{number}", stage=f"shop{number}", trail=trail, retention_days=365)
    made.grant_ask("auditor", "arn:aws:iam::111122223333:role/people", own=True)
    return made


def log_store(scope: Construct, number: int) -> LogStore:
    return LogStore(
        scope,
        f"LogStore{number}",
        stage=f"shop{number}",
        nodes=Nodes("r7g.large.search", 2, 100),
        access_logs=access_logs,
        backup_days=30,
        log_retention_days=30,
        sign_on=SignOn("https://login.example.com", "<xml/>", "Role"),
    )


def log_search(scope: Construct, number: int) -> LogSearch:
    role = "arn:aws:iam::111122223333:role/people"
    return LogSearch(
        scope,
        f"LogSearch{number}",
        store=log_store(scope, number + 100),
        searched=Searched(f"shop{number}", ["example"], {"ml_engineer": role}, ["ml_engineer"], 30),
        alarms=alarms,
        log_retention_days=30,
    )


MAKERS: dict[type[Construct], Callable[[Construct, int], Construct]] = {
    AccessLogBucket: lambda scope, n: AccessLogBucket(scope, f"AccessLogs{n}", retention_days=30),
    AutoMLSearch: lambda scope, n: AutoMLSearch(
        scope, f"Search{n}", role=sagemaker_role(scope, n + 300), prefix=f"example-{n}-", images=[image]
    ),
    BatchScoring: lambda scope, n: BatchScoring(
        scope,
        f"Scoring{n}",
        prefix=f"example-{n}-",
        role_description="Scores",
        image=image,
        network=network,
        key=key,
    ),
    CatalogueEncryption: lambda scope, n: CatalogueEncryption(scope, f"Catalogue{n}", key=key),
    DatasetCache: dataset_cache,
    DataLake: lambda scope, n: DataLake(scope, f"Lake{n}", stage=f"stage{n}"),
    DatasetRetirement: retirement,
    EncryptionKey: lambda scope, n: EncryptionKey(scope, f"Key{n}", description="Example"),
    EventIntake: intake,
    FlowFeatures: flow,
    ExperimentLog: lambda scope, n: ExperimentLog(
        scope,
        f"ExperimentLog{n}",
        stage=f"crew{n}",
        workload="example",
        lake=shared_lake,
        tracking=shared_tracking,
        alarms=silence,
        log_retention_days=30,
    ),
    ExperimentTracking: lambda scope, n: ExperimentTracking(scope, f"Tracking{n}", stage=f"crew{n}", lake=shared_lake),
    FeatureGroup: feature_group,
    FeatureIngestion: feature_ingestion,
    FrameworkImage: lambda scope, n: FrameworkImage(scope, f"Image{n}", image=Image("xgboost", "3.2-0")),
    GuardedEndpoint: endpoint,
    IcebergTable: iceberg_table,
    ImageBuild: image_build,
    ImageRepository: lambda scope, n: ImageRepository(scope, f"Images{n}", name=f"images-{n}", key=key),
    JobCode: lambda scope, n: JobCode(scope, f"JobCode{n}"),
    LakeGovernance: governance,
    LakeLocations: lambda scope, n: LakeLocations(
        scope,
        f"Locations{n}",
        bucket_arns={"place": "arn:aws:s3:::place"},
        datasets_arn="arn:aws:s3:::datasets",
        key=key,
        workloads=["example"],
    ),
    LakeSettings: lambda scope, n: LakeSettings(
        scope, f"Settings{n}", administrator=ADMINISTRATOR, tags={"zone": ["a"]}
    ),
    LandingCrawler: crawler,
    MaterialisedViews: views,
    ModelMaking: making,
    ModelRegistry: lambda scope, n: ModelRegistry(scope, f"Registry{n}", name=f"models-{n}", description=""),
    ModelPull: lambda scope, n: ModelPull(
        scope,
        f"Pull{n}",
        stage=f"shop{n}",
        workload="example",
        origin=Origin("base", "111122223333", "artefacts", "arn:aws:kms:key", "arn:aws:kms:signing"),
        lake=shared_lake,
        alarms=alarms,
        log_retention_days=30,
    ),
    ModelRetirement: model_retirement,
    ModelSets: lambda scope, n: ModelSets(
        scope,
        f"Sets{n}",
        workload="example",
        allow_pickle=False,
        lake=shared_lake,
        alarms=alarms,
        log_retention_days=30,
    ),
    ModelSigning: lambda scope, n: ModelSigning(
        scope, f"Signing{n}", workload="example", lake=shared_lake, alarms=alarms, log_retention_days=30
    ),
    Network: lambda scope, n: Network(
        scope, f"Network{n}", plan=OwnNetwork(zones=("eu-west-1a", "eu-west-1b")), log_key=key
    ),
    OnCallTopic: lambda scope, n: OnCallTopic(scope, f"OnCall{n}", key=key),
    NamedQueries: lambda scope, n: NamedQueries(
        scope,
        f"Queries{n}",
        prefix=f"example-{n}-",
        workgroup="people",
        queries=[LakeQuery("one-row", "A row", "curated", "SELECT 1")],
    ),
    Personas: lambda scope, n: Personas(
        scope, f"Personas{n}", stage=f"crew{n}", roles={}, databases=["curated"], workloads=["example"]
    ),
    PipelineMachine: machine,
    Probation: lambda scope, n: Probation(
        scope,
        f"Probation{n}",
        name=f"live-{n}-labels",
        quality=Metric("Example", "Worse"),
        machine=machine(scope, n + 300),
        alarms=alarms,
    ),
    PythonFunction: function,
    RecipeFeatures: recipe,
    MachineSchedule: lambda scope, n: MachineSchedule(
        scope,
        f"Schedule{n}",
        workload="example",
        machine=machine(scope, n + 100),
        schedule="rate(1 hour)",
        does="looks around",
        alarms=alarms,
    ),
    MachineTrigger: lambda scope, n: MachineTrigger(
        scope,
        f"Trigger{n}",
        workload="example",
        machine=machine(scope, n + 500),
        pattern={"source": ["shop"]},
        triggered_by="shop",
        does="looks around",
        alarms=alarms,
    ),
    AwsMonitors: aws_monitors,
    EndpointMonitor: endpoint_monitor,
    MonitorImages: lambda scope, n: MonitorImages(scope, f"MonitorImages{n}", clarify=True),
    MonitorReader: monitor_reader,
    MonitorRole: monitor_role,
    MonitorSetter: monitor_setter,
    LabellingJobs: labelling_jobs,
    RowRelabelling: row_relabelling,
    QualityRuleset: lambda scope, n: QualityRuleset(
        scope,
        f"Rules{n}",
        name=f"rules-{n}",
        rules=CatalogueRules("Rules = [ RowCount > 0 ]"),
        database="validated",
        table="example_rows",
    ),
    RecordTable: lambda scope, n: RecordTable(scope, f"Table{n}", key=key, partition_key="id"),
    RegistryImage: lambda scope, n: RegistryImage(
        scope, f"AnyImage{n}", registries={"eu-west-1": "111122223333"}, repository="example", tag="1"
    ),
    SageMakerJobs: sagemaker_jobs,
    SageMakerRole: sagemaker_role,
    ServiceRole: lambda scope, n: ServiceRole(scope, f"Role{n}", service="glue.amazonaws.com", description="Example"),
    SigningKey: lambda scope, n: SigningKey(scope, f"SigningKey{n}", description="Example"),
    SparkJob: spark_job,
    Studio: lambda scope, n: Studio(
        scope,
        f"Studio{n}",
        stage=f"shop{n}",
        network=network,
        key=key,
        personas={"ml_engineer": "arn:aws:iam::111122223333:role/people"},
        own_roles=["ml_engineer"],
        workloads=["example"],
    ),
    TextAsset: lambda scope, n: TextAsset(scope, f"Text{n}", text="{}", suffix=".json"),
    TrainingGuard: training_guard,
    Warehouse: warehouse,
    TrainingPipeline: lambda scope, n: TrainingPipeline(
        scope,
        f"Pipeline{n}",
        name=f"example-{n}-train",
        description="Trains",
        definition={"Version": "2020-12-01", "Steps": []},
        jobs=[sagemaker_jobs(scope, n + 300)],
        alarms=alarms,
    ),
    WorkloadGovernance: lambda scope, n: WorkloadGovernance(
        scope, f"Tables{n}", stage=f"stage{n}", workload="example", lake=shared_lake, tables={}
    ),
    ArtefactBucket: lambda scope, n: ArtefactBucket(scope, f"PipelineArtefacts{n}", key=key),
    BuildOnEvent: build_on_event,
    ModelCodePipeline: model_code_pipeline,
    PullRequestComments: pull_request_comments,
    RepositoryBuild: repository_build,
    ApiLogs: lambda scope, n: ApiLogs(scope, f"ApiLogs{n}", log_groups=[f"/aws/apigateway/example-{n}"]),
    BatchScoringPipeline: batch_scoring,
    DeliveryFigures: lambda scope, n: DeliveryFigures(
        scope,
        f"Figures{n}",
        stage=f"shop{n}",
        records=RecordTable(scope, f"FiguresTable{n}", key=key, partition_key="run"),
        key=key,
        alarms=alarms,
        log_retention_days=30,
        workloads=["example"],
    ),
    ExperimentJudge: experiment_judge,
    AuditExport: lambda scope, n: AuditExport(
        scope,
        f"AuditExport{n}",
        trail=audit_trail(scope, n + 200),
        decisions=shared_lake.audit_table,
        key=shared_lake.key,
        alarms=alarms,
    ),
    AuditQueries: audit_queries,
    AuditTrail: audit_trail,
    LogDashboard: lambda scope, n: LogDashboard(
        scope, f"LogDashboard{n}", stage=f"shop{n}", store=log_store(scope, n + 200), alarms=[]
    ),
    LogSearch: log_search,
    LogStore: log_store,
    LogSubscriptions: lambda scope, n: LogSubscriptions(
        scope, f"LogSubscriptions{n}", groups={"One": "one"}, stream_arn="stream", writer_arn="role"
    ),
    CostWatch: cost_watch,
    IncidentAlarms: incident_alarms,
    LogQueries: lambda scope, n: LogQueries(
        scope, f"LogQueries{n}", folder=f"shop{n}", queries=log_queries(functions=["one"], machines=["two"], api=None)
    ),
    PipelineDashboard: lambda scope, n: PipelineDashboard(scope, f"PipelineDashboard{n}", pipeline=f"shop{n}"),
    PredictionsWatcher: lambda scope, n: PredictionsWatcher(
        scope,
        f"Predictions{n}",
        stage=f"shop{n}",
        workload="example",
        endpoint_name=f"live-{n}",
        lake=shared_lake,
        log_key=key,
        alarms=alarms,
        log_retention_days=30,
    ),
    RetrainPolicy: lambda scope, n: RetrainPolicy(
        scope,
        f"Retraining{n}",
        workload="example",
        rules=Retraining(),
        lake=shared_lake,
        alarms=alarms,
        log_retention_days=30,
    ),
    TokenAuthorizer: token_authorizer,
    WorkloadDashboard: lambda scope, n: WorkloadDashboard(
        scope,
        f"WorkloadDashboard{n}",
        stage=f"shop{n}",
        workload="example",
        incidents=[],
        told_by=[f"shop{n}"],
        queries=log_queries(functions=["one"], machines=["two"], api=None),
        monitored=True,
    ),
    PlatformDashboard: lambda scope, n: PlatformDashboard(
        scope, f"Dashboard{n}", stage=f"shop{n}", workloads=["example"], endpoint_alarms={"example": ["errors"]}
    ),
    PredictionApi: prediction_api,
    ServingFunction: serving_function,
    ShiftedAlias: shifted_alias,
    WebFirewall: lambda scope, n: WebFirewall(
        scope,
        f"Firewall{n}",
        name=f"example-{n}-firewall",
        stage_arn="arn:aws:apigateway:eu-west-1::/restapis/a/stages/b",
        rate=100,
        alarms=alarms,
    ),
    ZoneBucket: lambda scope, n: ZoneBucket(scope, f"Bucket{n}", key=key, access_logs=access_logs),
}


def offered() -> set[type[Any]]:
    """Every public construct of the package."""
    modules = [
        importlib.import_module(f"constructs_lib.{each.name}") for each in pkgutil.iter_modules(constructs_lib.__path__)
    ]
    return {
        member
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Construct) and member.__module__ == module.__name__ and not name.startswith("_")
    }


further = [Stack(app, f"Foreign{number}") for number in range(_STACKS)]
for position, make in enumerate(MAKERS.values()):
    for number in (1, 2):
        make(further[position % _STACKS], number)
app.synth()
print(  # noqa: T201
    json.dumps(
        {
            "package": constructs_lib.__path__[0],
            "made": sorted(construct.__name__ for construct in MAKERS),
            "offered": sorted(construct.__name__ for construct in offered()),
        }
    )
)
