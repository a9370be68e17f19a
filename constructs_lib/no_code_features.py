"""What a recipe or a flow that makes features runs with: roles, the flow's file, and who may start them."""

from __future__ import annotations

from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.grants import ServiceRole, arn, grant, grant_pass_role
from constructs_lib.images import DATA_WRANGLER, DATA_WRANGLER_REGISTRIES, RegistryImage
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.no_code import STAGE_TAG, WORKLOAD_TAG, FeatureRun, FlowRun, RecipeRun
from constructs_lib.names.features_file import NoCode
from constructs_lib.names.naming import runtime_prefix
from constructs_lib.network import Network
from constructs_lib.pipeline_machine import PipelineMachine
from constructs_lib.sagemaker_jobs import SageMakerJobs
from constructs_lib.text_asset import TextAsset

_DATABREW = "databrew.amazonaws.com"


class RecipeFeatures(Construct):
    """Defines what a DataBrew recipe runs with: a role that sees what the workload hands over, and nothing else.

    Recipe, dataset and job exist only while a run of the data machine needs them.

    Args:
        stage: Part of the names at run time.
        workload: Whose features they are.
        primary: The source whose rows the recipe gets.
        by: The recipe.
        lake: Where rows are handed over and features come back, in the curated zone.

    Attributes:
        run: What the data machine must know.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        primary: str,
        by: NoCode,
        lake: DataLake,
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage, self._workload, self._prefix = stage, workload, runtime_prefix(stage, workload)
        self._role = ServiceRole(
            self, "Role", service=_DATABREW, description=f"The recipe that makes the features of {workload}"
        )
        lake.grant_spark(self._role, "curated", f"{workload}/handover/")
        logs = arn("logs", "log-group:/aws-glue-databrew/*")
        grant(self._role, ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], logs)
        self.run: FeatureRun = RecipeRun(
            steps=by.content,
            role_arn=self._role.role_arn,
            key_arn=lake.key.key_arn,
            bucket=lake.curated.bucket_name,
            primary=primary,
            nodes=by.nodes,
            minutes=by.timeout_minutes,
        )

    def grant_run(self, machine: PipelineMachine) -> None:
        """Lets a state machine make a recipe with its dataset and job, run it (``.sync``) and remove all three.

        IAM knows no resource for what is not there yet: what is made has to carry the tags of stage and workload.
        """
        tags = {f"aws:RequestTag/{STAGE_TAG}": self._stage, f"aws:RequestTag/{WORKLOAD_TAG}": self._workload}
        grant(
            machine,
            ["databrew:CreateDataset", "databrew:CreateRecipe", "databrew:CreateRecipeJob"],
            "*",
            conditions={"StringEquals": tags},
        )
        jobs, datasets, recipes = (
            arn("databrew", f"{kind}/{self._prefix}features-*") for kind in ("job", "dataset", "recipe")
        )
        grant(machine, ["databrew:TagResource"], jobs, datasets, recipes)
        grant(
            machine,
            ["databrew:DeleteJob", "databrew:ListJobRuns", "databrew:StartJobRun", "databrew:StopJobRun"],
            jobs,
        )
        grant(machine, ["databrew:DeleteDataset"], datasets)
        grant(machine, ["databrew:BatchDeleteRecipeVersion", "databrew:PublishRecipe"], recipes)
        grant_pass_role(machine, self._role, _DATABREW)


class FlowFeatures(Construct):
    """Defines what a Data Wrangler flow runs with: the flow's file, and processing jobs without any way out.

    Args:
        stage: Part of the names at run time.
        workload: Whose features they are.
        by: The flow.
        lake: Where rows are handed over and features come back, in the curated zone.
        network: Where it runs.
        place: The same for the state machine.

    Attributes:
        run: What the data machine must know.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        workload: str,
        by: NoCode,
        lake: DataLake,
        network: Network,
        place: JobPlace,
    ) -> None:
        super().__init__(scope, construct_id)
        repository, tag = DATA_WRANGLER
        image = RegistryImage(self, "Image", registries=DATA_WRANGLER_REGISTRIES, repository=repository, tag=tag)
        flow = TextAsset(self, "Flow", text=by.text(), suffix=".flow")
        self._jobs = SageMakerJobs(
            self,
            "Jobs",
            kind="processing",
            prefix=runtime_prefix(stage, workload),
            role_description=f"The flow that makes the features of {workload}",
            image=image,
            network=network,
            key=lake.key,
        )
        flow.grant_fetch(self._jobs)
        lake.grant_read(self._jobs, "curated", f"{workload}/handover/")
        lake.grant_write(self._jobs, "curated", f"{workload}/handover/")
        self.run: FeatureRun = FlowRun(
            place=place,
            image_uri=image.uri,
            role_arn=self._jobs.role.role_arn,
            flow_uri=flow.uri,
            bucket=lake.curated.bucket_name,
            sources=by.flow_sources,
            output=by.output,
            limits=JobLimits(by.instance_type, by.timeout_minutes, instance_count=by.instances),
        )

    def grant_run(self, machine: PipelineMachine) -> None:
        """Lets a state machine run the flow (``.sync``)."""
        self._jobs.grant_run(machine)
