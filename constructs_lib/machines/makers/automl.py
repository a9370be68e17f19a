"""A search by SageMaker Autopilot, whose best candidate is served between two adapters."""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import (
    JSON,
    UNNAMED_ECR,
    UNNAMED_SAGEMAKER,
    Catch,
    State,
    choice,
    expression,
    go_to,
    jsonata,
    now_seconds,
    remember,
    task,
    wait,
)
from constructs_lib.machines.common import CALL_SECONDS, HOUR, MINUTE, Surroundings, own_failure
from constructs_lib.machines.makers.adapters import adapted, encode, encoded_uri, read_encoded
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.search import search_name, search_try
from constructs_lib.machines.reproduction import WANTED
from constructs_lib.machines.spending import unknown_spent
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.encoding import encoding_options, found_environment, search_request

_POLL_SECONDS = 60
_FINISH_SECONDS = HOUR
_STOP_SECONDS = 30 * MINUTE
_RUNNING = "$automl.status in ['InProgress', 'Stopping']"
_IN_TIME = f"{now_seconds()} < $automl_deadline"
_TAKEN = "SageMaker.ResourceInUseException"


@dataclass(frozen=True)
class AutoMLMaker:
    """Writes the splits as tables, lets Autopilot search, and takes its best candidate.

    Args:
        model: How long and what for.
        adapter_image_uri: The framework image that the adapters run in; may be a token.
    """

    model: AutoMLModel
    adapter_image_uri: str

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states that encode, start the search, follow it to its end, and take over what it has found."""
        return {
            "Encode": encode(s, p, self._options(p), own=False),
            "ReadEncoded": read_encoded(s, p),
            "NameSearch": remember({"automl_id": jsonata(search_try()), "automl_name": jsonata(search_name(s))}),
            "StartSearch": self._start(s, p),
            "WaitForSearch": wait(_POLL_SECONDS),
            "DescribeSearch": describe_search(),
            "SearchEnded": choice(
                [
                    (f"{_RUNNING} and {_IN_TIME}", "WaitForSearch"),
                    (f"{_RUNNING} and $not($automl_stopped)", "StopSearch"),
                    (_RUNNING, "SearchStuck"),
                    ("$automl.status = 'Completed' and $count($automl.containers) = 1", "TakeImage"),
                    ("$automl.status = 'Completed'", "NoCandidate"),
                ],
                default="SearchFailed",
            ),
            "StopSearch": go_to("WaitForSearch", stop_search()),
            "SearchStuck": own_failure("SearchStuck", "$automl_name & ' was told to stop and has not'"),
            "NoCandidate": own_failure(
                "NoCandidate", "$automl_name & ' has a best candidate of ' & $count($automl.containers) & ' containers'"
            ),
            "SearchFailed": own_failure(
                "SearchFailed", "($automl_stopped ? 'the deadline has passed; ' : '') & $automl.reason"
            ),
            "TakeImage": remember({"found_image": jsonata("$automl.containers[0].Image")}),
            "HasDigest": choice([("$contains($found_image, '@')", "TakeCandidate")], default="FindFoundImage"),
            "FindFoundImage": find_image(),
            "TakeCandidate": self._take(s, p),
        }

    def _options(self, p: ModelParts) -> dict[str, str]:
        """The arguments of the job that writes the splits as tables."""
        return encoding_options(self.model, problem=p.problem, target=p.target, hyperparameters=p.hyperparameters)

    def _start(self, s: Surroundings, p: ModelParts) -> State:
        """Starts the search; its name is that of this try, so whoever finds it taken has started it before."""
        deadline = {
            "automl_deadline": jsonata(
                f"{now_seconds()} + {self.model.max_runtime_minutes * MINUTE + _FINISH_SECONDS}"
            ),
            "automl_stopped": False,
        }
        return task(
            "aws-sdk:sagemaker:createAutoMLJobV2",
            {
                "AutoMLJobName": jsonata("$automl_name"),
                "RoleArn": p.training_role_arn,
                "AutoMLJobInputDataConfig": [
                    _channel(s, p, "training", "train"),
                    _channel(s, p, "validation", "validation"),
                ],
                "OutputDataConfig": {
                    "S3OutputPath": jsonata(f"'s3://{p.place.artefacts_bucket}/{s.workload}/training/' & $automl_id"),
                    "KmsKeyId": p.place.key_arn,
                },
                **{name: _as_recorded(name, value) for name, value in self._request(p).items()},
                "SecurityConfig": {
                    "EnableInterContainerTrafficEncryption": True,
                    "VpcConfig": p.place.vpc_config,
                    "VolumeKmsKeyId": p.place.key_arn,
                },
            },
            timeout=CALL_SECONDS,
            assign=deadline,
            catch=[Catch([_TAKEN], "WaitForSearch", deadline)],
        )

    def _request(self, p: ModelParts) -> dict[str, JSON]:
        """What is asked for; its members are those of ``SEARCH_REQUEST``."""
        return search_request(self.model, problem=p.problem, target=p.target, candidate_seconds=p.training.seconds)

    def _take(self, s: Surroundings, p: ModelParts) -> State:
        """Takes over the best candidate: its one container, told what to answer, between the adapters."""
        told = expression(found_environment(p.problem))
        container = {
            "Image": jsonata("$found_image"),
            "ModelDataUrl": jsonata("$automl.containers[0].ModelDataUrl"),
            "Environment": jsonata(f"$merge([$automl.containers[0].Environment, {told}])"),
        }
        return remember(
            {
                "model_uri": jsonata("$automl.containers[0].ModelDataUrl"),
                "training_job": jsonata("$automl_name"),
                "training_image": jsonata("$found_image"),
                "hyperparameters": {
                    "candidate": jsonata("$automl.candidate"),
                    "objective": self.model.objective_of(p.problem),
                    "objective_value": jsonata("$automl.value"),
                },
                "containers": adapted(s, p, self.adapter_image_uri, [container]),
                **unknown_spent("search"),
            }
        )


def describe_search() -> State:
    """Asks how far the search is, and what its best candidate is."""
    job, best = "$states.result", "$states.result.BestCandidate"
    return task(
        "aws-sdk:sagemaker:describeAutoMLJobV2",
        {"AutoMLJobName": jsonata("$automl_name")},
        timeout=CALL_SECONDS,
        assign={
            "automl": {
                "status": jsonata(f"{job}.AutoMLJobStatus"),
                "reason": jsonata(f"[{job}.FailureReason, {job}.AutoMLJobSecondaryStatus][0]"),
                "candidate": jsonata(f"[{best}.CandidateName, 'none'][0]"),
                "value": jsonata(f"$string([{best}.FinalAutoMLJobObjectiveMetric.Value, 'none'][0])"),
                "containers": jsonata(f"[{best}.InferenceContainers]"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def find_image() -> State:
    """Asks which digest the found image has; a registry that lets nobody but SageMaker look leaves it its tag."""
    address, digest = "$substringBefore($found_image, ':')", "$states.result.Images[0].ImageId.ImageDigest"
    return task(
        "aws-sdk:ecr:batchGetImage",
        {
            "RegistryId": jsonata("$substringBefore($found_image, '.')"),
            "RepositoryName": jsonata(f"$substringAfter({address}, '/')"),
            "ImageIds": [{"ImageTag": jsonata("$substringAfter($found_image, ':')")}],
        },
        timeout=CALL_SECONDS,
        assign={"found_image": jsonata(f"$exists({digest}) ? {address} & '@' & {digest} : $found_image")},
        catch=[Catch([UNNAMED_ECR], "TakeCandidate")],
    )


def stop_search() -> State:
    """Stops the search with its jobs, and gives it time to end: while it writes, nothing is tried again."""
    return task(
        "aws-sdk:sagemaker:stopAutoMLJob",
        {"AutoMLJobName": jsonata("$automl_name")},
        timeout=CALL_SECONDS,
        assign={"automl_stopped": True, "automl_deadline": jsonata(f"{now_seconds()} + {_STOP_SECONDS}")},
        retry_also=UNNAMED_SAGEMAKER,
    )


def _channel(s: Surroundings, p: ModelParts, kind: str, split: str) -> dict[str, object]:
    return {
        "ChannelType": kind,
        "ContentType": "text/csv;header=present",
        "CompressionType": "None",
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jsonata(encoded_uri(s, p, f"{split}/"))},
        },
    }


def _as_recorded(name: str, value: JSON) -> str:
    """A member of the request: in a replay as the original's was, otherwise a value."""
    return jsonata(f"{WANTED} ? $parse($original.training).{name} : {expression(value)}")
