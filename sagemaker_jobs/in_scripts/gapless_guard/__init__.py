"""The training guard: ends a training that does not get anywhere, and says why.

A script calls it in process (:mod:`gapless_guard.in_process`); for every other training a function reads what the job
writes into its log and judges it by the same rules (:mod:`gapless_guard.rules`). Standard library only, so that it runs
in any image.
"""

from gapless_guard.in_process import Guard, TrainingStopped, xgboost_callback
from gapless_guard.rules import BadRules, Finding, Rules, Tracker

__all__ = ["BadRules", "Finding", "Guard", "Rules", "Tracker", "TrainingStopped", "xgboost_callback"]
