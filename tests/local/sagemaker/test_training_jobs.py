from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from tests.local.sagemaker.conftest import XGBOOST, Lab, allow, archive, error_of, wait_for

GROUP = "/aws/sagemaker/TrainingJobs"


def script(text: str) -> str:
    return textwrap.dedent(text)


DESCRIBE = script(
    """
    import json, os, pathlib, sys
    model = pathlib.Path(os.environ["SM_MODEL_DIR"])
    root = model.parent
    config = root / "input" / "config"
    (model / "seen.json").write_text(json.dumps({
        "argv": sys.argv[1:],
        "env": dict(os.environ),
        "root": str(root),
        "config": {path.stem: json.loads(path.read_text()) for path in config.iterdir()},
        "files": sorted(p.relative_to(root / "input/data").as_posix() for p in (root / "input/data").rglob("*.csv")),
    }))
    """
)


def seen_by(lab: Lab, job: dict[str, Any]) -> dict[str, Any]:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    seen: dict[str, Any] = json.loads(lab.members(job["ModelArtifacts"]["S3ModelArtifacts"])["seen.json"])
    return seen


def test_gives_the_script_what_the_training_toolkit_gives_it(lab: Lab) -> None:
    lab.put("train/part-0.csv", "1")
    lab.put("train/deep/part 1+ä.csv", "2")
    channel = lab.channel("train", f"s3://{lab.bucket}/train/")

    job = lab.train(
        DESCRIBE, InputDataConfig=[channel], HyperParameters={"max_depth": "3", "eta": "0.1", "name": '"quoted"'}
    )

    seen = seen_by(lab, job)
    assert seen["argv"] == ["--eta", "0.1", "--max_depth", "3", "--name", "quoted"]
    assert seen["files"] == ["train/deep/part 1+ä.csv", "train/part-0.csv"]
    assert seen["config"]["hyperparameters"]["max_depth"] == "3"
    assert seen["config"]["inputdataconfig"]["train"]["TrainingInputMode"] == "File"
    assert seen["config"]["resourceconfig"]["hosts"] == ["algo-1"]
    env = seen["env"]
    assert env["SM_CHANNEL_TRAIN"] == f"{seen['root']}/input/data/train"
    assert json.loads(env["SM_HPS"]) == {"max_depth": 3, "eta": 0.1, "name": "quoted"}
    assert env["SM_HP_MAX_DEPTH"] == "3"
    assert json.loads(env["SM_CHANNELS"]) == ["code", "train"]
    assert json.loads(env["SM_TRAINING_ENV"])["hyperparameters"] == {"max_depth": 3, "eta": 0.1, "name": "quoted"}
    assert env["SM_CURRENT_HOST"] == "algo-1"


def test_an_isolated_job_has_neither_credentials_nor_an_endpoint(lab: Lab) -> None:
    env = seen_by(lab, lab.train(DESCRIBE))["env"]

    assert [name for name in env if name.startswith("AWS_")] == ["AWS_REGION"]


def test_a_job_with_network_acts_under_its_role(lab: Lab) -> None:
    text = script(
        """
        import boto3, os, pathlib
        who = boto3.client("sts").get_caller_identity()["Arn"]
        pathlib.Path(os.environ["SM_MODEL_DIR"], "who").write_text(who)
        """
    )

    job = lab.train(text, EnableNetworkIsolation=False)

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    who = lab.members(job["ModelArtifacts"]["S3ModelArtifacts"])["who"].decode()
    assert f":assumed-role/{lab.role.rpartition('/')[2]}/" in who


def test_reads_manifests_and_both_spellings_of_addresses(lab: Lab) -> None:
    lab.put("data/a/part-0.csv", "1")
    lab.put("data/a/part-1.csv", "2")
    lab.put("data/b/part-0.csv", "3")
    manifest = lab.put("data/m.manifest", json.dumps([{"prefix": f"s3://{lab.bucket}/data/"}, "a/part-1.csv"]))
    channels = [
        lab.channel("listed", manifest, "ManifestFile"),
        lab.channel("other", f"https://s3.us-east-1.amazonaws.com/{lab.bucket}/data/b/"),
    ]

    job = lab.train(DESCRIBE, InputDataConfig=channels)

    assert seen_by(lab, job)["files"] == ["listed/a/part-1.csv", "other/part-0.csv"]


def test_uploads_model_and_output_and_keeps_the_way_there(lab: Lab) -> None:
    text = script(
        """
        import os, pathlib
        pathlib.Path(os.environ["SM_MODEL_DIR"], "code").mkdir()
        pathlib.Path(os.environ["SM_MODEL_DIR"], "code", "inference.py").write_text("pass")
        pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "notes.txt").write_text("hello")
        print("epoch 1 auc=0.5"); print("epoch 2 auc=0.75")
        """
    )
    algorithm = {
        "TrainingImage": XGBOOST,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "validation:auc", "Regex": r"auc=([0-9.]+)"}],
    }

    job = lab.train(text, AlgorithmSpecification=algorithm)

    name = job["TrainingJobName"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{lab.bucket}/out/{name}/output/model.tar.gz"
    assert list(lab.members(job["ModelArtifacts"]["S3ModelArtifacts"])) == ["code/inference.py"]
    assert lab.members(f"s3://{lab.bucket}/out/{name}/output/output.tar.gz") == {"notes.txt": b"hello"}
    assert [(each["MetricName"], each["Value"]) for each in job["FinalMetricDataList"]] == [("validation:auc", 0.75)]
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert "epoch 2 auc=0.75" in lab.log(GROUP, f"{name}/algo-1-")


def test_a_script_that_raises_fails_the_job_with_its_last_words_and_its_log(lab: Lab) -> None:
    job = lab.train("raise KeyError('no such column: tailnum')")

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1")
    assert "no such column: tailnum" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")
    assert "no such column: tailnum" in lab.log(GROUP, f"{job['TrainingJobName']}/")


def test_the_failure_file_is_the_reason(lab: Lab) -> None:
    text = script(
        """
        import os, pathlib, sys
        pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("labels have one class only")
        sys.exit(7)
        """
    )

    job = lab.train(text)

    assert job["FailureReason"] == "AlgorithmError: labels have one class only, exit code: 7"


def test_a_script_that_hangs_is_ended_at_its_limit(lab: Lab) -> None:
    text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('waiting'); time.sleep(600)"

    job = lab.train(text, StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "ModelArtifacts" not in job


def test_a_stopped_job_keeps_the_model_that_it_saves_on_sigterm(lab: Lab) -> None:
    text = script(
        """
        import os, pathlib, signal, sys, time
        def save(*_):
            pathlib.Path(os.environ["SM_MODEL_DIR"], "model.ubj").write_text("half")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        print("ready")
        time.sleep(600)
        """
    )
    request = lab.training_request(text)
    name = request["TrainingJobName"]
    lab.sagemaker.create_training_job(**request)
    wait_for(lambda: "ready" in lab.log(GROUP, f"{name}/"))

    lab.sagemaker.stop_training_job(TrainingJobName=name)

    job = lab.trained(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert lab.members(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.ubj": b"half"}


def test_a_script_that_writes_no_model_leaves_an_empty_archive(lab: Lab) -> None:
    job = lab.train("print('done')")

    assert job["TrainingJobStatus"] == "Completed"
    assert lab.members(job["ModelArtifacts"]["S3ModelArtifacts"]) == {}


@pytest.mark.parametrize(
    ("granted", "denied"),
    [
        ((allow("s3:ListBucket", "s3:PutObject"),), "s3:GetObject"),
        ((allow("s3:GetObject", "s3:PutObject"),), "s3:ListBucket"),
        ((allow("s3:GetObject", "s3:ListBucket"),), "s3:PutObject"),
    ],
    ids=["read", "list", "write"],
)
def test_a_role_without_a_grant_fails_the_job_with_the_denial(
    lab: Lab, granted: tuple[dict[str, Any], ...], denied: str
) -> None:
    job = lab.train("print('done')", RoleArn=lab.role_with(*granted))

    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]
    assert denied in job["FailureReason"]


def test_a_role_that_cannot_pull_the_image_fails_the_job(lab: Lab) -> None:
    role = lab.server.role("sagemaker.amazonaws.com", allow("s3:*"), allow("ecr:GetAuthorizationToken"))

    job = lab.train("pass", RoleArn=role)

    assert job["TrainingJobStatus"] == "Failed"
    assert "ecr:BatchCheckLayerAvailability" in job["FailureReason"]
    assert "repository/sagemaker-xgboost" in job["FailureReason"]


def test_a_role_that_cannot_enter_the_vpc_fails_the_job(lab: Lab) -> None:
    interfaces = "arn:aws:ec2:us-east-1:000000000000:network-interface/*"
    role = lab.role_with(allow("s3:*"), allow("ec2:*", on=interfaces))

    job = lab.train("pass", RoleArn=role, VpcConfig={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})

    assert job["TrainingJobStatus"] == "Failed"
    assert "ec2:CreateNetworkInterface" in job["FailureReason"]
    assert "subnet/subnet-1" in job["FailureReason"]


def test_a_role_that_does_not_trust_sagemaker_is_refused(lab: Lab) -> None:
    role = lab.server.role("glue.amazonaws.com", allow("s3:*"))
    request = lab.training_request("pass", RoleArn=role)

    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))

    assert code == "ValidationException"
    assert message.startswith(f"Could not assume role {role}")


def test_a_caller_that_may_not_pass_the_role_is_denied(lab: Lab) -> None:
    key, secret = lab.server.user(allow("sagemaker:CreateTrainingJob"))
    client = lab.server.client_as("sagemaker", key, secret)
    request = lab.training_request("pass")

    code, message = error_of(lambda: client.create_training_job(**request))

    assert code == "AccessDeniedException"
    assert "iam:PassRole" in message


def test_tags_of_a_new_job_need_their_own_permission(lab: Lab) -> None:
    key, secret = lab.server.user(allow("sagemaker:CreateTrainingJob"), allow("iam:PassRole"))
    client = lab.server.client_as("sagemaker", key, secret)
    request = lab.training_request("pass", Tags=[{"Key": "a", "Value": "b"}])

    code, message = error_of(lambda: client.create_training_job(**request))

    assert (code, "sagemaker:AddTags" in message) == ("AccessDeniedException", True)


def test_a_channel_without_objects_fails_the_job(lab: Lab) -> None:
    job = lab.train("pass", InputDataConfig=[lab.channel("train", f"s3://{lab.bucket}/nothing/")])

    assert "No S3 objects found" in job["FailureReason"]


def test_a_manifest_cannot_lead_out_of_its_channel(lab: Lab) -> None:
    manifest = lab.put("m.manifest", json.dumps([{"prefix": f"s3://{lab.bucket}/"}, "../../config/evil.json"]))

    job = lab.train("pass", InputDataConfig=[lab.channel("train", manifest, "ManifestFile")])

    assert "leads out of the folder of its channel" in job["FailureReason"]


def test_code_that_leads_out_of_its_folder_fails_the_job(lab: Lab) -> None:
    request = lab.training_request("pass")
    lab.put(f"{request['TrainingJobName']}/code/sourcedir.tar.gz", archive({"../train.py": "pass"}))
    lab.sagemaker.create_training_job(**request)

    job = lab.trained(request["TrainingJobName"])

    assert job["TrainingJobStatus"] == "Failed"
    assert "cannot unpack sourcedir.tar.gz" in job["FailureReason"]


def test_a_name_is_used_once_only(lab: Lab) -> None:
    request = lab.training_request("pass")
    lab.sagemaker.create_training_job(**request)

    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))

    assert code == "ResourceInUse"
    assert "already exists" in message


def test_a_job_that_is_not_there_is_not_found_as_aws_says_it(lab: Lab) -> None:
    call = lab.sagemaker.describe_training_job

    assert error_of(lambda: call(TrainingJobName="missing")) == ("ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    ("hyperparameters", "image", "told"),
    [
        ({"sagemaker_mpi_enabled": "true"}, XGBOOST, "the launcher that sagemaker_mpi_enabled asks for"),
        (
            None,
            "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
            "several instances (its stand-in trains in one process)",
        ),
    ],
)
def test_machines_that_cannot_train_together_here_are_refused(
    lab: Lab, hyperparameters: dict[str, str] | None, image: str, told: str
) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
    request = lab.training_request("pass", ResourceConfig=resources, HyperParameters=hyperparameters or {})
    request["AlgorithmSpecification"]["TrainingImage"] = image
    if hyperparameters is None:
        request["HyperParameters"] = {}

    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))

    assert code == "ValidationException"
    assert told in message


TOGETHER = script(
    """
    import json, os, pathlib
    host, hosts = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
    config = json.loads(pathlib.Path(os.environ["SM_MODEL_DIR"]).parent.joinpath(
        "input/config/resourceconfig.json").read_text())
    assert config["current_host"] == host and config["hosts"] == hosts
    pathlib.Path(os.environ["SM_MODEL_DIR"], f"{host}.json").write_text(json.dumps(hosts))
    """
)
TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}


def test_several_machines_run_the_script_each_under_its_name_and_make_one_model(lab: Lab) -> None:
    job = lab.train(TOGETHER, ResourceConfig=TWO)

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    members = lab.members(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert {name: json.loads(text) for name, text in members.items()} == {
        "algo-1.json": ["algo-1", "algo-2"],
        "algo-2.json": ["algo-1", "algo-2"],
    }


def test_a_machine_that_fails_ends_the_others(lab: Lab) -> None:
    text = script(
        """
        import os, sys, time
        if os.environ["SM_CURRENT_HOST"] == "algo-2":
            sys.exit("no way")
        time.sleep(600)
        """
    )

    job = lab.train(text, ResourceConfig=TWO)

    assert job["TrainingJobStatus"] == "Failed"
    assert "no way" in job["FailureReason"]


COUNT = script(
    """
    import os, pathlib, time
    model = pathlib.Path(os.environ["SM_MODEL_DIR"])
    kept = model.parent / "checkpoints" / "count"
    start = int(kept.read_text()) if kept.exists() else 0
    for number in range(start + 1, 4):
        kept.with_suffix(".new").write_text(str(number))
        kept.with_suffix(".new").replace(kept)
    (model / "began_at").write_text(str(start))
    """
)
TAKEN_BACK = COUNT.replace(".replace(kept)", ".replace(kept)\n    if start == 0: time.sleep(600)")
"""Without a checkpoint it goes on for longer than any test waits, unless its machine is taken away."""


def spot(lab: Lab, **changed: Any) -> dict[str, Any]:
    request = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
        "CheckpointConfig": {"S3Uri": f"s3://{lab.bucket}/kept/", "LocalPath": "/opt/ml/checkpoints"},
    }
    return {**request, **changed}


def test_spare_machines_are_taken_back_and_the_job_goes_on_from_its_checkpoint(lab: Lab) -> None:
    job = lab.train(TAKEN_BACK, **spot(lab))

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    stations = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert stations.count("Interrupted") == 1
    assert stations.index("Interrupted") < stations.index("Downloading", stations.index("Interrupted"))
    assert int(lab.members(job["ModelArtifacts"]["S3ModelArtifacts"])["began_at"]) >= 1
    assert lab.read(f"s3://{lab.bucket}/kept/count") == b"3"
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_checkpoints_without_spare_machines_are_kept_and_nothing_is_interrupted(lab: Lab) -> None:
    job = lab.train(COUNT, CheckpointConfig={"S3Uri": f"s3://{lab.bucket}/kept/"})

    assert "Interrupted" not in [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert lab.read(f"s3://{lab.bucket}/kept/count") == b"3"


def test_checkpoints_take_the_leave_of_the_jobs_role(lab: Lab) -> None:
    role = lab.role_with(
        allow("s3:GetObject", "s3:ListBucket"), allow("s3:PutObject", on=f"arn:aws:s3:::{lab.bucket}/out/*")
    )

    job = lab.train(COUNT, RoleArn=role, CheckpointConfig={"S3Uri": f"s3://{lab.bucket}/kept/"})

    assert job["TrainingJobStatus"] == "Failed"
    assert "Checkpoint upload failed" in job["FailureReason"]
    assert "AccessDenied" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60}}, "Invalid MaxWaitTimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30}}, "was 30"),
        ({"EnableManagedSpotTraining": False}, "belongs to EnableManagedSpotTraining"),
        (
            {"ResourceConfig": {**TWO, "InstanceCount": 1, "KeepAlivePeriodInSeconds": 60}},
            "does not go together with EnableManagedSpotTraining",
        ),
    ],
)
def test_refuses_spare_machines_as_aws_does(lab: Lab, changed: dict[str, Any], told: str) -> None:
    request = lab.training_request("pass", **spot(lab, **changed))

    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))

    assert code == "ValidationException"
    assert told in message


def test_requests_are_checked_against_the_service_model(lab: Lab) -> None:
    request = lab.training_request("pass", TrainingJobName="under_score")
    request["ResourceConfig"]["InstanceType"] = "ml.huge"

    code, message = error_of(lambda: lab.sagemaker.create_training_job(**request))

    assert code == "ValidationException"
    assert message.startswith("2 validation errors detected: Value 'under_score' at 'trainingJobName' failed")
    assert "Member must satisfy enum value set" in message


def test_changes_of_state_are_events(lab: Lab) -> None:
    request = lab.training_request("pass")
    detail = {"TrainingJobName": [request["TrainingJobName"]], "TrainingJobStatus": ["Completed"]}
    next_event = lab.listen({"detail-type": ["SageMaker Training Job State Change"], "detail": detail})

    lab.sagemaker.create_training_job(**request)

    event = next_event()
    assert event["resources"] == [lab.trained(request["TrainingJobName"])["TrainingJobArn"]]
    assert event["detail"]["SecondaryStatus"] == "Completed"
    assert event["detail"]["CreationTime"] > 1_000_000_000_000


@pytest.mark.parametrize("granted", [True, False])
def test_output_is_encrypted_with_the_key_that_the_role_may_use(lab: Lab, granted: bool) -> None:
    key, use = lab.key()
    role = lab.role_with(allow("s3:*"), *([use] if granted else []))
    output = {"S3OutputPath": f"s3://{lab.bucket}/out", "KmsKeyId": key}

    job = lab.train("print('done')", RoleArn=role, OutputDataConfig=output)

    if granted:
        name = f"out/{job['TrainingJobName']}/output/model.tar.gz"
        assert lab.s3.head_object(Bucket=lab.bucket, Key=name)["SSEKMSKeyId"] == key
    else:
        assert job["TrainingJobStatus"] == "Failed"
        assert "kms:GenerateDataKey" in job["FailureReason"]


def test_a_key_for_the_disk_needs_a_grant_of_caller_or_role(lab: Lab) -> None:
    key = lab.client("kms").create_key()["KeyMetadata"]["Arn"]
    actions = ["sagemaker:CreateTrainingJob", "iam:PassRole"]
    client = lab.server.client_as("sagemaker", *lab.server.user(allow(*actions)))
    for_services = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    grantor = lab.role_with(allow("s3:*"), {**allow("kms:CreateGrant", on=key), "Condition": for_services})
    request = lab.training_request("pass")
    request["ResourceConfig"]["VolumeKmsKeyId"] = key

    code, message = error_of(lambda: client.create_training_job(**request))

    assert (code, "kms:CreateGrant" in message) == ("AccessDeniedException", True)
    client.create_training_job(**{**request, "RoleArn": grantor})
    assert lab.trained(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
