"""The deployment machine: puts an approved model behind the endpoint, or leaves everything as it was.

Input: ``{"run_id", "workload", "model_package_arn"}``; to go back on purpose ``{"action": "rollback", "actor",
"reason"}`` and, for another version than the last one, ``model_package_arn``.
Output: ``{"endpoint", "config", "model_package_arn"}``.
"""

from constructs_lib.machines.deployment.flow import deployment_machine
from constructs_lib.machines.deployment.parts import (
    CHALLENGER,
    FINAL_ERRORS,
    MODEL_TO_BLAME,
    VARIANT,
    DeploymentParts,
    Fleet,
    ModelSet,
)
from constructs_lib.machines.deployment.strategy import Experiment, Rollout, deployment_config

__all__ = [
    "CHALLENGER",
    "FINAL_ERRORS",
    "MODEL_TO_BLAME",
    "VARIANT",
    "DeploymentParts",
    "Experiment",
    "Fleet",
    "ModelSet",
    "Rollout",
    "deployment_config",
    "deployment_machine",
]
