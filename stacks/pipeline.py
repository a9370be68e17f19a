"""What deploys the platform: a pipeline that updates itself first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from aws_cdk import App, CfnOutput, Duration, Environment, Stack, Stage, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codecommit as codecommit
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, NoAlarms, record_silence
from constructs_lib.artefact_bucket import ArtefactBucket
from constructs_lib.bootstrap import bootstrap_bucket_arn, bootstrap_role
from constructs_lib.delivery_figures import DeliveryFigures
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, acknowledge, arn, grant
from constructs_lib.keys import EncryptionKey
from constructs_lib.model_code_pipeline import SOURCE_ACTION, ModelCodeBuilds, depend_on_policy
from constructs_lib.names.code_paths import PLATFORM
from constructs_lib.names.naming import pascal_case
from constructs_lib.narrowed import narrow
from constructs_lib.on_call import OnCallTopic
from constructs_lib.place import PARTITION
from constructs_lib.platform_dashboard import PipelineDashboard
from constructs_lib.tables import RecordTable
from stacks.config import ROOT
from stacks.delivery import output_of
from stacks.pipeline_config import CodeCommitSource, PipelineConfig, Place
from stacks.pipeline_record import RETIRED_METADATA, STAGES_METADATA, stage_record
from stacks.pipeline_replica import ReplicaStack
from stacks.pipeline_waves import DeliveredStage, Wave, arrange
from stacks.repository_builds import RepositoryBuilds, Training

LOG_DAYS = 365
QUEUED_MINUTES = 60
IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
PYTHON = "3.11"
ASSEMBLY = "cdk.out"
TOOL_PYTHON = ".venv/bin/python"
TOOLS = (
    "python3 -m venv .venv",
    f"{TOOL_PYTHON} -m pip install -q --disable-pip-version-check --require-hashes -r delivery/requirements.txt",
)
"""Commands that install what the scripts in ``delivery`` need."""


class PipelineStack(Stack):
    """Stateful: artefacts are kept in it, and encrypted under its key.

    Args:
        config: The pipeline.
        waves: What it deploys, in order.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: PipelineConfig, waves: Sequence[Wave]) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{config.name}-pipeline",
            env=Environment(account=config.account, region=config.region),
            description="Gapless: delivery pipeline",
            termination_protection=True,
        )
        self._scope, self._config = scope, config
        self._key = EncryptionKey(
            self,
            "Key",
            description="Artefacts, logs and notices of the delivery pipeline",
            publishers=["cloudwatch.amazonaws.com"],
            logs=True,
        )
        self._topic = OnCallTopic(self, "Notices", key=self._key, email=config.notify_email)
        self._alarms = FailureAlarms(self._topic)
        self._log = logs.CfnLogGroup(self, "Log", kms_key_id=self._key.key_arn, retention_in_days=LOG_DAYS)
        self._bucket = ArtefactBucket(self, "Artefacts", key=self._key)
        self._source = self._define_source()
        self._smoke_role = self._build_role(
            "SmokeTest", "Tests stages after their deployment", config.deliverer("").build_role("smoke")
        )
        self._review_role = self._define_review_role(waves)
        self._role = ServiceRole(self, "Role", service="codepipeline.amazonaws.com", description="Deploys the platform")
        self._replica_tokens: list[str] = []
        self._pipeline = self._define_pipeline(waves)
        for wave in waves:
            self._add_wave(wave)
        self._pipeline.build_pipeline()
        self._define_figures()
        self._define_repository_builds(waves)
        self._finish(waves)
        self._remember(waves)

    def _define_figures(self) -> None:
        """Counts how often, how fast and how well the platform is delivered."""
        DeliveryFigures(
            self,
            "Figures",
            stage=self._config.name,
            records=RecordTable(self, "Deliveries", key=self._key, partition_key="run"),
            key=self._key,
            alarms=self._alarms,
            log_retention_days=LOG_DAYS,
            pipelines=[self._config.name],
        )
        if self._config.dashboard:
            PipelineDashboard(self, "Dashboard", pipeline=self._config.name)

    # --- from the repository to templates ------------------------------------------------------------------------

    def _define_source(self) -> pipelines.CodePipelineSource:
        source = self._config.source
        if isinstance(source, CodeCommitSource):
            return pipelines.CodePipelineSource.code_commit(
                codecommit.Repository.from_repository_name(self, "SourceRepository", source.repository),
                source.branch,
                action_name=SOURCE_ACTION,
                code_build_clone_output=True,
                trigger=actions.CodeCommitTrigger.NONE,
            )
        return pipelines.CodePipelineSource.connection(
            source.repository,
            source.branch,
            connection_arn=source.arn,
            action_name=SOURCE_ACTION,
            code_build_clone_output=True,
            trigger_on_push=False,
        )

    def _define_pipeline(self, waves: Sequence[Wave]) -> pipelines.CodePipeline:
        config = self._config
        role = self._build_role("Synth", "Tests and synthesises the platform")
        grant(role, ["cloudformation:GetTemplateSummary"], arn("cloudformation", f"stack/{self.stack_name}/*"))
        tools, replicas = tool_versions(), self._define_replicas(waves)
        return pipelines.CodePipeline(
            self,
            "Delivery",
            pipeline_name=config.name,
            pipeline_type=codepipeline.PipelineType.V2,
            execution_mode=codepipeline.ExecutionMode.SUPERSEDED,
            role=self._role,
            use_pipeline_role_for_actions=True,
            artifact_bucket=None if replicas else self._bucket,
            cross_region_replication_buckets={config.region: self._bucket, **replicas} if replicas else None,
            cli_version=tools["aws-cdk"],
            cdk_assets_cli_version=tools["cdk-assets"],
            use_change_sets=True,
            publish_assets_in_parallel=False,
            synth=pipelines.CodeBuildStep(
                "Synth",
                input=self._source,
                commands=[
                    config.test_command,
                    "make synth",
                    f"{TOOL_PYTHON} -m delivery.retirement {ASSEMBLY} {self.stack_name}",
                ],
                primary_output_directory=ASSEMBLY,
                role=role,
                build_environment=codebuild.BuildEnvironment(
                    compute_type=getattr(codebuild.ComputeType, config.compute.upper())
                ),
            ),
            code_build_defaults=pipelines.CodeBuildOptions(
                build_environment=codebuild.BuildEnvironment(
                    build_image=codebuild.LinuxBuildImage.from_code_build_image_id(IMAGE),
                    compute_type=codebuild.ComputeType.SMALL,
                ),
                partial_build_spec=codebuild.BuildSpec.from_object(
                    {"phases": {"install": {"runtime-versions": {"python": PYTHON}}}}
                ),
                logging=codebuild.LoggingOptions(
                    cloud_watch=codebuild.CloudWatchLoggingOptions(
                        log_group=logs.LogGroup.from_log_group_name(self, "Logs", self._log.ref)
                    )
                ),
                timeout=Duration.minutes(90),
            ),
        )

    def _define_replicas(self, waves: Sequence[Wave]) -> dict[str, s3.IBucket]:
        """Defines where artefacts lie in other regions; the stacks are deployed with the pipeline, before it."""
        readers: dict[str, list[str]] = {}
        places = dict.fromkeys((str(each.account), str(each.region)) for wave in waves for each in wave.all)
        for account, region in places:
            if region != self._config.region:
                readers.setdefault(region, []).append(bootstrap_role(self, "deploy", account, region))
        buckets: dict[str, s3.IBucket] = {}
        for region, roles in readers.items():
            replica = ReplicaStack(self._scope, config=self._config, region=region, readers=roles)
            self.add_stack_dependency(replica)
            outputs = {name: output_of(replica.stack_name, name, region) for name in replica.outputs}
            self._replica_tokens.append(json.dumps(self.resolve(outputs["Bucket"]), separators=(",", ":")))
            buckets[region] = s3.Bucket.from_bucket_attributes(
                self,
                f"Artefacts-{region}",
                bucket_name=outputs["Bucket"],
                region=region,
                encryption_key=kms.Key.from_key_arn(self, f"Key-{region}", outputs["KeyArn"]),
            )
        return buckets

    def _build_role(self, construct_id: str, description: str, name: str | None = None) -> ServiceRole:
        """Defines a role of builds, which may write the log."""
        role = ServiceRole(
            self, f"{construct_id}Role", service="codebuild.amazonaws.com", description=description, name=name
        )
        grant(role, ["logs:CreateLogStream", "logs:PutLogEvents"], self._log.attr_arn)
        return role

    # --- from templates to stages --------------------------------------------------------------------------------

    def _add_wave(self, wave: Wave) -> None:
        review = self._pipeline.add_wave(f"{wave.name}-review")
        review.add_post(*self._review(wave))
        if wave.accounts:
            accounts = self._pipeline.add_wave(f"{wave.name}-accounts")
            for account in wave.accounts:
                accounts.add_stage(account)
        deployment = self._pipeline.add_wave(wave.name)
        for each in wave.stages:
            deployment.add_stage(each.stage, post=[self._smoke_test(each, name) for name in each.outputs])

    def _review(self, wave: Wave) -> list[pipelines.Step]:
        """Returns a comparison and an approval, which the comparison gives by itself where permissions do not grow."""
        approval = pipelines.ManualApprovalStep(
            "Approve",
            comment=f"Deploy {wave.name}? The log of the action Compare shows what changes in permissions",
            notification_topic=self._topic,
        )
        comparison = pipelines.CodeBuildStep(
            "Compare",
            input=self._source,
            additional_inputs={ASSEMBLY: self._pipeline.cloud_assembly_file_set},
            env={
                "APPROVE": "never" if wave.approved else "unless-broadened",
                "EXECUTION": "#{codepipeline.PipelineExecutionId}",
                "PIPELINE": self._config.name,
                "STAGE": f"{wave.name}-review",
                "STACKS": " ".join(f"{stage.node.path}/*" for stage in wave.all),
            },
            install_commands=[f"npm install -g aws-cdk@{tool_versions()['aws-cdk']}"],
            commands=[*TOOLS, f"{TOOL_PYTHON} -m delivery.review {ASSEMBLY}"],
            role=self._review_role,
        )
        if wave.approved:
            approval.add_step_dependency(comparison)
        return [comparison, approval]

    def _define_review_role(self, waves: Sequence[Wave]) -> ServiceRole:
        role = self._build_role("Review", "Compares what is to be deployed with what is")
        places = dict.fromkeys((str(each.account), str(each.region)) for wave in waves for each in wave.all)
        grant(role, ["sts:AssumeRole"], *(bootstrap_role(self, "lookup", *place) for place in places))
        pipeline = arn("codepipeline", self._config.name)
        grant(role, ["codepipeline:GetPipelineState"], pipeline)
        approvals = [f"{pipeline}/{wave.name}-review/Approve" for wave in waves if not wave.approved]
        if approvals:
            grant(role, ["codepipeline:PutApprovalResult"], *approvals)
        return role

    def _smoke_test(self, stage: DeliveredStage, workload: str) -> pipelines.CodeBuildStep:
        role = self._config.deliverer(stage.name).stage_role(stage.name, "smoke")
        role_arn = f"arn:{PARTITION}:iam::{stage.stage.account}:role/{role}"
        grant(self._smoke_role, ["sts:AssumeRole"], role_arn)
        return pipelines.CodeBuildStep(
            f"Test{pascal_case(workload)}",
            input=self._source,
            env={
                "BAKE_MINUTES": str(self._config.bake_minutes),
                "ROLE": role_arn,
                "STAGE_REGION": str(stage.stage.region),
            },
            env_from_cfn_outputs=dict(stage.outputs[workload]),
            commands=[*TOOLS, f"{TOOL_PYTHON} -m delivery.smoke_test"],
            role=self._smoke_role,
        )

    # --- beside the platform -------------------------------------------------------------------------------------

    def _define_repository_builds(self, waves: Sequence[Wave]) -> None:
        config = self._config
        trained = {each.name: (each, wave) for wave in waves for each in wave.stages}.get(config.train_in or "")
        RepositoryBuilds(
            self,
            "Repository",
            config=config,
            training=self._define_training(*trained) if trained is not None else None,
            tools=(TOOLS, TOOL_PYTHON),
            key=self._key,
            log=self._log,
            log_retention_days=LOG_DAYS,
            artefacts=self._bucket,
            alarms=self._alarms,
        )

    def _define_training(self, stage: DeliveredStage, wave: Wave) -> Training:
        """Defines who tests and publishes scripts for a stage."""
        config = self._config
        account = str(stage.stage.account)
        publisher = self._build_role(
            "ModelCode", "Publishes scripts of workloads", config.deliverer(stage.name).build_role("model")
        )
        role = config.deliverer(stage.name).stage_role(stage.name, "model")
        grant(publisher, ["sts:AssumeRole"], f"arn:{PARTITION}:iam::{account}:role/{role}")
        reading = ("GetPipelineExecution", "GetPipelineState", "ListPipelineExecutions")
        grant(publisher, [f"codepipeline:{each}" for each in reading], arn("codepipeline", config.name))
        builds = ModelCodeBuilds(
            bucket=self._bucket,
            key=self._key,
            log=logs.LogGroup.from_log_group_name(self, "ModelCodeLogs", self._log.ref),
            compute=config.compute,
            test_role=self._build_role("ModelTest", "Tests scripts of workloads"),
            publish_role=publisher,
            alarms=self._alarms,
        )
        place = (account, str(stage.stage.region))
        return Training(stage=stage.name, place=place, wave=wave.name, workloads=tuple(stage.outputs), builds=builds)

    # --- what the library leaves open ----------------------------------------------------------------------------

    def _finish(self, waves: Sequence[Wave]) -> None:
        resource = self._pipeline.pipeline.node.default_child
        assert isinstance(resource, codepipeline.CfnPipeline)  # noqa: S101
        depend_on_policy(resource, self._role)
        self._roll_back(resource, waves)
        if not isinstance(self._config.source, CodeCommitSource):
            resource.add_property_override("Triggers", [self._trigger()])
        inside = f"{self._pipeline.node.path}/"
        failed = "A build of the pipeline that fails fails the pipeline, whose alarm goes off"
        for construct in self.node.find_all():
            if isinstance(construct, codebuild.CfnProject) and construct.node.path.startswith(inside):
                construct.queued_timeout_in_minutes = QUEUED_MINUTES
                record_silence(construct, NoAlarms(failed))
        watch(
            self,
            "Failed",
            alarms=self._alarms,
            watched=resource,
            metric=Metric("AWS/CodePipeline", "FailedPipelineExecutions", {"PipelineName": self._config.name}),
            description=f"An execution of the pipeline {self._config.name} failed",
            runbook="Open the execution, read the log of the action that failed; a stage that failed was rolled back",
        )
        narrow(self, log_arn=self._log.attr_arn, exact=self._self_update(waves))
        self._acknowledge_artefacts()

    def _remember(self, waves: Sequence[Wave]) -> None:
        """Writes into the template what is deployed; the output makes any change of it a change of the stack."""
        record = {each.stage_name: stage_record(each) for wave in waves for each in wave.all}
        self.template_options.metadata = {STAGES_METADATA: record, RETIRED_METADATA: list(self._config.retired)}
        text = json.dumps([record, self._config.retired], sort_keys=True)
        CfnOutput(self, "RecordDigest", value=hashlib.sha256(text.encode()).hexdigest())

    def _roll_back(self, resource: codepipeline.CfnPipeline, waves: Sequence[Wave]) -> None:
        """Lets what is deployed go back to what was there when a stage fails: its tests are part of it."""
        names = [stage.stage_name for stage in self._pipeline.pipeline.stages]
        deployments = {wave.name for wave in waves}
        for index, name in enumerate(names):
            if name.partition(".")[0] in deployments:
                resource.add_property_override(f"Stages.{index}.OnFailure", {"Result": "ROLLBACK"})

    def _trigger(self) -> dict[str, object]:
        push = {"Branches": {"Includes": [self._config.source.branch]}, "FilePaths": {"Includes": list(PLATFORM)}}
        return {
            "ProviderType": "CodeStarSourceConnection",
            "GitConfiguration": {"SourceActionName": SOURCE_ACTION, "Push": [push]},
        }

    def _self_update(self, waves: Sequence[Wave]) -> dict[str, list[str]]:
        """What updating the pipeline takes: roles of its own account, in its region and those of its replicas."""
        account, partition = self._config.account, PARTITION
        regions = dict.fromkeys([self._config.region, *(str(each.region) for wave in waves for each in wave.all)])
        kinds: tuple[Literal["deploy", "file-publishing"], ...] = ("deploy", "file-publishing")
        return {
            "sts:AssumeRole": [bootstrap_role(self, kind, account, region) for region in regions for kind in kinds],
            "cloudformation:DescribeStacks": [
                f"arn:{partition}:cloudformation:{region}:{account}:stack/{name}/*"
                for region in regions
                for name in ("CDKToolkit", self.stack_name if region == self.region else f"{self.stack_name}-{region}")
            ],
            "s3:ListBucket": [bootstrap_bucket_arn(self, account, region) for region in regions],
        }

    def _acknowledge_artefacts(self) -> None:
        """Accepts that what is handed over has names which no template knows."""
        bucket = self._bucket.node.default_child
        assert isinstance(bucket, s3.CfnBucket)  # noqa: S101
        own = f"<{self.get_logical_id(bucket)}.Arn>/*"
        objects = [own, *(f"arn:<AWS::Partition>:s3:::{name}/*" for name in self._replica_tokens)]
        reason = "CodePipeline names artefacts by itself, in a bucket that holds nothing else"
        findings = {f"AwsSolutions-IAM5[Resource::{each}]": reason for each in objects}
        for construct in self.node.find_all():
            if isinstance(construct, iam.CfnPolicy):
                acknowledge(construct, findings)


def define_pipeline(
    app: App, config: PipelineConfig, stages: Sequence[DeliveredStage], accounts: Mapping[Place, Stage]
) -> None:
    """Defines the pipeline of all stages.

    Args:
        stages: The stages.
        accounts: Account and region to what they need before any stage.
    """
    PipelineStack(app, "Pipeline", config=config, waves=arrange(config, stages, accounts))


def tool_versions() -> dict[str, str]:
    """Versions of the command-line tools that the pipeline installs, which are those of the checkout."""
    content = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    return {"aws-cdk": content["dependencies"]["aws-cdk"], "cdk-assets": content["config"]["cdk-assets"]}
