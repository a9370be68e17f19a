"""What else starts from the repository: pipelines of model code, builds of pull requests, the detection of changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codecommit as codecommit
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.alarms import FailureAlarms
from constructs_lib.grants import arn, grant
from constructs_lib.model_code_pipeline import SOURCE_ACTION, ModelCodeBuilds, ModelCodePipeline
from constructs_lib.names.code_paths import PLATFORM, model_code
from constructs_lib.names.naming import pascal_case
from constructs_lib.place import PARTITION
from constructs_lib.pull_request_comments import PullRequestComments, differences_uri
from constructs_lib.repository_build import RepositoryBuild
from constructs_lib.repository_events import BuildOnEvent, grant_pull, variable
from stacks.pipeline_config import CodeCommitSource, ConnectionSource, PipelineConfig

WAIT_MINUTES = 180
HOSTS = {"github": "https://github.com", "gitlab": "https://gitlab.com", "bitbucket": "https://bitbucket.org"}
PULL_REQUESTS = {
    "github": ("PULL_REQUEST_CREATED", "PULL_REQUEST_UPDATED", "PULL_REQUEST_REOPENED"),
    "gitlab": ("PULL_REQUEST_CREATED", "PULL_REQUEST_UPDATED", "PULL_REQUEST_REOPENED"),
    "bitbucket": ("PULL_REQUEST_CREATED", "PULL_REQUEST_UPDATED"),
}
"""Events of which CodeBuild hears; Bitbucket opens no pull request again that was declined."""


@dataclass(frozen=True)
class Training:
    """The stage that a change of scripts trains in.

    Attributes:
        stage: Its name.
        place: Its account and region.
        wave: The part of the platform's pipeline that deploys it.
        workloads: What runs in it.
        builds: How the builds of model code run.
    """

    stage: str
    place: tuple[str, str]
    wave: str
    workloads: tuple[str, ...]
    builds: ModelCodeBuilds


class RepositoryBuilds(Construct):
    """Defines builds and pipelines beside that of the platform.

    Args:
        config: The pipeline of the platform.
        training: The stage that a change of scripts trains in, or nothing.
        tools: Commands that install what the scripts in ``delivery`` need, and the Python that has it.
        key: Encrypts what CodeBuild keeps, and the logs of functions.
        log: Where builds log.
        log_retention_days: How long functions' logs are kept, in days.
        artefacts: Where differences of pull requests lie until they are shown.
        alarms: Whom to tell of failures.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: PipelineConfig,
        training: Training | None,
        tools: tuple[Sequence[str], str],
        key: kms.IKey,
        log: logs.CfnLogGroup,
        log_retention_days: int,
        artefacts: s3.Bucket,
        alarms: FailureAlarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._artefacts, self._log_retention_days = artefacts, log_retention_days
        self._tools, self._python = tools
        self._common: dict[str, Any] = {"log": log, "key": key, "alarms": alarms}
        self._alarms = alarms
        filters: dict[str, Sequence[str]] = {config.name: PLATFORM}
        if training is not None:
            for workload in training.workloads:
                filters[self._define_model_code(workload, training)] = model_code(workload)
        if isinstance(config.source, CodeCommitSource):
            self._define_detection(config.source, filters)
            self._define_pull_requests_of_codecommit(config.source)
        else:
            self._define_pull_requests_of_connection(config.source)

    # --- model code ----------------------------------------------------------------------------------------------

    def _define_model_code(self, workload: str, training: Training) -> str:
        """Defines a workload's pipeline and returns its name."""
        config, stage, (account, region) = self._config, training.stage, training.place
        name = f"{config.name}-{workload}"
        checkout = codepipeline.Artifact("Checkout")
        role = config.deliverer(stage).stage_role(stage, "model")
        ModelCodePipeline(
            self,
            pascal_case(workload),
            name=name,
            workload=workload,
            source=self._source(checkout, pascal_case(workload)),
            checkout=checkout,
            branch=config.source.branch if isinstance(config.source, ConnectionSource) else None,
            builds=training.builds,
            test=["make workload"],
            publish=[*self._tools, f"{self._python} -m delivery.model_code"],
            variables={
                "PIPELINE": name,
                "PLATFORM_PIPELINE": config.name,
                "PLATFORM_STAGE": training.wave,
                "ROLE": f"arn:{PARTITION}:iam::{account}:role/{role}",
                "STACK": f"{stage}-{pascal_case(workload)}Workload",
                "STAGE_REGION": region,
                "WAIT_MINUTES": str(WAIT_MINUTES),
            },
        )
        grant(training.builds.publish_role, ["codepipeline:ListPipelineExecutions"], arn("codepipeline", name))
        return name

    def _source(self, checkout: codepipeline.Artifact, construct_id: str) -> actions.Action:
        source = self._config.source
        if isinstance(source, CodeCommitSource):
            return actions.CodeCommitSourceAction(
                action_name=SOURCE_ACTION,
                output=checkout,
                repository=codecommit.Repository.from_repository_name(self, f"{construct_id}Source", source.repository),
                branch=source.branch,
                code_build_clone_output=True,
                trigger=actions.CodeCommitTrigger.NONE,
            )
        owner, _, repository = source.repository.rpartition("/")
        return actions.CodeStarConnectionsSourceAction(
            action_name=SOURCE_ACTION,
            output=checkout,
            owner=owner,
            repo=repository,
            branch=source.branch,
            connection_arn=source.arn,
            code_build_clone_output=True,
            trigger_on_push=False,
        )

    # --- changes -------------------------------------------------------------------------------------------------

    def _define_detection(self, source: CodeCommitSource, filters: Mapping[str, Sequence[str]]) -> None:
        """Defines what starts the pipelines whose files a push has changed, as CodeCommit's events name no files."""
        repository = arn("codecommit", source.repository)
        build = RepositoryBuild(
            self,
            "Changes",
            name=f"{self._config.name}-changes",
            description=f"Starts the pipelines of {source.repository} whose files have changed",
            source={"type": "CODECOMMIT", "location": self._clone_url(source)},
            commands=[*self._tools, f"{self._python} -m delivery.changes"],
            compute="small",
            minutes=15,
            variables={"FILTERS": json.dumps(filters, sort_keys=True)},
            **self._common,
        )
        grant_pull(build, repository)
        pipelines = [arn("codepipeline", name) for name in filters]
        grant(build, ["codepipeline:ListPipelineExecutions", "codepipeline:StartPipelineExecution"], *pipelines)
        BuildOnEvent(
            self,
            "Pushes",
            pattern={
                "source": ["aws.codecommit"],
                "resources": [repository],
                "detail-type": ["CodeCommit Repository State Change"],
                "detail": {
                    "event": ["referenceCreated", "referenceUpdated"],
                    "referenceType": ["branch"],
                    "referenceName": [source.branch],
                },
            },
            project=build.project,
            paths={"commit": "$.detail.commitId"},
            request={"sourceVersion": "<commit>"},
            not_done="A push started no pipeline",
            alarms=self._alarms,
        )

    def _clone_url(self, source: CodeCommitSource) -> str:
        stack = Stack.of(self)
        return f"https://git-codecommit.{stack.region}.{stack.url_suffix}/v1/repos/{source.repository}"

    # --- pull requests -------------------------------------------------------------------------------------------

    def _define_pull_requests_of_codecommit(self, source: CodeCommitSource) -> None:
        repository = arn("codecommit", source.repository)
        build = self._pull_request_build(
            {"type": "CODECOMMIT", "location": self._clone_url(source)}, {"REPOSITORY": source.repository}
        )
        grant_pull(build, repository)
        grant(build, ["codecommit:PostCommentForPullRequest"], repository)
        BuildOnEvent(
            self,
            "PullRequests",
            pattern={
                "source": ["aws.codecommit"],
                "resources": [repository],
                "detail-type": ["CodeCommit Pull Request State Change"],
                "detail": {
                    "event": ["pullRequestCreated", "pullRequestSourceBranchUpdated"],
                    "destinationReference": [f"refs/heads/{source.branch}"],
                },
            },
            project=build.project,
            paths={
                "base": "$.detail.destinationCommit",
                "commit": "$.detail.sourceCommit",
                "id": "$.detail.pullRequestId",
            },
            request={
                "sourceVersion": "<commit>",
                "environmentVariablesOverride": [variable("BASE", "<base>"), variable("PULL_REQUEST", "<id>")],
            },
            not_done="A pull request was not built",
            alarms=self._alarms,
        )

    def _define_pull_requests_of_connection(self, source: ConnectionSource) -> None:
        project = codebuild.CfnProject
        filters = [
            project.WebhookFilterProperty(type="EVENT", pattern=", ".join(PULL_REQUESTS[source.provider])),
            project.WebhookFilterProperty(type="BASE_REF", pattern=f"^refs/heads/{source.branch}$"),
        ]
        build = self._pull_request_build(
            {
                "type": source.provider.upper(),
                "location": f"{HOSTS[source.provider]}/{source.repository}.git",
                "auth": project.SourceAuthProperty(type="CODECONNECTIONS", resource=source.arn),
                "report_build_status": True,
            },
            {} if source.comment_token is None else {"DIFFERENCES_URI": differences_uri(self._artefacts)},
            project.ProjectTriggersProperty(
                webhook=True,
                filter_groups=[filters],
                pull_request_build_policy=project.PullRequestBuildPolicyProperty(
                    requires_comment_approval="FORK_PULL_REQUESTS"
                ),
            ),
        )
        service = source.arn.split(":")[2]
        grant(
            build,
            [f"{service}:{action}" for action in ("GetConnection", "GetConnectionToken", "UseConnection")],
            source.arn,
        )
        if source.comment_token is not None:
            PullRequestComments(
                self,
                "Comments",
                pipeline=self._config.name,
                build=build,
                provider=source.provider,
                repository=source.repository,
                token_secret_arn=source.comment_token,
                bucket=self._artefacts,
                log_retention_days=self._log_retention_days,
                key=self._common["key"],
                alarms=self._alarms,
            )

    def _pull_request_build(
        self,
        source: Mapping[str, Any],
        variables: Mapping[str, str],
        triggers: codebuild.CfnProject.ProjectTriggersProperty | None = None,
    ) -> RepositoryBuild:
        config = self._config
        return RepositoryBuild(
            self,
            "PullRequest",
            name=f"{config.name}-pull-request",
            description=f"Tests pull requests to {config.source.repository} and shows what they change",
            source=source,
            commands=[config.test_command, ".venv/bin/python -m delivery.pull_request"],
            compute=config.compute,
            minutes=90,
            variables={"BRANCH": config.source.branch, **variables},
            triggers=triggers,
            **self._common,
        )
