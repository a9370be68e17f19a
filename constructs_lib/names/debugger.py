"""SageMaker Debugger: its rules by the guard's, and who keeps the image that evaluates them.

AWS has closed Debugger to accounts that did not use it before, so it is only ever asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from constructs_lib.names.guard_file import Guard

REPOSITORY: Final = "sagemaker-debugger-rules"
TAG: Final = "latest"
PROFILING_INTERVAL_MS: Final = 500

REGISTRIES: Final = {
    "af-south-1": "314341159256",
    "ap-east-1": "199566480951",
    "ap-northeast-1": "430734990657",
    "ap-northeast-2": "578805364391",
    "ap-northeast-3": "479947661362",
    "ap-south-1": "904829902805",
    "ap-southeast-1": "972752614525",
    "ap-southeast-2": "184798709955",
    "ca-central-1": "519511493484",
    "cn-north-1": "618459771430",
    "cn-northwest-1": "658757709296",
    "eu-central-1": "482524230118",
    "eu-north-1": "314864569078",
    "eu-south-1": "563282790590",
    "eu-west-1": "929884845733",
    "eu-west-2": "250201462417",
    "eu-west-3": "447278800020",
    "me-south-1": "986000313247",
    "sa-east-1": "818342061345",
    "us-east-1": "503895931360",
    "us-east-2": "915447279597",
    "us-gov-west-1": "515509971035",
    "us-west-1": "685455198987",
    "us-west-2": "895741380848",
}
"""Region to the account whose registry holds the image there; Debugger is in no other region."""


def members(guard: Guard, image_uri: str, output_uri: str) -> dict[str, Any]:
    """Returns what a training job's request says of Debugger: what to save, which rules to judge, and the profiler.

    Args:
        guard: The workload's guard.
        image_uri: The image that evaluates rules; may be a token.
        output_uri: Where tensors and figures are saved, ``s3://…/``; may be a token.
    """
    rules = guard.rules.model_dump(mode="json", exclude_none=True)
    return {
        "DebugHookConfig": {
            "S3OutputPath": f"{output_uri}tensors/",
            "CollectionConfigurations": [{"CollectionName": "losses"}, {"CollectionName": "metrics"}],
        },
        "DebugRuleConfigurations": rule_configurations(rules, image_uri),
        "ProfilerConfig": {
            "S3OutputPath": f"{output_uri}profiler/",
            "ProfilingIntervalInMilliseconds": PROFILING_INTERVAL_MS,
        },
        "ProfilerRuleConfigurations": [
            {
                "RuleConfigurationName": "ProfilerReport",
                "RuleEvaluatorImage": image_uri,
                "RuleParameters": {"rule_to_invoke": "ProfilerReport"},
            }
        ],
    }


def rule_configurations(rules: Mapping[str, Mapping[str, Any]], image_uri: str) -> list[dict[str, Any]]:
    """Returns ``DebugRuleConfigurations`` of a training job: the guard's rules as Debugger's built-in ones.

    Args:
        rules: The guard's rules, rule to settings.
        image_uri: The image that evaluates rules; may be a token.

    Debugger's rule about silence, ``StalledTrainingRule``, goes by a prefix of names and so would stop other jobs as
    well: ``dead`` is left to the job's time limit here.
    """
    return [
        {
            "RuleConfigurationName": parameters["rule_to_invoke"],
            "RuleEvaluatorImage": image_uri,
            "RuleParameters": parameters,
        }
        for parameters in (_parameters(name, settings) for name, settings in rules.items())
        if parameters is not None
    ]


def _parameters(rule: str, settings: Mapping[str, Any]) -> dict[str, str] | None:
    match rule:
        case "not_decreasing":
            steps, share = str(settings["steps"]), f"{settings['by'] * 100:g}"
            return {"rule_to_invoke": "LossNotDecreasing", "num_steps": steps, "diff_percent": share}
        case "exploding":
            return {"rule_to_invoke": "ExplodingTensor", "collection_names": "losses", "only_nan": "False"}
        case "overfitting":
            steps, ratio = str(settings["steps"]), f"{settings['by']:g}"
            return {"rule_to_invoke": "Overfit", "patience": steps, "ratio_threshold": ratio}
        case "class_imbalance":
            rarest = settings["smallest_share"]
            return {"rule_to_invoke": "ClassImbalance", "threshold_imbalance": f"{(1 - rarest) / rarest:g}"}
        case _:
            return None
