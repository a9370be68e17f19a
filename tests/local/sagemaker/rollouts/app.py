"""A CDK app with a deployment machine for each strategy, and what they need: the stand on which rollouts are tried.

Run by Python as the CDK CLI would, with the folder of the cloud assembly and the workloads, a list of JSON objects.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, RemovalPolicy, Stack

from constructs_lib.alarms import FailureAlarms, Metric, NoAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.experiment_judge import JUDGEMENTS, Experimented, ExperimentJudge
from constructs_lib.grants import arn, grant
from constructs_lib.guarded_endpoint import GuardedEndpoint, PredictionWatch
from constructs_lib.images import FrameworkImage, Image
from constructs_lib.keys import EncryptionKey
from constructs_lib.machines.common import Surroundings
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
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.monitoring import CAPTURE, OUTCOMES
from constructs_lib.model_deployment import grant_deployment
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_sets import ModelSets
from constructs_lib.model_signing import ModelSigning
from constructs_lib.names import metrics
from constructs_lib.names.naming import runtime_prefix
from constructs_lib.names.serving_file import ABTest, Serving, Shadow
from constructs_lib.names.serving_modes import Asynchronous, MultiModel, Serverless
from constructs_lib.network import Network, OwnNetwork
from constructs_lib.on_call import OnCallTopic
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.prediction_watch import PredictionsWatcher
from constructs_lib.probation import Probation
from constructs_lib.python_function import PythonFunction
from constructs_lib.sagemaker_jobs import JobCode, SageMakerJobs

STAGE = "roll"
ASSETS_BUCKET = "rollout-stand-assets"
LATENCY_MS = 300
SILENCE = NoAlarms(reason="nobody is on call for a stand on which things are broken")


def fleet_of(serving: Serving, instance_type: str, count: int, captured: int) -> Fleet:
    """The fleet of a workload by its mode."""
    match serving.mode:
        case Serverless() as mode:
            return Fleet(instance_type, count, 0, OnDemand(mode.memory_mb, mode.max_concurrency))
        case Asynchronous() as mode:
            return Fleet(instance_type, count, 0, later=Later(mode.concurrent_requests))
    return Fleet(instance_type, count, captured)


class Stand(Stack):
    """Defines the machines, one for each workload."""

    def __init__(self, scope: App, workloads: list[dict[str, Any]]) -> None:
        synthesizer = DefaultStackSynthesizer(
            file_assets_bucket_name=ASSETS_BUCKET, generate_bootstrap_version_rule=False
        )
        super().__init__(scope, "RolloutStand", synthesizer=synthesizer)
        self.lake = DataLake(self, "Lake", stage=STAGE, removal_policy=RemovalPolicy.DESTROY)
        self.network = Network(
            self, "Network", plan=OwnNetwork(zones=("us-east-1a", "us-east-1b")), log_key=self.lake.key
        )
        key = EncryptionKey(self, "TopicKey", description="On call", publishers=["cloudwatch.amazonaws.com"])
        self.topic = OnCallTopic(self, "Topic", key=key)
        self.image = FrameworkImage(self, "Image", image=Image("xgboost", "3.2-0"))
        self.job_code = JobCode(self, "JobCode")
        CfnOutput(self, "Artefacts", value=self.lake.artefacts.bucket_name)
        CfnOutput(self, "Runs", value=self.lake.runs_table.table_name)
        CfnOutput(self, "Audit", value=self.lake.audit_table.table_name)
        CfnOutput(self, "TopicArn", value=self.topic.topic_arn)
        CfnOutput(self, "ImageUri", value=self.image.uri)
        for workload in workloads:
            self._deploy(workload)

    def _deploy(self, workload: dict[str, Any]) -> None:
        name, lake, title = workload["name"], self.lake, workload["name"].title()
        prefix = runtime_prefix(STAGE, name)
        serving = Serving.model_validate(workload["serving"])
        shift = workload["prediction_shift"]
        tested = serving.rollout if isinstance(serving.rollout, ABTest | Shadow) else None
        captured = 0 if shift is None and tested is None else 100
        signing = ModelSigning(self, f"{title}Signing", workload=name, lake=lake, alarms=SILENCE, log_retention_days=30)
        processing = SageMakerJobs(
            self,
            f"{title}Processing",
            kind="processing",
            prefix=prefix,
            role_description=f"Golden requests of {name}",
            image=self.image,
            network=self.network,
            key=lake.key,
        )
        self.job_code.grant_read_object(processing)
        lake.grant_read(processing, "artefacts", f"{name}/")
        lake.grant_write(processing, "artefacts", f"{name}/golden/")
        registry = ModelRegistry(
            self,
            f"{title}Registry",
            name=f"{prefix}models",
            description=name,
            removal_policy=RemovalPolicy.DESTROY,
        )
        endpoint = GuardedEndpoint(
            self,
            f"{title}Endpoint",
            name=f"{prefix}live",
            variant=VARIANT,
            prefix=prefix,
            image=self.image,
            network=self.network,
            key=lake.key,
            alarms=FailureAlarms(topic=self.topic),
            latency_ms=LATENCY_MS,
            new_share=workload["share"],
            predictions=None if shift is None else PredictionWatch(STAGE, name, shift),
            challenger=None if tested is None else CHALLENGER,
            waiting_seconds=3600 if serving.mode.kind == "asynchronous" else None,
            several_models=isinstance(serving.mode, MultiModel),
        )
        sets = self._sets(name, serving)
        if sets is None:
            lake.grant_read(endpoint, "artefacts", f"{name}/models/")
        else:
            sets.grant_serve(endpoint)
        if serving.mode.kind == "asynchronous":
            lake.grant_read(endpoint, "artefacts", f"{name}/{REQUESTS}/")
            lake.grant_write(endpoint, "artefacts", f"{name}/{ANSWERS}/")
            self.topic.grant_publish(endpoint)
        lake.grant_write(endpoint, "artefacts", f"{name}/capture/")
        check = PythonFunction(
            self,
            f"{title}Check",
            folder="check_golden",
            description="Compares",
            timeout_seconds=60,
            alarms=SILENCE,
            log_key=lake.key,
            log_retention_days=30,
        )
        judge = self._judge(workload, serving, endpoint) if tested is not None else None
        watcher = None
        if shift is not None:
            watcher = PredictionsWatcher(
                self,
                f"{title}Watcher",
                stage=STAGE,
                workload=name,
                endpoint_name=endpoint.name,
                lake=lake,
                alarms=SILENCE,
                log_key=lake.key,
                log_retention_days=30,
            )
        surroundings = Surroundings(
            stage=STAGE,
            workload=name,
            prefix=prefix,
            account=self.account,
            runs_table=lake.runs_table.table_name,
            leases_table=lake.leases_table.table_name,
            audit_table=lake.audit_table.table_name,
            topic_arn=self.topic.topic_arn,
        )
        place = JobPlace(
            image_uri=self.image.uri,
            subnets=self.network.subnet_ids,
            security_group=self.network.security_group_id,
            key_arn=lake.key.key_arn,
            job_code_uri=self.job_code.uri,
            artefacts_bucket=lake.artefacts.bucket_name,
        )
        CfnOutput(self, f"{title}Sign", value=signing.sign.function_arn)
        own = (workload["instance_type"], workload["instances"], workload["bake_minutes"])
        for what, (instance_type, count, bake_minutes) in {"Machine": own, **workload["others"]}.items():
            parts = DeploymentParts(
                place=place,
                signing=signing.parts,
                check_golden_arn=check.function_arn,
                processing_role_arn=processing.role.role_arn,
                golden_jobs=JobLimits("ml.m5.large", 30),
                endpoint_role_arn=endpoint.role.role_arn,
                endpoint_name=endpoint.name,
                alarm_names=endpoint.alarm_names,
                fleet=fleet_of(serving, instance_type, count, captured),
                scaling=serving.scaling,
                rollout=Rollout(workload["strategy"], bake_minutes, workload["share"]),
                experiment=None if tested is None or judge is None else Experiment.of(tested, judge.function_arn),
                watch_predictions_arn=None if watcher is None else watcher.function_arn,
                model_set=None if sets is None else sets.parts,
                probation_hours=serving.probation_hours,
            )
            machine = PipelineMachine(
                self,
                f"{title}{what}",
                name=f"{prefix}{what.lower()}",
                definition=deployment_machine(surroundings, parts),
                alarms=SILENCE,
                log_key=lake.key,
                log_retention_days=30,
            )
            grant_deployment(
                machine,
                check=check,
                workload=name,
                signing=signing,
                processing=processing,
                scoring=None,
                endpoint=endpoint,
                registry=registry,
                lake=lake,
                namespace=metrics.NAMESPACE,
                serving=serving,
                sets=sets,
            )
            lake.grant_table(machine, lake.runs_table, "dynamodb:UpdateItem")
            grant(machine, ["states:DescribeExecution"], arn("states", f"execution:{prefix}*"))  # of the others too
            self.topic.grant_publish(machine)
            if watcher is not None:
                watcher.grant_invoke(machine)
            if judge is not None:
                judge.grant_invoke(machine)
            CfnOutput(self, f"{title}{what}Arn", value=machine.machine_arn)
            if serving.probation_hours is not None and what == "Machine":
                self._judge_late_labels(name, endpoint, machine)

    def _judge_late_labels(self, name: str, endpoint: GuardedEndpoint, machine: PipelineMachine) -> None:
        lost = Metric(metrics.NAMESPACE, metrics.LABEL_QUALITY_LOST, metrics.dimensions(STAGE, name), "Maximum")
        Probation(
            self,
            f"{name.title()}Probation",
            name=f"{endpoint.name}-labels",
            quality=lost,
            machine=machine,
            alarms=FailureAlarms(topic=self.topic),
        )

    def _sets(self, name: str, serving: Serving) -> ModelSets | None:
        if not isinstance(serving.mode, MultiModel):
            return None
        return ModelSets(
            self,
            f"{name.title()}Sets",
            workload=name,
            allow_pickle=False,
            lake=self.lake,
            alarms=SILENCE,
            log_retention_days=30,
        )

    def _judge(self, workload: dict[str, Any], serving: Serving, endpoint: GuardedEndpoint) -> ExperimentJudge:
        name, lake, rules = workload["name"], self.lake, serving.judging
        assert rules is not None
        judge = ExperimentJudge(
            self,
            f"{name.title()}Judge",
            experimented=Experimented(
                workload=name,
                problem="binary_classification",
                endpoint=endpoint.name,
                artefacts=lake.artefacts.bucket_name,
                folder=f"{name}/",
                audit_table=lake.audit_table.table_name,
            ),
            rules=rules,
            alarms=SILENCE,
            log_key=lake.key,
            log_retention_days=30,
        )
        for part in (CAPTURE, OUTCOMES):
            lake.grant_read(judge, "artefacts", f"{name}/{part}/")
        lake.grant_write(judge, "artefacts", f"{name}/{JUDGEMENTS}/")
        lake.grant_table(judge, lake.audit_table, "dynamodb:PutItem")
        return judge


if __name__ == "__main__":
    app = App(outdir=sys.argv[1], analytics_reporting=False)
    Stand(app, json.loads(sys.argv[2]))
    app.synth()
