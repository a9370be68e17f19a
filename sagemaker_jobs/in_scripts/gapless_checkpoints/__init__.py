"""Checkpoints for training scripts: what SageMaker keeps while machines come and go."""

from gapless_checkpoints.boosting import train

__all__ = ["train"]
