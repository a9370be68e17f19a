"""Where the images lie that Autopilot's jobs run and its models are served by.

Which images these are is up to Autopilot, which names them only in what it has found; so permissions name repositories.
The accounts are those of the SageMaker SDK; a test holds both against each other.
"""

from __future__ import annotations

from typing import Final

from constructs_lib.names import framework_images

SERVING: Final = "autogluon-inference"
TRAINING: Final = "autogluon-training"
PREPARATION: Final = "sagemaker-sklearn-automl"
"""The repositories of what serves a model that was found in ensembling mode, of what trains, and of what prepares."""

ANY_TAG: Final = "any"
"""Stands for the tag of an image that nothing but its repository is known of."""

AUTOGLUON: Final[dict[str, str]] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-1": "763104351884",
    "ap-northeast-2": "763104351884",
    "ap-northeast-3": "364406365360",
    "ap-south-1": "763104351884",
    "ap-southeast-1": "763104351884",
    "ap-southeast-2": "763104351884",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-central-1": "763104351884",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-1": "763104351884",
    "eu-north-1": "763104351884",
    "eu-south-1": "692866216735",
    "eu-west-1": "763104351884",
    "eu-west-2": "763104351884",
    "eu-west-3": "763104351884",
    "il-central-1": "780543022126",
    "me-south-1": "217643126080",
    "sa-east-1": "763104351884",
    "us-east-1": "763104351884",
    "us-east-2": "763104351884",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
    "us-iso-east-1": "886529160074",
    "us-isob-east-1": "094389454867",
    "us-west-1": "763104351884",
    "us-west-2": "763104351884",
}
"""Region to the account whose registry holds the images of AutoGluon there; other regions have none."""

REGISTRIES: Final[dict[str, dict[str, str]]] = {
    SERVING: AUTOGLUON,
    TRAINING: AUTOGLUON,
    PREPARATION: framework_images.REGISTRIES[0],
}
"""Repository to its registries."""
