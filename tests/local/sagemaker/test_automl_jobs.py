from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

JOBS = allow(
    *(
        f"sagemaker:{verb}{kind}Job"
        for verb in ("Create", "Describe", "Stop")
        for kind in ("Training", "Processing", "Transform")
    )
)


def rows(count: int, seed: int, *, wanted: str = "late") -> str:
    """Orders in CSV: the more items and the farther south, the later; with gaps, and a text with a comma."""
    draw = random.Random(seed)  # noqa: S311 - data for tests
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([wanted, "items", "region", "amount"])
    for _ in range(count):
        items, region = draw.randrange(1, 9), draw.choice(["north", "south", "west, far"])
        chance = 0.08 * items + (0.3 if region == "south" else 0)
        value = int(draw.random() < chance) if wanted == "late" else round(items * 2.5 + draw.random(), 3)
        writer.writerow([value, items, region, "" if draw.random() < 0.1 else round(draw.uniform(5, 200), 2)])
    return text.getvalue()


class AutoMLLab:
    """A laboratory for AutoML jobs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.role = lab.role_with(JOBS, allow("s3:*", "iam:PassRole"))

    def request(self, *, training: str, validation: str, **changes: Any) -> dict[str, Any]:
        name = self.lab.unique("m")[:32]
        channels = []
        for kind, content in (("training", training), ("validation", validation)):
            self.lab.put(f"{name}/{kind}/data.table", content)
            source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.lab.bucket}/{name}/{kind}/"}
            channels.append(
                {
                    "ChannelType": kind,
                    "ContentType": "text/csv;header=present",
                    "DataSource": {"S3DataSource": source},
                }
            )
        table = {
            "Mode": "ENSEMBLING",
            "ProblemType": "BinaryClassification",
            "TargetAttributeName": "late",
            "CompletionCriteria": {"MaxCandidates": 4},
            **changes.pop("table", {}),
        }
        return {
            "AutoMLJobName": name,
            "RoleArn": self.role,
            "AutoMLJobInputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.lab.bucket}/out"},
            "AutoMLProblemTypeConfig": {"TabularJobConfig": {key: each for key, each in table.items() if each}},
            "AutoMLJobObjective": {"MetricName": "AUC"},
            **changes,
        }

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        self.lab.sagemaker.create_auto_ml_job_v2(**request)
        return self.ended(request["AutoMLJobName"])

    def ended(self, name: str) -> dict[str, Any]:
        def done() -> dict[str, Any] | None:
            job: dict[str, Any] = self.lab.sagemaker.describe_auto_ml_job_v2(AutoMLJobName=name)
            return job if job["AutoMLJobStatus"] not in ("InProgress", "Stopping") else None

        return wait_for(done)  # type: ignore[no-any-return]

    def ask(self, job: dict[str, Any], outputs: str, body: str) -> list[list[str]]:
        """Serve the best candidate as a batch transform does."""
        [container] = job["BestCandidate"]["InferenceContainers"]
        if outputs:
            container["Environment"]["SAGEMAKER_INFERENCE_OUTPUT"] = outputs
        name = self.lab.unique("model")
        self.lab.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.role, Containers=[container])
        self.lab.put(f"{name}/in/rows.csv", body)
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.lab.bucket}/{name}/in/"}
        self.lab.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=name,
            TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"},
            TransformOutput={"S3OutputPath": f"s3://{self.lab.bucket}/{name}/out"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        ended = ("Completed", "Failed")
        done = wait_for(
            lambda: (
                each
                if (each := self.lab.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"]
                in ended
                else None
            )
        )
        assert done["TransformJobStatus"] == "Completed", done.get("FailureReason")
        answer = self.lab.read(f"s3://{self.lab.bucket}/{name}/out/rows.csv.out").decode()
        return list(csv.reader(io.StringIO(answer)))


@pytest.fixture
def automl(lab: Lab) -> AutoMLLab:
    return AutoMLLab(lab)


def test_a_search_tries_candidates_and_the_best_one_serves(automl: AutoMLLab) -> None:
    job = automl.search(automl.request(training=rows(300, 1), validation=rows(150, 2)))

    assert job["AutoMLJobStatus"] == "Completed", job.get("FailureReason")
    assert job["AutoMLJobSecondaryStatus"] == "MaxCandidatesReached"
    found = automl.lab.sagemaker.list_candidates_for_auto_ml_job(AutoMLJobName=job["AutoMLJobName"])["Candidates"]
    values = {each["CandidateName"]: each["FinalAutoMLJobObjectiveMetric"]["Value"] for each in found}
    assert list(values) == ["linear-1", "forest-2", "boosted-trees-3", "boosted-trees-4"]
    best = job["BestCandidate"]
    assert values[best["CandidateName"]] == max(values.values()) > 0.6
    assert best["FinalAutoMLJobObjectiveMetric"]["Type"] == "Maximize"
    answers = automl.ask(job, "probabilities,labels,predicted_label", '1,north,20.0\n8,south,\n3,"west, far",9\n')
    shares = [json.loads(row[0]) for row in answers]
    assert [json.loads(row[1]) for row in answers] == [[0, 1]] * 3
    assert shares[1][1] > shares[0][1]
    assert [row[2] for row in answers] == [str(int(row[1] > row[0])) for row in shares]


def test_a_value_is_searched_for_by_its_error_and_equal_data_give_an_equal_model(automl: AutoMLLab) -> None:
    data = {"training": rows(200, 1, wanted="weight"), "validation": rows(80, 2, wanted="weight")}
    table = {"ProblemType": "Regression", "TargetAttributeName": "weight", "CompletionCriteria": {"MaxCandidates": 3}}
    asked: dict[str, Any] = {"table": table, "AutoMLJobObjective": {"MetricName": "RMSE"}}

    job, again = (automl.search(automl.request(**data, **asked)) for _ in range(2))

    assert job["AutoMLJobStatus"] == "Completed", job.get("FailureReason")
    objective = job["BestCandidate"]["FinalAutoMLJobObjectiveMetric"]
    assert objective["Type"] == "Minimize"
    assert objective["Value"] < 1
    members = [
        automl.lab.members(each["BestCandidate"]["InferenceContainers"][0]["ModelDataUrl"]) for each in (job, again)
    ]
    assert members[0] == members[1]
    [[value]] = automl.ask(job, "", "4,north,20.0\n")
    assert abs(float(value) - 10.5) < 1.5


def test_a_search_that_is_stopped_ends_stopped(automl: AutoMLLab) -> None:
    criteria = {"CompletionCriteria": {"MaxCandidates": 250}}
    request = automl.request(training=rows(3000, 1), validation=rows(150, 2), table=criteria)
    name = {"AutoMLJobName": request["AutoMLJobName"]}
    automl.lab.sagemaker.create_auto_ml_job_v2(**request)
    describe = automl.lab.sagemaker.describe_auto_ml_job_v2
    wait_for(lambda: describe(**name)["AutoMLJobSecondaryStatus"] == "TrainingModels")

    automl.lab.sagemaker.stop_auto_ml_job(**name)

    assert automl.ended(request["AutoMLJobName"])["AutoMLJobStatus"] == "Stopped"


def test_a_search_ends_when_its_time_is_over(automl: AutoMLLab) -> None:
    criteria = {"CompletionCriteria": {"MaxCandidates": 250, "MaxAutoMLJobRuntimeInSeconds": 1}}
    job = automl.search(automl.request(training=rows(300, 1), validation=rows(150, 2), table=criteria))
    assert job["AutoMLJobSecondaryStatus"] == "MaxAutoMLJobRuntimeReached"
    assert job["BestCandidate"]["CandidateStatus"] == "Completed"


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (rows(20, 1), "the channel training has 20 rows; a search needs at least 50"),
        ("late,items,region,amount\n" + "1,2,north,3\n" * 60, "the target has 1 classes"),
        (rows(60, 1, wanted="weight"), "there is no column late"),
    ],
)
def test_data_that_nothing_can_be_found_in_fails_the_search_with_a_reason(
    automl: AutoMLLab, training: str, said: str
) -> None:
    job = automl.search(automl.request(training=training, validation=rows(50, 2)))
    assert job["AutoMLJobStatus"] == "Failed"
    assert said in job["FailureReason"]


def test_the_role_has_to_be_allowed_what_a_search_consists_of(automl: AutoMLLab) -> None:
    role = automl.lab.role_with(allow("s3:*", "iam:PassRole", "sagemaker:CreateProcessingJob"))
    job = automl.search(automl.request(training=rows(60, 1), validation=rows(50, 2), RoleArn=role))
    assert job["AutoMLJobStatus"] == "Failed"
    assert "sagemaker:DescribeProcessingJob" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": {"Mode": "HYPERPARAMETER_TUNING"}}, "the mode HYPERPARAMETER_TUNING of an AutoML job"),
        ({"table": {"ProblemType": None}}, "finds out by itself which problem"),
        ({"table": {"FeatureSpecificationS3Uri": "s3://b/k"}}, "FeatureSpecificationS3Uri of an AutoML job"),
        ({"ModelDeployConfig": {"AutoGenerateEndpointName": True}}, "ModelDeployConfig of an AutoML job"),
        (
            {
                "AutoMLProblemTypeConfig": {
                    "TextClassificationJobConfig": {"ContentColumn": "a", "TargetLabelColumn": "b"}
                }
            },
            "TextClassificationJobConfig of an AutoML job",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(automl: AutoMLLab, changes: dict[str, Any], said: str) -> None:
    request = automl.request(training=rows(60, 1), validation=rows(50, 2), **changes)
    code, message = error_of(lambda: automl.lab.sagemaker.create_auto_ml_job_v2(**request))
    assert (code, said in message) == ("ValidationException", True), message


def test_a_name_is_used_once(automl: AutoMLLab) -> None:
    request = automl.request(training=rows(20, 1), validation=rows(50, 2))
    automl.search(request)
    assert error_of(lambda: automl.lab.sagemaker.create_auto_ml_job_v2(**request))[0] == "ResourceInUse"


def test_nobody_hears_of_a_search_that_does_not_exist(automl: AutoMLLab) -> None:
    describe = automl.lab.sagemaker.describe_auto_ml_job_v2
    assert error_of(lambda: describe(AutoMLJobName="nothing"))[0] == "ResourceNotFound"
