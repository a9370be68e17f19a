"""SageMaker's built-in algorithms: which problems they solve, what they must be told, and what they read.

An algorithm is *encoded* when the platform itself turns the splits of a dataset into what the algorithm reads, and
requests and answers into what the algorithm takes and gives. For every other one the workload brings ``adapters.py``.
Hyperparameters, channels and formats are those of the algorithms' pages in the SageMaker developer guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from constructs_lib.names.problems import BINARY, CLUSTERING, MULTICLASS, PROJECTION, REGRESSION

CSV: Final = "text/csv"
UNLABELLED: Final = "text/csv;label_size=0"
PARQUET: Final = "application/x-parquet"
RECORDS: Final = "application/x-recordio-protobuf"
TEXT: Final = "text/plain"

SCRIPTS_CHANNEL: Final = "training"
"""The channel that the algorithms read which AWS ships as scripts: both splits lie in it, each in a folder."""

COMPUTED: Final = "computed"
"""Stands for a hyperparameter's value that is known once the training split has been encoded."""


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    Args:
        required: Hyperparameters that the workload has to give.
        problems: Problem to the hyperparameters that follow from it, ``COMPUTED`` where the encoded split decides.
            Empty for an algorithm that is not encoded: its adapters decide what it answers.
        content_type: What the encoded channels hold.
        features: What it can learn from: any columns of numbers, categories and truth values, or one text.
        channels: The encoded splits that it reads.
        measured_on: The channel on which it measures what it can be tuned for, where that is none of those: trials are
            given the validation split by this name.
        seeded: Whether it has a hyperparameter ``seed``.
        gpu: Whether training needs an instance with a GPU.
        parallel: Whether it trains on several machines together.
        checkpoints: Whether it keeps checkpoints, so that it can go on after an interruption.
        choices: Problem to the hyperparameters whose values are limited, so that answers can be read. A value that
            follows from the problem is only a default when it is among them.
        pinned: Whether AWS ships it as scripts for framework images, whose addresses are in
            :mod:`constructs_lib.names.algorithm_pins`, and not as an image of its own.
        pickled: Whether its models are pickles.
        categories: How the encoded splits give categories: one number for each, or one code and a list of which columns
            these are.
    """

    required: tuple[str, ...] = ()
    problems: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    content_type: str = CSV
    features: Literal["table", "text"] = "table"
    channels: tuple[str, ...] = ("train", "validation")
    measured_on: Literal["test"] | None = None
    seeded: bool = False
    gpu: bool = False
    parallel: bool = True
    checkpoints: bool = False
    choices: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    pinned: bool = False
    pickled: bool = False
    categories: Literal["numbers", "codes"] = "numbers"

    @property
    def main_channel(self) -> str:
        """The channel that a workload which encodes by itself has to write."""
        return SCRIPTS_CHANNEL if self.pinned else "train"

    @property
    def encoded(self) -> bool:
        """Whether the platform turns splits, requests and answers into what the algorithm reads and writes."""
        return bool(self.problems)

    def given_by(self, problem: str) -> Mapping[str, str]:
        """The hyperparameters that follow from the problem."""
        return self.problems.get(problem, {})


def _of_scripts(
    *problems: str, categories: Literal["numbers", "codes"] = "numbers", pickled: bool = False
) -> Algorithm:
    """An algorithm that AWS ships as scripts; nothing follows from the problem but which of its models is trained."""
    return Algorithm(
        problems={problem: {} for problem in problems},
        channels=(SCRIPTS_CHANNEL,),
        parallel=False,
        pinned=True,
        pickled=pickled,
        categories=categories,
    )


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "xgboost": Algorithm(
        required=("num_round",),
        problems={
            BINARY: {"objective": "binary:logistic"},
            MULTICLASS: {"objective": "multi:softprob", "num_class": COMPUTED},
            REGRESSION: {"objective": "reg:squarederror"},
        },
        content_type=PARQUET,
        seeded=True,
        choices={
            REGRESSION: {
                "objective": (
                    "reg:squarederror",
                    "reg:absoluteerror",
                    "reg:pseudohubererror",
                    "reg:gamma",
                    "reg:tweedie",
                    "count:poisson",
                )
            }
        },
        checkpoints=True,
    ),
    "linear-learner": Algorithm(
        problems={
            BINARY: {"predictor_type": "binary_classifier", "feature_dim": COMPUTED},
            MULTICLASS: {"predictor_type": "multiclass_classifier", "feature_dim": COMPUTED, "num_classes": COMPUTED},
            REGRESSION: {"predictor_type": "regressor", "feature_dim": COMPUTED},
        },
        choices={BINARY: {"loss": ("auto", "logistic")}, MULTICLASS: {"loss": ("auto", "softmax_loss")}},
    ),
    "knn": Algorithm(
        required=("k",),
        problems={
            BINARY: {"predictor_type": "classifier", "feature_dim": COMPUTED, "sample_size": COMPUTED},
            MULTICLASS: {"predictor_type": "classifier", "feature_dim": COMPUTED, "sample_size": COMPUTED},
            REGRESSION: {"predictor_type": "regressor", "feature_dim": COMPUTED, "sample_size": COMPUTED},
        },
        channels=("train",),
        measured_on="test",
    ),
    "factorization-machines": Algorithm(
        required=("num_factors",),
        problems={
            BINARY: {"predictor_type": "binary_classifier", "feature_dim": COMPUTED},
            REGRESSION: {"predictor_type": "regressor", "feature_dim": COMPUTED},
        },
        content_type=RECORDS,
        channels=("train",),
        measured_on="test",
    ),
    "kmeans": Algorithm(
        required=("k",),
        problems={CLUSTERING: {"feature_dim": COMPUTED}},
        content_type=UNLABELLED,
        channels=("train",),
        measured_on="test",
        parallel=False,
    ),
    "pca": Algorithm(
        required=("num_components",),
        problems={PROJECTION: {"feature_dim": COMPUTED, "mini_batch_size": COMPUTED}},
        content_type=UNLABELLED,
        channels=("train",),
        choices={PROJECTION: {"algorithm_mode": ("regular",)}},
    ),
    "blazingtext": Algorithm(
        problems={BINARY: {"mode": "supervised"}, MULTICLASS: {"mode": "supervised"}},
        content_type=TEXT,
        features="text",
        parallel=False,
    ),
    "forecasting-deepar": Algorithm(required=("context_length", "epochs", "prediction_length", "time_freq")),
    "image-classification": Algorithm(required=("num_classes", "num_training_samples"), gpu=True, checkpoints=True),
    "ipinsights": Algorithm(required=("num_entity_vectors", "vector_dim")),
    "lda": Algorithm(required=("feature_dim", "mini_batch_size", "num_topics"), parallel=False),
    "ntm": Algorithm(required=("feature_dim", "num_topics")),
    "object-detection": Algorithm(required=("num_classes", "num_training_samples"), gpu=True, checkpoints=True),
    "object2vec": Algorithm(required=("enc0_max_seq_len", "enc0_vocab_size"), parallel=False),
    "randomcutforest": Algorithm(required=("feature_dim",)),
    "semantic-segmentation": Algorithm(
        required=("num_classes", "num_training_samples"), gpu=True, parallel=False, checkpoints=True
    ),
    "seq2seq": Algorithm(gpu=True, parallel=False),
    "autogluon": _of_scripts(BINARY, MULTICLASS, REGRESSION, pickled=True),
    "catboost": _of_scripts(BINARY, MULTICLASS, REGRESSION, categories="codes"),
    "lightgbm": _of_scripts(BINARY, MULTICLASS, REGRESSION, categories="codes", pickled=True),
    "tabtransformer": _of_scripts(BINARY, MULTICLASS, REGRESSION, categories="codes", pickled=True),
    "image-classification-tensorflow": _of_scripts(),
    "object-detection-tensorflow": _of_scripts(),
    "text-classification-tensorflow": _of_scripts(),
}
"""Name to algorithm, as SageMaker names them."""
