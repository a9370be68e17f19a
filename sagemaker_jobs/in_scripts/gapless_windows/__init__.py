"""Which labelled rows a training learns from: windows that end with the train split, chosen by back-test if asked.

A training script calls it (:mod:`gapless_windows.training`); which window is best is judged by one function for scripts
and stories alike (:mod:`gapless_windows.back_test`). Needs numpy only.
"""

from gapless_windows.back_test import Worth, best, worth
from gapless_windows.training import RECORD, Choice, TrainingWindow
from gapless_windows.window import BadWindow, Window

__all__ = ["RECORD", "BadWindow", "Choice", "TrainingWindow", "Window", "Worth", "best", "worth"]
