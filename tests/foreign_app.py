"""An app of somebody else, who installed the wheel: one stack that holds each construct twice.

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
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack
from constructs import Construct

import constructs_lib
from constructs_lib import asl
from constructs_lib.alarms import FailureAlarms, Metric, NoAlarms
from constructs_lib.buckets import AccessLogBucket, ZoneBucket
from constructs_lib.catalogue_encryption import CatalogueEncryption
from constructs_lib.data_lake import DataLake
from constructs_lib.dataset_cache import DatasetCache
from constructs_lib.dataset_retention import DatasetRetirement
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.feature_ingestion import FeatureIngestion
from constructs_lib.grants import ServiceRole
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.iceberg_table import IcebergTable
from constructs_lib.images import FrameworkImage, Image, RegistryImage
from constructs_lib.intake import EventIntake
from constructs_lib.keys import EncryptionKey
from constructs_lib.lake_governance import LakeGovernance
from constructs_lib.lake_locations import LakeLocations
from constructs_lib.lake_settings import LakeSettings
from constructs_lib.landing_crawler import LandingCrawler
from constructs_lib.machines.jobs import JobPlace
from constructs_lib.materialised_views import MaterialisedViews
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.named_queries import NamedQueries
from constructs_lib.names.features_file import FOLDER, NoCode
from constructs_lib.names.lake_queries import LakeQuery
from constructs_lib.names.retention_file import DatasetRetention
from constructs_lib.network import Network, OwnNetwork
from constructs_lib.no_code_features import FlowFeatures, RecipeFeatures
from constructs_lib.on_call import OnCallTopic
from constructs_lib.personas import Personas
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.python_function import PythonFunction
from constructs_lib.quality_ruleset import CatalogueRules, QualityRuleset
from constructs_lib.sagemaker_jobs import JobCode, SageMakerJobs, SageMakerRole
from constructs_lib.spark_job import SparkJob
from constructs_lib.tables import RecordTable
from constructs_lib.text_asset import TextAsset
from constructs_lib.warehouse import Warehouse
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


MAKERS: dict[type[Construct], Callable[[Construct, int], Construct]] = {
    AccessLogBucket: lambda scope, n: AccessLogBucket(scope, f"AccessLogs{n}", retention_days=30),
    CatalogueEncryption: lambda scope, n: CatalogueEncryption(scope, f"Catalogue{n}", key=key),
    DatasetCache: dataset_cache,
    DataLake: lambda scope, n: DataLake(scope, f"Lake{n}", stage=f"stage{n}"),
    DatasetRetirement: retirement,
    EncryptionKey: lambda scope, n: EncryptionKey(scope, f"Key{n}", description="Example"),
    EventIntake: intake,
    FlowFeatures: flow,
    FeatureGroup: feature_group,
    FeatureIngestion: feature_ingestion,
    FrameworkImage: lambda scope, n: FrameworkImage(scope, f"Image{n}", image=Image("xgboost", "3.2-0")),
    GuardedEndpoint: endpoint,
    IcebergTable: iceberg_table,
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
    ModelRegistry: lambda scope, n: ModelRegistry(scope, f"Registry{n}", name=f"models-{n}", description=""),
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
    PythonFunction: function,
    RecipeFeatures: recipe,
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
    SparkJob: spark_job,
    TextAsset: lambda scope, n: TextAsset(scope, f"Text{n}", text="{}", suffix=".json"),
    Warehouse: warehouse,
    WorkloadGovernance: lambda scope, n: WorkloadGovernance(
        scope, f"Tables{n}", stage=f"stage{n}", workload="example", lake=shared_lake, tables={}
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


for make in MAKERS.values():
    for number in (1, 2):
        make(stack, number)
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
