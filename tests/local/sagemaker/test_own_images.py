"""Images of one's own: built without Docker, kept by digest, run as child processes under the container contract."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest

from local.server.codebuild.service import CodeBuild
from local.server.host import Settings
from local.server.own_images import OwnImages
from local.server.sagemaker.store import Store
from tests.local.sagemaker.conftest import XGBOOST, Lab, allow, error_of, wait_for

MAIN = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
root = Path(sys.argv[2])
if sys.argv[1] == "train":
    told = json.loads((root / "input/config/hyperparameters.json").read_text())
    if "fail" in told:
        (root / "output").mkdir(exist_ok=True)
        (root / "output/failure").write_text("told to fail")
        sys.exit(3)
    seen = (root / "input/data/train/rows.csv").read_text()
    (root / "model/model.json").write_text(json.dumps({"told": told, "seen": seen, "files": sorted(os.listdir())}))
    print("validation-auc:0.75")
    sys.exit()
model = json.loads((root / "model/model.json").read_text())
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        body = json.dumps({"asked": json.loads(self.rfile.read(int(self.headers["Content-Length"]))), **model}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
ENTRY_POINTS = {
    "train": ["python3", "main.py", "train", "/opt/ml"],
    "serve": ["python3", "main.py", "serve", "/opt/ml"],
}
FILES = {"Dockerfile": "FROM scratch\n", "gapless.json": json.dumps(ENTRY_POINTS), "main.py": MAIN}
NEEDED = (
    "s3:GetObject",
    "ecr:GetAuthorizationToken",
    "ecr:DescribeImages",
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Factory:
    """Builds images by projects of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.codebuild, self.ecr = lab.client("codebuild"), lab.client("ecr")

    def project(
        self, files: dict[str, str], tag: str, *, repository: str | None = None, role: str | None = None
    ) -> str:
        """Make a project, and its repository; returns its name."""
        name = self.lab.unique("project")
        self.lab.put(f"{name}/source.zip", zipped(files))
        variables = {"REPOSITORY": repository or self.repository(), "TAG": tag}
        properties = {
            "Name": name,
            "ServiceRole": role or self.lab.server.role("codebuild.amazonaws.com", allow(*NEEDED)),
            "Source": {"Type": "S3", "Location": f"{self.lab.bucket}/{name}/source.zip"},
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "any",
                "EnvironmentVariables": [{"Name": key, "Value": value} for key, value in variables.items()],
            },
        }
        template = {"Resources": {"Project": {"Type": "AWS::CodeBuild::Project", "Properties": properties}}}
        stacks = self.lab.client("cloudformation")
        stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        return name

    def repository(self) -> str:
        name = self.lab.unique("images")
        self.ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
        return name

    def build(self, project: str) -> Any:
        """Run a build to its end."""
        identity = self.codebuild.start_build(projectName=project)["build"]["id"]

        def done() -> Any:
            (build,) = self.codebuild.batch_get_builds(ids=[identity])["builds"]
            return build if build["buildStatus"] != "IN_PROGRESS" else None

        return wait_for(done)

    def image(self, files: dict[str, str] = FILES) -> str:
        """Build an image; returns its address by digest."""
        repository = self.repository()
        build = self.build(self.project(files, "one", repository=repository))
        assert build["buildStatus"] == "SUCCEEDED", reason(build)
        (found,) = self.ecr.describe_images(repositoryName=repository)["imageDetails"]
        return f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{repository}@{found['imageDigest']}"


def reason(build: Any) -> str:
    return " ".join(context["message"] for phase in build["phases"] for context in phase["contexts"])


@pytest.fixture
def factory(lab: Lab) -> Factory:
    return Factory(lab)


# --- builds -----------------------------------------------------------------------------------------------------------


def test_the_same_files_are_the_same_image_whoever_builds_them(factory: Factory) -> None:
    first, second = factory.image(), factory.image()
    other = factory.image({**FILES, "notes.txt": "more"})
    assert first.partition("@")[2] == second.partition("@")[2] != other.partition("@")[2]


def test_an_image_that_is_there_is_not_built_again(factory: Factory, lab: Lab) -> None:
    repository = factory.repository()
    project = factory.project(FILES, "one", repository=repository)
    builds = [factory.build(project) for _ in range(2)]
    assert [build["buildStatus"] for build in builds] == ["SUCCEEDED", "SUCCEEDED"]
    assert len(factory.ecr.describe_images(repositoryName=repository)["imageDetails"]) == 1
    log = lab.log(builds[1]["logs"]["groupName"], builds[1]["logs"]["streamName"])
    assert f"{repository}:one is there already" in log


@pytest.mark.parametrize("name", ["Dockerfile", "gapless.json"])
def test_a_folder_that_is_no_image_fails_the_build_with_the_reason(factory: Factory, name: str) -> None:
    build = factory.build(factory.project({key: text for key, text in FILES.items() if key != name}, "one"))
    assert build["buildStatus"] == "FAILED"
    assert name in reason(build)


def test_a_build_may_do_only_what_its_role_may(factory: Factory, lab: Lab) -> None:
    role = lab.server.role("codebuild.amazonaws.com")
    project, iam = factory.project(FILES, "one", role=role), lab.client("iam")
    for action in NEEDED:
        policy = {"Version": "2012-10-17", "Statement": [allow(*(each for each in NEEDED if each != action))]}
        iam.put_role_policy(RoleName=role.rpartition("/")[2], PolicyName="inline", PolicyDocument=json.dumps(policy))
        build = factory.build(project)
        assert (build["buildStatus"], f"perform: {action} " in f"{reason(build)} ") == ("FAILED", True), reason(build)


def test_a_build_needs_a_role_that_trusts_codebuild(factory: Factory, lab: Lab) -> None:
    build = factory.build(factory.project(FILES, "one", role=lab.server.role("glue.amazonaws.com", allow("*"))))
    assert build["buildStatus"] == "FAILED"


def test_whoever_starts_a_build_may_start_that_project_s(factory: Factory, lab: Lab) -> None:
    project = factory.project(FILES, "one")
    arn = f"arn:aws:codebuild:us-east-1:000000000000:project/{project}"
    allowed = lab.server.client_as("codebuild", *lab.server.user(allow("codebuild:*", on=arn)))
    build = allowed.start_build(projectName=project)["build"]
    assert allowed.batch_get_builds(ids=[build["id"]])["builds"]
    other = lab.server.client_as("codebuild", *lab.server.user(allow("codebuild:*", on=f"{arn}-other")))
    assert error_of(lambda: other.start_build(projectName=project))[0] == "AccessDeniedException"
    assert error_of(lambda: other.batch_get_builds(ids=[build["id"]]))[0] == "AccessDeniedException"


def test_a_machine_waits_for_a_build(factory: Factory, lab: Lab) -> None:
    good, bad = factory.project(FILES, "one"), factory.project({}, "one")
    sfn = lab.client("stepfunctions")
    outcomes = []
    for project in (good, bad):
        call = {
            "Type": "Task",
            "Resource": "arn:aws:states:::codebuild:startBuild.sync",
            "Arguments": {"ProjectName": project},
            "End": True,
        }
        machine = sfn.create_state_machine(
            name=lab.unique("machine"),
            definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Call", "States": {"Call": call}}),
            roleArn=lab.server.role("states.amazonaws.com", allow("codebuild:*")),
        )["stateMachineArn"]
        arn = sfn.start_execution(stateMachineArn=machine)["executionArn"]

        def done(arn: str = arn) -> Any:
            found = sfn.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        outcomes.append(wait_for(done))
    assert json.loads(outcomes[0]["output"])["Build"]["BuildStatus"] == "SUCCEEDED"
    assert (outcomes[1]["status"], outcomes[1]["error"]) == ("FAILED", "States.TaskFailed")
    assert "there is no Dockerfile" in outcomes[1]["cause"]


def test_a_build_that_ran_when_the_server_went_down_has_failed(tmp_path: Path) -> None:
    store = Store(tmp_path / "codebuild.sqlite")
    store.add("Build", "project:1", {"id": "project:1", "buildStatus": "IN_PROGRESS"})
    settings = Settings(tmp_path, tmp_path, 0, "", tmp_path, tmp_path)
    CodeBuild(cast(Any, None), store, OwnImages(settings)).end_what_was_running()
    build = store.find("Build", "project:1")
    assert build is not None and build["buildStatus"] == "FAULT"
    assert "the local server was stopped while the build was running" in reason(build)


# --- jobs and endpoints -----------------------------------------------------------------------------------------------


def train(lab: Lab, image: str, **changes: Any) -> Any:
    data = lab.channel("train", lab.put(f"{lab.unique('data')}/rows.csv", "1,2").rpartition("/")[0] + "/")
    request = lab.training_request("", InputDataConfig=[data])
    request |= {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "validation:auc", "Regex": "validation-auc:([0-9.]+)"}],
        },
        "HyperParameters": {"depth": "3"},
        **changes,
    }
    lab.sagemaker.create_training_job(**request)
    return lab.trained(request["TrainingJobName"])


def test_an_image_trains_and_serves_under_the_container_contract(factory: Factory, lab: Lab) -> None:
    image = factory.image()
    job = train(lab, image)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["FinalMetricDataList"][0]["Value"] == 0.75
    model = lab.unique("model")
    container = {"Image": image, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    lab.sagemaker.create_model(ModelName=model, ExecutionRoleArn=lab.role, PrimaryContainer=container)
    answer = lab.invoke(lab.endpoint(lab.config(model)), {"instances": [1]})["json"]
    assert (answer["asked"], answer["seen"], answer["told"]) == ({"instances": [1]}, "1,2", {"depth": "3"})
    assert answer["files"] == ["Dockerfile", "gapless.json", "main.py"]


def test_an_image_that_fails_says_why(factory: Factory, lab: Lab) -> None:
    job = train(lab, factory.image(), HyperParameters={"fail": "yes"})
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "AlgorithmError: told to fail, exit code: 3")


def test_an_image_that_is_not_there_fails_the_job(factory: Factory, lab: Lab) -> None:
    address = factory.image().partition("@")[0]
    job = train(lab, f"{address}@sha256:{'0' * 64}")
    assert job["TrainingJobStatus"] == "Failed"
    assert "there is no image" in job["FailureReason"]


# --- frameworks that are not here -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repository", "said"),
    [
        ("pytorch-inference", "(not installed beside the jobs: torch) is not available on the local server"),
        ("huggingface-pytorch-inference", "(not installed beside the jobs: torch, transformers)"),
        ("tensorflow-inference", "(it is served by TensorFlow Serving, a program of its own) is not available"),
    ],
)
def test_a_framework_that_this_machine_lacks_is_refused_by_name(lab: Lab, repository: str, said: str) -> None:
    image = XGBOOST.replace("sagemaker-xgboost", repository)
    request = {"ModelName": lab.unique("model"), "ExecutionRoleArn": lab.role, "PrimaryContainer": {"Image": image}}
    code, message = error_of(lambda: lab.sagemaker.create_model(**request))
    assert (code, said in message) == ("ValidationException", True), message


def test_a_training_by_a_framework_that_this_machine_lacks_is_refused_at_once(lab: Lab) -> None:
    request = lab.training_request("")
    request["AlgorithmSpecification"]["TrainingImage"] = XGBOOST.replace("sagemaker-xgboost", "tensorflow-training")
    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))
    assert (code, "(not installed beside the jobs: tensorflow)" in message) == ("ValidationException", True), message
