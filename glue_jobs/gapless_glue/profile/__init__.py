"""The profile of a dataset: what its columns hold, what they tell about the target and each other, what changed.

``profile`` measures rows; ``compare`` holds two finished profiles against each other; ``compare_with_last`` finds the
one to compare with.
"""

from gapless_glue.profile.compare import compare
from gapless_glue.profile.describe import FORMAT, profile
from gapless_glue.profile.previous import compare_with_last
from gapless_glue.profile.target import Target, target_in

__all__ = ["FORMAT", "Target", "compare", "compare_with_last", "profile", "target_in"]
