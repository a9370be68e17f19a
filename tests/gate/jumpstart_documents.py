"""What AWS's public list of models says of some of them: the facts of three specifications, and of a manifest.

Read in the public tests of AWS's own SDK, which keep such documents: aws/sagemaker-python-sdk,
tests/unit/sagemaker/jumpstart/constants.py, commit 001edaafe2b94d45d8e45db715e894c7d9836642, read on 2026-11-30.
"""

from __future__ import annotations

from typing import Any

SCRIPT = "sourcedir.tar.gz"
QUOTED = (
    "Quoted by AWS in aws/sagemaker-python-sdk, tests/unit/sagemaker/jumpstart/constants.py, commit "
    "001edaafe2b94d45d8e45db715e894c7d9836642; the list itself and the archives were not seen"
)
QUOTED_ON = "2026-11-30"

AUTOGLUON_REGISTRIES = {
    **dict.fromkeys(
        (
            *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1"),
            *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1"),
            *("us-east-1", "us-east-2", "us-west-1", "us-west-2"),
        ),
        "763104351884",
    ),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "eu-south-1": "692866216735",
    "me-south-1": "217643126080",
}
_CPU = ("c4", "c5", "c5d", "c5n", "c6i", "m4", "m5", "m5d", "r5", "r5d", "t2", "t3")
_GPU = ("g4dn", "g5", "p2", "p3", "p3dn", "p4d", "p4de", "p5")

_STARTED = {
    "sagemaker_submit_directory": f"/opt/ml/input/data/code/{SCRIPT}",
    "sagemaker_program": "transfer_learning.py",
    "sagemaker_container_log_level": "20",
}
_SERVED = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    "MODEL_CACHE_ROOT": "/opt/ml/model",
    "SAGEMAKER_ENV": "1",
    "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600",
}


def number(name: str, kind: str, default: float, *limits: float) -> dict[str, Any]:
    """A hyperparameter that is a number, with its lower and upper limit."""
    bounds = dict(zip(("min", "max"), limits, strict=False))
    return {"name": name, "type": kind, "default": default, **bounds, "scope": "algorithm"}


def text(name: str, default: str, *options: str) -> dict[str, Any]:
    """A hyperparameter that is a text, with what is allowed."""
    allowed = {"options": list(options)} if options else {}
    return {"name": name, "type": "text", "default": default, **allowed, "scope": "algorithm"}


def _told(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "type": "text", "default": value, "scope": "container"} for name, value in values.items()]


def _of_pytorch(framework: str, hyperparameters: list[dict[str, Any]]) -> dict[str, Any]:
    image = {"framework": "pytorch", "framework_version": "1.9.0", "py_version": "py38"}
    name, scripts = f"{framework}-classification-model", f"source-directory-tarballs/{framework}"
    return {
        "model_id": name,
        "version": "1.0.0",
        "min_sdk_version": "2.68.1",
        "training_supported": True,
        "incremental_training_supported": False,
        "hosting_ecr_specs": image,
        "hosting_artifact_key": f"{framework}-infer/infer-{name}.tar.gz",
        "hosting_script_key": f"{scripts}/inference/classification/v1.0.0/{SCRIPT}",
        "inference_vulnerable": False,
        "training_vulnerable": False,
        "deprecated": False,
        "hyperparameters": [*hyperparameters, *_told(_STARTED)],
        "training_script_key": f"{scripts}/transfer_learning/classification/v1.0.0/{SCRIPT}",
        "training_ecr_specs": image,
        "training_artifact_key": f"{framework}-training/train-{name}.tar.gz",
        "inference_environment_variables": _told(_SERVED),
    }


LIGHTGBM = _of_pytorch(
    "lightgbm",
    [
        number("num_boost_round", "int", 5000, 1, 100000),
        number("early_stopping_rounds", "int", 30),
        number("learning_rate", "float", 0.009, 1e-20),
        number("num_leaves", "int", 67, 2, 131072),
        number("feature_fraction", "float", 0.74, 1e-20, 1),
        number("bagging_fraction", "float", 0.53, 1e-20, 1),
        number("bagging_freq", "int", 5, 0, 100000),
        number("max_depth", "int", 11),
        number("min_data_in_leaf", "int", 26, 0),
    ],
)
CATBOOST = _of_pytorch(
    "catboost",
    [
        number("iterations", "int", 500, 1, 100000),
        number("early_stopping_rounds", "int", 5, 1, 5000),
        number("learning_rate", "float", 0.03, 1e-20, 1),
        number("depth", "int", 6, 1, 16),
        number("l2_leaf_reg", "int", 3, 1, 10000),
        number("random_strength", "float", 1.0, 1e-20, 10),
    ],
)


def _variants(repository: str) -> dict[str, Any]:
    def address(region: str, account: str, processor: str) -> str:
        return f"{account}.dkr.ecr.{region}.amazonaws.com/{repository}:0.4.3-{processor}-py38"

    return {
        "regional_aliases": {
            region: {"cpu_ecr_uri_1": address(region, account, "cpu"), "gpu_ecr_uri_2": address(region, account, "gpu")}
            for region, account in AUTOGLUON_REGISTRIES.items()
        },
        "variants": {
            **{family: {"regional_properties": {"image_uri": "$cpu_ecr_uri_1"}} for family in _CPU},
            **{family: {"regional_properties": {"image_uri": "$gpu_ecr_uri_2"}} for family in _GPU},
        },
    }


_SWITCH = ("True", "False")
_IMAGE = {"framework": "autogluon", "framework_version": "0.4.3", "py_version": "py38"}
AUTOGLUON: dict[str, Any] = {
    "model_id": "autogluon-classification-ensemble",
    "version": "1.1.1",
    "min_sdk_version": "2.103.0",
    "training_supported": True,
    "incremental_training_supported": False,
    "hosting_ecr_specs": _IMAGE,
    "hosting_artifact_key": "autogluon-infer/v1.1.0/infer-autogluon-classification-ensemble.tar.gz",
    "hosting_script_key": f"source-directory-tarballs/autogluon/inference/classification/v1.0.0/{SCRIPT}",
    "inference_vulnerable": False,
    "training_vulnerable": False,
    "deprecated": False,
    "hyperparameters": [
        text("eval_metric", "auto"),
        text(
            *("presets", "medium_quality", "best_quality", "high_quality", "good_quality", "medium_quality"),
            *("optimize_for_deployment", "interpretable"),
        ),
        text("auto_stack", "False", *_SWITCH),
        text("num_bag_folds", "0", "0", "2", "3", "4", "5", "6", "7", "8", "9", "10"),
        number("num_bag_sets", "int", 1, 1),
        number("num_stack_levels", "int", 0, 0, 3),
        text("refit_full", "False", *_SWITCH),
        text("set_best_to_refit_full", "False", *_SWITCH),
        text("save_space", "False", *_SWITCH),
        number("verbosity", "int", 2, 0, 4),
        *_told(_STARTED),
    ],
    "training_script_key": f"source-directory-tarballs/autogluon/transfer_learning/classification/v1.0.2/{SCRIPT}",
    "training_ecr_specs": _IMAGE,
    "training_artifact_key": "autogluon-training/train-autogluon-classification-ensemble.tar.gz",
    "inference_environment_variables": _told({**_SERVED, "ENDPOINT_SERVER_TIMEOUT": "3600"}),
    "default_inference_instance_type": "ml.p2.xlarge",
    "supported_inference_instance_types": [
        *("ml.p2.xlarge", "ml.p3.2xlarge", "ml.g4dn.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge", "ml.m5.12xlarge"),
        *("ml.m5.24xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.c5.9xlarge", "ml.c5.18xlarge"),
    ],
    "default_training_instance_type": "ml.p3.2xlarge",
    "supported_training_instance_types": [
        *("ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge", "ml.m5.12xlarge", "ml.m5.24xlarge", "ml.c5.2xlarge"),
        *("ml.c5.4xlarge", "ml.c5.9xlarge", "ml.c5.18xlarge", "ml.p2.xlarge", "ml.p3.2xlarge", "ml.g4dn.xlarge"),
    ],
    "hosting_instance_type_variants": _variants("autogluon-inference"),
    "training_instance_type_variants": _variants("autogluon-training"),
}


def spec_key(document: dict[str, Any]) -> str:
    """Where the list keeps a specification."""
    return f"community_models_specs/{document['model_id']}/specs_v{document['version']}.json"


def manifest(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    """The list of some specifications."""
    return [
        {
            "model_id": each["model_id"],
            "version": each["version"],
            "min_version": each["min_sdk_version"],
            "spec_key": spec_key(each),
        }
        for each in documents
    ]
